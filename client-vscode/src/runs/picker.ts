import * as vscode from 'vscode';
import { isRecorded, offered, request } from '../model/agents';
import type { Wishes } from '../model/agents';
import { dollars } from '../model/runs';
import type { Agent } from '../protocol';
import type { App } from '../server/connection';
import { perform, restricted, setUp } from './perform';
import type { TaskTarget } from './targets';

/** A command, which is the same in every language. */
const EXAMPLE = 'npm test';

interface Row extends vscode.QuickPickItem {
  agent?: Agent;
  action?: 'note' | 'verify' | 'model' | 'copy';
}

/** Asks who shall do a task, with what it may cost, and runs it. What is wished for besides is kept while it is asked. */
export async function pickAgent(app: App, target: TaskTarget): Promise<unknown> {
  if (!vscode.workspace.isTrusted) return await restricted();
  const agents = app.server.agents(target.uri, target.task);
  const wishes: Wishes = {};
  for (;;) {
    const row = await pickRow(agents, target, wishes);
    if (row?.agent?.available) {
      return await perform(app, 'runTask', request(target.uri, target.task, row.agent.name, wishes));
    }
    if (row?.agent) {
      await setUp(row.agent.name);
      return { runId: null };
    }
    if (row?.action === 'copy') return await perform(app, 'copyPrompt', { uri: target.uri, task: target.task });
    if (row?.action === 'note') await askForNote(wishes);
    else if (row?.action === 'verify') await askForCheck(wishes);
    else if (row?.action === 'model') {
      if (await askForModel(wishes)) {
        return await perform(app, 'runTask', request(target.uri, target.task, undefined, wishes));
      }
    } else return { runId: null };
  }
}

/** The rows come all at once: one that came later would take the place of the one that is about to be clicked. */
function pickRow(agents: Promise<readonly Agent[]>, target: TaskTarget, wishes: Wishes): Promise<Row | undefined> {
  const picker = vscode.window.createQuickPick<Row>();
  picker.title = vscode.l10n.t('Run “{0}”', target.title);
  picker.placeholder = vscode.l10n.t('Who shall do it? Nothing is changed before you have seen it.');
  picker.matchOnDescription = true;
  picker.matchOnDetail = true;
  picker.busy = true;
  const setUpButton = { iconPath: new vscode.ThemeIcon('gear'), tooltip: vscode.l10n.t('Set up…') };
  agents.then(
    (known) => {
      picker.items = rows(known, wishes, setUpButton);
      picker.activeItems = picker.items.filter((row) => row.agent).slice(0, 1);
      picker.busy = false;
    },
    (error: unknown) => {
      picker.items = actions(wishes);
      picker.busy = false;
      picker.placeholder = error instanceof Error ? error.message : String(error);
    },
  );
  return new Promise((resolve) => {
    picker.onDidAccept(() => {
      resolve(picker.selectedItems[0]);
      picker.hide();
    });
    picker.onDidTriggerItemButton(({ item }) => {
      resolve(item.agent ? { ...item, agent: { ...item.agent, available: false } } : undefined);
      picker.hide();
    });
    picker.onDidHide(() => {
      resolve(undefined);
      picker.dispose();
    });
    picker.show();
  });
}

function rows(agents: readonly Agent[], wishes: Wishes, button: vscode.QuickInputButton): Row[] {
  const { recommended, others, unavailable } = offered(agents);
  const separator = (label: string): Row => ({ label, kind: vscode.QuickPickItemKind.Separator });
  return [
    ...(recommended ? [separator(vscode.l10n.t('Recommended')), row(recommended)] : []),
    ...(others.length > 0 ? [separator(vscode.l10n.t('Others')), ...others.map(row)] : []),
    ...actions(wishes),
    ...(unavailable.length > 0 ? [separator(vscode.l10n.t('Not available'))] : []),
    ...unavailable.map((agent) => ({
      label: agent.label,
      iconPath: new vscode.ThemeIcon('circle-slash'),
      description: agent.reason,
      agent,
      buttons: [button],
    })),
  ];
}

