import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as places from '../src/model/places';

const LINUX: places.Machine = {
  platform: 'linux',
  env: { PATH: '/home/ana/.local/bin:node_modules/.bin:/usr/bin:/usr/bin:' },
  home: '/home/ana',
};
const MAC: places.Machine = { platform: 'darwin', env: { PATH: '/usr/bin:/bin' }, home: '/Users/ana' };
const WINDOWS: places.Machine = {
  platform: 'win32',
  env: {
    Path: 'C:\\Windows;"C:\\Program Files\\Tools";.\\bin;D:\\project\\bin',
    LOCALAPPDATA: 'C:\\Users\\ana\\AppData\\Local',
    APPDATA: 'C:\\Users\\ana\\AppData\\Roaming',
    ComSpec: 'C:\\Windows\\system32\\cmd.exe',
  },
  home: 'C:\\Users\\ana',
};

describe('the PATH', () => {
  it('counts absolute folders only, each once', () => {
    assert.deepEqual(places.onPath(LINUX, 'kiro-lsp'), ['/home/ana/.local/bin/kiro-lsp', '/usr/bin/kiro-lsp']);
  });
  it('is found on Windows however it is spelled, with the endings of programs', () => {
    assert.deepEqual(places.onPath(WINDOWS, 'kiro-lsp').slice(0, 4), [
      'C:\\Windows\\kiro-lsp.exe',
      'C:\\Windows\\kiro-lsp.cmd',
      'C:\\Windows\\kiro-lsp.bat',
      'C:\\Program Files\\Tools\\kiro-lsp.exe',
    ]);
    assert.ok(!places.onPath(WINDOWS, 'kiro-lsp').some((path) => path.startsWith('.')));
  });
  it('may be empty', () => {
    assert.deepEqual(places.onPath({ ...LINUX, env: {} }, 'kiro-lsp'), []);
  });
});

describe('tools of uv and pipx', () => {
  it('lie in their folders on Linux', () => {
    const found = places.amongTools(LINUX, 'kiro-lsp');
    for (const path of [
      '/home/ana/.local/bin/kiro-lsp',
      '/home/ana/.local/share/uv/tools/kiro-lsp/bin/kiro-lsp',
      '/home/ana/.local/share/pipx/venvs/kiro-lsp/bin/kiro-lsp',
    ])
      assert.ok(found.includes(path), path);
  });
  it('lie where variables say, before the usual places', () => {
    const env = { UV_TOOL_BIN_DIR: '/tools/bin', PIPX_HOME: '/px', XDG_DATA_HOME: '/data' };
    const found = places.amongTools({ ...LINUX, env }, 'kiro-lsp');
    assert.equal(found[0], '/tools/bin/kiro-lsp');
    assert.ok(found.includes('/px/venvs/kiro-lsp/bin/kiro-lsp'));
    assert.ok(found.includes('/data/uv/tools/kiro-lsp/bin/kiro-lsp'));
    assert.ok(found.includes('/bin/kiro-lsp'), 'beside XDG_DATA_HOME, as uv has it');
  });
  it('lie in their folders on macOS', () => {
    const found = places.amongTools(MAC, 'kiro-lsp');
    assert.ok(found.includes('/Users/ana/Library/Application Support/pipx/venvs/kiro-lsp/bin/kiro-lsp'));
  });
  it('lie in their folders on Windows', () => {
    const found = places.amongTools(WINDOWS, 'kiro-lsp');
    for (const path of [
      'C:\\Users\\ana\\.local\\bin\\kiro-lsp.exe',
      'C:\\Users\\ana\\AppData\\Roaming\\uv\\data\\tools\\kiro-lsp\\Scripts\\kiro-lsp.exe',
      'C:\\Users\\ana\\AppData\\Local\\pipx\\pipx\\venvs\\kiro-lsp\\Scripts\\kiro-lsp.exe',
    ])
      assert.ok(found.includes(path), path);
  });
});

describe('a path inside of folders', () => {
  it('is the folder itself or below it', () => {
    assert.ok(places.isInside(LINUX, '/home/me/project/.venv/bin/python', ['/other', '/home/me/project']));
    assert.ok(places.isInside(LINUX, '/home/me/project', ['/home/me/project']));
    assert.ok(!places.isInside(LINUX, '/home/me/project-2/bin/python', ['/home/me/project']));
    assert.ok(!places.isInside(LINUX, '/usr/bin/python', ['/home/me/project']));
  });
  it('takes no notice of case on Windows, and knows drives', () => {
    assert.ok(places.isInside(WINDOWS, 'D:\\Project\\bin\\kiro-lsp.exe', ['d:\\project']));
    assert.ok(!places.isInside(WINDOWS, 'C:\\project\\bin\\kiro-lsp.exe', ['d:\\project']));
  });
});

describe('Pythons', () => {
  it('that are known to be new come first', () => {
    const found = places.pythonCommands(LINUX).map(([path]) => path);
    assert.equal(found[0], '/home/ana/.local/bin/python3.13');
    assert.ok(found.indexOf('/usr/bin/python3.11') < found.indexOf('/usr/bin/python3'));
  });
  it('of macOS itself are left alone: calling it may open a dialog', () => {
    const found = places.pythonCommands(MAC).map(([path = '']) => path);
    assert.ok(!found.some((path) => path.startsWith('/usr/bin/')));
    assert.ok(found.includes('/opt/homebrew/bin/python3'));
  });
  it('are asked for by the launcher on Windows', () => {
    const found = places.pythonCommands(WINDOWS);
    assert.deepEqual(found[0], ['C:\\Windows\\py.exe', '-3.13']);
    assert.ok(found.every(([path]) => path?.endsWith('.exe')));
  });
  it('of an environment lie in its folder for programs', () => {
    assert.equal(places.interpreterOf(LINUX, '/store/1'), '/store/1/bin/python');
    assert.equal(places.interpreterOf(WINDOWS, 'C:\\store\\1'), 'C:\\store\\1\\Scripts\\python.exe');
  });
});

describe('how a program is started', () => {
  it('is by itself, but for the scripts of Windows', () => {
    assert.deepEqual(places.started(LINUX, '/usr/bin/kiro-lsp', ['a']), { command: '/usr/bin/kiro-lsp', args: ['a'] });
    assert.deepEqual(places.started(WINDOWS, 'C:\\a b\\kiro-lsp.exe', []), {
      command: 'C:\\a b\\kiro-lsp.exe',
      args: [],
    });
    assert.deepEqual(places.started(WINDOWS, 'C:\\a b\\kiro-lsp.cmd', ['--version']), {
      command: 'C:\\Windows\\system32\\cmd.exe',
      args: ['/d', '/c', 'call', 'C:\\a b\\kiro-lsp.cmd', '--version'],
    });
  });
});
