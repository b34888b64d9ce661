import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { Feed } from '../model/feed';
import type { FromPage, ToPage } from '../model/output';
import type { LiveRun } from '../model/runs';
import { joined } from '../model/transcript';
import type { RunEvent } from '../protocol';
import type { Change } from '../runs/store';
import type { App } from '../server/connection';
import { act, openFile } from './acts';
import { entryOf, headOf } from './head';
import { pageWords } from './words';

/** The page is told at most so often. */
const POSTED_MS = 40;
/** So many events go to the page at once, so that it can draw between them. */
const PORTION = 2_000;
/** So many runs are in the list; older ones are in the tree. */
const LISTED = 40;

/**
 * The output view. The page keeps nothing while it is hidden: when it is shown again, it is told everything from the events
 * of the run. Nothing is asked of the server while the view is hidden.
 */
export class OutputView implements vscode.WebviewViewProvider, vscode.Disposable {
  static readonly ID = 'kiroLsp.output';

  private view: vscode.WebviewView | undefined;
  /** Whether the page listens. */
  private ready = false;
  /** The run that was chosen; `undefined` follows the newest. */
  private chosen: string | undefined;
  private shown: string | undefined;
  /** What the page is told of the shown run. */
  private readonly feed: Feed;
  /** What the page was told last of what changes often. */
  private readonly told = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  private readonly subscriptions: vscode.Disposable[];
  private readonly find = (runId: string): LiveRun | undefined => this.app.runs.get(runId);

  constructor(private readonly app: App) {
    this.feed = new Feed({
      follow: async (runId, since) => (await app.server.follow(runId, since)).events,
      known: (runId) => app.runs.get(runId)?.seq ?? 0,
      tell: (runId, events) => this.tell(runId, events),
      soon: () => this.soon(),
      failed: (runId, error) => app.log.warn(`events of run ${runId}: ${String(error)}`),
    });
    this.subscriptions = [
      app.server.onRunEvent((event) => {
        if (this.ready) this.feed.heard(event);
      }),
      app.runs.onDidChange((changes) => this.changed(changes)),
    ];
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    const places = ['dist', 'media'].map((name) => vscode.Uri.joinPath(this.app.context.extensionUri, name));
    view.webview.options = { enableScripts: true, localResourceRoots: places };
    view.webview.onDidReceiveMessage((message: FromPage) => {
      this.take(message).catch((error: unknown) => this.app.log.error(`output: ${String(error)}`));
    });
    view.onDidChangeVisibility(() => {
      if (!view.visible) this.ready = false;
    });
    view.onDidDispose(() => {
      this.view = undefined;
      this.ready = false;
    });
    view.webview.html = this.html(view.webview);
  }

  /** Brings the view to the front with a run; `undefined` follows the newest. */
  async show(runId: string | undefined): Promise<void> {
    this.chosen = runId;
    await vscode.commands.executeCommand(`${OutputView.ID}.focus`);
    if (runId !== undefined && this.app.runs.get(runId) === undefined) await this.app.runs.catchUp(runId);
    if (this.ready) this.present();
  }

  /** Puts the whole output into the clipboard, as text. */
  copy(): void {
    this.post({ type: 'copy' });
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  // What happens

  private changed(changes: readonly Change[]): void {
    if (!this.ready) return;
    const run = this.wanted();
    if (run?.runId !== this.shown) {
      this.present();
      return;
    }
    this.list();
    if (run && (changes.length === 0 || changes.some(({ after }) => after.runId === run.runId))) {
      this.postNews({ type: 'head', head: headOf(run, this.find) });
      if (this.feed.isBehind()) this.soon();
    }
  }

  private soon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (this.ready) this.feed.flush();
    }, POSTED_MS);
  }

  private tell(runId: string, events: readonly RunEvent[]): void {
    const fewer = joined(events);
    for (let at = 0; at < fewer.length; at += PORTION) {
      this.post({ type: 'events', runId, events: fewer.slice(at, at + PORTION) });
    }
  }

  // What is shown

  private wanted(): LiveRun | undefined {
    return (this.chosen === undefined ? undefined : this.app.runs.get(this.chosen)) ?? this.app.runs.all()[0];
  }

  /** Shows the run that is wanted from its beginning. */
  private present(): void {
    const run = this.wanted();
    this.shown = run?.runId;
    this.told.clear();
    this.list();
    this.post({ type: 'open', head: run && headOf(run, this.find) });
    this.feed.begin(run?.runId);
  }

  private list(): void {
    const runs = this.app.runs.all().slice(0, LISTED).map(entryOf);
    this.postNews({ type: 'runs', runs, selected: this.shown, following: this.chosen === undefined });
  }

  private post(message: ToPage): void {
    if (this.ready) void this.view?.webview.postMessage(message);
  }

  /** The same for what is told after every change: only where it says something else than before. */
  private postNews(message: ToPage & { type: 'runs' | 'head' }): void {
    const text = JSON.stringify(message);
    if (text !== this.told.get(message.type)) this.post(message);
    this.told.set(message.type, text);
  }

  private async take(message: FromPage): Promise<void> {
    const run = this.shown === undefined ? undefined : this.app.runs.get(this.shown);
    switch (message.type) {
      case 'ready':
        this.ready = true;
        this.post({ type: 'words', words: pageWords() });
        this.present();
        return;
      case 'select':
        this.chosen = message.runId;
        this.present();
        return;
      case 'copied':
        await vscode.env.clipboard.writeText(message.text);
        vscode.window.setStatusBarMessage(vscode.l10n.t('$(check) The output is in the clipboard.'), 4000);
        return;
      case 'command':
        await vscode.commands.executeCommand(message.name === 'demo' ? 'kiroLsp.openDemo' : 'kiroLsp.openTaskFile');
        return;
      case 'act':
        if (run) await act(run, message.act);
        return;
      case 'file':
        if (run) await openFile(await this.whole(run), message.path);
        return;
      case 'answer':
        if (run) await this.answer(run.runId, message);
    }
  }

  /** The run with what its events say of files; of an old one only the record is known at first. */
  private async whole(run: LiveRun): Promise<LiveRun> {
    return run.files.length < run.fileCount ? ((await this.app.runs.catchUp(run.runId)) ?? run) : run;
  }

  private async answer(runId: string, { requestId, option, text }: FromPage & { type: 'answer' }): Promise<void> {
    const given = text === undefined ? {} : { text };
    const done = await this.app.server.command('answer', { runId, requestId, option, ...given });
    if (!done.ok) void vscode.window.showWarningMessage(done.message ?? '');
  }

  /** The page without a word in it: everything that is shown comes as a message. */
  private html(webview: vscode.Webview): string {
    const nonce = randomBytes(16).toString('base64');
    const at = (...path: string[]): string =>
      webview.asWebviewUri(vscode.Uri.joinPath(this.app.context.extensionUri, ...path)).toString();
    const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
    return `<!DOCTYPE html>
<html lang="${vscode.env.language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${at('media', 'output.css')}">
</head>
<body><script nonce="${nonce}" src="${at('dist', 'output.js')}"></script></body>
</html>`;
  }
}
