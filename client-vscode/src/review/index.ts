import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Done, RunEvent, Started } from '../protocol';
import { isLookedAt } from '../runs/looking';
import type { App } from '../server/connection';
import { Decisions, type Selection } from './decisions';
import { Documents } from './documents';
import { Following } from './following';
import { Marks } from './marks';
import { Merging } from './merging';
import { Reviews } from './reviews';
import { Status } from './status';
import { Threads } from './threads';
import { titleOf } from './titles';
import { View } from './view';
import * as words from './words';

/** Looking at a change set and deciding on it, hunk by hunk. */
export function registerReview(app: App): { dispose(): unknown }[] {
  const reviews = new Reviews(app.server);
  const desk = new Desk(app, reviews);
  const { hooks, server } = app;
  hooks.push({ command: (name, argument) => desk.instead(name, argument) });
  return [
    reviews,
    new Following(reviews),
    desk.documents,
    desk,
    ...desk.commands(),
    server.onRunEvent((event) => void desk.heard(event)),
  ];
}

/** What a command is about, with what was said of it; `assumed` where nobody pointed at anything. */
type Meant = Selection & { text?: string; done?: () => void; assumed?: boolean };

/** Commands that decide, or lead somewhere: the next one is about what the one before left. */
const WAITING: ReadonlySet<string> = new Set([
  'acceptHunk',
  'rejectHunk',
  'acceptFile',
  'rejectFile',
  'acceptReview',
  'rejectReview',
  'nextHunk',
  'previousHunk',
]);

/** The parts of the review together, and the commands that people have. */
class Desk implements vscode.Disposable {
  readonly documents: Documents;
  private readonly view: View;
  private readonly merging: Merging;
  private readonly decisions: Decisions;
  /** Cards, marks and the status bar, made with the first review that is looked at. */
  private faces: { threads: Threads; marks: Marks; status: Status } | undefined;
  private readonly listening: vscode.Disposable;
  private turn: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  constructor(
    private readonly app: App,
    private readonly reviews: Reviews,
  ) {
    this.documents = new Documents(reviews);
    this.view = new View(reviews, (runId) => titleOf(app, runId));
    this.merging = new Merging(app, reviews, this.documents);
    this.decisions = new Decisions(
      app,
      reviews,
      this.documents,
      this.view,
      this.merging,
      (next) => this.lead(next),
      (selection) => this.open(selection),
    );
    this.listening = reviews.onDidChange(() => this.made());
  }

  /** Carries out in the editor what a lens offers; everything else is the server's. */
  instead(name: string, argument: Record<string, unknown>): Promise<unknown> | undefined {
    const { runId, path } = argument as Partial<Selection>;
    if (typeof runId !== 'string') return undefined;
    const selection = { runId, ...(path !== undefined && { path }) };
    if (name === 'openReview') return this.open(selection);
    if (name === 'accept' && !('hunks' in argument)) return this.decisions.accept(selection);
    if (name === 'reject' && !('hunks' in argument)) return this.decisions.reject(selection);
    if (name === 'undoRun') return this.decisions.undo(runId);
    return undefined;
  }

