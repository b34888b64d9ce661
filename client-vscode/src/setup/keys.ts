import * as vscode from 'vscode';
import { KEY_NAMES, troubleWith } from '../model/keys';
import type { App } from '../server/connection';

const PREFIX = 'kiroLsp.key.';

/** Keys in the editor's secret storage. They leave it only as the answer to the server's own question, in a trusted folder. */
export function registerKeys(app: App): vscode.Disposable[] {
  const { secrets } = app.context;
  app.server.answers.secret = async (name) => {
    const known = KEY_NAMES.some((one) => one.name === name);
    return known && vscode.workspace.isTrusted ? ((await secrets.get(PREFIX + name)) ?? null) : null;
  };
  return [
    // Also when another window set it.
    secrets.onDidChange(({ key }) => {
      if (key.startsWith(PREFIX)) app.server.lookAgain();
    }),
    vscode.commands.registerCommand('kiroLsp.setKey', (name?: unknown) => setKey(secrets, name)),
    vscode.commands.registerCommand('kiroLsp.removeKey', () => removeKey(secrets)),
  ];
}

async function setKey(secrets: vscode.SecretStorage, given: unknown): Promise<void> {
  const name = typeof given === 'string' ? given : await picked(secrets, vscode.l10n.t('Which key?'), false);
  if (name === undefined) return;
  const typed = await vscode.window.showInputBox({
    title: vscode.l10n.t('{0}: kept in the secret storage of this editor', name),
    prompt: vscode.l10n.t('It is given to the language server on this machine, and by it to its provider only.'),
    password: true,
    ignoreFocusOut: true,
    validateInput: troubleWords,
  });
  if (typed === undefined) return;
  await secrets.store(PREFIX + name, typed.trim());
  vscode.window.setStatusBarMessage(vscode.l10n.t('{0} is kept', name), 5000);
}

async function removeKey(secrets: vscode.SecretStorage): Promise<void> {
  const name = await picked(secrets, vscode.l10n.t('Which key is to be forgotten?'), true);
  if (name === undefined) return;
  await secrets.delete(PREFIX + name);
  vscode.window.setStatusBarMessage(vscode.l10n.t('{0} is forgotten', name), 5000);
}

/** @param kept whether only keys that are there are offered */
async function picked(secrets: vscode.SecretStorage, title: string, kept: boolean): Promise<string | undefined> {
  const items: vscode.QuickPickItem[] = [];
  for (const { name, provider } of KEY_NAMES) {
    const isThere = (await secrets.get(PREFIX + name)) !== undefined;
    if (kept && !isThere) continue;
    items.push({ label: name, description: isThere ? vscode.l10n.t('{0}, kept here', provider) : provider });
  }
  if (items.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('No key is kept in this editor.'));
    return undefined;
  }
  return (await vscode.window.showQuickPick(items, { title, matchOnDescription: true }))?.label;
}

function troubleWords(typed: string): string | undefined {
  switch (troubleWith(typed)) {
    case 'empty':
      return vscode.l10n.t('Paste the key.');
    case 'several lines':
      return vscode.l10n.t('A key has no blanks and no line breaks in it.');
    case 'a name with it':
      return vscode.l10n.t('Only the key, without the name of its variable.');
    case undefined:
      return undefined;
  }
}
