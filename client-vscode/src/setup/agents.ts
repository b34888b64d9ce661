import * as vscode from 'vscode';
import type { Agent } from '../protocol';
import type { App } from '../server/connection';

interface AgentItem extends vscode.QuickPickItem {
  agent: Agent;
}

interface Action extends vscode.QuickPickItem {
  act: () => Thenable<unknown>;
}

/** Shows which agents were found, and helps to connect those that were not: a login in a terminal, a key. */
export function registerAgents(app: App): vscode.Disposable[] {
  const logins = new Set<vscode.Terminal>();
  return [
    vscode.commands.registerCommand('kiroLsp.connectAgent', () => connect(app, logins)),
    // Whoever closes the terminal of a login may be logged in now.
    vscode.window.onDidCloseTerminal((terminal) => {
      if (logins.delete(terminal)) app.server.lookAgain();
    }),
  ];
}

async function connect(app: App, logins: Set<vscode.Terminal>): Promise<void> {
  const items = app.server.agents().then((agents) => agents.map(itemOf));
  const picked = await vscode.window.showQuickPick(items, {
    title: vscode.l10n.t('Connect an agent'),
    placeHolder: vscode.l10n.t(
      'What was found on this machine. Pick one to log in, set its key, or make it your default.',
    ),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (!picked) return;
  const options = { title: picked.agent.label, placeHolder: picked.detail ?? '' };
  const action = await vscode.window.showQuickPick(actionsFor(picked.agent, logins), options);
  await action?.act();
}

function itemOf(agent: Agent): AgentItem {
  const model = agent.model === '' ? agent.way : `${agent.way}, ${agent.model}`;
  return {
    agent,
    label: `$(${agent.available ? 'pass' : 'circle-slash'}) ${agent.label}`,
    description: agent.recommended ? vscode.l10n.t('{0}, recommended', model) : model,
    detail: agent.available ? vscode.l10n.t('Ready: {0}', agent.reason) : whyNot(agent),
  };
}

/** What each way lacks, once; the places in which a key was looked for would fill the line. */
function whyNot(agent: Agent): string {
  const reasons = agent.ways.map(({ reason }) => reason.replace(/; looked in .*/s, ''));
  return [...new Set(reasons)].join('; ') || agent.reason;
}

function actionsFor(agent: Agent, logins: Set<vscode.Terminal>): Action[] {
  const actions: Action[] = [];
  if (agent.available)
    actions.push({
      label: vscode.l10n.t('$(star) Use for a plain click on Run'),
      description: vscode.l10n.t('sets kiroLsp.defaultAgent for you'),
      act: () => vscode.workspace.getConfiguration('kiroLsp').update('defaultAgent', agent.name, true),
    });
  for (const words of new Set(agent.ways.flatMap((way) => (way.login ? [way.login.map(quoted).join(' ')] : []))))
    actions.push({
      label: vscode.l10n.t('$(terminal) Log in: {0}', words),
      description: vscode.l10n.t('in a terminal of this window'),
      act: () => {
        logIn(agent, words, logins);
        return Promise.resolve();
      },
    });
  for (const name of new Set(agent.ways.flatMap((way) => way.key ?? [])))
    actions.push({
      label: vscode.l10n.t('$(key) Set {0}…', name),
      description: vscode.l10n.t('kept in the secret storage of this editor'),
      act: () => vscode.commands.executeCommand('kiroLsp.setKey', name),
    });
  actions.push({
    label: vscode.l10n.t('$(output) Show log'),
    act: () => vscode.commands.executeCommand('kiroLsp.showLog'),
  });
  return actions;
}

function logIn(agent: Agent, words: string, logins: Set<vscode.Terminal>): void {
  const terminal = vscode.window.createTerminal({ name: vscode.l10n.t('Log in: {0}', agent.label) });
  logins.add(terminal);
  terminal.show();
  terminal.sendText(words);
}

/** An argument for whichever shell the terminal has; login commands hold words and nothing else. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `"${argument.replace(/["\\$`]/g, '')}"`;
}
