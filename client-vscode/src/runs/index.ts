import * as vscode from 'vscode';
import { isAsking, isCutOff, isLive, isReviewable } from '../model/runs';
import type { App } from '../server/connection';
import { carriedOut, commands } from './commands';
import { Toasts } from './progress';
import { Pages } from './project';
import { Questions } from './questions';
import { StatusBar } from './status';
import { isTaskFile } from './targets';

/** Watching and steering runs: picker, commands, progress, questions, notifications and status bar. */
export function registerRuns(app: App): { dispose(): unknown }[] {
  const questions = new Questions(app);
  const pages = new Pages();
  const toasts = new Toasts(app);
  app.hooks.push({ command: carriedOut(app, questions, pages), progress: toasts.handle });
  const registered = Object.entries(commands(app, questions, pages)).map(([id, command]) =>
    vscode.commands.registerCommand(id, command),
  );
  return [pages, toasts, new StatusBar(app), taskFileKey(), runKeys(app), ...registered];
}

/** Keeps the context key `kiroLsp.inTaskFile`, which keys and menus ask for. */
function taskFileKey(): vscode.Disposable {
  let known: boolean | undefined;
  const update = (editor: vscode.TextEditor | undefined): void => {
    const is = editor !== undefined && isTaskFile(editor.document);
    if (is !== known) void vscode.commands.executeCommand('setContext', 'kiroLsp.inTaskFile', (known = is));
  };
  update(vscode.window.activeTextEditor);
  return vscode.window.onDidChangeActiveTextEditor(update);
}

/** Keeps the context keys by which the palette offers only what can be done with the runs there are. */
function runKeys(app: App): vscode.Disposable {
  const told = new Map<string, boolean>();
  const tell = (key: string, is: boolean): void => {
    if ((told.get(key) ?? false) === is) return;
    told.set(key, is);
    void vscode.commands.executeCommand('setContext', `kiroLsp.${key}`, is);
  };
  return app.runs.onDidChange(() => {
    const runs = app.runs.all();
    tell('runsKnown', app.server.state === 'running');
    tell('hasRuns', runs.length > 0);
    tell('hasLive', runs.some(isLive));
    tell('hasAsking', runs.some(isAsking));
    tell('hasCutOff', runs.some(isCutOff));
    tell(
      'hasApplied',
      runs.some((run) => run.state === 'applied'),
    );
    tell(
      'hasReviewable',
      runs.some((run) => isReviewable(run, (runId) => app.runs.get(runId))),
    );
  });
}
