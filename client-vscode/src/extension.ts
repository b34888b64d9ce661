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

/** What the loading of this file and of all that it imports took; put there by esbuild.mjs. */
declare const LOADED: Spent;

/** Milliseconds: by the clock, and of the processor, which on a busy machine are far less. */
interface Spent {
  clock: number;
  processor: number;
}

/**
 * Puts the parts together. Nothing is started here: the server and the language client come with the first task file that is
 * open, or with the first command that needs them.
 */
export function activate(context: vscode.ExtensionContext): { server: Server } {
  const spent = stopwatch();
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
  const { clock, processor } = spent();
  const used = (LOADED.processor + processor).toFixed(1);
  log.info(`activated in ${(LOADED.clock + clock).toFixed(1)} ms (${used} ms of the processor)`);
  return { server };
}

/** Returns what has been spent since now; the processor's part is that of the whole extension host, so never too low. */
function stopwatch(): () => Spent {
  const [began, used] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(used);
    return { clock: performance.now() - began, processor: (user + system) / 1000 };
  };
}

export function deactivate(): void {
  // What was begun is in the context's subscriptions, which the editor disposes of.
}
