import { spawn } from 'node:child_process';
import { access, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Fault, faultIn } from '../model/faults';
import { type Machine, interpreterOf, pythonCommands, uvPlaces, variable } from '../model/places';
import { compare, fit } from '../model/versions';
import { type Held, alone, lives } from './lock';

/** What lies beside the wheel; made by wheel.py. */
export interface Note {
  file: string;
  version: string;
  digest: string;
  /** Like `>=3.11`. */
  python: string;
  /** What language features need. */
  first: string[];
}

export interface Installed {
  folder: string;
  python: string;
  version: string;
  /** Whether the packages of all agents are in, too. */
  complete: boolean;
  /** The file that is there while packages are being installed. */
  installing: string;
}

export type Step = 'environment' | 'language features' | 'agents';

export interface Options {
  machine: Machine;
  /** The extension's own storage. */
  storage: string;
  /** The folder with the wheel and its note. */
  wheels: string;
  /** Interpreters to try first, like the selected one; absolute. */
  pythons?: () => Promise<string[]>;
  /** Of programs found on the PATH: whether this one may be run. */
  allowed: (path: string) => boolean;
  log: (line: string) => void;
  report: (step: Step) => void;
}

export class InstallError extends Error {
  constructor(
    readonly fault: Fault,
    readonly step: Step,
  ) {
    super(`${step}: ${fault.kind}: ${fault.what}`);
  }
}

const LANGUAGE = 'language-features.json';
const ALL = 'complete.json';
const INSTALLING = 'installing';

/**
 * The server in the extension's own storage: a virtual environment for each version, in two steps. After the first the
 * server can start; the second brings what the agents need. A step counts once its marker is there, and not before, so that
 * what a crash left is never used; one window at a time works on it.
 */
export class Installation {
  constructor(private readonly options: Options) {}

  /** What is in the package. Throws where the extension was packed without a wheel. */
  async note(): Promise<Note> {
    return JSON.parse(await readFile(join(this.options.wheels, 'wheel.json'), 'utf-8')) as Note;
  }

  /** The installation of exactly the wheel in the package. */
  async current(): Promise<Installed | undefined> {
    return await this.at(this.folderOf(await this.note()));
  }

  /** The newest installation that this extension can talk to: what there is where the current one cannot be had. */
  async newest(): Promise<Installed | undefined> {
    const names = await readdir(this.root).catch(() => []);
    const all = await Promise.all(names.map((name) => this.at(join(this.root, name))));
    const usable = all.filter((one): one is Installed => one !== undefined && fit(one.version) === 'fits');
    return usable.sort((one, other) => compare(other.version, one.version))[0];
  }

  /**
   * Makes the current installation ready for language features; another window may be who does it.
   * @throws InstallError, and the signal's reason
   */
  async install(signal: AbortSignal): Promise<Installed> {
    const note = await this.note();
    await mkdir(this.root, { recursive: true });
    const folder = this.folderOf(note);
    return await alone(
      `${folder}.lock`,
      (held) => this.first(note, folder, held, signal),
      () => this.at(folder),
      signal,
    );
  }

  /**
   * Brings the packages of the agents into an installation; another window may be who does it.
   * @throws InstallError, and the signal's reason
   */
  async finish(installed: Installed, signal: AbortSignal): Promise<Installed> {
    const settled = async (): Promise<Installed | undefined> => {
      const now = await this.at(installed.folder);
      return now?.complete === true ? now : undefined;
    };
    return await alone(`${installed.folder}.lock`, (held) => this.rest(installed, held, signal), settled, signal);
  }

  /** Says that this process uses an installation, so that no other window removes it. */
  async use(installed: Installed): Promise<void> {
    await writeFile(join(installed.folder, `used-by-${process.pid}`), '').catch(() => undefined);
  }

  /** Removes the installations that no window uses, but for this one. What cannot be removed now is left for later. */
  async clean(kept: Installed): Promise<void> {
    for (const name of await readdir(this.root)) {
      const folder = join(this.root, name);
      if (folder === kept.folder || folder === `${kept.folder}.lock` || (await isUsed(folder))) continue;
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    }
  }

  private get root(): string {
    return join(this.options.storage, 'server');
  }

  private folderOf(note: Note): string {
    return join(this.root, `${note.version}-${note.digest.slice(0, 8)}`);
  }

