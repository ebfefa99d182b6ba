// What an MDM process takes part in, as its node keeps it: written whole before anything is begun that follows from it, so
// that the next process goes on. It must never hold anything secret, nor any content of the system.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makePrivateDirectory, writePrivate } from '../durable-files.js';
import { NO_PART } from '../../protocol/node-state.js';
import type { NodeRecord } from '../../protocol/node-state.js';

const FORMAT = 1;
const FILE = 'cluster.json';

/** The file cannot be understood; the text says which and why. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
}

/** @throws RecordError */
export function readRecord(stateDir: string): NodeRecord {
  const path = join(stateDir, FILE);
  if (!existsSync(path)) return NO_PART;
  try {
    const parsed = JSON.parse(readFileSync(path, 'utf8')) as { format?: unknown };
    if (parsed.format !== FORMAT) throw new Error(`it has format ${String(parsed.format)}`);
    return { ...NO_PART, ...(parsed as Partial<NodeRecord>) };
  } catch (error) {
    throw new RecordError(
      `${path} cannot be read: ${(error as Error).message}. It says which MDM cluster this node takes part in`,
    );
  }
}

export function writeRecord(stateDir: string, record: NodeRecord): void {
  makePrivateDirectory(stateDir);
  writePrivate(join(stateDir, FILE), JSON.stringify({ format: FORMAT, ...record }, null, 2));
}
