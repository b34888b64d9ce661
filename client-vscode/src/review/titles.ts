import * as vscode from 'vscode';
import type { App } from '../server/connection';

/** What a run is about, for people: the title of its task. */
export async function titleOf(app: App, runId: string): Promise<string> {
  return (await recordOf(app, runId))?.title ?? runId;
}

/** Shows the task of a run in its file. */
export async function showTask(app: App, runId: string): Promise<void> {
  const run = await recordOf(app, runId);
  if (!run?.path) return;
  const uri = vscode.Uri.joinPath(vscode.Uri.file(run.root), run.path).toString();
  await app.server.command('showTasks', { uri, task: run.task });
}

async function recordOf(
  app: App,
  runId: string,
): Promise<{ title: string; root: string; path: string; task: string } | undefined> {
  const known = app.runs.get(runId);
  if (known?.title && known.root) return known;
  return (await app.server.runs()).find((run) => run.runId === runId);
}
