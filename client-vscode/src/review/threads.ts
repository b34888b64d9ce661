import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Hunk, Review, ReviewFile } from '../protocol';
import { type Reviews, uriOf } from './reviews';
import * as words from './words';

/** How many lines outside of the view still have their cards. */
const NEAR = 10;

interface Card {
  target: model.Target;
  thread: vscode.CommentThread;
  /** What the person said of it. */
  said: vscode.Comment[];
}

/**
 * A card for each change that is to be decided: a mark in the gutter which opens to what the change is, with accept and
 * reject in its head and a field for what shall be different. Those that are not the current one are folded.
 */
export class Threads implements vscode.Disposable {
  private readonly controller = vscode.comments.createCommentController('kiroLsp.review', vscode.l10n.t('Kiro review'));
  private readonly cards = new Map<string, Card>();
  private readonly listening: vscode.Disposable;

  constructor(private readonly reviews: Reviews) {
    this.controller.options = {
      prompt: vscode.l10n.t('Say what shall be different here'),
      placeHolder: vscode.l10n.t('What shall be different? The agent changes it and shows you the result.'),
    };
    this.controller.commentingRangeProvider = {
      provideCommentingRanges: ({ uri, lineCount }) => {
        const place = uri.scheme === model.SCHEME ? model.placeOf(uri) : undefined;
        const review = place?.side === 'proposed' ? reviews.known(place.runId) : undefined;
        return review && model.isOpen(review) ? [new vscode.Range(0, 0, lineCount - 1, 0)] : undefined;
      },
    };
    this.listening = vscode.Disposable.from(
      reviews.onDidChange((review) => this.show(review)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => this.putBack(document.uri)),
      vscode.window.onDidChangeVisibleTextEditors((editors) => editors.forEach((editor) => this.come(editor))),
      vscode.window.onDidChangeTextEditorVisibleRanges(({ textEditor }) => this.come(textEditor)),
    );
    reviews.all.forEach((review) => this.show(review));
  }

  /** The hunk of a card; of a comment that the person began elsewhere the file, with the hunk that the line is in. */
  targetOf(thread: vscode.CommentThread): model.Target | undefined {
    for (const card of this.cards.values()) if (card.thread === thread) return card.target;
    const place = model.placeOf(thread.uri);
    const review = place && this.reviews.known(place.runId);
    const file = review && model.fileAt(review, place.path);
    const line = thread.range.start.line;
    const hunk = file && model.hunkAt(file, place.side, line);
    const [from, to] = hunk ? model.linesOf(hunk, place.side) : [0, -1];
    return (
      file && { runId: review.runId, path: file.path, ...(hunk && from <= line && line <= to && { hunk: hunk.id }) }
    );
  }

