import * as vscode from 'vscode';
import type { Launch } from './connection';

/** Where the server is looked for, in this order: the setting `kiroLsp.server.path`, then the PATH. */
export function find(): Promise<Launch> {
  const path = vscode.workspace.getConfiguration('kiroLsp').get<string>('server.path');
  return Promise.resolve({ command: path || 'kiro-lsp', args: [], from: path ? 'the setting' : 'the PATH' });
}
