// Builds the extension as one file, or (--tests) the unit tests of the parts that need no editor, each as one file.
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

const common = { bundle: true, format: 'cjs', platform: 'node', target: 'node20', logLevel: 'warning' };

if (process.argv.includes('--tests')) {
  rmSync('dist-test', { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: readdirSync('test')
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => `test/${name}`),
    outdir: 'dist-test',
  });
} else {
  await build({
    ...common,
    entryPoints: ['src/extension.ts'],
    outfile: 'dist/extension.js',
    external: ['vscode'],
    minify: true,
    // The language client is as large as everything else together and is needed only once a task file is open.
    splitting: false,
    metafile: false,
  });
}
