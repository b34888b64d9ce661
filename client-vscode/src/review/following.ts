import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Reviews } from './reviews';

/** A pause in what somebody types or a program writes, after which a review is looked at again. */
const AFTER_MS = 200;

/** Looks at open reviews again when one of their files changes, in an editor or on the disk: they show it as it is now. */
export class Following implements vscode.Disposable {
  private readonly changed = new Set<string>();
  private readonly listening: vscode.Disposable;
  /** Files that nobody has open; watched while there is a review to decide on. */
  private watcher: vscode.FileSystemWatcher | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly reviews: Reviews) {
    const { workspace } = vscode;
    this.listening = vscode.Disposable.from(
      workspace.onDidChangeTextDocument(({ document }) => this.note(document.uri)),
      workspace.onDidSaveTextDocument(({ uri }) => this.note(uri)),
      workspace.onDidCloseTextDocument(({ uri }) => this.note(uri)),
      reviews.onDidChange(() => this.watch()),
    );
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.listening.dispose();
    this.watcher?.dispose();
  }

  private watch(): void {
    const wanted = this.reviews.all.some((review) => model.isOpen(review));
    if (wanted === (this.watcher !== undefined)) return;
    this.watcher?.dispose();
    this.watcher = wanted ? vscode.workspace.createFileSystemWatcher('**/*') : undefined;
    const note = (uri: vscode.Uri): void => this.note(uri);
    this.watcher?.onDidChange(note);
    this.watcher?.onDidCreate(note);
    this.watcher?.onDidDelete(note);
  }

  private note(uri: vscode.Uri): void {
    if (uri.scheme === model.SCHEME) return;
    const path = uri.toString();
    const isAbout = (file: { uri: string }): boolean => vscode.Uri.parse(file.uri).toString() === path;
    const about = this.reviews.all.filter((review) => model.isOpen(review) && review.files.some(isAbout));
    // What a program writes elsewhere all the time does not put the look off.
    if (!about.length) return;
    about.forEach(({ runId }) => this.changed.add(runId));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), AFTER_MS);
  }

  private look(): void {
    for (const runId of this.changed) this.reviews.load(runId).catch(() => undefined);
    this.changed.clear();
  }
}
