import * as vscode from 'vscode';
import type { Act } from '../model/output';
import { isReviewable } from '../model/runs';
import type { LiveRun } from '../model/runs';
import { uriOf } from '../runs/targets';

/** What the buttons of the view do. The commands tell the person what becomes of it. */
const COMMANDS: Record<Exclude<Act, 'task'>, string> = {
  stop: 'kiroLsp.stopRun',
  review: 'kiroLsp.reviewRun',
  retry: 'kiroLsp.retry',
  undo: 'kiroLsp.undoAccept',
  terminal: 'kiroLsp.continueRun',
};

/** Carries out a button. */
export async function act(run: LiveRun, name: Act): Promise<void> {
  if (name === 'task') await openTask(run);
  else await vscode.commands.executeCommand(COMMANDS[name], { runId: run.runId });
}

async function openTask(run: LiveRun): Promise<void> {
  const uri = uriOf(run);
  if (uri) await vscode.window.showTextDocument(uri);
}

/**
 * Opens a file that a run speaks of: as the run proposes it while that can be decided on, else as it is in the project.
 * @param path relative to the project; one that leads out of it is not opened
 */
export async function openFile(run: LiveRun, path: string): Promise<void> {
  const root = vscode.Uri.file(run.root);
  const uri = vscode.Uri.joinPath(root, path);
  if (run.root === '' || !uri.path.startsWith(`${root.path}/`)) return;
  if (isReviewable(run) && run.files.includes(path)) {
    await vscode.commands.executeCommand('kiroLsp.openReviewFile', { runId: run.runId, path });
    return;
  }
  try {
    await vscode.window.showTextDocument(uri, { preview: true });
  } catch {
    const message = vscode.l10n.t('{0} is not in the project: the run has yet to propose it, or it was deleted.', path);
    void vscode.window.showInformationMessage(message);
  }
}
