import * as vscode from 'vscode';
import type { Done, Started } from '../protocol';
import type { App } from '../server/connection';
import { trustProject } from './project';

type Argument = Record<string, unknown>;

/** Commands that nothing may start in a folder that the editor does not trust. */
const STARTING = ['runTask', 'retryRun', 'followUp', 'repairRun', 'verifyRun', 'pickAgent'];

/**
 * Carries one of the server's commands out and says what came of it: a refusal with what can be done about it. Returns what the
 * server answered.
 */
export async function perform(app: App, name: string, argument: Argument): Promise<unknown> {
  if (!vscode.workspace.isTrusted && STARTING.includes(name)) return await restricted();
  const answer: Partial<Started & Done> = await app.server.command(name, argument);
  if (answer.refused) await refused(app, answer.refused, argument);
  else if (answer.message) said(answer.ok === true, answer.message, name);
  return answer;
}

/** Says why nothing can be run here. */
export async function restricted(): Promise<Started> {
  const message = vscode.l10n.t('Nothing is run in Restricted Mode: this folder is not trusted in the editor.');
  const manage = vscode.l10n.t('Manage Workspace Trust');
  void vscode.window.showWarningMessage(message, manage).then((chosen) => {
    if (chosen) void vscode.commands.executeCommand('workbench.trust.manage');
  });
  return await Promise.resolve({ runId: null, refused: { code: 'restricted', message } });
}

/** Shows how to make an agent available. */
export async function setUp(agent?: string): Promise<void> {
  await vscode.commands.executeCommand('kiroLsp.connectAgent', agent === undefined ? {} : { agent });
}

function said(ok: boolean, message: string, name: string): void {
  if (!ok) void vscode.window.showWarningMessage(message);
  else if (name === 'restoreBackup') void vscode.window.showInformationMessage(message);
  else passing('check', message);
}

/** Words in the status bar for a few seconds. */
export function passing(icon: string, words: string): void {
  const text = `$(${icon}) ${words}`;
  vscode.window.setStatusBarMessage(text, 5000);
}

/** A refusal with the way out that its code names. */
async function refused(app: App, refusal: { code: string; message: string }, argument: Argument): Promise<void> {
  const ways: { title: string; take: () => unknown }[] = [];
  if (refusal.code === 'restricted') {
    ways.push({
      title: vscode.l10n.t('Manage Workspace Trust'),
      take: () => vscode.commands.executeCommand('workbench.trust.manage'),
    });
  }
  if (refusal.code === 'untrusted') {
    ways.push({ title: vscode.l10n.t('Trust Project…'), take: () => trustProject(app, argument.uri) });
  }
  if (refusal.code === 'no-agent') {
    if (typeof argument.uri === 'string' && typeof argument.task === 'string') {
      const { uri, task } = argument;
      const choose = (): unknown => vscode.commands.executeCommand('kiroLsp.runTaskWith', { uri, task });
      ways.push({ title: vscode.l10n.t('Choose Another…'), take: choose });
    }
    ways.push({ title: vscode.l10n.t('Set Up…'), take: () => setUp() });
  }
  if (refusal.code === 'busy') {
    const show = (): unknown => vscode.commands.executeCommand('kiroLsp.showRunsMenu');
    ways.push({ title: vscode.l10n.t('Show Runs'), take: show });
  }
  // Not waited for: a lens's command is done once it was refused.
  void vscode.window.showWarningMessage(refusal.message, ...ways).then((chosen) => chosen?.take());
  await Promise.resolve();
}
