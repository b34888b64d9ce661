import * as vscode from 'vscode';
import { withoutLinks } from '../model/questions';
import { news } from '../model/runs';
import type { LiveRun } from '../model/runs';
import type { App } from '../server/connection';
import { uriOf } from './targets';
import { filesWords, titleOf, usedWords } from './words';

/**
 * Calls a person who looks elsewhere when a run is done or waits. Whoever has the task file before them sees it in the lens;
 * what failed is told by the server.
 */
export function notices(app: App): vscode.Disposable {
  return app.runs.onDidChange((changes) => {
    for (const { before, after, live } of changes) {
      const said = live && isAway(after) ? news(before, after) : undefined;
      if (said === 'review') void reviewReady(after);
    }
  });
}

function isAway(run: LiveRun): boolean {
  const file = uriOf(run)?.toString();
  const isSeen = vscode.window.visibleTextEditors.some((editor) => editor.document.uri.toString() === file);
  return !vscode.window.state.focused || !isSeen;
}

async function reviewReady(run: LiveRun): Promise<void> {
  const used = usedWords(run.used);
  const done = vscode.l10n.t(
    '{0} is done with “{1}”: {2} to review',
    run.label,
    titleOf(run),
    filesWords(run.fileCount),
  );
  const review = vscode.l10n.t('Review');
  const output = vscode.l10n.t('Show Output');
  const text = withoutLinks(used === '' ? done : `${done} · ${used}`);
  const chosen = await vscode.window.showInformationMessage(text, review, output);
  if (chosen === review) await vscode.commands.executeCommand('kiroLsp.openReview', { runId: run.runId });
  if (chosen === output) await vscode.commands.executeCommand('kiroLsp.showRun', { runId: run.runId });
}
