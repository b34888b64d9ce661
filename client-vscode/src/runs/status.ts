import * as vscode from 'vscode';
import { dollars, isAsking, isLive, isReviewable, spendingOf } from '../model/runs';
import type { LiveRun } from '../model/runs';
import type { Costs } from '../protocol';
import type { App } from '../server/connection';
import { isTaskFile } from './targets';
import { runLine, stateIcon, titleOf } from './words';

/** Costs are asked for once for all that was used within this time. */
const COSTS_MS = 1500;
const SHOWN_RUNS = 6;

/**
 * What goes on and what it cost today, at the bottom of the window. Hidden, and asking for nothing, while no task file is open
 * and nothing runs.
 */
export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('kiroLsp.runs', vscode.StatusBarAlignment.Left, 40);
  private readonly subscriptions: { dispose(): unknown }[];
  private costs: Costs | undefined;
  /** What was used when the costs were asked for; they are stale when it is something else, and where it is nothing. */
  private costsOf = '';
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly app: App) {
    this.item.name = vscode.l10n.t('Kiro Runs');
    const update = (): void => this.update();
    this.subscriptions = [
      this.item,
      app.runs.onDidChange(update),
      app.server.onDidChangeState(update),
      vscode.window.onDidChangeVisibleTextEditors(update),
      vscode.workspace.onDidCloseTextDocument(update),
      app.server.onSettingsTold(() => {
        this.forgetCosts();
        update();
      }),
    ];
    update();
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private update(): void {
    const { running, asking, reviews } = this.app.runs.tally();
    const isWanted = running + asking > 0 || vscode.workspace.textDocuments.some(isTaskFile);
    if (this.app.server.state !== 'running' || !isWanted) {
      this.item.hide();
      return;
    }
    this.askForCosts();
    const spent = this.costs === undefined ? '' : this.spentWords(this.costs);
    const [icon, words] = this.summary(running, asking, reviews);
    this.item.text = [icon, [words, spent].filter((part) => part !== '').join(' · ')].join(' ').trimEnd();
    this.item.command = asking > 0 ? 'kiroLsp.answerQuestion' : 'kiroLsp.showRunsMenu';
    this.item.backgroundColor = asking > 0 ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    const read = [vscode.l10n.t('Kiro runs'), words, spent].filter((part) => part !== '').join(', ');
    this.item.accessibilityInformation = { label: read, role: 'button' };
    this.item.tooltip = this.tooltip();
    this.item.show();
  }

  /** Icon and words; what needs the person goes before what does not. */
  private summary(running: number, asking: number, reviews: number): [string, string] {
    const asks = this.app.runs.all().find(isAsking);
    if (asking === 1 && asks)
      return ['$(question)', vscode.l10n.t('{0} asks', asks.label || vscode.l10n.t('The agent'))];
    if (asking > 1) return ['$(question)', vscode.l10n.t('{0} runs ask', asking)];
    if (running > 0) return ['$(loading~spin)', vscode.l10n.t('{0} running', running)];
    if (reviews > 0) return ['$(git-pull-request)', vscode.l10n.t('{0} to review', reviews)];
    return ['$(checklist)', vscode.l10n.t('Kiro')];
  }

  private spentWords(costs: Costs): string {
    const cap = dollars(costs.cap).replace(/\.00$/, '');
    const spent = vscode.l10n.t('{0} of {1}', dollars(costs.spent), cap);
    return Number(costs.spent) >= Number(costs.warnAt) && Number(costs.warnAt) > 0 ? `$(alert) ${spent}` : spent;
  }

  private tooltip(): vscode.MarkdownString {
    const found = new vscode.MarkdownString('', true);
    found.isTrusted = { enabledCommands: ['kiroLsp.showRunMenu', 'kiroLsp.showCosts'] };
    const runs = this.app.runs.all();
    const shown = runs.filter((run) => isLive(run) || isReviewable(run, (runId) => this.app.runs.get(runId)));
    const now = Date.now();
    for (const run of shown.slice(0, SHOWN_RUNS)) this.line(found, run, now);
    if (shown.length > SHOWN_RUNS)
      found.appendText(vscode.l10n.t('and {0} more', shown.length - SHOWN_RUNS)).appendMarkdown('\n\n');
    if (shown.length === 0)
      found.appendText(vscode.l10n.t('Nothing runs, and nothing waits for you.')).appendMarkdown('\n\n');
    if (this.costs) {
      const { spent, cap, unknown } = this.costs;
      const open = unknown > 0 ? `; ${vscode.l10n.t('{0} requests of unknown cost count as reserved', unknown)}` : '';
      found.appendText(vscode.l10n.t('Today: {0} of {1}', dollars(spent), dollars(cap)) + open);
      found.appendMarkdown(`  \n[${vscode.l10n.t('Show Costs')}](command:kiroLsp.showCosts)`);
    }
    return found;
  }

  private line(found: vscode.MarkdownString, run: LiveRun, now: number): void {
    const argument = encodeURIComponent(JSON.stringify([{ runId: run.runId }]));
    found
      .appendMarkdown(`$(${stateIcon(run)}) **`)
      .appendText(titleOf(run))
      .appendMarkdown('**  \n');
    found.appendText(`${run.label} · ${runLine(run, now)}`);
    found.appendMarkdown(` · [${vscode.l10n.t('Show')}](command:kiroLsp.showRunMenu?${argument})\n\n`);
  }

  /** What was asked, or is about to be, is of settings that no longer hold. */
  private forgetCosts(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.costsOf = '';
  }

  private askForCosts(): void {
    const of = spendingOf(this.app.runs.all(), new Date().toDateString());
    if (of === this.costsOf || this.timer !== undefined) return;
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.costsOf = of;
        if (this.app.server.state !== 'running') return;
        this.app.server.costs('day').then(
          (costs) => {
            this.costs = costs;
            this.update();
          },
          (error: unknown) => {
            this.costsOf = '';
            this.app.log.debug(`costs: ${String(error)}`);
          },
        );
      },
      this.costs === undefined ? 0 : COSTS_MS,
    );
  }
}
