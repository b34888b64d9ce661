import * as vscode from 'vscode';
import type { App } from '../server/connection';
import type { Finder } from '../server/find';
import type { Installer } from '../server/install';
import { registerAgents } from './agents';
import { registerFirstSteps } from './demo';
import { registerKeys } from './keys';
import { registerLens } from './lens';
import { registerState } from './state';
import { faultWords } from './words';

const HAS_RUN = 'kiroLsp.hasRun';
const PYTHON_PAGE = 'https://www.python.org/downloads/';

/** Finding or installing the server, trust, keys, walkthrough and settings. */
export function registerSetup(app: App, finder: Finder, installer: Installer): vscode.Disposable[] {
  const { server } = app;
  const setup = new Setup(app, finder, installer);
  return [
    vscode.commands.registerCommand('kiroLsp.restartServer', () => setup.restart()),
    vscode.commands.registerCommand('kiroLsp.stopServer', () => server.stop()),
    vscode.commands.registerCommand('kiroLsp.installServer', () => setup.install()),
    vscode.commands.registerCommand('kiroLsp.showLog', () => app.log.show()),
    vscode.commands.registerCommand('kiroLsp.openWalkthrough', () => {
      const id = `${app.context.extension.id}#start`;
      return vscode.commands.executeCommand('workbench.action.openWalkthrough', id, false);
    }),
    server.onDidChangeState((state) => {
      if (state === 'failed') void setup.tell();
      if (state === 'running') void setup.finish();
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      if (server.state !== 'stopped') void setup.restart();
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('kiroLsp.server.path') && server.state !== 'stopped') void setup.restart();
    }),
    vscode.window.onDidChangeWindowState(({ focused }) => {
      if (focused) void setup.lookForOthers();
    }),
    ...rememberRuns(app),
    ...registerState(app, finder, installer),
    ...registerLens(app, finder, installer),
    ...registerKeys(app),
    ...registerAgents(app),
    ...registerFirstSteps(app),
  ];
}

class Setup {
  constructor(
    private readonly app: App,
    private readonly finder: Finder,
    private readonly installer: Installer,
  ) {}

  /** Starts the server, again if need be. What goes wrong is told by `tell`. */
  async restart(): Promise<void> {
    await this.app.server.restart().catch((error: unknown) => this.app.log.error(String(error)));
  }

  /** Where no server was found, another window may have installed it meanwhile. */
  async lookForOthers(): Promise<void> {
    if (this.finder.failed?.kind !== 'missing' || this.installer.step || this.app.server.state !== 'failed') return;
    if (await this.installer.has()) await this.restart();
  }

  /** Installs the server into the extension's own storage and starts it. */
  async install(): Promise<void> {
    try {
      await this.installer.install();
    } catch (error) {
      this.app.log.error(String(error));
      await this.tellFault();
      return;
    }
    await this.restart();
  }

  /** What the agents need comes while the server runs already. */
  async finish(): Promise<void> {
    try {
      if (await this.installer.finish()) this.app.server.lookAgain();
    } catch (error) {
      this.app.log.error(String(error));
      this.app.server.lookAgain(); // its reasons say "being installed" no more
      await this.tellFault();
    }
  }

  /** Why the server does not run, with what can be done about it. */
  async tell(): Promise<void> {
    const { failed } = this.finder;
    const problem = this.app.server.problem ?? '';
    const install = vscode.l10n.t('Install');
    const choose = vscode.l10n.t('Set Path…');
    const log = vscode.l10n.t('Show Log');
    const restart = vscode.l10n.t('Restart');
    if (failed?.kind === 'missing') {
      const words = vscode.l10n.t(
        '{0} It comes with this extension and can be installed for this editor only.',
        problem,
      );
      await this.act(await vscode.window.showInformationMessage(words, install, choose));
    } else if (failed?.kind === 'version') {
      const words = vscode.l10n.t('{0} Update it, or install the one that comes with this extension.', problem);
      await this.act(await vscode.window.showWarningMessage(words, install, choose));
    } else if (failed?.kind === 'setting') {
      await this.act(await vscode.window.showErrorMessage(problem, choose, log));
    } else if (this.installer.failed) {
      await this.tellFault();
    } else {
      const words = vscode.l10n.t('The language server of Kiro LSP does not run. {0}', problem);
      await this.act(await vscode.window.showErrorMessage(words, restart, log));
    }
  }

  private async tellFault(): Promise<void> {
    const { failed } = this.installer;
    if (!failed) return; // the window closes
    const buttons = [vscode.l10n.t('Retry'), vscode.l10n.t('Show Log')];
    if (failed.fault.kind === 'python') buttons.push(vscode.l10n.t('Get Python'));
    await this.act(await vscode.window.showErrorMessage(faultWords(failed), ...buttons));
  }

  private async act(button: string | undefined): Promise<void> {
    switch (button) {
      case vscode.l10n.t('Install'):
        await this.install();
        break;
      case vscode.l10n.t('Retry'):
        await (this.installer.failed?.step === 'agents' ? this.finish() : this.install());
        break;
      case vscode.l10n.t('Restart'):
        await this.restart();
        break;
      case vscode.l10n.t('Set Path…'):
        await vscode.commands.executeCommand('workbench.action.openSettings', 'kiroLsp.server.path');
        break;
      case vscode.l10n.t('Show Log'):
        this.app.log.show();
        break;
      case vscode.l10n.t('Get Python'):
        await vscode.env.openExternal(vscode.Uri.parse(PYTHON_PAGE));
        break;
    }
  }
}

/** For the last step of the walkthrough, which is done once any task has run. */
function rememberRuns({ context, server }: App): vscode.Disposable[] {
  const tell = (): Thenable<unknown> => vscode.commands.executeCommand('setContext', HAS_RUN, true);
  if (context.globalState.get<boolean>(HAS_RUN)) {
    void tell();
    return [];
  }
  const watch = server.onRunEvent(({ type }) => {
    if (type !== 'start') return;
    watch.dispose();
    void tell();
    void context.globalState.update(HAS_RUN, true);
  });
  return [watch];
}
