// Runs every check of the source that needs no running program: types, lint, format, import rules, dead code.

import { join } from 'node:path';
import { execa } from 'execa';

import { readFlags, runTool } from '../backend/runtime/flags.js';

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

const HELP = `Usage: npm run lint
Checks the source: ${CHECKS.map(([name]) => name).join(', ')}. Takes no flags.
Exit codes: 0 nothing found, 1 something, 2 wrong usage.
`;

await runTool(HELP, async (given) => {
  readFlags(given, {});
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
  return failed === 0 ? 0 : 1;
});
