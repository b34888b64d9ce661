import * as vscode from 'vscode';
import type { App, Hooks } from '../server/connection';

/** How long a run is shown by a toast before lens and status bar take over. */
const TOAST_MS = 6000;
/** What is over or asks by then needs no toast. */
const BEFORE_MS = 300;

type Token = string | number;

interface Begun {
  title: string;
  message: string | undefined;
  /** Set while it is on the screen. */
  toast?: { report: (message: string | undefined) => void; close: () => void };
  timer?: NodeJS.Timeout | undefined;
}

/**
 * Progress of runs as toasts that can be cancelled. The language client alone would show a text in the status bar, without
 * Cancel, beside the one that is there already. A toast goes while its run asks, when it ends, when the server does, and (unless
 * the setting says otherwise) after a few seconds; the run goes on.
 */
export class Toasts implements vscode.Disposable {
  private readonly begun = new Map<Token, Begun>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly app: App) {
    this.subscriptions = [
      app.server.onDidChangeState((state) => {
        if (state !== 'running') this.endAll();
      }),
      app.runs.onDidChange((changes) => changes.forEach(({ after }) => this.update(`kiro-lsp/${after.runId}`))),
    ];
  }

  readonly handle: NonNullable<Hooks['progress']> = (token, parameters, next) => {
    if (parameters.kind === 'begin') this.begin(token, parameters.title, parameters.message);
    else if (parameters.kind === 'report') this.report(token, parameters.message);
    else {
      this.end(token);
      next(token, parameters); // the language client forgets the token
    }
  };

  dispose(): void {
    this.endAll();
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private begin(token: Token, title: string, message: string | undefined): void {
    this.end(token);
    if (mode() === 'status') return;
    const timer = setTimeout(() => {
      const begun = this.begun.get(token);
      if (begun) begun.timer = undefined;
      this.update(token);
    }, BEFORE_MS);
    this.begun.set(token, { title, message, timer });
  }

  private report(token: Token, message: string | undefined): void {
    const begun = this.begun.get(token);
    if (!begun) return;
    begun.message = message;
    begun.toast?.report(message);
  }

  private end(token: Token): void {
    const begun = this.begun.get(token);
    this.begun.delete(token);
    clearTimeout(begun?.timer);
    begun?.toast?.close();
  }

  /** A question comes with a prompt of its own, beside which a toast says nothing. */
  private update(token: Token): void {
    const begun = this.begun.get(token);
    if (!begun || (begun.timer !== undefined && !begun.toast)) return;
    const run = this.app.runs.get(String(token).slice(String(token).indexOf('/') + 1));
    if (run?.state === 'waiting') {
      clearTimeout(begun.timer);
      delete begun.timer;
      begun.toast?.close();
    } else if (!begun.toast) this.show(token, begun);
  }

  private show(token: Token, begun: Begun): void {
    const options = { location: vscode.ProgressLocation.Notification, title: begun.title, cancellable: true };
    void vscode.window.withProgress(options, (progress, cancelled) => {
      const report = (message: string | undefined): void => progress.report(message === undefined ? {} : { message });
      report(begun.message);
      return new Promise<void>((resolve) => {
        const close = (): void => {
          delete begun.toast;
          resolve();
        };
        // Reported while the editor was about to show it: it may be over already.
        if (this.begun.get(token) !== begun) {
          resolve();
          return;
        }
        begun.toast = { report, close };
        if (mode() !== 'toast') begun.timer = setTimeout(() => this.end(token), TOAST_MS);
        cancelled.onCancellationRequested(() => {
          this.app.server.cancelProgress(token);
          this.end(token);
        });
      });
    });
  }

  private endAll(): void {
    for (const token of [...this.begun.keys()]) this.end(token);
  }
}

function mode(): string {
  return vscode.workspace.getConfiguration('kiroLsp').get<string>('progress', 'toast-then-status');
}
