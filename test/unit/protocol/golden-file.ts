// Golden bytes: what each version of the protocol looks like on the wire and in the metadata store. Files of released versions
// are kept for ever. As a program it adds the rows that are missing (`node dist/test/unit/protocol/golden-file.js`) and makes
// those anew that are named as arguments, in files of versions that are not released only.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { argv, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';

import { MODEL } from '../../../backend/protocol/generator/model.js';
import type { Field, FieldKind } from '../../../backend/protocol/tables/fields.js';
import { PROTOCOL_VERSION_RELEASED } from '../../../backend/protocol/tables/messages.js';
import { ROWS } from './rows.js';
import type { Row } from './rows.js';
import { sampleFields } from './samples.js';

/** Every version that is spoken. */
export const GOLDEN_VERSIONS: readonly number[] = Array.from(
  { length: MODEL.versionMax - MODEL.versionMin + 1 },
  (_, index) => MODEL.versionMin + index,
);

const fileOf = (version: number): string => `test/golden/protocol-${version}.json`;

/** Whether a version gave these fields, or a structure in them, a layout that the one before did not have. */
function isChanged(fields: readonly Field[], version: number): boolean {
  return fields.some((field) => field.since === version || isKindChanged(field.type, version));
}

function isKindChanged(kind: FieldKind, version: number): boolean {
  switch (kind.kind) {
    case 'struct':
      return isChanged(MODEL.structs[kind.of]?.fields ?? [], version);
    case 'list':
    case 'optional':
      return isKindChanged(kind.item, version);
    default:
      return false;
  }
}

/** The rows whose bytes a version brought: all of the first one, afterwards those that are new or have grown. */
export function goldenRows(version: number): readonly Row[] {
  return ROWS.filter(
    (row) =>
      row.since === version ||
      (row.since < version && version > MODEL.versionMin && isChanged(row.fields, version)),
  );
}

/** The sample of a row as a version knows it. */
export function goldenValue(row: Row, version: number): Record<string, unknown> {
  return sampleFields(row.fields, row.name, version);
}

/** Bytes in hex by name of row. */
export function readGolden(version: number): Readonly<Record<string, string>> {
  const file = fileOf(version);
  if (!existsSync(file)) return {};
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
}

function update(version: number, replaced: readonly string[]): void {
  const known = readGolden(version);
  const golden: Record<string, string> = {};
  const isReleased = version <= PROTOCOL_VERSION_RELEASED;
  const rows = goldenRows(version);
  if (isReleased) Object.assign(golden, known);
  for (const row of rows) {
    const bytes = Buffer.from(row.encode(goldenValue(row, version), version)).toString('hex');
    const kept = replaced.includes(row.name) && !isReleased ? undefined : known[row.name];
    golden[row.name] = kept ?? bytes;
    if (kept === undefined) stdout.write(`${row.name}, version ${version}\n`);
  }
  writeFileSync(fileOf(version), `${JSON.stringify(golden, null, 2)}\n`);
}

function main(replaced: readonly string[]): void {
  for (const name of replaced) {
    if (!ROWS.some((row) => row.name === name)) throw new Error(`no row called ${name}`);
    const newest = goldenRows(MODEL.versionMax).some((row) => row.name === name);
    if (!newest)
      throw new Error(
        `${name} is as released with version ${PROTOCOL_VERSION_RELEASED}: its fields stay, new ones stand behind them with \`since: ${MODEL.versionMax}\` and \`absent\``,
      );
  }
  for (const version of GOLDEN_VERSIONS) update(version, replaced);
}

if (argv[1] === fileURLToPath(import.meta.url)) main(argv.slice(2));
