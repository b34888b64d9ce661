import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Review, ReviewFile } from '../protocol';
import { type Reviews, uriOf } from './reviews';
import * as words from './words';

/** What is in front of the person: editors that compare, and where in them they are. */
export class View implements vscode.Disposable {
  /** Titles of tabs that show whole reviews, with their runs; the editor's own kind of tab cannot be asked. */
  private readonly titles = new Map<string, string>();

  /** Where keys have led: an editor among many can be shown, but not given the focus. Until the person goes elsewhere. */
  private led: model.Target | undefined;
  private readonly listening: vscode.Disposable;

  constructor(
    private readonly reviews: Reviews,
    private readonly titleOf: (runId: string) => Promise<string>,
  ) {
    this.listening = vscode.window.onDidChangeTextEditorSelection(({ kind }) => {
      if (
        kind === vscode.TextEditorSelectionChangeKind.Mouse ||
        kind === vscode.TextEditorSelectionChangeKind.Keyboard
      ) {
        this.led = undefined;
      }
    });
  }

  dispose(): void {
    this.listening.dispose();
  }

  /** Shows everything that a run changed, or one file of it where `path` is given. */
  async open(runId: string, path?: string): Promise<Review> {
    const review = await this.reviews.load(runId);
    const file = path === undefined ? undefined : model.fileAt(review, path);
    const shown = file ? [file] : this.shownFiles(review);
    const name = await this.titleOf(runId);
    const [only] = shown;
    if (shown.length === 1 && only && !only.binary) await this.compare(review, only);
    else if (shown.some((one) => !one.binary)) await this.compareAll(review, shown, name);
    return review;
  }

  /** Puts the cursor on a hunk: in the editor that shows it, else in one that is opened for its file. */
  async go(target: model.Target, focus = true): Promise<void> {
    const review = this.reviews.known(target.runId);
    const file = review && model.fileAt(review, target.path);
    if (!review || !file || file.binary) return;
    const { left, right } = model.sidesOf(review, file);
    const place = right ?? left;
    const hunk = file.hunks.find(({ id }) => id === target.hunk) ?? file.hunks[0];
    this.led = target;
    if (!place) return;
    const [from, to] = hunk ? model.linesOf(hunk, place.side) : [0, 0];
    const uri = uriOf(place).toString();
    const editor = vscode.window.visibleTextEditors.find(({ document }) => document.uri.toString() === uri);
    if (!editor) {
      await this.compare(review, file, new vscode.Range(from, 0, from, 0), !focus);
      return;
    }
    editor.selection = new vscode.Selection(from, 0, from, 0);
    editor.revealRange(new vscode.Range(from, 0, to, 0), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }

  /** Where the person is: the document of a review that has the focus, and the pending hunk there. */
  here(): (model.Target & { review: Review }) | undefined {
    const led = this.led && this.activeRun() === this.led.runId ? this.reviews.known(this.led.runId) : undefined;
    if (led && this.led && model.pending(led).some(({ hunk }) => hunk.id === this.led?.hunk)) {
      return { review: led, ...this.led };
    }
    const editor = vscode.window.activeTextEditor;
    const place = editor?.document.uri.scheme === model.SCHEME ? model.placeOf(editor.document.uri) : undefined;
    const review = place && this.reviews.known(place.runId);
    const file = review && model.fileAt(review, place.path);
    if (!editor || !place || !review || !file) {
      const runId = this.activeRun();
      const known = runId === undefined ? undefined : this.reviews.known(runId);
      const [first] = known ? model.pending(known) : [];
      if (!known) return undefined;
      return { review: known, runId: known.runId, path: first?.file.path ?? '', ...(first && { hunk: first.hunk.id }) };
    }
    const hunk = model.hunkAt(file, place.side, editor.selection.active.line);
    return { review, runId: review.runId, path: file.path, ...(hunk && { hunk: hunk.id }) };
  }

  /** The run whose review the active tab shows. */
  activeRun(): string | undefined {
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    return tab && this.runOf(tab);
  }

  /** Closes what shows a review that is over. */
  async close(runId: string): Promise<void> {
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter((tab) => this.runOf(tab) === runId);
    if (tabs.length) await vscode.window.tabGroups.close(tabs, true);
  }

  private runOf(tab: vscode.Tab): string | undefined {
    const { input } = tab;
    if (input instanceof vscode.TabInputTextDiff || input instanceof vscode.TabInputText) {
      const uri = input instanceof vscode.TabInputText ? input.uri : input.modified;
      return uri.scheme === model.SCHEME ? model.placeOf(uri)?.runId : undefined;
    }
    // The editor puts the number of files behind it.
    const known = [...this.titles].filter(([title]) => tab.label.startsWith(title));
    return known.sort(([one], [other]) => other.length - one.length)[0]?.[1];
  }

  /** A title that no other run has: by it the tab is known again. */
  private titleFor(runId: string, title: string): string {
    const other = this.titles.get(title) ?? runId;
    const own = other === runId ? title : `${title} ${runId.slice(-4)}`;
    this.titles.set(own, runId);
    return own;
  }

  /** While there is something to decide, the files that it is about. */
  private shownFiles(review: Review): ReviewFile[] {
    if (!model.isOpen(review)) return review.files;
    const open = new Set(model.pending(review).map(({ file }) => file));
    return review.files.filter((file) => open.has(file));
  }

  private async compareAll(review: Review, shown: ReviewFile[], name: string): Promise<void> {
    const title = this.titleFor(review.runId, vscode.l10n.t('Review: {0}', name));
    const pairs = shown
      .filter((file) => !file.binary)
      .map((file) => {
        const { left, right } = model.sidesOf(review, file);
        return { originalUri: left && uriOf(left), modifiedUri: right && uriOf(right) };
      });
    const source = vscode.Uri.from({
      scheme: model.SCHEME,
      authority: review.runId,
      path: `/${name}`,
      query: 'review',
    });
    try {
      // As `vscode.changes`, but a review that is open already is shown again and not a second time.
      await vscode.commands.executeCommand('_workbench.openMultiDiffEditor', {
        multiDiffSourceUri: source,
        title,
        resources: pairs,
      });
    } catch {
      const list = pairs.map(({ originalUri, modifiedUri }) => [modifiedUri ?? originalUri, originalUri, modifiedUri]);
      await vscode.commands.executeCommand('vscode.changes', title, list);
    }
  }

  private async compare(
    review: Review,
    file: ReviewFile,
    selection?: vscode.Range,
    preserveFocus = false,
  ): Promise<void> {
    const { left, right } = model.sidesOf(review, file);
    const name = (file.to ?? file.path).split('/').pop() ?? file.path;
    const title = [name, words.action(file)].filter(Boolean).join(' · ');
    const options = { preserveFocus, preview: true, ...(selection && { selection }) };
    const empty = (side: model.Side): vscode.Uri => uriOf({ runId: review.runId, side, path: file.path });
    const pair = [left ? uriOf(left) : empty('base'), right ? uriOf(right) : empty('proposed')];
    await vscode.commands.executeCommand('vscode.diff', ...pair, title, options);
  }
}
