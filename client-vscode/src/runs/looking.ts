import * as vscode from 'vscode';
import type { LiveRun } from '../model/runs';
import { uriOf } from './targets';

/** Whether the person has the task file of a run before them: then its lens tells what a notification would. */
export function isLookedAt(run: LiveRun): boolean {
  const file = uriOf(run)?.toString();
  const isSeen = vscode.window.visibleTextEditors.some((editor) => editor.document.uri.toString() === file);
  return vscode.window.state.focused && isSeen;
}
