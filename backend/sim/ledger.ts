// The ledger of simulated seeds: which ranges ran on which code, and what failed. It owns the form of a line and the name of
// the code; it must never decide what counts as a failure.

import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { BatchResult } from './batch.js';

/** Folders whose compiled code a scenario executes. */
const FOLDERS = ['cluster-map', 'core', 'mdm', 'mdm-client', 'protocol', 'sdc', 'sds', 'sim'];
const NAME_DIGITS = 16;

export interface LedgerLine {
  /** Of the compiled code: product and simulator. */
  readonly code: string;
  readonly firstSeed: number;
  readonly scenarios: number;
  /** Ran twice and left the same trace. */
  readonly twice: number;
  readonly requests: number;
  readonly perMinute: number;
  readonly failed: readonly number[];
  readonly marksReached: number;
  readonly marks: number;
}

/** Hash over all code that scenarios execute: paths and contents, in order. */
export function codeName(): string {
  const root = join(import.meta.dirname, '..');
  const hash = createHash('sha256');
  for (const folder of FOLDERS) {
    const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((name) => name.endsWith('.js')).sort()) {
      hash.update(`${folder}/${file}\n`);
      hash.update(readFileSync(join(root, folder, file)));
    }
  }
  return hash.digest('hex').slice(0, NAME_DIGITS);
}

/** Adds what a run found to a file of JSON lines. */
export function note(file: string, firstSeed: number, seconds: number, total: BatchResult): void {
  const hits = Object.values(total.marks);
  const line: LedgerLine = {
    code: codeName(),
    firstSeed,
    scenarios: total.scenarios,
    twice: total.twice,
    requests: total.requests,
    perMinute: Math.round((total.scenarios / seconds) * 60),
    failed: total.failures.map(({ seed }) => seed).sort((one, other) => one - other),
    marksReached: hits.filter((count) => count > 0).length,
    marks: hits.length,
  };
  appendFileSync(file, `${JSON.stringify(line)}\n`);
}
