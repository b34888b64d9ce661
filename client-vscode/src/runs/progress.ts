import * as vscode from 'vscode';
import type { App, Hooks } from '../server/connection';

/** How long a run is shown by a toast before lens and status bar take over. */
const TOAST_MS = 6000;

interface Toast {
  report: (message: string | undefined) => void;
  close: () => void;
}

/**
 * Progress of runs as toasts that can be cancelled. The language client alone would show a text in the status bar, without
 * Cancel, beside the one that is there already. A toast goes when its run asks or ends, when the server does, and (unless the
 * setting says otherwise) after a few seconds; the run goes on.
 */
export class Toasts implements vscode.Disposable {
  private readonly open = new Map<string | number, Toast>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly app: App) {
    this.subscriptions = [
      app.server.onDidChangeState((state) => {
        if (state !== 'running') this.closeAll();
      }),
      app.runs.onDidChange((changes) => {
        // A question comes with a prompt of its own, which a toast must not hide.
        for (const { after } of changes)
          if (after.state === 'waiting') this.open.get(`kiro-lsp/${after.runId}`)?.close();
      }),
    ];
  }

  readonly handle: NonNullable<Hooks['progress']> = (token, parameters, next) => {
    if (parameters.kind === 'begin') {
      this.begin(token, parameters.title, parameters.message);
      return;
    }
    if (parameters.kind === 'report') {
      this.open.get(token)?.report(parameters.message);
      return;
    }
    this.open.get(token)?.close();
    next(token, parameters); // the language client forgets the token
  };

  dispose(): void {
    this.closeAll();
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private begin(token: string | number, title: string, message: string | undefined): void {
    const shown = vscode.workspace.getConfiguration('kiroLsp').get<string>('progress', 'toast-then-status');
    if (shown === 'status') return;
    const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
    void vscode.window.withProgress(options, (progress, cancelled) => {
      progress.report({ ...(message === undefined ? {} : { message }) });
      return new Promise<void>((resolve) => {
        const timer = shown === 'toast' ? undefined : setTimeout(() => this.open.get(token)?.close(), TOAST_MS);
        const close = (): void => {
          clearTimeout(timer);
          this.open.delete(token);
          resolve();
        };
        this.open.get(token)?.close();
        this.open.set(token, { close, report: (said) => progress.report(said === undefined ? {} : { message: said }) });
        cancelled.onCancellationRequested(() => {
          this.app.server.cancelProgress(token);
          close();
        });
      });
    });
  }

  private closeAll(): void {
    for (const toast of [...this.open.values()]) toast.close();
  }
}
