import { execFile } from 'node:child_process';
import { existsSync, realpathSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import { type Machine, amongTools, isInside, onPath, started } from '../model/places';
import { MINIMUM, type Fit, fit, numbersIn } from '../model/versions';
import type { Launch } from './connection';
import { type Installer, thisMachine } from './install';
import { selectedPython } from './python';

const ANSWER_MS = 15_000;

/** Why no server could be started, with what a person can do about it. */
export class NotFound extends Error {
  constructor(
    message: string,
    /** `setting`: the setting is wrong; `version`: what was found does not fit; `missing`: nothing was found. */
    readonly kind: 'setting' | 'version' | 'missing',
  ) {
    super(message);
  }
}

/** A place where the server may be. */
interface Place {
  command: string;
  args: string[];
  from: string;
}

/** Looks for the server, each time anew: what a person installs meanwhile is found by the next start. */
export class Finder {
  /** Why the last search failed. */
  failed: NotFound | undefined;

  constructor(
    private readonly installer: Installer,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /**
   * In this order: the setting, the selected Python interpreter, the PATH, the tools of uv and pipx, the extension's own
   * storage. In an untrusted folder nothing that lies in the folder is run.
   * @throws NotFound, and InstallError where an installation of the extension's own could not be renewed
   */
  async find(): Promise<Launch> {
    this.failed = undefined;
    try {
      return await this.search();
    } catch (error) {
      if (error instanceof NotFound) this.failed = error;
      throw error;
    }
  }

  private async search(): Promise<Launch> {
    const setting = vscode.workspace.getConfiguration('kiroLsp').get<string>('server.path')?.trim();
    if (setting) return await this.configured(setting);
    const unfit: string[] = [];
    for await (const place of this.places()) {
      const version = await versionOf(place);
      this.log.debug(`${place.command}: ${version ?? 'no server'}`);
      if (version === undefined) continue;
      if (fit(version) === 'fits') return { ...place, version };
      unfit.push(misfit(fit(version), version, place.from, place.command));
    }
    const own = await this.installer.launch();
    if (own) return own;
    if (unfit[0] !== undefined) throw new NotFound(unfit[0], 'version');
    throw new NotFound(vscode.l10n.t('The language server of Kiro LSP is not installed.'), 'missing');
  }

  private async configured(setting: string): Promise<Launch> {
    const command = setting.startsWith('~/') ? join(homedir(), setting.slice(2)) : setting;
    if (!isAbsolute(command) || !isFile(command))
      throw new NotFound(
        vscode.l10n.t('There is no program {0}, which the setting kiroLsp.server.path names.', setting),
        'setting',
      );
    const from = vscode.l10n.t('the setting kiroLsp.server.path');
    const place = { ...started(thisMachine(), command, []), from };
    const version = await versionOf(place);
    if (version === undefined) {
      const words = vscode.l10n.t('{0}, which the setting kiroLsp.server.path names, is not kiro-lsp.', command);
      throw new NotFound(words, 'setting');
    }
    if (fit(version) !== 'fits') throw new NotFound(misfit(fit(version), version, from, command), 'setting');
    return { ...place, version };
  }

  private async *places(): AsyncGenerator<Place> {
    const machine = thisMachine();
    const python = await selectedPython(this.log);
    if (python !== undefined && isAllowed(machine, python)) {
      // Without -P a folder of the project could have the name of a module; Python 3.10 and older do not know the word.
      yield { command: python, args: ['-P', '-m', 'kiro_lsp'], from: vscode.l10n.t('the selected Python interpreter') };
    }
    const seen = new Set<string>();
    const looked: [string[], string][] = [
      [onPath(machine, 'kiro-lsp'), vscode.l10n.t('the PATH')],
      [amongTools(machine, 'kiro-lsp'), vscode.l10n.t('the tools of uv or pipx')],
    ];
    for (const [paths, from] of looked)
      for (const path of paths) {
        if (seen.has(path) || !isFile(path) || !isAllowed(machine, path)) continue;
        seen.add(path);
        yield { ...started(machine, path, []), from };
      }
  }
}

/** Whether a program may be run: in a folder that is not trusted nothing that lies in it, also not by a link. */
export function isAllowed(machine: Machine, path: string): boolean {
  if (vscode.workspace.isTrusted) return true;
  const folders = (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
  return ![path, real(path)].some((one) => isInside(machine, one, [...folders, ...folders.map(real)]));
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

/** What `--version` prints, `undefined` where it is not our server that answers. Not asked in the project's folder. */
async function versionOf(place: Place): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const options = { cwd: tmpdir(), timeout: ANSWER_MS, windowsHide: true };
    execFile(place.command, [...place.args, '--version'], options, (error, output) => {
      const said = /^kiro-lsp (\S+)/.exec(output)?.[1];
      resolve(error === null && said !== undefined && numbersIn(said) ? said : undefined);
    });
  });
}

function misfit(fits: Fit, version: string, from: string, command: string): string {
  return fits === 'too old'
    ? vscode.l10n.t(
        'kiro-lsp {0} ({1}: {2}) is too old for this extension, which needs {3}.',
        version,
        from,
        command,
        MINIMUM,
      )
    : vscode.l10n.t(
        'kiro-lsp {0} ({1}: {2}) is newer than this extension; update the extension.',
        version,
        from,
        command,
      );
}
