import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Done, Review, ReviewFile } from '../protocol';
import type { App } from '../server/connection';
import type { Documents, Merger } from './documents';
import { type Reviews, uriOf } from './reviews';

/** Files that both the person and the run changed in the same places: the editor's own merge editor, and the way back. */
export class Merging implements Merger {
  /** What each file held when its merge was begun, by the URI of the result. */
  private readonly begun = new Map<string, string>();

  /** While a merge is completed: what was saved of it. */
  private completing: { saved?: [model.Place, string] } | undefined;

  /** What was merged is in its file. */
  onTaken: ((review: Review, done: Done) => void) | undefined;

  constructor(
    private readonly app: App,
    private readonly reviews: Reviews,
    private readonly documents: Documents,
  ) {
    documents.merger = this;
  }

  /** Says which files could not be written, and offers to merge those that can be. */
  async offer(review: Review, done: Done): Promise<void> {
    const mergeable = review.files.filter((file) => model.obstacle(file) !== undefined && isMergeable(file));
    const [first] = mergeable;
    const merge = vscode.l10n.t('Merge…');
    const reasons = review.files.flatMap((file) => {
      const reason = model.obstacle(file);
      return reason === undefined ? [] : [`${file.path}: ${reason}`];
    });
    const message = [done.message ?? '', ...reasons.filter((reason) => !done.message?.includes(reason))]
      .join(' ')
      .trim();
    const chosen = await vscode.window.showWarningMessage(message, ...(first ? [merge] : []));
    if (chosen === merge && first) await this.open(review.runId, first.path);
  }

  /** Opens the merge editor for a file; where there is none, the file with the marks of its conflicts. */
  async open(runId: string, path: string): Promise<void> {
    const review = await this.reviews.load(runId);
    const file = model.fileAt(review, path);
    if (!file || !isMergeable(file)) return;
    const place = (side: model.Side): model.Place => ({ runId, side, path: file.path });
    const output = uriOf(place('merged'));
    const own = vscode.Uri.parse(file.uri);
    // What was typed in an older merge and not saved is not one of what the file holds now.
    if (!vscode.workspace.textDocuments.some(({ uri, isDirty }) => isDirty && uri.toString() === output.toString())) {
      this.documents.forgetMerge(place('merged'));
      this.begun.set(output.toString(), (await vscode.workspace.openTextDocument(own)).getText());
    }
    try {
      await vscode.commands.executeCommand('_open.mergeEditor', {
        base: uriOf(place('before')),
        input1: { uri: own, title: vscode.l10n.t('Yours'), description: vscode.l10n.t('the file as it is now') },
        input2: { uri: uriOf(place('change')), title: vscode.l10n.t('Proposed') },
        output,
      });
    } catch (error) {
      this.app.log.info(`no merge editor: ${String(error)}`);
      await vscode.window.showTextDocument(output);
    }
  }

  /**
   * Saves and closes the merge editor, then takes over what was merged: while it is open, it would compare with what the file
   * holds then, find conflicts again, and ask about them.
   */
  async complete(result: unknown): Promise<void> {
    const place = result instanceof vscode.Uri ? model.placeOf(result) : undefined;
    if (place) this.ontoOf(place);
    const completing: { saved?: [model.Place, string] } = (this.completing = {});
    let closed: { successful?: boolean } | undefined;
    try {
      closed = await vscode.commands.executeCommand('mergeEditor.acceptMerge');
    } finally {
      this.completing = undefined;
    }
    // What was saved by itself before is not saved again.
    const text = place && closed?.successful ? this.documents.savedMerge(place) : undefined;
    const isWhole = text !== undefined && !model.hasMarkers(text);
    const saved = completing.saved ?? (place && isWhole ? ([place, text] as const) : undefined);
    if (!saved) return;
    try {
      await this.take(...saved);
    } catch (error) {
      // What was merged does not go with its editor.
      await vscode.window.showTextDocument(uriOf(saved[0]));
      throw error;
    }
  }

  ontoOf(place: model.Place): string {
    const onto = this.begun.get(uriOf(place).toString());
    if (onto !== undefined) return onto;
    const over = vscode.l10n.t(
      'This merge is over. Copy what you need from here, close it, and begin again with "Merge…".',
    );
    throw new Error(over);
  }

  /** A merge was saved: it becomes the proposal, and is accepted. */
  async take(place: model.Place, text: string): Promise<void> {
    if (this.completing) {
      this.completing.saved = [place, text];
      return;
    }
    const { runId, path } = place;
    const review = await this.reviews.edit(runId, path, text, this.ontoOf(place));
    const done = await this.app.server.command('accept', { runId, revision: review.revision, path });
    const now = await this.reviews.load(runId);
    if (!done.ok) {
      // It goes on: the next save tries again.
      void this.offer(now, done);
      return;
    }
    this.begun.delete(uriOf(place).toString());
    this.onTaken?.(now, done);
  }
}

/** Whether a file has two texts that can be merged. */
function isMergeable(file: ReviewFile): boolean {
  return !file.binary && (file.action === 'modify' || file.action === 'create');
}
