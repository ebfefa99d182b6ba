// Golden bytes: what version 1 of every row looks like on the wire, kept for ever. As a program it adds the rows that
// are missing: `node dist/test/unit/protocol/golden-file.js`. It changes no row that is there, except those that are
// named as arguments: only while no release with that row exists.

import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

import { ROWS } from './rows.js';
import type { Row } from './rows.js';
import { sampleFields } from './samples.js';

export const GOLDEN_VERSION = 1;
const FILE = 'test/golden/protocol-1.json';

/** The rows that existed in the version, with the fields that they had. */
export function goldenRows(): readonly Row[] {
  return ROWS;
}

/** The sample of a row as the version knows it. */
export function goldenValue(row: Row): Record<string, unknown> {
  const fields = row.fields.filter((field) => field.since <= GOLDEN_VERSION);
  return sampleFields(fields, row.name);
}

/** Bytes in hex by name of row. */
export function readGolden(): Readonly<Record<string, string>> {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, string>;
}

function addMissing(replaced: readonly string[]): void {
  const known = new Set(goldenRows().map((row) => row.name));
  const kept = Object.entries(readGolden()).filter(([name]) => !replaced.includes(name));
  const golden: Record<string, string> = Object.fromEntries(kept);
  const unknown = replaced.filter((name) => !known.has(name));
  if (unknown.length > 0) throw new Error(`no rows called ${unknown.join(', ')}`);
  for (const row of goldenRows()) {
    const bytes = row.encode(goldenValue(row), GOLDEN_VERSION);
    golden[row.name] ??= Buffer.from(bytes).toString('hex');
  }
  writeFileSync(FILE, `${JSON.stringify(golden, null, 2)}\n`);
}

if (argv[1] === fileURLToPath(import.meta.url)) addMissing(argv.slice(2));
