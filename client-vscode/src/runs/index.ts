import type * as vscode from 'vscode';
import type { App } from '../server/connection';

/** Watching and steering runs: picker, progress, questions, notifications and status bar. */
export function registerRuns(app: App): vscode.Disposable[] {
  void app;
  return [];
}
