// Builds each mutation of mutations.ts in a folder of its own and lets the simulator find it. Prints a table; ends with
// status 1 when a broken build survives, or when a mutation does not fit the code any more.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import type { Mutation } from './mutations.js';
import { MUTATIONS } from './mutations.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '3000' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    rule: { type: 'string', multiple: true, default: [] },
  },
});

function mutate(folder: string, mutation: Mutation): void {
  for (const { file, from, to } of mutation.replacements) {
    const path = join(folder, 'dist', file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2)
      throw new Error(`${mutation.rule}: "${from}" must stand once in ${file}`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
  }
}

/** Seed that found the mutation and how it showed, or null. */
function hunt(mutation: Mutation): { seed: string; failure: string } | null {
  const folder = mkdtempSync(join(tmpdir(), 'meshsan-mutant-'));
  try {
    cpSync(join(ROOT, 'dist', 'backend'), join(folder, 'dist', 'backend'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    mutate(folder, mutation);
    const args = ['--seeds', values.seeds, '--seed', values.seed, '--jobs', values.jobs, '--stop'];
    const main = join(folder, 'dist', 'backend', 'sim', 'main.js');
    const done = spawnSync(process.execPath, [main, ...args], {
      encoding: 'utf8',
      maxBuffer: OUTPUT_BYTES_MAX,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const found = /^seed (\d+) FAILED: (.*)$/m.exec(done.stdout);
    if (found === null && done.status !== 0)
      throw new Error(`${mutation.rule}: the simulator ended with status ${String(done.status)}`);
    return found === null ? null : { seed: found[1] ?? '', failure: found[2] ?? '' };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

let survivors = 0;
for (const mutation of MUTATIONS) {
  if (values.rule.length > 0 && !values.rule.includes(mutation.rule)) continue;
  const began = Date.now();
  const found = hunt(mutation);
  const seconds = Math.round((Date.now() - began) / 1000);
  if (found === null) survivors += 1;
  const outcome =
    found === null ? 'SURVIVED' : `seed ${found.seed}: ${found.failure.slice(0, 110)}`;
  process.stdout.write(
    `${mutation.rule.padEnd(4)} ${mutation.about}\n     ${outcome} (${seconds} s)\n`,
  );
}
process.stdout.write(
  survivors === 0 ? 'every broken build was found\n' : `${survivors} broken builds survived\n`,
);
process.exitCode = survivors === 0 ? 0 : 1;
