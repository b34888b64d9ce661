import * as vscode from 'vscode';
import { isAsking, isCutOff, isLive, isReviewable } from '../model/runs';
import type { LiveRun } from '../model/runs';
import type { Started } from '../protocol';
import type { App } from '../server/connection';
import { openMenu } from './menu';
import { passing, perform, restricted, setUp } from './perform';
import { askForCommand, pickAgent } from './picker';
import { doctor, showCosts, trustProject } from './project';
import type { Pages } from './project';
import type { Questions } from './questions';
import { runTarget, taskTarget } from './targets';
import { titleOf } from './words';

type Command = (argument?: unknown) => unknown;

/**
 * The extension's own commands on tasks and runs, by id: what palette, keys, menus and trees call. They work before the server
 * runs, and without an argument they are about the task at the cursor or ask. Those of the server are called through the
 * editor, so that whoever shows reviews sees them, too.
 */
export function commands(app: App, questions: Questions, pages: Pages): Record<string, Command> {
  return { ...ofTasks(app), ...ofRuns(app, questions), ...ofProject(app, pages) };
}

function ofTasks(app: App): Record<string, Command> {
  const runnable = ['open', 'in-progress'];
  const status =
    (to: string, title: string): Command =>
    async (argument) => {
      const target = await taskTarget(app, argument, title);
      return target && (await perform(app, 'setStatus', { uri: target.uri, task: target.task, status: to }));
    };
  return {
    'kiroLsp.runTaskAtCursor': async (argument) => {
      const target = await taskTarget(app, argument, vscode.l10n.t('Run a task'), runnable);
      return target && (await perform(app, 'runTask', { uri: target.uri, task: target.task }));
    },
    'kiroLsp.runTaskWith': async (argument) => {
      const target = await taskTarget(app, argument, vscode.l10n.t('Run a task'), runnable);
      return target && (await pickAgent(app, target));
    },
    'kiroLsp.setOpen': status('open', vscode.l10n.t('Set to open')),
    'kiroLsp.setInProgress': status('in-progress', vscode.l10n.t('Set to in progress')),
    'kiroLsp.setDone': status('done', vscode.l10n.t('Set to done')),
    'kiroLsp.copyTaskPrompt': async (argument) => {
      const target = await taskTarget(app, argument, vscode.l10n.t('Copy the prompt of a task'));
      return target && (await copyPrompt(app, { uri: target.uri, task: target.task }));
    },
    'kiroLsp.applyAnswer': () => applyFromClipboard(app),
  };
}

/** The prompt of a task goes into the clipboard. */
export async function copyPrompt(app: App, argument: Record<string, unknown>): Promise<unknown> {
  const answer = await app.server.command('copyPrompt', argument);
  if (answer.ok && answer.message !== undefined) {
    await vscode.env.clipboard.writeText(answer.message);
    passing('copy', vscode.l10n.t('The prompt is in the clipboard.'));
  } else void vscode.window.showWarningMessage(answer.message ?? '');
  return answer;
}

async function applyFromClipboard(app: App): Promise<Started | undefined> {
  const text = await vscode.env.clipboard.readText();
  if (text.trim() === '') {
    void vscode.window.showInformationMessage(vscode.l10n.t('The clipboard holds no text.'));
    return undefined;
  }
  const document = vscode.window.activeTextEditor?.document.uri;
  const uri = document?.scheme === 'file' ? document : vscode.workspace.workspaceFolders?.[0]?.uri;
  const answer = await app.server.command('applyFromClipboard', { text, ...(uri ? { uri: uri.toString() } : {}) });
  if (answer.refused) void refusedEdit(answer.refused);
  return answer;
}

/** One line for each edit that does not fit: to be read as a whole, or sent back to the model. */
async function refusedEdit({ message }: { message: string }): Promise<void> {
  const copy = vscode.l10n.t('Copy for the Model');
  const [first, ...rest] = message.split('\n');
  const options = { modal: rest.length > 0, detail: rest.join('\n') };
  const chosen = await vscode.window.showWarningMessage(first ?? '', options, copy);
  if (chosen === copy) await vscode.env.clipboard.writeText(message);
}

