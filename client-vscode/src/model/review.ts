/** Where things are in a review, and how they are called. Lines are 0-based, ranges are whole lines, half-open. */
import type { Hunk, Review, ReviewFile, RunState } from '../protocol';

export const SCHEME = 'kiro-review';

/**
 * What a document of a review shows: `base` and `proposed` are compared while there is something to decide, the file as it
 * is now and what an accept would make of it; `original` and `suggested` are what a run saw and what it wanted, whatever was
 * decided since; `merged` is a conflict to be resolved, of which `before` and `change` are the run's two sides.
 */
export type Side = 'base' | 'proposed' | 'merged' | 'before' | 'change' | 'original' | 'suggested';

/** A document of a review; its URI is without the revision, so that an editor keeps it while the review goes on. */
export interface Place {
  runId: string;
  side: Side;
  /** From the root; of a renamed file the new name on the right. */
  path: string;
}

/** One hunk, or a file of a review where `hunk` is not given. */
export interface Target {
  runId: string;
  path: string;
  hunk?: string;
}

const SIDES: readonly string[] = ['base', 'proposed', 'merged', 'before', 'change', 'original', 'suggested'];
const OPEN: readonly RunState[] = ['verifying', 'review', 'conflict', 'failed', 'cancelled', 'budget', 'interrupted'];
const RIGHT: readonly Side[] = ['proposed', 'change', 'suggested'];

/** What of a URI names a document. */
export interface Address {
  authority: string;
  path: string;
  query: string;
}

/** The URI of a document. The path is the file's own on both sides: editors take two different ones for a renamed file. */
export function addressOf({ runId, side, path }: Place): Address & { scheme: string } {
  return { scheme: SCHEME, authority: runId, path: `/${path}`, query: side };
}

/** The document behind a URI of this scheme; `undefined` for anything else. */
export function placeOf({ authority, path, query }: Address): Place | undefined {
  if (!authority || path.length < 2 || !SIDES.includes(query)) return undefined;
  return { runId: authority, side: query as Side, path: path.slice(1) };
}

