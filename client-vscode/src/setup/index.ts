import type * as vscode from 'vscode';
import type { App } from '../server/connection';

/** Finding or installing the server, trust, keys, walkthrough and settings. */
export function registerSetup(app: App): vscode.Disposable[] {
  app;
  return [];
}
