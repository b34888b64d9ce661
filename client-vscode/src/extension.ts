import * as vscode from 'vscode';
import { registerOutput } from './output';
import { registerReview } from './review';
import { registerRuns } from './runs';
import { RunStore } from './runs/store';
import { Connection, DOCUMENTS } from './server/client';
import type { App, Hooks, Server } from './server/connection';
import { Finder, isAllowed } from './server/find';
import { Installer, thisMachine } from './server/install';
import { selectedPythons } from './server/python';
import { registerSetup } from './setup';
import { registerTree } from './tree';

/** How many milliseconds this file and what it imports took to load; put there by esbuild.mjs. */
declare const LOADED: number;

/**
 * Puts the parts together. Nothing is started here: the server and the language client come with the first task file that is
 * open, or with the first command that needs them.
 */
export function activate(context: vscode.ExtensionContext): { server: Server } {
  const began = performance.now();
  const log = vscode.window.createOutputChannel('Kiro LSP', { log: true });
  const hooks: Hooks[] = [];
  const installer = new Installer(
    context,
    log,
    () => selectedPythons(log),
    (path) => isAllowed(thisMachine(), path),
  );
  const finder = new Finder(installer, log);
  const server = new Connection(() => finder.find(), hooks, log);
  const runs = new RunStore(server, log);
  const app: App = { context, server, runs, log, hooks };
  context.subscriptions.push(
    log,
    server,
    installer,
    runs,
    ...registerSetup(app, finder, installer),
    ...registerRuns(app),
    ...registerOutput(app),
    ...registerTree(app),
    ...registerReview(app),
  );

  const begin = (document: vscode.TextDocument): void => {
    const known = DOCUMENTS.some((filter) => vscode.languages.match(filter, document) > 0);
    if (known && server.state === 'stopped') server.start().catch((error: unknown) => log.error(String(error)));
  };
  vscode.workspace.textDocuments.forEach(begin);
  context.subscriptions.push(vscode.workspace.onDidOpenTextDocument(begin));
  log.info(`activated in ${(LOADED + performance.now() - began).toFixed(1)} ms`);
  return { server };
}

export function deactivate(): void {
  // What was begun is in the context's subscriptions, which the editor disposes of.
}