function ofRuns(app: App, questions: Questions): Record<string, Command> {
  const find = (runId: string): LiveRun | undefined => app.runs.get(runId);
  const reviewable = (run: LiveRun): boolean => isReviewable(run, find);
  const applied = (run: LiveRun): boolean => run.state === 'applied';
  /** A command that is the server's, about a run that fits. */
  const sent =
    (name: string, title: string, fits: (run: LiveRun) => boolean): Command =>
    async (argument) => {
      const run = await runTarget(app, argument, title, fits);
      return run && (await vscode.commands.executeCommand(`kiroLsp.${name}`, { runId: run.runId }));
    };
  const over = (run: LiveRun): boolean => !isLive(run);
  return {
    'kiroLsp.stopRun': sent('cancelRun', vscode.l10n.t('Stop a run'), isLive),
    'kiroLsp.retry': sent('retryRun', vscode.l10n.t('Retry a run'), isCutOff),
    'kiroLsp.reviewRun': sent('openReview', vscode.l10n.t('Review a run'), (run) => reviewable(run) || applied(run)),
    'kiroLsp.acceptRun': sent('accept', vscode.l10n.t('Accept the changes of a run'), reviewable),
    'kiroLsp.rejectRun': sent('reject', vscode.l10n.t('Reject the changes of a run'), reviewable),
    'kiroLsp.undoAccept': sent('undoRun', vscode.l10n.t('Undo an accepted run'), applied),
    'kiroLsp.commitRun': sent('commit', vscode.l10n.t('Commit an accepted run'), applied),
    'kiroLsp.restoreFiles': sent('restoreBackup', vscode.l10n.t('Restore files as before a run'), over),
    'kiroLsp.repair': sent('repairRun', vscode.l10n.t('Repair a change'), (run) => run.verified?.ok === false),
    'kiroLsp.continueRun': sent('continueInTerminal', vscode.l10n.t('Continue a run in a terminal'), over),
    'kiroLsp.verify': async (argument) => {
      const title = vscode.l10n.t('Verify a change');
      const run = await runTarget(app, argument, title, reviewable);
      return run && (await verify(app, run));
    },
    'kiroLsp.comment': async (argument) => {
      const run = await runTarget(app, argument, vscode.l10n.t('Have a change changed'), reviewable);
      if (!run) return undefined;
      const prompt = vscode.l10n.t('What shall be different in “{0}”?', titleOf(run));
      const text = await vscode.window.showInputBox({
        title: vscode.l10n.t('Follow up'),
        prompt,
        ignoreFocusOut: true,
      });
      return text?.trim() ? await perform(app, 'followUp', { runId: run.runId, text }) : undefined;
    },
    'kiroLsp.answerQuestion': async (argument) => {
      const run = await runTarget(app, argument, vscode.l10n.t('Answer a question'), isAsking);
      if (run && isAsking(run)) await questions.show(run);
    },
    'kiroLsp.showRunOutput': async (argument) => {
      const run = await runTarget(app, argument, vscode.l10n.t('Show the output of a run'), () => true);
      return run && (await vscode.commands.executeCommand('kiroLsp.showRun', { runId: run.runId }));
    },
    'kiroLsp.showRunMenu': async (argument) => {
      const run = await runTarget(app, argument, vscode.l10n.t('Choose a run'), () => true);
      if (run) await openMenu(app, run);
    },
    'kiroLsp.showRunsMenu': async () => await openMenu(app),
  };
}

/** Verifies with the project's check; where there is none, or several, with a command that the person names. */
async function verify(app: App, run: LiveRun): Promise<unknown> {
  if (!vscode.workspace.isTrusted) return await restricted();
  const { runId } = run;
  const answer = await app.server.command('verifyRun', { runId });
  if (answer.ok) return answer;
  const title = vscode.l10n.t('Verify the change with');
  const command = await askForCommand(`${title} (${answer.message ?? ''})`);
  return command === undefined ? answer : await perform(app, 'verifyRun', { runId, verify: command });
}

/** Opens the agent's own session of a run in a terminal. */
export async function continueInTerminal(app: App, argument: Record<string, unknown>): Promise<unknown> {
  if (!vscode.workspace.isTrusted) return await restricted();
  const answer = await app.server.command('continueInTerminal', argument);
  if (!answer.ok) {
    void vscode.window.showWarningMessage(answer.message ?? '');
    return answer;
  }
  const [shellPath, ...shellArgs] = answer.command;
  const run = typeof argument.runId === 'string' ? app.runs.get(argument.runId) : undefined;
  const name = vscode.l10n.t('Kiro: {0}', run ? titleOf(run) : (answer.message ?? ''));
  const iconPath = new vscode.ThemeIcon('hubot');
  vscode.window
    .createTerminal({ name, cwd: answer.cwd, iconPath, shellArgs, ...(shellPath ? { shellPath } : {}) })
    .show();
  return answer;
}

function ofProject(app: App, pages: Pages): Record<string, Command> {
  return {
    'kiroLsp.trustProject': (argument) => trustProject(app, (argument as { root?: unknown } | undefined)?.root),
    'kiroLsp.showDoctor': () => doctor(app, pages),
    'kiroLsp.showCosts': () => showCosts(app, pages),
  };
}

/**
 * What a lens or a code action asks for and this client carries out, or tells the outcome of; `undefined` for what is somebody
 * else's. Others would see nothing of a refusal.
 */
export function carriedOut(
  app: App,
  questions: Questions,
  pages: Pages,
): (name: string, argument: Record<string, unknown>) => Promise<unknown> | undefined {
  const told = ['runTask', 'retryRun', 'repairRun', 'verifyRun', 'cancelRun', 'setStatus', 'restoreBackup', 'answer'];
  const own: Record<string, (argument: Record<string, unknown>) => Promise<unknown>> = {
    pickAgent: async (argument) => {
      const target = await taskTarget(app, argument, vscode.l10n.t('Run a task'));
      return target && (await pickAgent(app, target));
    },
    copyPrompt: (argument) => copyPrompt(app, argument),
    trustWorkspace: (argument) => trustProject(app, argument.root),
    doctor: () => (vscode.workspace.isTrusted ? setUp() : doctor(app, pages)),
    continueInTerminal: (argument) => continueInTerminal(app, argument),
    applyFromClipboard: async (argument) =>
      typeof argument.text === 'string'
        ? await app.server.command('applyFromClipboard', argument)
        : await applyFromClipboard(app),
  };
  return (name, argument) => {
    if (name === 'openReview') {
      const run = typeof argument.runId === 'string' ? app.runs.get(argument.runId) : undefined;
      return run && isAsking(run) ? questions.show(run) : undefined;
    }
    const carry = own[name];
    if (carry) return carry(argument);
    return told.includes(name) ? perform(app, name, argument) : undefined;
  };
}
