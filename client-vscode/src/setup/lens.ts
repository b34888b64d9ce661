import * as vscode from 'vscode';
import { DOCUMENTS } from '../server/client';
import type { App } from '../server/connection';
import type { Finder } from '../server/find';
import { type Installer, stepWords } from '../server/install';

/**
 * One lens on top of a task file for as long as no server serves it: a message is gone after moments, and without lenses
 * nobody sees what is missing.
 */
export function registerLens(app: App, finder: Finder, installer: Installer): vscode.Disposable[] {
  const changes = new vscode.EventEmitter<void>();
  const fire = (): void => changes.fire();
  const provider: vscode.CodeLensProvider = {
    onDidChangeCodeLenses: changes.event,
    provideCodeLenses: () => {
      const command = offer(app, finder, installer);
      return command ? [new vscode.CodeLens(new vscode.Range(0, 0, 0, 0), command)] : [];
    },
  };
  return [
    new vscode.Disposable(() => changes.dispose()),
    vscode.languages.registerCodeLensProvider(DOCUMENTS, provider),
    app.server.onDidChangeState(fire),
    installer.onDidChange(fire),
  ];
}

function offer({ server }: App, finder: Finder, installer: Installer): vscode.Command | undefined {
  if (server.state === 'running' || server.state === 'starting') return undefined;
  if (installer.step)
    return { title: vscode.l10n.t('$(loading~spin) Kiro: {0}', stepWords(installer.step)), command: 'kiroLsp.showLog' };
  if (server.state !== 'failed') return undefined;
  const tooltip = server.problem ?? '';
  return finder.failed?.kind === 'missing' || finder.failed?.kind === 'version' || installer.failed
    ? {
        title: vscode.l10n.t('$(cloud-download) Install the language server'),
        command: 'kiroLsp.installServer',
        tooltip,
      }
    : {
        title: vscode.l10n.t('$(refresh) Kiro LSP does not run: try again'),
        command: 'kiroLsp.restartServer',
        tooltip,
      };
}