  private async at(folder: string): Promise<Installed | undefined> {
    try {
      const { version } = JSON.parse(await readFile(join(folder, LANGUAGE), 'utf-8')) as { version: string };
      const python = interpreterOf(this.options.machine, folder);
      await access(python); // the Python that it was made from may have been removed
      return {
        folder,
        python,
        version,
        complete: await isThere(join(folder, ALL)),
        installing: join(folder, INSTALLING),
      };
    } catch {
      return undefined;
    }
  }

  private async first(note: Note, folder: string, held: Held, signal: AbortSignal): Promise<Installed> {
    const ways = await this.ways(note);
    for (const [index, way] of ways.entries()) {
      try {
        // Half an installation of an earlier attempt is no beginning.
        await rm(folder, { recursive: true, force: true });
        await this.run('environment', way.environment(folder), held, signal);
        await writeFile(join(folder, INSTALLING), '');
        await this.run('language features', way.packages(folder, note.first), held, signal);
        const wheel = join(this.options.wheels, note.file);
        await this.run('language features', way.packages(folder, ['--no-deps', wheel]), held, signal);
        const check = [interpreterOf(this.options.machine, folder), '-P', '-m', 'kiro_lsp', '--version'];
        await this.run('language features', check, held, signal);
        await mark(join(folder, LANGUAGE), { version: note.version, way: way.name });
        break;
      } catch (error) {
        await rm(folder, { recursive: true, force: true });
        if (signal.aborted || index === ways.length - 1 || !(error instanceof InstallError)) throw error;
        this.options.log(`${way.name} could not do it, trying ${ways[index + 1]?.name ?? ''}`);
      }
    }
    const installed = await this.at(folder);
    if (!installed) throw new InstallError({ kind: 'other', what: folder }, 'language features');
    return installed;
  }

  private async rest(installed: Installed, held: Held, signal: AbortSignal): Promise<Installed> {
    const note = await this.note();
    await writeFile(installed.installing, '');
    try {
      await dropHalves(installed.folder);
      const { way: name } = JSON.parse(await readFile(join(installed.folder, LANGUAGE), 'utf-8')) as { way: string };
      const ways = await this.ways(note, name === 'uv' ? undefined : installed.python);
      const way = ways.find((one) => one.name === name) ?? ways[0];
      if (!way) throw new InstallError({ kind: 'python', what: note.python }, 'agents');
      const wheel = join(this.options.wheels, note.file);
      await this.run('agents', way.packages(installed.folder, [wheel]), held, signal);
      await mark(join(installed.folder, ALL), { version: note.version });
    } finally {
      await rm(installed.installing, { force: true });
    }
    return { ...installed, complete: true };
  }

  /** How to install, the best first: uv brings a Python where none is there. */
  private async ways(note: Note, known?: string): Promise<Way[]> {
    const { machine } = this.options;
    const uv = canServe(machine) ? await this.firstThere(uvPlaces(machine)) : undefined;
    const found = known === undefined ? await this.python(note) : { argv: [known] };
    const ways = uv === undefined ? [] : [uvWay(machine, uv, note)];
    if (found.argv) ways.push(pipWay(machine, found.argv));
    else if (uv === undefined)
      throw new InstallError({ kind: found.bare ? 'venv' : 'python', what: found.bare ?? note.python }, 'environment');
    return ways;
  }

  /** The first Python that is new enough and can make environments; `bare` is one that is only new enough. */
  private async python(note: Note): Promise<{ argv?: string[]; bare?: string }> {
    const [major = 3, minor = 11] = (/\d+\.\d+/.exec(note.python)?.[0] ?? '').split('.').map(Number);
    // Without ensurepip, as on Debian without python3-venv, an environment would have no pip.
    const question = `import sys, importlib.util as u
print("old" if sys.version_info < (${major}, ${minor}) else "new" if u.find_spec("ensurepip") else "bare")`;
    let bare: string | undefined;
    const chosen = (await this.options.pythons?.()) ?? [];
    for (const argv of [...chosen.map((path) => [path]), ...pythonCommands(this.options.machine)]) {
      const [program = ''] = argv;
      if (!(await isThere(program)) || !this.options.allowed(program)) continue;
      const { code, output } = await this.start([...argv, '-I', '-c', question]).ended;
      if (code === 0 && output.trim() === 'new') return { argv };
      if (code === 0 && output.trim() === 'bare') bare ??= program;
    }
    return bare === undefined ? {} : { bare };
  }

  private async firstThere(paths: readonly string[]): Promise<string | undefined> {
    for (const path of paths) if (this.options.allowed(path) && (await isThere(path))) return path;
    return undefined;
  }

