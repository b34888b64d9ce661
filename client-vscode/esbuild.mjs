/**
 * Builds the extension: `dist/extension.js`, which the window loads, and what it loads later, each as one file:
 * `dist/languageclient.js` with the first server, `dist/output.js` in the output view. `--tests` builds the unit tests of the
 * parts that need no editor and runs them, `--sizes` prints what takes room in the files, `--inputs` writes
 * nothing and lists all that would be in them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

const common = {
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  external: ['vscode'],
  minify: true,
  legalComments: 'none',
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'warning',
};

/** Features of the language client that the server does not have; tests/vscode/test_package.py holds them against it. */
const WITHOUT = [
  'callHierarchy',
  'colorProvider',
  'declaration',
  'fileOperations',
  'implementation',
  'inlineCompletion',
  'inlineValue',
  'linkedEditingRange',
  'signatureHelp',
  'typeDefinition',
  'typeHierarchy',
];

const UNUSED_FEATURE = `class Unused {
  fillClientCapabilities() {}
  initialize() {}
  getState() { return { kind: 'static' }; }
  clear() {}
}`;

/** What others ask of the feature for notebooks, with which they are never synchronised. */
const NO_NOTEBOOKS = `const never = () => ({ dispose() {} });
exports.NotebookDocumentSyncFeature = class {
  static CellScheme = 'vscode-notebook-cell';
  registrationType = { method: 'notebookDocument/sync' };
  onOpenNotificationSent = never;
  onChangeNotificationSent = never;
  onSaveNotificationSent = never;
  onCloseNotificationSent = never;
  fillClientCapabilities() {}
  preInitialize() {}
  initialize() {}
  register() {}
  unregister() {}
  clear() {}
  handles() { return false; }
  getState() { return { kind: 'document', id: 'notebookDocument/sync', registrations: false, matches: false }; }
};`;

/** Packages of which only a word is needed. The manifest's \`engines\` checks the editor's version before the client does. */
const STAND_INS = {
  'semver/functions/parse': 'module.exports = (version) => ({ version, prerelease: [] });',
  'semver/functions/satisfies': 'module.exports = () => true;',
  // Only filters without a language are matched by their pattern, and no filter of ours is one.
  minimatch: 'exports.Minimatch = class { makeRe() { return false; } match() { return false; } };',
};

/** What the compiler of the language client put into each of its files, once for all of them. */
const HELPERS =
  /^var (__createBinding|__setModuleDefault|__importStar|__exportStar) = \(?(?:this && this\.\1)[^]*?\n(?:\}\)(?:\(\))?\)?|\}|\}\)\(\));\n/gm;
const SHARED_HELPERS = `
exports.__importStar = (module) => module.__esModule ? module : Object.create(module, { default: { value: module } });
exports.__exportStar = (from, exports) => {
  for (const name in from)
    if (name !== 'default' && !Object.hasOwn(exports, name))
      Object.defineProperty(exports, name, { enumerable: true, get: () => from[name] });
};`;

const smallerLanguageClient = {
  name: 'smaller language client',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(semver\/functions\/.*|minimatch|compiler-helpers)$/ }, ({ path }) => ({
      path,
      namespace: 'own',
    }));
    onLoad({ filter: /./, namespace: 'own' }, ({ path }) => ({ contents: STAND_INS[path] ?? SHARED_HELPERS }));
    onLoad({ filter: /node_modules\/vscode-(languageclient|languageserver-protocol|jsonrpc)\/.*\.js$/ }, ({ path }) => {
      if (path.endsWith('/vscode-languageclient/lib/common/notebook.js')) return { contents: NO_NOTEBOOKS };
      const text = readFileSync(path, 'utf-8');
      const isFeature = /vscode-languageclient\/lib\/common\/\w+\.js$/.test(path);
      if (isFeature && WITHOUT.includes(basename(path, '.js'))) return { contents: withoutFeatures(text) };
      const rest = text.replace(HELPERS, '');
      const helpers = `const { __importStar, __exportStar } = require('compiler-helpers');\n`;
      return { contents: rest === text ? text : helpers + rest };
    });
  },
};