  commands(): vscode.Disposable[] {
    const file = ({ runId, path }: Selection): Selection => ({ runId, ...(path !== undefined && { path }) });
    const { decisions } = this;
    // Nothing is decided that nobody pointed at: then the first change is shown.
    const pointed =
      (decide: (target: Selection) => unknown) =>
      (target: Meant): unknown =>
        target.assumed && target.path !== undefined ? this.step(target, 1) : decide(target);
    const all: Record<string, (target: Meant) => unknown> = {
      acceptHunk: pointed((target) => decisions.accept(target)),
      rejectHunk: pointed((target) => decisions.reject(target)),
      acceptFile: pointed((target) => decisions.accept(file(target))),
      rejectFile: pointed((target) => decisions.reject(file(target))),
      acceptReview: ({ runId }) => decisions.accept({ runId }),
      rejectReview: ({ runId }) => decisions.reject({ runId }),
      nextHunk: (target) => this.step(target, 1),
      previousHunk: (target) => this.step(target, -1),
      commentOnHunk: pointed((target) => this.comment(target)),
      openReviewFile: (target) => this.open(target),
      showReview: ({ runId }) => this.open({ runId }),
      mergeFile: ({ runId, path }) => path !== undefined && this.merging.open(runId, path),
      verdictPassed: ({ runId }) => this.verdict(runId),
      verdictFailed: ({ runId }) => this.verdict(runId),
      verdictRunning: ({ runId }) => this.verdict(runId),
      verdictOpen: ({ runId }) => this.verdict(runId),
      openChangedFile: (target) => this.showFile(target),
      undoReview: ({ runId }) => decisions.undo(runId),
    };
    const registered = Object.entries(all).map(([name, act]) =>
      vscode.commands.registerCommand(`kiroLsp.${name}`, (given: unknown) => {
        const target = this.target(given);
        return target && (WAITING.has(name) ? this.inTurn(() => act(target), given === undefined) : act(target));
      }),
    );
    const complete = (result: unknown): unknown => this.merging.complete(result);
    return [...registered, vscode.commands.registerCommand('kiroLsp.completeMerge', complete)];
  }

  /** One after the other; what a key asks for while another is carried out would be about what is not shown any more. */
  private async inTurn(act: () => unknown, isKey: boolean): Promise<void> {
    if (isKey && this.waiting > 0) return;
    this.waiting += 1;
    const before = this.turn;
    const mine = (async () => {
      await before;
      try {
        await act();
      } finally {
        this.waiting -= 1;
      }
    })();
    this.turn = mine.catch(() => undefined);
    await mine;
  }

  /** A run that was started here has ended with changes, or was taken up by a later one. */
  async heard(event: RunEvent): Promise<void> {
    if (event.type === 'superseded') {
      await this.view.close(event.runId);
      return;
    }
    if (event.type !== 'complete' || event.filesChanged.length === 0) return;
    const wish = vscode.workspace.getConfiguration('kiroLsp').get<string>('review.open');
    if (wish === 'never') return;
    const { runId } = event;
    // A review that somebody is in the middle of stays in front.
    if (wish === 'automatically' && this.view.activeRun() === undefined) {
      await this.open({ runId });
      return;
    }
    const title = await titleOf(this.app, runId);
    const run = this.app.runs.get(runId);
    if (run && isLookedAt(run)) return;
    const [review, output] = [vscode.l10n.t('Review'), vscode.l10n.t('Show Output')];
    const message = vscode.l10n.t('{0}: {1} to review', title, words.files(event.filesChanged.length));
    const chosen = await vscode.window.showInformationMessage(message, review, vscode.l10n.t('Accept'), output);
    if (chosen === review) await this.open({ runId });
    else if (chosen === output) await vscode.commands.executeCommand('kiroLsp.showRun', { runId });
    else if (chosen !== undefined) await this.decisions.accept({ runId });
  }

  dispose(): void {
    this.listening.dispose();
    this.view.dispose();
    if (this.faces) vscode.Disposable.from(...Object.values(this.faces)).dispose();
  }

  private made(): { threads: Threads; marks: Marks; status: Status } {
    this.faces ??= {
      threads: new Threads(this.reviews),
      marks: new Marks(this.reviews),
      status: new Status(this.reviews, this.view),
    };
    return this.faces;
  }

  private async open({ runId, path }: Selection): Promise<void> {
    const review = await this.view.open(runId, path);
    const shown =
      path === undefined ? review.files : review.files.filter((file) => file === model.fileAt(review, path));
    const conflict = model.isOpen(review) && review.files.some((file) => model.obstacle(file) !== undefined);
    if (conflict && path === undefined) void this.merging.offer(review, { ok: false });
    const unseen = shown.filter(({ binary }) => binary);
    if (!unseen.length && shown.length) return;
    const named = unseen.map(words.named).join(', ');
    const message = named
      ? vscode.l10n.t('Cannot be shown as text: {0}', named)
      : vscode.l10n.t('No file was changed. Accepting ticks the task.');
    if (!model.isOpen(review)) return void vscode.window.showInformationMessage(message);
    const [accept, reject] = [vscode.l10n.t('Accept'), vscode.l10n.t('Reject')];
    const chosen = await vscode.window.showInformationMessage(message, accept, reject);
    if (chosen !== accept && chosen !== reject) return;
    const decide = (selection: Selection): Promise<unknown> =>
      chosen === accept ? this.decisions.accept(selection) : this.decisions.reject(selection);
    if (!named) await decide({ runId });
    for (const file of unseen) await decide({ runId, path: file.path });
  }

