import * as vscode from 'vscode';
import { isTaskFilePath } from '../model/task_files';
import type { App } from '../server/connection';
import { SpecTree } from './tree';

/** The tree of specs, tasks and runs. */
export function registerTree(app: App): { dispose(): unknown }[] {
  const tree = new SpecTree(app);
  const view = vscode.window.createTreeView('kiroLsp.specs', { treeDataProvider: tree, showCollapseAll: true });
  tree.shownIn(view);
  return [
    tree,
    view,
    vscode.commands.registerCommand('kiroLsp.refreshSpecs', () => tree.lookAnew()),
    vscode.commands.registerCommand('kiroLsp.copyRunId', async (argument?: { runId?: unknown }) => {
      if (typeof argument?.runId === 'string') await vscode.env.clipboard.writeText(argument.runId);
    }),
    vscode.commands.registerCommand('kiroLsp.openSpec', async (argument?: { uri?: unknown }) => {
      if (typeof argument?.uri === 'string') await vscode.window.showTextDocument(vscode.Uri.parse(argument.uri));
    }),
    vscode.workspace.onDidChangeTextDocument(({ document }) => tree.stale(document.uri)),
    vscode.workspace.onDidSaveTextDocument(({ uri }) => tree.stale(uri)),
    app.server.onDidChangeFile((uri) => tree.stale(uri)),
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      if (editor && isTaskFilePath(editor.document.uri.path)) tree.listSoon();
    }),
  ];
}
