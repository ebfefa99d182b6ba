// Runs every check of the source that needs no running program: types, lint, format, import rules, dead code.

import { join } from 'node:path';
import { execa } from 'execa';

const ROOT = join(import.meta.dirname, '..', '..');
const SOURCES = '{backend,cinder-bridge,fuel-plugin,nova-hooks,test}/**';
const CHECKS: readonly (readonly [string, string, readonly string[]])[] = [
  ['types', 'tsc', ['-p', 'tsconfig.json']],
  ['types of the dashboard', 'tsc', ['-p', 'backend/gateway/dashboard/page/tsconfig.json']],
  ['eslint', 'eslint', ['-c', '.eslint.config.mjs', '--no-warn-ignored', `${SOURCES}/*.{ts,tsx}`]],
  [
    'prettier',
    'prettier',
    ['--check', '--log-level', 'warn', `${SOURCES}/*.{ts,tsx,mjs,css,html}`],
  ],
  [
    'import rules',
    'depcruise',
    ['--config', '.dependency-cruiser.cjs', 'backend', 'cinder-bridge', 'fuel-plugin', 'test'],
  ],
  ['dead code', 'knip', []],
];

let failed = 0;
for (const [name, program, args] of CHECKS) {
  const began = Date.now();
  const result = await execa(join(ROOT, 'node_modules', '.bin', program), args, {
    cwd: ROOT,
    reject: false,
    stdin: 'ignore',
    all: true,
  });
  const good = result.exitCode === 0;
  const seconds = Math.round((Date.now() - began) / 1000);
  process.stdout.write(`${good ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)\n`);
  if (!good) {
    process.stdout.write(`${result.all}\n`);
    failed++;
  }
}
process.exitCode = failed === 0 ? 0 : 1;
