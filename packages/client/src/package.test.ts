import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PACKAGE = join(__dirname, '..');
const SHOW =
  "new c.CandlewireClient('http://127.0.0.1:9', { apiKey: 'k' }).close(); console.log(typeof c.foldCandles, typeof c.CandlewireError)";

/** Runs a script of plain Node, from within the package so that its name leads to what was built. */
function run(type: 'module' | 'commonjs', script: string): string {
  return execFileSync(process.execPath, [`--input-type=${type}`, '--eval', script], {
    cwd: PACKAGE,
    encoding: 'utf8',
  }).trim();
}

test('import works', () => {
  expect(run('module', `import * as c from '@candlewire/client'; ${SHOW}`)).toBe('function function');
});

test('require works', () => {
  expect(run('commonjs', `const c = require('@candlewire/client'); ${SHOW}`)).toBe('function function');
});

test.each(['esm/dist', 'dist'])('%s has types beside its code', (folder) => {
  const names = readdirSync(join(PACKAGE, folder));
  expect(names).toEqual(expect.arrayContaining(['index.js', 'index.d.ts', 'types.d.ts']));
  expect(names.filter((name) => /\.(test|suite)\./.test(name))).toEqual([]);
});

test('a browser can load it: its modules import each other alone, and ws only when it is called for', () => {
  const folder = join(PACKAGE, 'esm/dist');
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
  const loaded = texts.flatMap((text) => [...text.matchAll(/^\s*(?:import|export)\b[^;(=]*?["']([^"']+)["'];/gm)]);
  expect(loaded.length).toBeGreaterThan(10);
  expect(loaded.map(([, name]) => name!).filter((name) => !/^\.\/[a-z-]+\.js$/.test(name))).toEqual([]);
  const lazily = texts.flatMap((text) => [...text.matchAll(/\bimport\(["']([^"']+)["']\)/g)]);
  expect(lazily.map(([, name]) => name)).toEqual(['ws']);
  for (const text of texts) expect(text).not.toMatch(/\brequire\(|\bprocess\.|\bBuffer\b|\b__dirname\b/);
});