function row(agent: Agent): Row {
  const icon = agent.recommended ? 'star-full' : isRecorded(agent) ? 'play-circle' : 'hubot';
  const why = agent.recommended && agent.why ? agent.why : agent.reason;
  return {
    label: agent.label,
    iconPath: new vscode.ThemeIcon(icon),
    description: described(agent),
    detail: why,
    agent,
  };
}

/** Model, way and price. */
function described(agent: Agent): string {
  const way = isRecorded(agent) ? vscode.l10n.t('recorded') : agent.way;
  return [agent.model ?? '', way, price(agent)].filter((part) => part !== '').join(' · ');
}

/** About what the task costs; empty where nobody knows. */
function price(agent: Agent): string {
  if (isRecorded(agent)) return vscode.l10n.t('costs nothing');
  if (agent.billing === 'subscription') return vscode.l10n.t('subscription');
  if (agent.billing === 'local') return vscode.l10n.t('on this machine, costs nothing');
  if (agent.estimate === null) return vscode.l10n.t('price unknown');
  const amount = dollars(agent.estimate);
  return amount.startsWith('<') ? vscode.l10n.t('under {0}', amount.slice(1)) : vscode.l10n.t('about {0}', amount);
}

function actions(wishes: Wishes): Row[] {
  const checked =
    wishes.verify === false
      ? vscode.l10n.t('not at all')
      : wishes.verify === true
        ? vscode.l10n.t('the project’s check')
        : wishes.verify;
  return [
    { label: vscode.l10n.t('More'), kind: vscode.QuickPickItemKind.Separator },
    wish('note', 'note', vscode.l10n.t('With a note for the agent…'), wishes.note),
    wish('verify', 'beaker', vscode.l10n.t('Verify the change with…'), checked),
    wish('model', 'symbol-parameter', vscode.l10n.t('Run with another model…'), wishes.model),
    wish('copy', 'copy', vscode.l10n.t('Copy the prompt'), undefined),
  ];
}

function wish(action: NonNullable<Row['action']>, icon: string, label: string, set: string | undefined): Row {
  return { label, action, iconPath: new vscode.ThemeIcon(icon), ...(set === undefined ? {} : { description: set }) };
}

async function askForNote(wishes: Wishes): Promise<void> {
  const note = await vscode.window.showInputBox({
    title: vscode.l10n.t('With a note for the agent'),
    prompt: vscode.l10n.t('What shall the agent know beside the task? Then choose who does it.'),
    value: wishes.note ?? '',
    ignoreFocusOut: true,
  });
  if (note === undefined) return;
  if (note.trim() === '') delete wishes.note;
  else wishes.note = note;
}

async function askForCheck(wishes: Wishes): Promise<void> {
  const own = {
    label: vscode.l10n.t('The project’s check'),
    detail: vscode.l10n.t('The configured command, or the only one that is found'),
    verify: true,
  };
  const none = { label: vscode.l10n.t('Not at all'), verify: false };
  const other = { label: vscode.l10n.t('A command…'), verify: undefined };
  const title = vscode.l10n.t('Verify the change with');
  const chosen = await vscode.window.showQuickPick([own, none, other], { title });
  if (chosen === undefined) return;
  const command = chosen.verify ?? (await askForCommand(title, typeof wishes.verify === 'string' ? wishes.verify : ''));
  if (command !== undefined) wishes.verify = command;
}

/** A command to verify with, `undefined` for none. */
export async function askForCommand(title: string, value = ''): Promise<string | undefined> {
  const prompt = vscode.l10n.t('It is run in a copy with the change, without a shell.');
  const command = await vscode.window.showInputBox({
    title,
    prompt,
    value,
    placeHolder: EXAMPLE,
    ignoreFocusOut: true,
  });
  return command?.trim() || undefined;
}

async function askForModel(wishes: Wishes): Promise<boolean> {
  const model = await vscode.window.showInputBox({
    title: vscode.l10n.t('Run with another model'),
    prompt: vscode.l10n.t('Its name at the provider; the agent that has such a model runs it.'),
    value: wishes.model ?? '',
    ignoreFocusOut: true,
  });
  if (!model?.trim()) return false;
  wishes.model = model.trim();
  return true;
}
