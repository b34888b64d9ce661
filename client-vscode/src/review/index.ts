import type * as vscode from 'vscode';
import type { App } from '../server/connection';

/** Looking at a change set and deciding on it, hunk by hunk. */
export function registerReview(app: App): vscode.Disposable[] {
  app;
  return [];
}
