import * as vscode from 'vscode';
import { dollars, isLive, seconds } from '../model/runs';
import type { LiveRun, Used } from '../model/runs';

/** What a run is doing, or what became of it, in a few words; the lenses say the same. */
export function stateWords(run: LiveRun): string {
  switch (run.state) {
    case 'queued':
      return run.phase === '' ? vscode.l10n.t('queued') : phaseWords(run);
    case 'running':
      return phaseWords(run);
    case 'waiting':
      return vscode.l10n.t('waiting for you');
    case 'verifying':
      return vscode.l10n.t('verifying');
    case 'review':
      return vscode.l10n.t('{0} to review', filesWords(run.fileCount));
    case 'applying':
      return vscode.l10n.t('writing the files');
    case 'applied':
      return vscode.l10n.t('accepted');
    case 'rejected':
      return vscode.l10n.t('rejected');
    case 'conflict':
      return vscode.l10n.t('conflict, {0} to review', filesWords(run.fileCount));
    case 'undone':
      return vscode.l10n.t('undone');
    case 'failed':
      return vscode.l10n.t('failed');
    case 'cancelled':
      return vscode.l10n.t('stopped');
    case 'budget':
      return vscode.l10n.t('stopped at the budget');
    case 'interrupted':
      return vscode.l10n.t('cut off');
  }
}

/** The codicon of a run's state, for `$(…)` and `ThemeIcon`. */
export function stateIcon(run: LiveRun): string {
  switch (run.state) {
    case 'queued':
      return 'clock';
    case 'running':
    case 'applying':
      return 'loading~spin';
    case 'waiting':
      return 'question';
    case 'verifying':
      return 'beaker';
    case 'review':
      return 'git-pull-request';
    case 'conflict':
      return 'warning';
    case 'applied':
      return 'check';
    case 'failed':
    case 'budget':
      return 'error';
    default:
      return 'circle-slash';
  }
}

function phaseWords(run: LiveRun): string {
  const known = phaseWord(run.phase);
  return run.phaseDetail === '' ? known : `${known} ${run.phaseDetail}`;
}

function phaseWord(phase: string): string {
  switch (phase) {
    case '':
      return vscode.l10n.t('running');
    case 'queued':
      return vscode.l10n.t('queued');
    case 'starting':
      return vscode.l10n.t('starting');
    case 'copying':
      return vscode.l10n.t('copying');
    case 'thinking':
      return vscode.l10n.t('thinking');
    case 'reading':
      return vscode.l10n.t('reading');
    case 'editing':
      return vscode.l10n.t('editing');
    case 'running':
      return vscode.l10n.t('running');
    case 'waiting':
      return vscode.l10n.t('waiting');
    case 'verifying':
      return vscode.l10n.t('verifying');
    default:
      return phase;
  }
}

/** `1 file`, `3 files`. */
export function filesWords(count: number): string {
  return count === 1 ? vscode.l10n.t('1 file') : vscode.l10n.t('{0} files', count);
}

/** What a run has used: dollars where it is metered, tokens and turns elsewhere; empty for nothing. */
export function usedWords(used: Used | undefined): string {
  if (used === undefined) return '';
  if (used.billing === 'metered') {
    if (used.cost === null) return used.turns > 0 ? vscode.l10n.t('cost unknown') : '';
    return Number(used.cost) > 0 ? dollars(used.cost) : '';
  }
  const tokens = used.inputTokens + used.outputTokens;
  if (tokens === 0 && used.turns === 0) return '';
  const counted =
    tokens >= 10_000 ? vscode.l10n.t('{0}k tokens', Math.round(tokens / 1000)) : vscode.l10n.t('{0} tokens', tokens);
  return `${counted}, ${used.turns === 1 ? vscode.l10n.t('1 turn') : vscode.l10n.t('{0} turns', used.turns)}`;
}

/** How long a run has taken: `42 s`, `3 min`; empty where its end is not known. `now` is in milliseconds. */
export function timeWords(run: LiveRun, now: number): string {
  if (run.endedAt === null && !isLive(run)) return '';
  const taken = seconds(run, now);
  return taken < 120 ? vscode.l10n.t('{0} s', taken) : vscode.l10n.t('{0} min', Math.floor(taken / 60));
}

/** State, time and use of a run in one line. */
export function runLine(run: LiveRun, now: number): string {
  return [stateWords(run), timeWords(run, now), usedWords(run.used)].filter((part) => part !== '').join(' · ');
}

/** What a run is called: its task, or what was pasted. */
export function titleOf(run: LiveRun): string {
  return run.title === '' ? run.runId : run.title;
}