  private async step(from: Meant, step: 1 | -1): Promise<void> {
    if (!(await this.documents.flush(from.runId))) return;
    const review = this.reviews.known(from.runId) ?? (await this.reviews.load(from.runId));
    const next = model.neighbour(review, from.assumed ? undefined : from.hunk, step);
    if (!next) return;
    await this.lead(next);
  }

  private async lead(next: model.Target): Promise<void> {
    await this.view.go(next);
    this.made().threads.unfold(next);
  }

  private async showFile({ runId, path }: Selection): Promise<void> {
    const review = this.reviews.known(runId);
    const file = review && path !== undefined ? model.fileAt(review, path) : undefined;
    if (file) await vscode.window.showTextDocument(vscode.Uri.parse(file.uri));
  }

  /** Says what the verify command found, and what can be done about it. */
  private async verdict(runId: string): Promise<void> {
    const verify = this.reviews.known(runId)?.verify;
    if (!verify) return;
    const [again, repair] = [vscode.l10n.t('Verify Again'), vscode.l10n.t('Repair')];
    const offered = verify.running ? [] : verify.ok === false ? [again, repair] : [again];
    const said = [words.verdict(verify), verify.command.join(' '), verify.summary.split('\n')[0]].filter(Boolean);
    const chosen = await vscode.window.showInformationMessage(said.join(' · '), ...offered);
    if (chosen === undefined) return;
    const done: Partial<Done & Started> =
      chosen === again
        ? await this.app.server.command('verifyRun', { runId })
        : await this.app.server.command('repairRun', { runId });
    const refused = done.refused?.message ?? (done.ok === false ? done.message : undefined);
    if (refused) void vscode.window.showWarningMessage(refused);
  }

  /** Words on a change, from a card or asked for: the agent goes on from it. */
  private async comment({ runId, path, hunk, text: given, done }: Meant): Promise<void> {
    const prompt = vscode.l10n.t('What shall be different in {0}?', path ?? '');
    const text = given ?? (await vscode.window.showInputBox({ prompt, ignoreFocusOut: true }));
    if (!text?.trim()) return;
    const about = { runId, ...(path !== undefined && { path }), ...(hunk !== undefined && { hunk }) };
    const refused = await this.followUp({ ...about, text });
    if (refused === undefined) {
      done?.();
      return;
    }
    if (refused) void vscode.window.showWarningMessage(refused);
    // The editor keeps what was written in a card only where this fails, and does not say why by itself.
    if (done) throw new Error(refused);
  }

  /** Why the agent was not told; empty where the editor has said so already. */
  private async followUp(about: Selection & { text: string }): Promise<string | undefined> {
    if (!(await this.documents.flush(about.runId))) return '';
    try {
      return (await this.app.server.command('followUp', about)).refused?.message;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** What a command is about: what it was called with (a link, a tree item, a card, a reply), else where the person is. */
  private target(given: unknown): Meant | undefined {
    if (given && typeof given === 'object') {
      if ('thread' in given && 'text' in given) {
        const target = this.made().threads.targetOf(given.thread as vscode.CommentThread);
        const { thread } = given as { thread: vscode.CommentThread };
        return (
          target && {
            ...target,
            text: this.made().threads.said(thread, String(given.text)),
            done: () => this.made().threads.told(thread, String(given.text)),
          }
        );
      }
      if ('comments' in given && 'range' in given) return this.made().threads.targetOf(given as vscode.CommentThread);
      if ('runId' in given && typeof given.runId === 'string') return given as Selection;
    }
    return this.view.here();
  }
}
