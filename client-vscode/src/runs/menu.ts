import * as vscode from 'vscode';
import { isAsking, isCutOff, isLive, isReviewable } from '../model/runs';
import type { LiveRun } from '../model/runs';
import type { App } from '../server/connection';
import { runLine, stateIcon, titleOf } from './words';

const SHOWN_RUNS = 20;

interface Row extends vscode.QuickPickItem {
  run?: LiveRun;
  command?: string;
}

/** What can be done with a run; without one, the runs and what concerns all of them. */
export async function openMenu(app: App, run?: LiveRun): Promise<void> {
  const items = run ? ofRun(app, run) : await ofAll(app);
  const title = run ? titleOf(run) : vscode.l10n.t('Kiro Runs');
  const placeHolder = run ? `${run.label} · ${runLine(run, Date.now())}` : vscode.l10n.t('Choose a run or what to do');
  const chosen = await vscode.window.showQuickPick(items, { title, placeHolder, matchOnDetail: true });
  if (chosen?.run) await openMenu(app, chosen.run);
  else if (chosen?.command !== undefined) {
    await vscode.commands.executeCommand(chosen.command, ...(run ? [{ runId: run.runId }] : []));
  }
}

async function ofAll(app: App): Promise<Row[]> {
  await app.runs.refresh();
  const now = Date.now();
  const runs = app.runs.all();
  const needs = (run: LiveRun): boolean => isLive(run) || isReviewable(run, (runId) => app.runs.get(runId));
  const row = (run: LiveRun): Row => ({
    label: titleOf(run),
    iconPath: new vscode.ThemeIcon(stateIcon(run)),
    description: run.label,
    detail: runLine(run, now),
    run,
  });
  const part = (label: string, some: LiveRun[]): Row[] =>
    some.length === 0
      ? []
      : [{ label, kind: vscode.QuickPickItemKind.Separator }, ...some.slice(0, SHOWN_RUNS).map(row)];
  return [
    ...part(vscode.l10n.t('Going on, or waiting for you'), runs.filter(needs)),
    ...part(
      vscode.l10n.t('Earlier'),
      runs.filter((run) => !needs(run)),
    ),
    { label: vscode.l10n.t('More'), kind: vscode.QuickPickItemKind.Separator },
    action('play', vscode.l10n.t('Run a task…'), 'kiroLsp.runTaskWith'),
    action('credit-card', vscode.l10n.t('Show costs'), 'kiroLsp.showCosts'),
    action('pulse', vscode.l10n.t('Doctor: what is found and what is missing'), 'kiroLsp.showDoctor'),
  ];
}

function ofRun(app: App, run: LiveRun): Row[] {
  const canReview = isReviewable(run, (runId) => app.runs.get(runId));
  const found: [boolean, Row][] = [
    [isAsking(run), action('question', vscode.l10n.t('Answer…'), 'kiroLsp.answerQuestion')],
    [canReview, action('git-pull-request', vscode.l10n.t('Review'), 'kiroLsp.reviewRun')],
    [run.state === 'applied', action('diff', vscode.l10n.t('View changes'), 'kiroLsp.reviewRun')],
    [canReview, action('check', vscode.l10n.t('Accept'), 'kiroLsp.acceptRun')],
    [canReview, action('discard', vscode.l10n.t('Reject'), 'kiroLsp.rejectRun')],
    [canReview, action('comment', vscode.l10n.t('Follow up…'), 'kiroLsp.comment')],
    [canReview, action('beaker', vscode.l10n.t('Verify'), 'kiroLsp.verify')],
    [run.verified?.ok === false, action('tools', vscode.l10n.t('Repair'), 'kiroLsp.repair')],
    [run.state === 'applied', action('history', vscode.l10n.t('Undo'), 'kiroLsp.undoAccept')],
    [run.state === 'applied', action('git-commit', vscode.l10n.t('Commit'), 'kiroLsp.commitRun')],
    [isCutOff(run), action('refresh', vscode.l10n.t('Retry'), 'kiroLsp.retry')],
    [isLive(run), action('debug-stop', vscode.l10n.t('Stop'), 'kiroLsp.stopRun')],
    [true, action('output', vscode.l10n.t('Show output'), 'kiroLsp.showRun')],
    [!isLive(run), action('terminal', vscode.l10n.t('Continue in a terminal'), 'kiroLsp.continueRun')],
  ];
  return found.filter(([fits]) => fits).map(([, row]) => row);
}

function action(icon: string, words: string, command: string): Row {
  return { label: words, iconPath: new vscode.ThemeIcon(icon), command };
}
