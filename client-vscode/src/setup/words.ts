import * as vscode from 'vscode';
import type { InstallError } from '../server/installation';

/** What went wrong with an installation, where, and what to do about it. */
export function faultWords({ fault, step }: InstallError): string {
  const what =
    step === 'agents'
      ? vscode.l10n.t('Language features work, but what the agents need could not be installed.')
      : vscode.l10n.t('The language server of Kiro LSP could not be installed.');
  return `${what} ${reasonWords(fault)}`;
}

function reasonWords({ kind, what }: InstallError['fault']): string {
  switch (kind) {
    case 'python':
      return vscode.l10n.t('It needs Python {0}, and none was found.', what);
    case 'venv':
      return vscode.l10n.t('The Python that was found cannot make environments ({0}): install its venv package.', what);
    case 'proxy':
      return vscode.l10n.t(
        'The proxy did not let it through ({0}): check the setting http.proxy, or HTTPS_PROXY.',
        what,
      );
    case 'certificate':
      return vscode.l10n.t(
        'The certificate of {0} is not trusted: name the file of your own in PIP_CERT or SSL_CERT_FILE.',
        what,
      );
    case 'login':
      return vscode.l10n.t('{0} asks for a name and a password: configure them for pip.', what);
    case 'offline':
      return vscode.l10n.t('{0} could not be reached: are you online? Behind a proxy, set http.proxy.', what);
    case 'lacking':
      return vscode.l10n.t('The package index does not have {0}, or not for this Python.', what);
    case 'space':
      return vscode.l10n.t('There is no room left on the disk.');
    case 'rights':
      return vscode.l10n.t('The system refused to write: {0}', what);
    case 'stopped':
    case 'other':
      return what;
  }
}
