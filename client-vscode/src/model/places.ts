/** Where programs lie on each platform. Nothing here touches a disk: the machine comes in, paths in order go out. */
import { posix, win32 } from 'node:path';

/** What the places depend on. `env` is looked up without regard to case on Windows, as the system does. */
export interface Machine {
  platform: NodeJS.Platform;
  env: Readonly<Record<string, string | undefined>>;
  home: string;
}

/** The path functions of a platform. */
export function pathOf(machine: Machine): typeof posix {
  return machine.platform === 'win32' ? win32 : posix;
}

export function variable(machine: Machine, name: string): string | undefined {
  if (machine.platform !== 'win32') return machine.env[name];
  const key = Object.keys(machine.env).find((one) => one.toUpperCase() === name.toUpperCase());
  return key === undefined ? undefined : machine.env[key];
}

/** Whether a path is one of the folders or lies below one. Both are taken as they are spelled; links are the caller's. */
export function isInside(machine: Machine, path: string, folders: readonly string[]): boolean {
  const paths = pathOf(machine);
  const fold = (text: string): string => (machine.platform === 'win32' ? text.toLowerCase() : text);
  return folders.some((folder) => {
    const relative = paths.relative(fold(folder), fold(path));
    return relative === '' || (!relative.startsWith('..') && !paths.isAbsolute(relative));
  });
}

/** The absolute folders of the PATH in their order, each once. Relative ones would depend on where the editor was started. */
export function pathFolders(machine: Machine): string[] {
  const paths = pathOf(machine);
  const folders = (variable(machine, 'PATH') ?? '')
    .split(paths.delimiter)
    .map((folder) => folder.replace(/^"|"$/g, ''));
  return [...new Set(folders.filter((folder) => paths.isAbsolute(folder)))];
}

/** The names under which a program may lie in a folder. */
export function fileNames(machine: Machine, name: string): string[] {
  return machine.platform === 'win32' ? [`${name}.exe`, `${name}.cmd`, `${name}.bat`] : [name];
}

/** Where a program is looked for on the PATH. */
export function onPath(machine: Machine, name: string): string[] {
  return filesIn(machine, name, pathFolders(machine));
}

/** The folders into which `uv tool install` and `pipx install` put programs, by their variables and defaults. */
export function toolFolders(machine: Machine): string[] {
  const paths = pathOf(machine);
  const data = variable(machine, 'XDG_DATA_HOME');
  const local = variable(machine, 'LOCALAPPDATA') ?? paths.join(machine.home, 'AppData', 'Local');
  const venvs = [
    variable(machine, 'PIPX_HOME'),
    paths.join(machine.home, '.local', 'pipx'),
    data && paths.join(data, 'pipx'),
    machine.platform === 'win32' ? paths.join(local, 'pipx', 'pipx') : paths.join(machine.home, '.local/share/pipx'),
    machine.platform === 'darwin' ? paths.join(machine.home, 'Library/Application Support/pipx') : undefined,
  ];
  const tools = [
    variable(machine, 'UV_TOOL_DIR'),
    data && paths.join(data, 'uv', 'tools'),
    machine.platform === 'win32'
      ? paths.join(
          variable(machine, 'APPDATA') ?? paths.join(machine.home, 'AppData', 'Roaming'),
          'uv',
          'data',
          'tools',
        )
      : paths.join(machine.home, '.local/share/uv/tools'),
  ];
  const programs = machine.platform === 'win32' ? 'Scripts' : 'bin';
  const folders = [
    variable(machine, 'UV_TOOL_BIN_DIR'),
    variable(machine, 'PIPX_BIN_DIR'),
    variable(machine, 'XDG_BIN_HOME'),
    data && paths.join(data, '..', 'bin'),
    paths.join(machine.home, '.local', 'bin'),
    ...tools.map((folder) => folder && paths.join(folder, 'kiro-lsp', programs)),
    ...venvs.map((folder) => folder && paths.join(folder, 'venvs', 'kiro-lsp', programs)),
  ];
  return [...new Set(folders.filter((folder): folder is string => !!folder && paths.isAbsolute(folder)))];
}

/** The places of a program among the tools of uv and pipx. */
export function amongTools(machine: Machine, name: string): string[] {
  return filesIn(machine, name, toolFolders(machine));
}

/** Where uv is looked for: an editor that was started from the desktop may lack the folders of the shell's PATH. */
export function uvPlaces(machine: Machine): string[] {
  const paths = pathOf(machine);
  const usual = [paths.join(machine.home, '.local', 'bin'), paths.join(machine.home, '.cargo', 'bin')];
  return filesIn(machine, 'uv', [...pathFolders(machine), ...usual, ...brewFolders(machine)]);
}

/** The interpreter of a virtual environment. */
export function interpreterOf(machine: Machine, folder: string): string {
  const paths = pathOf(machine);
  return machine.platform === 'win32'
    ? paths.join(folder, 'Scripts', 'python.exe')
    : paths.join(folder, 'bin', 'python');
}

const MINORS = ['3.13', '3.12', '3.11', '3.14'];

/**
 * Commands by which a Python may be reached, those that are known to be new enough first. The `python3` of macOS itself is
 * left out: it is old, and where the developer tools are missing, calling it opens a dialog.
 */
export function pythonCommands(machine: Machine): string[][] {
  const names = [...MINORS.map((minor) => `python${minor}`), 'python3', 'python'];
  if (machine.platform === 'win32') {
    const launcher = onPath(machine, 'py').filter((path) => path.endsWith('.exe'));
    const asked = launcher.flatMap((path) => [...MINORS, '3'].map((minor) => [path, `-${minor}`]));
    const named = ['python3', 'python']
      .flatMap((name) => onPath(machine, name))
      .filter((path) => path.endsWith('.exe'));
    return [...asked, ...named.map((path) => [path])];
  }
  const folders = [...pathFolders(machine), ...brewFolders(machine)];
  const found = names.flatMap((name) => filesIn(machine, name, folders));
  const useful = found.filter((path) => machine.platform !== 'darwin' || !path.startsWith('/usr/bin/'));
  return [...new Set(useful)].map((path) => [path]);
}

/** How a program is started: Node starts no `.cmd` by itself. */
export function started(machine: Machine, path: string, args: readonly string[]): { command: string; args: string[] } {
  if (machine.platform !== 'win32' || !/\.(cmd|bat)$/i.test(path)) return { command: path, args: [...args] };
  return { command: variable(machine, 'COMSPEC') ?? 'cmd.exe', args: ['/d', '/c', 'call', path, ...args] };
}

function brewFolders(machine: Machine): string[] {
  return machine.platform === 'darwin' ? ['/opt/homebrew/bin', '/usr/local/bin'] : [];
}

function filesIn(machine: Machine, name: string, folders: readonly string[]): string[] {
  const paths = pathOf(machine);
  const files = folders.flatMap((folder) => fileNames(machine, name).map((file) => paths.join(folder, file)));
  return [...new Set(files)];
}
