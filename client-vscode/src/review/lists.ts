import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Review, ReviewFile } from '../protocol';
import { uriOf } from './reviews';
import { comes } from './waiting';

/** The longest that a tab takes to be told of. */
const TAB_MS = 5000;

interface List {
  title: string;
  /** The files that it shows, from top to bottom. */
  paths: string[];
  /** How often it was made anew: the editor takes the same name for the same list. */
  round: number;
}

/**
 * Reviews in the editor that shows several diffs, one list of files for each run. The editor cannot be told to leave a file
 * out or to scroll to one: the list is made anew then, with the file that it is about at its top.
 */
export class Lists {
  private readonly lists = new Map<string, List>();

  /** The run whose list a tab shows; the editor's own kind of tab cannot be asked, only its label. */
  runOf({ label }: vscode.Tab): string | undefined {
    // The editor puts the number of files behind it.
    const known = [...this.lists].filter(([, { title }]) => label.startsWith(title));
    return known.sort(([, one], [, other]) => other.title.length - one.title.length)[0]?.[0];
  }

  /** Whether the tab in front shows the list of a run. */
  isInFront(runId: string): boolean {
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    return tab !== undefined && isList(tab) && this.runOf(tab) === runId;
  }

  /** The file at the top of the list of a run. */
  top(runId: string): string | undefined {
    return this.lists.get(runId)?.paths[0];
  }

  /** Whether the list shows just these files, in whatever order. */
  holds(runId: string, files: ReviewFile[]): boolean {
    const shown = this.lists.get(runId)?.paths ?? [];
    return shown.length === files.length && files.every(({ path }) => shown.includes(path));
  }

  /** Shows files, in the place of an older list of the run if that is in front. */
  async show(review: Review, files: ReviewFile[], name: string): Promise<void> {
    const { runId } = review;
    const before = this.lists.get(runId);
    const paths = files.map(({ path }) => path);
    const same = before !== undefined && before.paths.join('\n') === paths.join('\n');
    const old = this.tabs(runId);
    const title = before?.title ?? this.titleFor(runId, vscode.l10n.t('Review: {0}', name));
    const round = (before?.round ?? 0) + (same ? 0 : 1);
    this.lists.set(runId, { title, paths, round });
    await this.carryOut(review, files, title, `/${name}`, round);
    if (!same && old.length) await this.leave(runId, old);
  }

  /** Closes the older lists of a run, as soon as the newer one has its tab, which may have taken the place of an older one. */
  private async leave(runId: string, before: readonly vscode.Tab[]): Promise<void> {
    const isThere = (): boolean => this.tabs(runId).some((tab) => !before.includes(tab));
    await comes(vscode.window.tabGroups.onDidChangeTabs, isThere, TAB_MS);
    const newest = vscode.window.tabGroups.activeTabGroup.activeTab;
    const old = this.tabs(runId).filter((tab) => tab !== newest);
    if (newest && this.isInFront(runId) && old.length) await vscode.window.tabGroups.close(old, true);
  }

  private async carryOut(
    review: Review,
    files: ReviewFile[],
    title: string,
    path: string,
    round: number,
  ): Promise<void> {
    const resources = files.map((file) => {
      const { left, right } = model.sidesOf(review, file);
      return { originalUri: left && uriOf(left), modifiedUri: right && uriOf(right) };
    });
    const source = { scheme: model.SCHEME, authority: review.runId, path, query: `review-${round}` };
    try {
      // As `vscode.changes`, but a review that is open already is shown again and not a second time.
      const multiDiffSourceUri = vscode.Uri.from(source);
      await vscode.commands.executeCommand('_workbench.openMultiDiffEditor', { multiDiffSourceUri, title, resources });
    } catch {
      const list = resources.map((one) => [one.modifiedUri ?? one.originalUri, one.originalUri, one.modifiedUri]);
      await vscode.commands.executeCommand('vscode.changes', title, list);
    }
  }

  private tabs(runId: string): vscode.Tab[] {
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    return tabs.filter((tab) => isList(tab) && this.runOf(tab) === runId);
  }

  /** A title that no other run has: by it the tab is known again. */
  private titleFor(runId: string, title: string): string {
    const taken = [...this.lists.values()].some((list) => list.title === title);
    return taken ? `${title} ${runId.slice(-4)}` : title;
  }
}

function isList({ input }: vscode.Tab): boolean {
  return !(input instanceof vscode.TabInputText || input instanceof vscode.TabInputTextDiff);
}