/** How the server calls a document in the revision that `review` is of; `undefined` for a file that the review has not. */
export function serverUri(review: Review, { side, path }: Place): string | undefined {
  const file = fileAt(review, path);
  if (!file) return undefined;
  if (side === 'base' && file.now?.baseUri !== undefined) return file.now.baseUri;
  if (side === 'proposed' && file.now?.proposedUri !== undefined) return file.now.proposedUri;
  const known = RIGHT.includes(side) ? file.proposedUri : file.baseUri;
  const called = side === 'before' ? 'base' : side === 'change' ? 'proposed' : side;
  return known.replace(/^(kiro-review:\/[^/]+\/[^/]+)\/[^/]+\//, `$1/${called}/`);
}

/** The file with that path; a renamed one answers to both of its names. */
export function fileAt(review: Review, path: string): ReviewFile | undefined {
  return review.files.find((file) => file.path === path) ?? review.files.find((file) => file.to === path);
}

/** The names of the two documents of a file; `undefined` where there is none, since it is created or deleted. */
export function sidesOf(review: Review, file: ReviewFile): { left: Place | undefined; right: Place | undefined } {
  const open = isOpen(review);
  const left: Side = open ? 'base' : 'original';
  const right: Side = open || review.state !== 'rejected' ? 'proposed' : 'suggested';
  const { runId } = review;
  return {
    left: file.action === 'create' ? undefined : { runId, side: left, path: file.path },
    right: file.action === 'delete' ? undefined : { runId, side: right, path: file.to ?? file.path },
  };
}

/** Whether there is still something to decide. */
export function isOpen(review: Review): boolean {
  return OPEN.includes(review.state) && (review.files.length > 0 || review.state === 'review');
}

/** Hunks that are to be decided, in the order in which they are shown. */
export function pending(review: Review, path?: string): { file: ReviewFile; hunk: Hunk }[] {
  return review.files
    .filter((file) => path === undefined || file === fileAt(review, path))
    .flatMap((file) => file.hunks.filter((hunk) => hunk.status === 'pending').map((hunk) => ({ file, hunk })));
}

/**
 * The pending hunk that a person who is at `line` means: the one that the line is in, else the first one below, else the
 * last above.
 */
export function hunkAt(file: ReviewFile, side: Side, line: number): Hunk | undefined {
  const open = file.hunks.filter((hunk) => hunk.status === 'pending');
  return (
    open.find((hunk) => line >= first(hunk, side) && line <= last(hunk, side)) ??
    open.find((hunk) => first(hunk, side) > line) ??
    open.at(-1)
  );
}

/** The lines on which a hunk is shown, both included; where it only takes lines away, the line above. */
export function linesOf(hunk: Hunk, side: Side): [number, number] {
  return [first(hunk, side), last(hunk, side)];
}

/** The pending hunk after (`step` 1) or before (-1) another one that can be looked at, across files and round the ends. */
export function neighbour(review: Review, from: string | undefined, step: 1 | -1): Target | undefined {
  const shown = review.files.filter(({ binary }) => !binary);
  const all = shown.flatMap((file) => file.hunks.map((hunk) => ({ file, hunk })));
  const at = all.findIndex(({ hunk }) => hunk.id === from);
  const start = at < 0 ? (step > 0 ? -1 : 0) : at;
  for (let count = 1; count <= all.length; count++) {
    const found = all[(start + step * count + all.length * 2) % all.length];
    if (found?.hunk.status === 'pending') return { runId: review.runId, path: found.file.path, hunk: found.hunk.id };
  }
  return undefined;
}

/**
 * Whether the hunk to which keys have led is still what the person means: it is to be decided, and no other file is in front
 * (`shown`; nothing where no file is alone there).
 */
export function isMeant(review: Review, led: Target, shown: string | undefined): boolean {
  if (shown !== undefined && fileAt(review, shown) !== fileAt(review, led.path)) return false;
  return pending(review, led.path).some(({ hunk }) => hunk.id === led.hunk);
}

/** How many lines a hunk adds and removes. */
export function size(hunk: Hunk): { added: number; removed: number } {
  const length = ({ start, end }: Hunk['baseRange']): number => end.line - start.line;
  return { added: length(hunk.proposedRange), removed: length(hunk.baseRange) };
}

/** What holds a decision of a file apart: those that "accept all" leaves out. */
export function protectedFiles(review: Review): string[] {
  return [
    ...new Set(
      pending(review)
        .filter(({ hunk }) => hunk.protected)
        .map(({ file }) => file.to ?? file.path),
    ),
  ];
}

/** Whether a text still has the marks of a conflict. */
export function hasMarkers(text: string): boolean {
  return /^(<{7}|>{7})( |$)/m.test(text);
}

/** Why an accept cannot write a file: as it is now, else what the last one said. */
export function obstacle(file: ReviewFile): string | undefined {
  return file.now?.conflict ?? file.conflict;
}

/** How many files with something to decide are not any more what the run read, and how many an accept cannot write. */
export function movedOn(review: Review): { merged: number; blocked: number } {
  const files = [...new Set(pending(review).map(({ file }) => file))].filter(({ now }) => now);
  const blocked = files.filter(({ now }) => now?.conflict !== undefined).length;
  return { merged: files.length - blocked, blocked };
}

/** Whether the documents of a file show the same texts as before; of one that moved on they may not, in the same revision. */
export function isSettledText(before: Review, now: Review, path: string): boolean {
  if (before.revision !== now.revision || before.state !== now.state) return false;
  return !fileAt(before, path)?.now && !fileAt(now, path)?.now;
}

function rangeOf({ now, ...read }: Hunk, side: Side): Hunk['baseRange'] {
  const ranges = now && (side === 'base' || side === 'proposed') ? now : read;
  return RIGHT.includes(side) ? ranges.proposedRange : ranges.baseRange;
}

function first(hunk: Hunk, side: Side): number {
  const { start, end } = rangeOf(hunk, side);
  return end.line > start.line ? start.line : Math.max(0, start.line - 1);
}

function last(hunk: Hunk, side: Side): number {
  const { start, end } = rangeOf(hunk, side);
  return end.line > start.line ? end.line - 1 : Math.max(0, start.line - 1);
}
