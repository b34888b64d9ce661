import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Hunk, Review, ReviewFile } from '../protocol';
import { type Reviews, uriOf } from './reviews';
import * as words from './words';

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
    this.listening = reviews.onDidChange((review) => this.show(review));
    reviews.all.forEach((review) => this.show(review));
  }

  /** The hunk of a card; of a comment that the person began elsewhere the one that is nearest. */
  targetOf(thread: vscode.CommentThread): model.Target | undefined {
    for (const card of this.cards.values()) if (card.thread === thread) return card.target;
    const place = model.placeOf(thread.uri);
    const review = place && this.reviews.known(place.runId);
    const file = review && model.fileAt(review, place.path);
    const hunk = file && model.hunkAt(file, place.side, thread.range.start.line);
    return file && { runId: review.runId, path: file.path, ...(hunk && { hunk: hunk.id }) };
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
        const key = `${review.runId} ${file.path} ${hunk.id}`;
        kept.add(key);
        if (!file.binary) this.card(key, review, file, hunk);
      }
    }
    for (const [key, { target, thread }] of this.cards) {
      if (target.runId !== review.runId || kept.has(key)) continue;
      thread.dispose();
      this.cards.delete(key);
    }
  }

  private card(key: string, review: Review, file: ReviewFile, hunk: Hunk): void {
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
    thread.label = words.hunk(review, file, hunk);
    thread.comments = [this.comment(hunk), ...(this.cards.get(key)?.said ?? [])];
  }

  /** Without a body: the editor opens its panel of comments for everything that says something. */
  private comment(hunk: Hunk): vscode.Comment {
    const name = vscode.l10n.t('Accept, reject, or say what shall be different:');
    const label = hunk.protected ? vscode.l10n.t('needs its own yes') : hunk.mine ? vscode.l10n.t('yours') : undefined;
    return { author: { name }, body: '', mode: vscode.CommentMode.Preview, ...(label !== undefined && { label }) };
  }
}

/** Links that decide on a change, for hovers. */
export function about(target: model.Target, hunk: Hunk): vscode.MarkdownString {
  const link = (title: string, command: string): string =>
    `[${title}](command:${command}?${encodeURIComponent(JSON.stringify([target]))})`;
  const lines = [
    [
      link(`$(check) ${vscode.l10n.t('Accept')}`, 'kiroLsp.acceptHunk'),
      link(`$(discard) ${vscode.l10n.t('Reject')}`, 'kiroLsp.rejectHunk'),
      link(`$(arrow-down) ${vscode.l10n.t('Next')}`, 'kiroLsp.nextHunk'),
    ].join(' &nbsp; '),
  ];
  if (hunk.protected) {
    lines.unshift(`$(shield) ${vscode.l10n.t('This file can make programs run something: it needs its own yes.')}`);
  }
  const text = new vscode.MarkdownString(lines.join('\n\n'), true);
  text.isTrusted = { enabledCommands: ['kiroLsp.acceptHunk', 'kiroLsp.rejectHunk', 'kiroLsp.nextHunk'] };
  return text;
}

function foldedUnless(open: boolean): vscode.CommentThreadCollapsibleState {
  return open ? vscode.CommentThreadCollapsibleState.Expanded : vscode.CommentThreadCollapsibleState.Collapsed;
}
