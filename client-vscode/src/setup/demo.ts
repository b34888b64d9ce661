import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import type { App } from '../server/connection';

const FOLDER = 'kiro-lsp-demo';
const TO_OPEN = 'kiroLsp.demo.open';

/** The walkthrough's own steps: the recorded demo in a window of its own, and the first task file of a project. */
export function registerFirstSteps(app: App): vscode.Disposable[] {
  void openLeft(app.context);
  return [
    vscode.commands.registerCommand('kiroLsp.openDemo', () => openDemo(app)),
    vscode.commands.registerCommand('kiroLsp.openTaskFile', () => openTaskFile(app)),
  ];
}

async function openDemo(app: App): Promise<void> {
  const parent = await place(app.context);
  if (!parent) return;
  await vscode.workspace.fs.createDirectory(parent);
  let folder = join(parent.fsPath, FOLDER);
  for (let number = 2; existsSync(folder); number++) folder = join(parent.fsPath, `${FOLDER}-${number}`);
  const { root, tasks } = (await ask(app, ['demo', '--project', '--json', folder])) as { root: string; tasks: string };
  // The new window looks for it: no editor takes a file to open along with a folder in every version.
  await app.context.globalState.update(TO_OPEN, { root, tasks });
  await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(root), { forceNewWindow: true });
}

/** Opens the task file of a demo that another window has made for this one. */
async function openLeft(context: vscode.ExtensionContext): Promise<void> {
  const left = context.globalState.get<{ root: string; tasks: string }>(TO_OPEN);
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  // Not by path: the program and the editor spell a drive each in its own way.
  if (!left || folder?.uri.toString() !== vscode.Uri.file(left.root).toString()) return;
  await context.globalState.update(TO_OPEN, undefined);
  await vscode.window.showTextDocument(vscode.Uri.file(left.tasks), { preview: false });
}

async function place(context: vscode.ExtensionContext): Promise<vscode.Uri | undefined> {
  const own = { label: vscode.l10n.t('$(archive) In the storage of this extension'), choose: false };
  const chosen = { label: vscode.l10n.t('$(folder-opened) In a folder that I choose…'), choose: true };
  const title = vscode.l10n.t('Where shall the demo project be written?');
  const picked = await vscode.window.showQuickPick([own, chosen], { title });
  if (!picked) return undefined;
  if (!picked.choose) return vscode.Uri.joinPath(context.globalStorageUri, 'demo');
  const [folder] = (await vscode.window.showOpenDialog({ canSelectFiles: false, canSelectFolders: true, title })) ?? [];
  return folder;
}

async function openTaskFile(app: App): Promise<void> {
  const found = await vscode.workspace.findFiles('**/tasks.md', '**/{node_modules,.git}/**', 200);
  const items: (vscode.QuickPickItem & { uri?: vscode.Uri })[] = found
    .map((uri) => ({ label: vscode.workspace.asRelativePath(uri), iconPath: new vscode.ThemeIcon('checklist'), uri }))
    .sort((one, other) => one.label.localeCompare(other.label));
  items.push({ label: vscode.l10n.t('$(add) Start a new spec…') });
  const picked = await vscode.window.showQuickPick(items, { title: vscode.l10n.t('Open a task file') });
  const uri = picked?.uri ?? (picked && (await newSpec(app)));
  if (uri) await vscode.window.showTextDocument(uri, { preview: false });
}

async function newSpec(app: App): Promise<vscode.Uri | undefined> {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!folder) {
    await vscode.commands.executeCommand('vscode.openFolder');
    return undefined;
  }
  const name = await vscode.window.showInputBox({
    title: vscode.l10n.t('What is the spec called?'),
    value: 'first-spec',
    validateInput: (typed) =>
      /^[A-Za-z0-9][A-Za-z0-9-]*$/.test(typed) ? undefined : vscode.l10n.t('Use letters, digits and dashes.'),
  });
  if (name === undefined) return undefined;
  const answer = await ask(app, ['init', '--spec', name, '--root', folder.uri.fsPath, '--json']);
  const { created, kept } = answer as { created: string[]; kept: string[] };
  const path = [...created, ...kept].find((one) => basename(one) === 'tasks.md');
  return path === undefined ? undefined : vscode.Uri.file(path);
}

/** Runs a verb of the same program that serves this window. Throws with what the program says. */
async function ask(app: App, verb: readonly string[]): Promise<unknown> {
  await app.server.start();
  const { launch } = app.server;
  if (!launch) throw new Error(vscode.l10n.t('The language server of Kiro LSP does not run.'));
  const options = { cwd: tmpdir(), env: { ...process.env, ...launch.env }, windowsHide: true };
  try {
    const { stdout } = await promisify(execFile)(launch.command, [...launch.args, ...verb], options);
    return JSON.parse(stdout) as unknown;
  } catch (error) {
    app.log.error(String(error));
    const said = (error as { stdout?: string }).stdout ?? '';
    const refused = /"message":\s*"((?:[^"\\]|\\.)*)"/.exec(said)?.[1];
    throw new Error(refused ?? vscode.l10n.t('The program did not do it; the log says why.'), { cause: error });
  }
}
