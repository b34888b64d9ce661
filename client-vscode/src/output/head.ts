import * as vscode from 'vscode';
import { isAsking, isCutOff, isReviewable, isRunning } from '../model/runs';
import type { LiveRun } from '../model/runs';
import type { Act, Button, Entry, Head, Tone } from '../model/output';
import { stateWords, titleOf, usedWords } from '../runs/words';

/** Agents that keep a session of their own, which can go on in a terminal. */
const WITH_SESSION = ['cli', 'acp'];

/** The header of a run for the page. */
export function headOf(run: LiveRun, find: (runId: string) => LiveRun | undefined): Head {
  const reviewable = isReviewable(run, find);
  return {
    runId: run.runId,
    title: titleOf(run),
    about: [run.label, run.label === run.model ? null : run.model, wayWords(run.way)].filter(
      (part) => !!part,
    ) as string[],
    tone: toneOf(run),
    state: stateWords(run),
    startedAt: run.startedAt,
    endedAt: isRunning(run) ? null : run.endedAt,
    used: usedWords(run.used),
    buttons: buttonsOf(run, reviewable),
    proposed: reviewable,
  };
}

/** A run in the list of runs. */
export function entryOf(run: LiveRun): Entry {
  return { runId: run.runId, label: [titleOf(run), run.label].filter((part) => part !== '').join(' · ') };
}

function toneOf(run: LiveRun): Tone {
  if (isAsking(run)) return 'waiting';
  if (isRunning(run) || run.state === 'verifying' || run.state === 'applying') return 'running';
  if (run.state === 'review' || run.state === 'conflict') return 'review';
  if (run.state === 'applied') return 'done';
  return run.state === 'failed' || run.state === 'budget' || run.state === 'interrupted' ? 'failed' : 'idle';
}

function buttonsOf(run: LiveRun, reviewable: boolean): Button[] {
  const found: Button[] = [];
  const add = (act: Act, label: string, tip: string, primary = false): void => {
    found.push({ act, label, tip, primary });
  };
  if (isRunning(run))
    add('stop', vscode.l10n.t('Stop'), vscode.l10n.t('Stop the agent; what it has changed so far can be reviewed'));
  if (reviewable) add('review', vscode.l10n.t('Review'), vscode.l10n.t('Look at the proposed changes'), true);
  if (isCutOff(run)) add('retry', vscode.l10n.t('Retry'), vscode.l10n.t('Go on from what the run left'), !reviewable);
  if (run.state === 'applied')
    add('undo', vscode.l10n.t('Undo'), vscode.l10n.t('Bring the files back to what they were before'));
  if (!isRunning(run) && WITH_SESSION.includes(run.way)) {
    add('terminal', vscode.l10n.t('Continue in terminal'), vscode.l10n.t("Open the agent's own session in a terminal"));
  }
  return found;
}

function wayWords(way: string): string {
  switch (way) {
    case 'replay':
      return vscode.l10n.t('recorded');
    case 'paste':
      return vscode.l10n.t('pasted answer');
    case 'api':
      return vscode.l10n.t('by API');
    default:
      return way.toUpperCase();
  }
}