  /** What was said on a card; of a line that no change touches, with the line. */
  said(thread: vscode.CommentThread, text: string): string {
    if (this.targetOf(thread)?.hunk !== undefined) return text;
    const document = vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === thread.uri.toString());
    const line = document?.lineAt(thread.range.start.line);
    return line ? vscode.l10n.t('In line {0}, "{1}": {2}', line.lineNumber + 1, line.text.trim(), text) : text;
  }

  /** What was said on a card stays there; where the person began a comment of their own, it is over. */
  told(thread: vscode.CommentThread, text: string): void {
    const card = [...this.cards.values()].find((one) => one.thread === thread);
    if (!card) {
      thread.dispose();
      return;
    }
    card.said.push({ author: { name: vscode.l10n.t('You') }, body: text, mode: vscode.CommentMode.Preview });
    thread.comments = [...thread.comments, ...card.said.slice(-1)];
  }

  /** Unfolds the card of one hunk, and folds the others of its run. */
  unfold(target: model.Target): void {
    const review = this.reviews.known(target.runId);
    const one = review && model.pending(review, target.path).find(({ hunk }) => hunk.id === target.hunk);
    if (review && one) this.card(review, one.file, one.hunk);
    for (const { target: other, thread } of this.cards.values()) {
      if (other.runId === target.runId) thread.collapsibleState = foldedUnless(other.hunk === target.hunk);
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.listening, this.controller).dispose();
  }

  private show(review: Review): void {
    const kept = new Set<string>();
    if (model.isOpen(review)) {
      for (const { file, hunk } of model.pending(review)) {
        const key = keyOf(review, file, hunk);
        kept.add(key);
        if (this.cards.has(key)) this.card(review, file, hunk);
      }
    }
    vscode.window.visibleTextEditors.forEach((editor) => this.come(editor));
    for (const [key, { target, thread }] of this.cards) {
      if (target.runId !== review.runId || kept.has(key)) continue;
      thread.dispose();
      this.cards.delete(key);
    }
  }

  /** Cards of the changes in view: hundreds at once keep the editor busy for a minute. */
  private come({ document, visibleRanges }: vscode.TextEditor): void {
    const place = document.uri.scheme === model.SCHEME ? model.placeOf(document.uri) : undefined;
    const review = place && this.reviews.known(place.runId);
    if (!review || !model.isOpen(review)) return;
    for (const { file, hunk } of model.pending(review, place.path)) {
      const [from, to] = model.linesOf(hunk, place.side);
      const isInView = visibleRanges.some(({ start, end }) => from <= end.line + NEAR && to >= start.line - NEAR);
      if (isInView && !file.binary && !this.cards.has(keyOf(review, file, hunk))) this.card(review, file, hunk);
    }
  }

  private card(review: Review, file: ReviewFile, hunk: Hunk): void {
    const key = keyOf(review, file, hunk);
    const target = { runId: review.runId, path: file.path, hunk: hunk.id };
    const { left, right } = model.sidesOf(review, file);
    const place = right ?? left;
    if (!place) return;
    const [from, to] = model.linesOf(hunk, place.side);
    const range = new vscode.Range(from, 0, to, 0);
    const known = this.cards.get(key)?.thread;
    const thread = known ?? this.controller.createCommentThread(uriOf(place), range, []);
    if (!known) {
      thread.contextValue = 'change';
      thread.collapsibleState = vscode.CommentThreadCollapsibleState.Collapsed;
      this.cards.set(key, { target, thread, said: [] });
    } else if (!thread.range.isEqual(range)) thread.range = range;
    const label = words.hunk(review, file, hunk);
    if (thread.label !== label) thread.label = label;
    const comment = this.comment(hunk);
    if (thread.comments[0]?.label !== comment.label || !thread.comments.length) {
      thread.comments = [comment, ...(this.cards.get(key)?.said ?? [])];
    }
  }

  /** A document was read again: the editor moved its cards with the old text. */
  private putBack(uri: vscode.Uri): void {
    const place = uri.scheme === model.SCHEME ? model.placeOf(uri) : undefined;
    const review = place && this.reviews.known(place.runId);
    if (!review) return;
    for (const { target, thread } of this.cards.values()) {
      const file = model.fileAt(review, target.path);
      const hunk = file?.hunks.find(({ id }) => id === target.hunk);
      if (!hunk || thread.uri.toString() !== uri.toString()) continue;
      const [from, to] = model.linesOf(hunk, place.side);
      // The editor is told of a place only where it is another one than before.
      thread.range = new vscode.Range(from, 0, to, thread.range.end.character ? 0 : 1);
    }
  }

  /** Without a body: the editor opens its panel of comments for everything that says something. */
  private comment(hunk: Hunk): vscode.Comment {
    const name = vscode.l10n.t('Accept, reject, or say what shall be different:');
    const label = hunk.protected ? vscode.l10n.t('needs its own yes') : hunk.mine ? vscode.l10n.t('yours') : undefined;
    return { author: { name }, body: '', mode: vscode.CommentMode.Preview, ...(label !== undefined && { label }) };
  }
}

function keyOf({ runId }: Review, { path }: ReviewFile, { id }: Hunk): string {
  return `${runId} ${path} ${id}`;
}

/** Links that decide on a change, for hovers. */
export function about(target: model.Target, hunk: Hunk): vscode.MarkdownString {
  const link = (title: string, command: string): string =>
    `[${title}](command:${command}?${encodeURIComponent(JSON.stringify([target]))})`;
  const lines = [
    [
      link(`$(check) ${vscode.l10n.t('Accept')}`, 'kiroLsp.acceptHunk'),
      link(`$(discard) ${vscode.l10n.t('Reject')}`, 'kiroLsp.rejectHunk'),
      ...(hunk.now?.conflict ? [link(`$(git-merge) ${vscode.l10n.t('Merge…')}`, 'kiroLsp.mergeFile')] : []),
      link(`$(arrow-down) ${vscode.l10n.t('Next')}`, 'kiroLsp.nextHunk'),
    ].join(' &nbsp; '),
  ];
  if (hunk.protected) {
    lines.unshift(`$(shield) ${vscode.l10n.t('This file can make programs run something: it needs its own yes.')}`);
  }
  const text = new vscode.MarkdownString(lines.join('\n\n'), true);
  text.isTrusted = {
    enabledCommands: ['kiroLsp.acceptHunk', 'kiroLsp.rejectHunk', 'kiroLsp.mergeFile', 'kiroLsp.nextHunk'],
  };
  return text;
}

function foldedUnless(open: boolean): vscode.CommentThreadCollapsibleState {
  return open ? vscode.CommentThreadCollapsibleState.Expanded : vscode.CommentThreadCollapsibleState.Collapsed;
}
