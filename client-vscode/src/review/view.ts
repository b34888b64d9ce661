import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Review, ReviewFile } from '../protocol';
import { Lists } from './lists';
import { type Reviews, uriOf } from './reviews';
import { comes } from './waiting';
import * as words from './words';

/** The longest that an editor takes to show a file; then it is shown by itself. */
const APPEARS_MS = 10_000;

/** What is in front of the person: editors that compare, and where in them they are. */
export class View implements vscode.Disposable {
  /** Whole reviews, file below file. */
  private readonly lists = new Lists();

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
    this.led = undefined;
    const review = await this.reviews.load(runId);
    const file = path === undefined ? undefined : model.fileAt(review, path);
    const shown = file ? [file] : this.shownFiles(review);
    const [only] = shown;
    if (shown.length === 1 && only && !only.binary) await this.compare(review, only);
    else if (shown.some((one) => !one.binary)) await this.compareAll(review);
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
    const uri = uriOf(place);
    const listed = this.lists.isInFront(review.runId);
    if (listed && this.lists.top(review.runId) !== file.path) await this.compareAll(review, file.path);
    const shown = ({ document }: vscode.TextEditor): boolean => document.uri.toString() === uri.toString();
    const editor = listed ? await this.editorOf(uri) : vscode.window.visibleTextEditors.find(shown);
    if (!editor) {
      await this.compare(review, file, new vscode.Range(from, 0, from, 0), !focus);
      return;
    }
    editor.selection = new vscode.Selection(from, 0, from, 0);
    editor.revealRange(new vscode.Range(from, 0, to, 0), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }

  /**
   * Where the person is: the document of a review that has the focus, and the pending hunk there. Where nothing has the focus
   * it is only assumed to be the first.
   */
  here(): (model.Target & { review: Review; assumed?: boolean }) | undefined {
    const led = this.led && this.activeRun() === this.led.runId ? this.reviews.known(this.led.runId) : undefined;
    const sides = sidesInFront();
    if (led && this.led && model.isMeant(led, this.led, sides[0]?.path)) return { review: led, ...this.led };
    const editor = editorInFront(sides);
    const place = editor && model.placeOf(editor.document.uri);
    const review = place && this.reviews.known(place.runId);
    const file = review && model.fileAt(review, place.path);
    if (!editor || !place || !review || !file) {
      const runId = this.activeRun();
      const known = runId === undefined ? undefined : this.reviews.known(runId);
      const [first] = known ? model.pending(known) : [];
      if (!known) return undefined;
      const nearest = { path: first?.file.path ?? '', ...(first && { hunk: first.hunk.id }) };
      return { review: known, runId: known.runId, ...nearest, assumed: true };
    }
    const hunk = model.hunkAt(file, place.side, editor.selection.active.line);
    return { review, runId: review.runId, path: file.path, ...(hunk && { hunk: hunk.id }) };
  }

  /** The run whose review the active tab shows. */
  activeRun(): string | undefined {
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    return tab && this.runOf(tab);
  }

  /**
   * Files on which all is decided go away, while others are open; `next` is where the person is led then.
   * @returns whether there is still something to compare
   */
  async leaveOut(review: Review, next: model.Target | undefined): Promise<boolean> {
    const open = this.shownFiles(review);
    const texts = open.filter(({ binary }) => !binary);
    const { runId } = review;
    if (texts.length && this.lists.isInFront(runId) && !this.lists.holds(runId, texts)) {
      await this.compareAll(review, next?.path);
    }
    const over = vscode.window.tabGroups.all
      .flatMap((group) => group.tabs)
      .filter((tab) => this.runOf(tab) === runId && (!texts.length || this.isDecided(review, tab)));
    if (next && over.some(({ isActive }) => isActive)) await this.go(next);
    if (over.length) await vscode.window.tabGroups.close(over, true);
    return texts.length > 0;
  }

  /** Whether a tab compares one file, and nothing of it is left to decide. */
  private isDecided(review: Review, { input }: vscode.Tab): boolean {
    if (!(input instanceof vscode.TabInputTextDiff)) return false;
    const place = model.placeOf(input.modified);
    return place !== undefined && model.pending(review, place.path).length === 0;
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
    return this.lists.runOf(tab);
  }

  /** While there is something to decide, the files that it is about. */
  private shownFiles(review: Review): ReviewFile[] {
    if (!model.isOpen(review)) return review.files;
    const open = new Set(model.pending(review).map(({ file }) => file));
    return review.files.filter((file) => open.has(file));
  }

  /** The list of files that can be compared, from `first` on and round the end. */
  private async compareAll(review: Review, first?: string): Promise<void> {
    const texts = this.shownFiles(review).filter(({ binary }) => !binary);
    const at = Math.max(
      0,
      texts.findIndex(({ path }) => path === first),
    );
    const name = await this.titleOf(review.runId);
    await this.lists.show(review, [...texts.slice(at), ...texts.slice(0, at)], name);
  }

  /** The editor that shows a document, as soon as there is one. */
  private async editorOf(uri: vscode.Uri): Promise<vscode.TextEditor | undefined> {
    const shown = (): vscode.TextEditor | undefined =>
      vscode.window.visibleTextEditors.find(({ document }) => document.uri.toString() === uri.toString());
    await comes(vscode.window.onDidChangeVisibleTextEditors, () => shown() !== undefined, APPEARS_MS);
    return shown();
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

/** The two sides of the file of a review that is alone in the tab in front, the proposed one first; none otherwise. */
function sidesInFront(): model.Place[] {
  const { input } = vscode.window.tabGroups.activeTabGroup.activeTab ?? {};
  const uris = input instanceof vscode.TabInputTextDiff ? [input.modified, input.original] : [];
  if (input instanceof vscode.TabInputText) uris.push(input.uri);
  return uris.map((uri) => model.placeOf(uri)).filter((place) => place !== undefined);
}

/**
 * The editor of a review's document that has the focus. Where one file is alone in front, an editor of its `sides`: which one has
 * the focus is told a moment after the tab, and until then the one before is.
 */
function editorInFront(sides: readonly model.Place[]): vscode.TextEditor | undefined {
  const { activeTextEditor, visibleTextEditors } = vscode.window;
  const focused = activeTextEditor ? [activeTextEditor] : [];
  const ofReviews = [...focused, ...(sides.length ? visibleTextEditors : [])].filter(
    ({ document }) => document.uri.scheme === model.SCHEME,
  );
  return ofReviews.find(({ document }) => {
    const place = model.placeOf(document.uri);
    return !sides.length || sides.some(({ runId, path }) => place?.runId === runId && place.path === path);
  });
}
