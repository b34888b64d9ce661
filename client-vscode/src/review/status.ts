import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Reviews } from './reviews';
import type { View } from './view';
import * as words from './words';

/** What is left of the review in front of the person, with its verdict and cost; and the context for keys and menus. */
export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('kiroLsp.review', vscode.StatusBarAlignment.Left, 10);
  private readonly listening: vscode.Disposable;
  private readonly contexts = new Map<string, string>();

  constructor(
    private readonly reviews: Reviews,
    private readonly view: View,
  ) {
    this.item.name = vscode.l10n.t('Kiro review');
    this.item.command = 'kiroLsp.nextHunk';
    this.listening = vscode.Disposable.from(
      reviews.onDidChange(() => this.show()),
      vscode.window.tabGroups.onDidChangeTabs(() => this.show()),
      vscode.window.tabGroups.onDidChangeTabGroups(() => this.show()),
    );
    this.show();
  }

  dispose(): void {
    vscode.Disposable.from(this.listening, this.item).dispose();
  }

  /** Keys and menus follow these; the verdict has an icon in the title of the editor. */
  private tell(name: string, value: string): void {
    if (this.contexts.get(name) === value) return;
    this.contexts.set(name, value);
    void vscode.commands.executeCommand('setContext', name, value);
  }

  private show(): void {
    const runId = this.view.activeRun();
    const review = runId === undefined ? undefined : this.reviews.known(runId);
    const context = review ? (model.isOpen(review) ? 'open' : 'over') : '';
    this.tell('kiroLsp.reviewing', context);
    this.tell('kiroLsp.verdict', review ? words.verdictKind(review.verify) : '');
    if (!review) {
      this.item.hide();
      return;
    }
    const said = words.summary(review);
    this.item.text = `$(git-compare) ${[words.verdictIcon(review.verify), said].filter(Boolean).join(' ')}`;
    this.item.tooltip = review.verify?.summary ?? said;
    this.item.accessibilityInformation = { label: vscode.l10n.t('Review: {0}', said) };
    this.item.show();
  }
}