  private async run(step: Step, argv: readonly string[], held: Held, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.options.report(step);
    this.options.log(`> ${argv.join(' ')}`);
    const { ended, pid, stop } = this.start(argv);
    signal.addEventListener('abort', stop);
    try {
      if (pid !== undefined) await held.share(pid);
      const { code, output } = await ended;
      signal.throwIfAborted();
      for (const line of output.split(/\r?\n/)) if (line.trim()) this.options.log(`  ${line}`);
      if (code !== 0) throw new InstallError(faultIn(output), step);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Never in the project's folder, where a file could have the name of a module; never into another environment. */
  private start(argv: readonly string[]): {
    ended: Promise<{ code: number; output: string }>;
    pid?: number;
    stop: () => void;
  } {
    const [command = '', ...args] = argv;
    const env: NodeJS.ProcessEnv = {
      ...asForUv(this.options.machine.env),
      PIP_USER: '0',
      PIP_NO_INPUT: '1',
      PYTHONUTF8: '1',
    };
    for (const name of ['PYTHONHOME', 'PYTHONPATH', 'PIP_TARGET', 'PIP_PREFIX', 'VIRTUAL_ENV', 'CONDA_PREFIX'])
      Reflect.deleteProperty(env, name);
    const child = spawn(command, args, { cwd: tmpdir(), env, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf-8').on('data', (text: string) => (output = (output + text).slice(-100_000)));
    const ended = new Promise<{ code: number; output: string }>((resolve) => {
      child.on('error', (error) => resolve({ code: -1, output: String(error) }));
      child.on('close', (code) => resolve({ code: code ?? -1, output }));
    });
    return { ended, stop: () => child.kill(), ...(child.pid === undefined ? {} : { pid: child.pid }) };
  }
}

interface Way {
  name: 'uv' | 'pip';
  environment(folder: string): string[];
  packages(folder: string, what: readonly string[]): string[];
}

function uvWay(machine: Machine, uv: string, note: Note): Way {
  return {
    name: 'uv',
    environment: (folder) => [uv, 'venv', '--no-project', '--python', note.python, folder],
    packages: (folder, what) => [uv, 'pip', 'install', '--python', interpreterOf(machine, folder), ...what],
  };
}

function pipWay(machine: Machine, python: readonly string[]): Way {
  // It says why an index was not reached only when it tries again.
  const flags = ['--disable-pip-version-check', '--no-warn-script-location', '--progress-bar', 'off', '--retries', '2'];
  return {
    name: 'pip',
    environment: (folder) => [...python, '-m', 'venv', folder],
    packages: (folder, what) => [interpreterOf(machine, folder), '-I', '-m', 'pip', 'install', ...flags, ...what],
  };
}

/** uv knows its own variables only; where a person told pip not to ask any index, uv would ask the public one. */
function canServe(machine: Machine): boolean {
  return !variable(machine, 'PIP_NO_INDEX') || !!variable(machine, 'UV_NO_INDEX');
}

/** What a person told pip of package indexes and certificates, for uv where it was told nothing itself. */
function asForUv(env: Machine['env']): NodeJS.ProcessEnv {
  const told: NodeJS.ProcessEnv = {};
  if (env.PIP_INDEX_URL) told.UV_DEFAULT_INDEX = env.PIP_INDEX_URL;
  if (env.PIP_EXTRA_INDEX_URL) told.UV_INDEX = env.PIP_EXTRA_INDEX_URL;
  if (env.PIP_FIND_LINKS) told.UV_FIND_LINKS = env.PIP_FIND_LINKS;
  if (env.PIP_CERT) told.SSL_CERT_FILE = env.PIP_CERT;
  return { ...told, ...env };
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** A marker is there whole or not at all. */
async function mark(path: string, content: object): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(content));
  await rename(`${path}.new`, path);
}

async function isUsed(folder: string): Promise<boolean> {
  const names = folder.endsWith('.lock') ? [] : await readdir(folder).catch(() => []);
  const pids = names.map((name) => /^used-by-(\d+)$/.exec(name)?.[1]).filter((pid) => pid !== undefined);
  return folder.endsWith('.lock') || pids.some((pid) => lives(Number(pid)));
}

/** An installer that was killed leaves packages that look installed: they have a name, and not yet who installed them. */
async function dropHalves(folder: string): Promise<void> {
  for (const path of await readdir(folder, { recursive: true }))
    if (path.endsWith('.dist-info') && !(await isThere(join(folder, path, 'INSTALLER'))))
      await rm(join(folder, path), { recursive: true, force: true });
}
