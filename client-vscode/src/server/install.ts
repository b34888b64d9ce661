import * as vscode from 'vscode';
import type { Machine } from '../model/places';
import type { Launch } from './connection';
import type { Installation, Installed, InstallError, Step } from './installation';

/** This machine, with the proxy that the editor was told where the environment names none. */
export function thisMachine(): Machine {
  const env: Record<string, string | undefined> = { ...process.env };
  const proxy = vscode.workspace.getConfiguration('http').get<string>('proxy');
  if (proxy)
    for (const name of ['HTTPS_PROXY', 'HTTP_PROXY']) if (!env[name] && !env[name.toLowerCase()]) env[name] = proxy;
  return { platform: process.platform, env, home: env['HOME'] ?? env['USERPROFILE'] ?? '' };
}

/**
 * The server in the extension's storage, as the window sees it: installs with a word in the status bar and no pop-up, language
 * features first and the rest while the server runs already.
 */
export class Installer implements vscode.Disposable {
  /** What is being done now. */
  step: Step | undefined;
  /** Why the last attempt failed; `undefined` once one has succeeded. */
  failed: InstallError | undefined;

  private readonly changes = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changes.event;
  private readonly ending = new AbortController();
  private opened: Promise<Installation> | undefined;
  private used: Installed | undefined;
  private working: Promise<Launch> | undefined;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    private readonly pythons: () => Promise<string[]>,
    private readonly allowed: (path: string) => boolean,
  ) {}

  /** Whether the server was installed here before, in whatever version. */
  async has(): Promise<boolean> {
    return (await (await this.installation()).newest()) !== undefined;
  }

  /**
   * How the server that is installed here is started. One that is older than the one in the package is replaced first; where
   * that cannot be done now, it is used as it is.
   */
  async launch(): Promise<Launch | undefined> {
    const installation = await this.installation();
    try {
      const current = await installation.current();
      if (current) return await this.taken(current);
    } catch (error) {
      this.log.warn(`this package of the extension holds no server: ${String(error)}`);
    }
    const older = await installation.newest();
    if (!older) return undefined;
    try {
      return await this.install();
    } catch (error) {
      this.log.warn(`using ${older.version}, since the newer one could not be installed: ${String(error)}`);
      return await this.taken(older);
    }
  }

  /** Installs what language features need. @throws InstallError */
  async install(): Promise<Launch> {
    this.working ??= this.begin().finally(() => (this.working = undefined));
    return await this.working;
  }

  /**
   * Brings the packages of the agents, where the server that was launched from here lacks them.
   * @returns whether there was something to do
   * @throws InstallError
   */
  async finish(): Promise<boolean> {
    const installed = this.used;
    if (!installed || installed.complete) return false;
    const installation = await this.installation();
    this.used = await this.watched(() => installation.finish(installed, this.ending.signal));
    await installation.clean(this.used);
    return true;
  }

  /** Ends an installer that runs; the next start of a window goes on with it. */
  dispose(): void {
    this.ending.abort();
    this.changes.dispose();
  }

  private async begin(): Promise<Launch> {
    const installation = await this.installation();
    return await this.taken(await this.watched(() => installation.install(this.ending.signal)));
  }

  private async taken(installed: Installed): Promise<Launch> {
    this.used = installed;
    await (await this.installation()).use(installed);
    return {
      command: installed.python,
      // Without -P a folder of the project could have the name of a module.
      args: ['-P', '-m', 'kiro_lsp'],
      env: { KIRO_LSP_INSTALLING: installed.installing },
      version: installed.version,
      from: vscode.l10n.t('installed by the extension'),
    };
  }

  private async watched<T>(work: () => Promise<T>): Promise<T> {
    const options = { location: vscode.ProgressLocation.Window, title: vscode.l10n.t('Kiro') };
    return await vscode.window.withProgress(options, async (progress) => {
      const told = this.onDidChange(() => this.step && progress.report({ message: stepWords(this.step) }));
      try {
        const done = await work();
        this.failed = undefined;
        return done;
      } catch (error) {
        const { InstallError } = await import('./installation.js');
        if (error instanceof InstallError) this.failed = error;
        throw error;
      } finally {
        told.dispose();
        this.become(undefined);
      }
    });
  }

  private become(step: Step | undefined): void {
    this.step = step;
    if (!this.ending.signal.aborted) this.changes.fire();
  }

  private async installation(): Promise<Installation> {
    this.opened ??= import('./installation.js').then(
      ({ Installation }) =>
        new Installation({
          machine: thisMachine(),
          storage: this.context.globalStorageUri.fsPath,
          wheels: this.context.asAbsolutePath('wheel'),
          pythons: this.pythons,
          allowed: this.allowed,
          log: (line) => this.log.info(line),
          report: (step) => this.become(step),
        }),
    );
    return await this.opened;
  }
}

/** What is being installed, for the status bar. */
export function stepWords(step: Step): string {
  switch (step) {
    case 'environment':
      return vscode.l10n.t('installing the server: making a place for it');
    case 'language features':
      return vscode.l10n.t('installing the server: language features');
    case 'agents':
      return vscode.l10n.t('installing what the agents need');
  }
}