/** A file of the language client in which each class that it exports does nothing. */
function withoutFeatures(text) {
  const names = new Set([...text.matchAll(/^exports\.(\w+) = /gm)].map((match) => match[1]));
  return `${UNUSED_FEATURE}\n${[...names].map((name) => `exports.${name} = Unused;`).join('\n')}`;
}

/** Has the window's file load the language client from a file of its own, when it is needed. */
const languageClientApart = {
  name: 'language client apart',
  setup({ onResolve }) {
    onResolve({ filter: /^vscode-languageclient(\/node)?$/ }, () => ({ path: './languageclient.js', external: true }));
  },
};

/**
 * Has each file ask for the editor's interface itself: for a namespace that is imported the bundle would copy the interface's
 * hundreds of names, once for every file that imports it, which was most of the time that activation took.
 */
const editorAsItIs = {
  name: 'editor as it is',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf-8').replace(
        "import * as vscode from 'vscode';",
        "const vscode = require('vscode');",
      ),
      loader: 'ts',
    }));
  },
};

/** Builds what stands in test/ into a folder of its own, and runs it there. */
async function runTests() {
  mkdirSync('dist-test', { recursive: true });
  const outdir = mkdtempSync(join('dist-test', 'run-'));
  try {
    const entryPoints = readdirSync('test').filter((name) => name.endsWith('.test.ts'));
    await build({ ...common, minify: false, entryPoints: entryPoints.map((name) => `test/${name}`), outdir });
    const files = readdirSync(outdir).map((name) => join(outdir, name));
    process.exitCode = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' }).status ?? 1;
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

/** The files of the extension; nothing of an earlier build is left in them. */
function files() {
  const window = {
    entryPoints: ['src/extension.ts'],
    outdir: 'dist',
    plugins: [languageClientApart, editorAsItIs],
    // Imports are carried out before anything else that the source could say.
    banner: { js: '"use strict";const BEGAN = performance.now(), USED = process.cpuUsage();' },
    footer: {
      js: `const LOADED = (({ user, system }) => ({ clock: performance.now() - BEGAN, processor: (user + system) / 1000 }))(
        process.cpuUsage(USED));`,
    },
    // The editor's own `require` knows "vscode"; `import()` would go past it.
    supported: { 'dynamic-import': false },
  };
  const languageClient = {
    stdin: {
      contents: "export { CloseAction, ErrorAction, LanguageClient, State } from 'vscode-languageclient/node';",
      resolveDir: '.',
    },
    outfile: 'dist/languageclient.js',
    plugins: [smallerLanguageClient],
  };
  const page = {
    entryPoints: { output: 'src/page/page.ts' },
    outdir: 'dist',
    format: 'iife',
    platform: 'browser',
    target: 'chrome120',
  };
  return existsSync('src/page/page.ts') ? [window, languageClient, page] : [window, languageClient];
}

/** One line a file that was built, then what takes most room in it. */
function printSizes({ outputs }) {
  for (const [file, { bytes, inputs }] of Object.entries(outputs)) {
    console.log(`${file} ${bytes}`);
    const parts = Object.entries(inputs).sort(([, one], [, other]) => other.bytesInOutput - one.bytesInOutput);
    for (const [name, { bytesInOutput }] of parts.slice(0, 25)) console.log(`  ${bytesInOutput} ${name}`);
  }
}

if (process.argv.includes('--tests')) await runTests();
else {
  const listed = process.argv.includes('--inputs');
  const results = await Promise.all(
    files().map((options) => build({ ...common, ...options, metafile: true, write: !listed })),
  );
  if (listed) for (const { metafile } of results) console.log(Object.keys(metafile.inputs).join('\n'));
  if (process.argv.includes('--sizes')) results.forEach(({ metafile }) => printSizes(metafile));
}
