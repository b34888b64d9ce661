import * as vscode from 'vscode';
import { DOCUMENTS } from '../server/client';
import type { App } from '../server/connection';
import type { Finder } from '../server/find';
import { type Installer, stepWords } from '../server/install';

/** What the language status of a task file says of the server: version, where it is, and the one thing to do about it. */
export function registerState(app: App, finder: Finder, installer: Installer): vscode.Disposable[] {
  const item = vscode.languages.createLanguageStatusItem('kiroLsp.server', DOCUMENTS);
  item.name = vscode.l10n.t('Kiro LSP: the server');
  const show = (): void => {
    const { server } = app;
    const version = server.launch?.version ?? '';
    item.busy = installer.step !== undefined || server.state === 'finding' || server.state === 'starting';
    item.severity =
      server.state === 'failed'
        ? vscode.LanguageStatusSeverity.Error
        : vscode.workspace.isTrusted
          ? vscode.LanguageStatusSeverity.Information
          : vscode.LanguageStatusSeverity.Warning;
    item.text = vscode.l10n.t('Kiro LSP {0}', server.state === 'running' ? version : stateWords(server.state));
    item.detail = installer.step ? stepWords(installer.step) : detail(app);
    item.command = action(app, finder);
  };
  show();
  return [new vscode.Disposable(() => item.dispose()), app.server.onDidChangeState(show), installer.onDidChange(show)];
}

function stateWords(state: App['server']['state']): string {
  switch (state) {
    case 'finding':
      return vscode.l10n.t('is being looked for');
    case 'starting':
      return vscode.l10n.t('starts');
    case 'stopped':
      return vscode.l10n.t('is stopped');
    case 'failed':
      return vscode.l10n.t('does not run');
    case 'running':
      return '';
  }
}

function detail({ server }: App): string {
  if (server.state === 'failed') return server.problem ?? '';
  if (!vscode.workspace.isTrusted) return vscode.l10n.t('Restricted Mode: tasks are explained, not run');
  return server.state === 'running' && server.launch ? `${server.launch.from}: ${server.launch.command}` : '';
}

function action({ server }: App, finder: Finder): vscode.Command {
  if (server.state === 'failed' && finder.failed?.kind === 'missing')
    return { title: vscode.l10n.t('Install'), command: 'kiroLsp.installServer' };
  if (server.state === 'running' && !vscode.workspace.isTrusted)
    return { title: vscode.l10n.t('Manage Trust'), command: 'workbench.trust.manage' };
  return server.state === 'running'
    ? { title: vscode.l10n.t('Restart'), command: 'kiroLsp.restartServer' }
    : { title: vscode.l10n.t('Start'), command: 'kiroLsp.restartServer' };
}
