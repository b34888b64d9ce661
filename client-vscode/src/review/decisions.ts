import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Done, Review } from '../protocol';
import type { App } from '../server/connection';
import type { Documents } from './documents';
import type { Merging } from './merging';
import type { Reviews } from './reviews';
import { showTask } from './titles';
import type { View } from './view';
import * as words from './words';

/** What is decided on: a hunk, a file, or the whole review where no path is given. */
export interface Selection {
  runId: string;
  path?: string;
  hunk?: string;
}

/** Carries decisions to the server and shows what became of them. The rules are the server's. */
export class Decisions {
  constructor(
    private readonly app: App,
    private readonly reviews: Reviews,
    private readonly documents: Documents,
    private readonly view: View,
    private readonly merging: Merging,
    private readonly lead: (next: model.Target) => Promise<void>,
    private readonly again: (selection: Selection) => Promise<void>,
  ) {
    merging.onTaken = (review, done) => void this.tell(done, review);
  }

  async accept(selection: Selection): Promise<Done> {
    const review = await this.upToDate(selection.runId);
    if (!review) return { ok: false };
    const also = selection.path === undefined ? model.protectedFiles(review) : [];
    const hunks = also.length ? await withProtected(review, also) : undefined;
    if (hunks === 'cancelled') return { ok: false };
    return await this.send('accept', selection, review, hunks);
  }

  async reject(selection: Selection): Promise<Done> {
    const review = await this.upToDate(selection.runId);
    return review ? await this.send('reject', selection, review) : { ok: false };
  }

  /** Takes an accept back. */
  async undo(runId: string): Promise<Done> {
    const done = await this.app.server.command('undoRun', { runId });
    if (done.ok || !done.conflicts?.length) return await this.told(done, runId);
    void this.orRestore(runId, done, done.conflicts);
    return done;
  }

  /** Files were changed after the accept: an undo leaves them alone, and the person may want them back all the same. */
  private async orRestore(runId: string, done: Done, names: string[]): Promise<void> {
    const restore = vscode.l10n.t('Restore Anyway…');
    if ((await vscode.window.showWarningMessage(done.message ?? '', restore)) === undefined) return;
    const message = vscode.l10n.t('Put all files back as they were before the run?');
    const detail = vscode.l10n.t(
      'What was changed since then in {0} goes away; undoing the run again brings it back.',
      names.join(', '),
    );
    const yes = vscode.l10n.t('Restore');
    if ((await vscode.window.showWarningMessage(message, { modal: true, detail }, yes)) !== yes) return;
    await this.told(await this.app.server.command('restoreBackup', { runId }), runId);
  }

  async commit(runId: string): Promise<Done> {
    return await this.told(await this.app.server.command('commit', { runId }), runId);
  }

  /** What is typed is a part of what is decided on, so it is saved first. */
  private async upToDate(runId: string): Promise<Review | undefined> {
    if (!(await this.documents.flush(runId))) return undefined;
    return this.reviews.known(runId) ?? (await this.reviews.load(runId));
  }

  private async send(
    verb: 'accept' | 'reject',
    { runId, path, hunk }: Selection,
    review: Review,
    hunks = hunk === undefined ? undefined : [hunk],
  ): Promise<Done> {
    const last = hunk ?? (path === undefined ? undefined : model.fileAt(review, path)?.hunks.at(-1)?.id);
    const next = last === undefined ? undefined : model.neighbour(review, last, 1);
    const done = await this.app.server.command(verb, {
      runId,
      revision: review.revision,
      ...(path === undefined || hunks ? {} : { path }),
      ...(hunks && { hunks }),
    });
    const now = await this.reviews.load(runId);
    if (done.ok && model.isOpen(now)) {
      const isLeft = next && model.pending(now).some((one) => one.hunk.id === next.hunk) ? next : undefined;
      const isHere = this.view.activeRun() === runId;
      const isMore = await this.view.leaveOut(now, isLeft);
      if (isHere && isLeft) await this.lead(isLeft);
      else if (isHere && !isMore) void this.again({ runId });
      if (model.pending(now).length < model.pending(review).length && hunk !== undefined) return done;
    }
    if (!model.isOpen(now)) await this.view.close(runId);
    if (!done.ok && done.conflicts?.length) void this.merging.offer(now, done);
    else if (!done.ok && now.revision !== review.revision) {
      const message = vscode.l10n.t('The review has changed meanwhile. This is how it is now: decide again.');
      void vscode.window.showWarningMessage(message);
    } else void this.tell(done, now);
    return done;
  }

  private async told(done: Done, runId: string): Promise<Done> {
    const review = await this.reviews.load(runId);
    void this.tell(done, review);
    return done;
  }

  /** Says what was done, and what can be done now. */
  private async tell(done: Done, review: Review): Promise<void> {
    const { runId } = review;
    if (!done.ok) return void vscode.window.showWarningMessage(done.message ?? vscode.l10n.t('Nothing was done.'));
    const undo = vscode.l10n.t('Undo');
    const commit = vscode.l10n.t('Commit');
    const task = vscode.l10n.t('Show Task');
    const again = vscode.l10n.t('Review Again');
    const [look, rest] = [vscode.l10n.t('Review'), vscode.l10n.t('Accept the Rest')];
    const offered = model.isOpen(review) ? [look, rest] : done.state === 'applied' ? [undo, commit, task] : [again];
    const chosen = await vscode.window.showInformationMessage(done.message ?? '', ...offered);
    if (chosen === undo) await this.undo(runId);
    if (chosen === commit) await this.commit(runId);
    if (chosen === task) await showTask(this.app, runId);
    if (chosen === again || chosen === look) await this.view.open(runId);
    if (chosen === rest) await this.accept({ runId });
  }
}

/** Asks about files that need a yes of their own; the hunks that are accepted then. */
async function withProtected(review: Review, names: string[]): Promise<string[] | undefined | 'cancelled'> {
  const everything = vscode.l10n.t('Accept Everything');
  const others = vscode.l10n.t('Accept the Others');
  const rest = model.pending(review).filter(({ hunk }) => !hunk.protected);
  const detail = vscode.l10n.t(
    'Such a file can make programs run something, or holds secrets or rules of the project: {0}',
    names.join(', '),
  );
  const message =
    names.length === 1
      ? vscode.l10n.t('Accept a file that needs a yes of its own, too?')
      : vscode.l10n.t('Accept {0} that need a yes of their own, too?', words.files(names.length));
  const offered = rest.length ? [everything, others] : [everything];
  const chosen = await vscode.window.showWarningMessage(message, { modal: true, detail }, ...offered);
  if (chosen === everything) return model.pending(review).map(({ hunk }) => hunk.id);
  return chosen === others ? rest.map(({ hunk }) => hunk.id) : 'cancelled';
}
