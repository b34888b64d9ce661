import * as vscode from 'vscode';
import type { App } from '../server/connection';
import { OutputView } from './view';

/** The view that shows what a run says and does, and the commands that lead to it. */
export function registerOutput(app: App): { dispose(): unknown }[] {
  const view = new OutputView(app);
  return [
    view,
    vscode.window.registerWebviewViewProvider(OutputView.ID, view),
    vscode.commands.registerCommand('kiroLsp.showRun', (argument?: { runId?: unknown }) =>
      view.show(typeof argument?.runId === 'string' ? argument.runId : undefined),
    ),
    vscode.commands.registerCommand('kiroLsp.copyOutput', () => view.copy()),
  ];
}
