import * as vscode from 'vscode';
import * as model from '../model/review';
import { type Reviews, uriOf } from './reviews';

const BOM = '\uFEFF';
/** Below the 800 ms after which the editor gives a tab of its own to what is not saved. */
const SAVE_AFTER_MS = 250;

/** Who carries merges out. */
export interface Merger {
  /** What the file held when its merge was begun. Throws, with words for the person, where no merge goes on. */
  ontoOf(place: model.Place): string;
  /** A merge was saved. */
  take(place: model.Place, text: string): Promise<void>;
}

/**
 * The documents of reviews as a file system, so that the editor can write to the proposed side. Their contents are the
 * server's; what the person types there is saved by itself after a moment and is then a part of the proposal.
 */
export class Documents implements vscode.FileSystemProvider, vscode.Disposable {
  private readonly changes = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly onDidChangeFile = this.changes.event;
  merger: Merger | undefined;

  private readonly shown = new Map<string, { text: string; mtime: number }>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  /** What was saved of merges. */
  private readonly merges = new Map<string, string>();
  private readonly wanted = new Set<string>();
  private readonly listening: vscode.Disposable[];

  constructor(private readonly reviews: Reviews) {
    this.listening = [
      vscode.workspace.registerFileSystemProvider(model.SCHEME, this, { isCaseSensitive: true }),
      reviews.onDidChange(({ runId }) => this.lookAgain(runId)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (document.uri.scheme === model.SCHEME && document.isDirty) this.saveSoon(document);
      }),
      vscode.workspace.onWillSaveTextDocument(({ document, reason }) => {
        if (reason === vscode.TextDocumentSaveReason.Manual) this.wanted.add(document.uri.toString());
      }),
    ];
  }

  async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
    const { text, mtime } = await this.look(uri);
    const place = model.placeOf(uri);
    const review = place && this.reviews.known(place.runId);
    const writable = place?.side === 'merged' || (place?.side === 'proposed' && review && model.isOpen(review));
    const permissions = writable ? {} : { permissions: vscode.FilePermission.Readonly };
    return { type: vscode.FileType.File, ctime: 0, mtime, size: Buffer.byteLength(text), ...permissions };
  }

  async readFile(uri: vscode.Uri): Promise<Uint8Array> {
    return Buffer.from((await this.look(uri)).text);
  }

  async writeFile(uri: vscode.Uri, content: Uint8Array): Promise<void> {
    const place = model.placeOf(uri);
    if (!place) throw vscode.FileSystemError.NoPermissions(uri);
    const text = Buffer.from(content).toString();
    if (place.side !== 'proposed' && place.side !== 'merged') throw vscode.FileSystemError.NoPermissions(uri);
    try {
      if (place.side === 'merged') {
        await this.saveMerge(place, uri.toString(), text);
      } else if (plain(text) !== plain((await this.look(uri)).text)) {
        await this.reviews.typed(place, plain(text));
      }
    } catch (error) {
      throw vscode.FileSystemError.Unavailable(error instanceof Error ? error.message : String(error));
    }
  }

  /** Saves what was typed on the proposed sides of a run; `false` where something could not be saved. */
  async flush(runId: string): Promise<boolean> {
    const dirty = vscode.workspace.textDocuments.filter(({ uri, isDirty }) => {
      const place = uri.scheme === model.SCHEME ? model.placeOf(uri) : undefined;
      return isDirty && place?.runId === runId && place.side === 'proposed';
    });
    return (await Promise.all(dirty.map((document) => document.save()))).every(Boolean);
  }

  /** What was saved last of a merge. */
  savedMerge(place: model.Place): string | undefined {
    const text = this.merges.get(uriOf(place).toString());
    return text === undefined ? undefined : plain(text);
  }

  /** A merge begins anew, with what the file holds now. */
  forgetMerge(place: model.Place): void {
    const uri = uriOf(place);
    if (this.merges.delete(uri.toString())) this.changes.fire([{ type: vscode.FileChangeType.Changed, uri }]);
  }

  watch(): vscode.Disposable {
    return new vscode.Disposable(() => undefined);
  }

  readDirectory(): [string, vscode.FileType][] {
    return [];
  }

  createDirectory(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  dispose(): void {
    vscode.Disposable.from(...this.listening, this.changes).dispose();
    this.timers.forEach((timer) => clearTimeout(timer));
  }

  /** Nothing is said to be saved that is not kept: the editor holds it as changed then. */
  private async saveMerge(place: model.Place, key: string, text: string): Promise<void> {
    const isWanted = this.wanted.delete(key);
    this.merger?.ontoOf(place);
    const before = this.merges.get(key);
    this.merges.set(key, text);
    // Autosave must not take over what is half merged.
    if (!isWanted || model.hasMarkers(text)) return;
    try {
      await this.merger?.take(place, plain(text));
    } catch (error) {
      if (before === undefined) this.merges.delete(key);
      else this.merges.set(key, before);
      throw error;
    }
  }

  /** A text with the time of its last change: the editor reads again only what is newer. */
  private async look(uri: vscode.Uri): Promise<{ text: string; mtime: number }> {
    const text = marked(uri, this.merges.get(uri.toString()) ?? (await this.reviews.text(uri)));
    const before = this.shown.get(uri.toString());
    if (before?.text === text) return before;
    const now = { text, mtime: Math.max(Date.now(), (before?.mtime ?? 0) + 1) };
    this.shown.set(uri.toString(), now);
    return now;
  }

  private lookAgain(runId: string): void {
    const uris = [...this.shown.keys()].map((uri) => vscode.Uri.parse(uri));
    const own = uris.filter((uri) => uri.authority === runId && !this.merges.has(uri.toString()));
    if (own.length) this.changes.fire(own.map((uri) => ({ type: vscode.FileChangeType.Changed, uri })));
  }

  private saveSoon(document: vscode.TextDocument): void {
    if (model.placeOf(document.uri)?.side !== 'proposed') return;
    const key = document.uri.toString();
    if (this.timers.has(key)) return;
    const save = async (): Promise<void> => {
      this.timers.delete(key);
      if (document.isDirty && (await document.save())) await closeExtraTab(key);
    };
    this.timers.set(
      key,
      setTimeout(() => void save(), SAVE_AFTER_MS),
    );
  }
}

/** The document of one side of a file. */
export function documentOf(place: model.Place): Thenable<vscode.TextDocument> {
  return vscode.workspace.openTextDocument(uriOf(place));
}

/** Who types fast in a list of diffs gets a tab for the document behind the one that is looked at: it is of no use. */
async function closeExtraTab(uri: string): Promise<void> {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  const extra = tabs.filter(
    ({ input, isActive, isDirty }) =>
      input instanceof vscode.TabInputText && input.uri.toString() === uri && !isActive && !isDirty,
  );
  if (extra.length) await vscode.window.tabGroups.close(extra, true);
}

/** A mark says UTF-8, where the person's files are read in another encoding by default. */
function marked(uri: vscode.Uri, text: string): string {
  const encoding = vscode.workspace.getConfiguration('files', uri).get<string>('encoding');
  return encoding === 'utf8' || text.startsWith(BOM) ? text : BOM + text;
}

function plain(text: string): string {
  return text.startsWith(BOM) ? text.slice(1) : text;
}
