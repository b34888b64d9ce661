import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Hunk, ReviewFile } from '../protocol';
import type { Reviews } from './reviews';
import { about } from './threads';
import * as words from './words';

/** What is said of changes in the text itself: who made them, what needs a yes of its own, and links on hover. */
export class Marks implements vscode.Disposable, vscode.CodeLensProvider {
  private readonly changes = new vscode.EventEmitter<void>();
  /** Lenses show in diffs only where the person has `diffEditor.codeLens` on; hovers, cards and keys do the same. */
  readonly onDidChangeCodeLenses = this.changes.event;
  private readonly plain = vscode.window.createTextEditorDecorationType({ isWholeLine: true });
  private readonly mine = marked('charts.blue', vscode.l10n.t('yours'));
  private readonly guarded = marked('editorWarning.foreground', vscode.l10n.t('needs its own yes'));
  /** Changes that an accept could not write into the file as it is now. */
  private readonly meeting = vscode.window.createTextEditorDecorationType({ isWholeLine: true });
  private readonly listening: vscode.Disposable[];

  constructor(private readonly reviews: Reviews) {
    this.listening = [
      reviews.onDidChange(() => this.draw()),
      vscode.window.onDidChangeVisibleTextEditors(() => this.draw()),
      vscode.workspace.onDidChangeTextDocument(({ document }) => document.uri.scheme === model.SCHEME && this.draw()),
      vscode.languages.registerCodeLensProvider({ scheme: model.SCHEME }, this),
    ];
    this.draw();
  }

  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    return this.hunksOf(document.uri).flatMap(({ target, hunk, from }) => {
      const range = new vscode.Range(from, 0, from, 0);
      const lens = (title: string, command: string): vscode.CodeLens =>
        new vscode.CodeLens(range, { title, command, arguments: [{ ...target, hunk: hunk.id }] });
      return [
        lens(`$(check) ${vscode.l10n.t('Accept')}`, 'kiroLsp.acceptHunk'),
        lens(`$(discard) ${vscode.l10n.t('Reject')}`, 'kiroLsp.rejectHunk'),
        lens(`$(comment) ${vscode.l10n.t('Comment')}`, 'kiroLsp.commentOnHunk'),
      ];
    });
  }

  dispose(): void {
    vscode.Disposable.from(
      ...this.listening,
      this.changes,
      this.plain,
      this.mine,
      this.guarded,
      this.meeting,
    ).dispose();
  }

  private draw(): void {
    this.changes.fire();
    for (const editor of vscode.window.visibleTextEditors) {
      if (editor.document.uri.scheme !== model.SCHEME) continue;
      const found = this.hunksOf(editor.document.uri);
      const ranges = (wanted: (hunk: Hunk) => boolean, whole: boolean): vscode.DecorationOptions[] =>
        found
          .filter(({ hunk }) => wanted(hunk))
          .map(({ target, hunk, file, from, to }) => ({
            range: new vscode.Range(from, 0, whole ? to : from, whole ? Number.MAX_SAFE_INTEGER : 0),
            ...(whole && {
              hoverMessage: [new vscode.MarkdownString(this.head(target.runId, file, hunk)), about(target, hunk)],
            }),
          }));
      editor.setDecorations(
        this.plain,
        ranges(() => true, true),
      );
      editor.setDecorations(
        this.mine,
        ranges(({ mine }) => mine, false),
      );
      editor.setDecorations(
        this.guarded,
        ranges((hunk) => hunk.protected, false),
      );
      editor.setDecorations(
        this.meeting,
        found
          .map(({ file, hunk, from }) => ({ said: words.meets(file, hunk), from }))
          .filter(({ said }) => said)
          .map(({ said, from }) => ({ range: new vscode.Range(from, 0, from, 0), renderOptions: told(said) })),
      );
    }
  }

  private head(runId: string, file: ReviewFile, hunk: Hunk): string {
    const review = this.reviews.known(runId);
    return review ? words.hunk(review, file, hunk) : '';
  }

  private hunksOf(uri: vscode.Uri): { target: model.Target; file: ReviewFile; hunk: Hunk; from: number; to: number }[] {
    const place = model.placeOf(uri);
    const review = place && this.reviews.known(place.runId);
    const file = review && model.fileAt(review, place.path);
    if (!file || !model.isOpen(review) || (place.side === 'base' && file.action !== 'delete')) return [];
    return model.pending(review, file.path).map(({ hunk }) => {
      const [from, to] = model.linesOf(hunk, place.side);
      return { target: { runId: review.runId, path: file.path, hunk: hunk.id }, file, hunk, from, to };
    });
  }
}

function told(said: string): vscode.DecorationInstanceRenderOptions {
  return { after: { contentText: `  ${said}`, color: new vscode.ThemeColor('editorError.foreground') } };
}

function marked(colour: string, said: string): vscode.TextEditorDecorationType {
  const color = new vscode.ThemeColor(colour);
  return vscode.window.createTextEditorDecorationType({
    isWholeLine: true,
    overviewRulerColor: color,
    overviewRulerLane: vscode.OverviewRulerLane.Center,
    after: { contentText: `  ${said}`, color, fontStyle: 'italic' },
  });
}
