import * as vscode from 'vscode';
import { SECTION, SERVER_SETTINGS } from './settings_keys';

interface Tree {
  [key: string]: unknown;
}

/** What was set of the server's settings, as trees below `kiroLsp`. */
export interface GivenSettings {
  /** In the workspace: may come out of files of a project, so it has a project's rights. */
  settings: Tree;
  /** By the person, for this editor: has the rights of their own configuration. */
  ownSettings: Tree;
}

/**
 * Only what somebody set. The editor knows a default for every setting, and a default that is sent would count as set in the
 * editor, which goes before the person's config.toml.
 */
export function givenSettings(): GivenSettings {
  const given: GivenSettings = { settings: {}, ownSettings: {} };
  const configuration = vscode.workspace.getConfiguration(SECTION);
  for (const key of SERVER_SETTINGS) {
    const found = configuration.inspect(key);
    put(given.ownSettings, key, found?.globalValue);
    put(given.settings, key, found?.workspaceValue);
  }
  return given;
}

/** Calls back whenever a setting of the server changes. */
export function onDidChangeServerSettings(changed: () => void): vscode.Disposable {
  return vscode.workspace.onDidChangeConfiguration((event) => {
    if (SERVER_SETTINGS.some((key) => event.affectsConfiguration(`${SECTION}.${key}`))) changed();
  });
}

function put(tree: Tree, key: string, value: unknown): void {
  if (value === undefined) return;
  const [first = key, ...rest] = key.split('.');
  if (rest.length === 0) tree[first] = value;
  else put((tree[first] ??= {}) as Tree, rest.join('.'), value);
}
