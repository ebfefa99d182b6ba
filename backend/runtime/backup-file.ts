// A backup of the metadata as a file: one line of JSON that says what it is, the keys and values of the store, and a checksum
// over all of it. It is written beside its name and renamed when it is whole. It must never be readable by others: it holds
// the users' password hashes.
//
//   {"format":"meshsan-metadata","version":1,...}\n
//   per pair: length of the key (2 bytes), of the value (4 bytes), little-endian, key, value
//   SHA-256 of everything before it (32 bytes)

import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

import { syncDirectory } from './durable-files.js';
import type { Cluster } from './cluster.js';

const FORMAT = 'meshsan-metadata';
const VERSION = 1;
const HEAD_BYTES_MAX = 4096;
const PAIR_HEAD_BYTES = 6;
const SUM_BYTES = 32;
const FILE_BYTES_MAX = 2 ** 31;

/** The file is no backup that can be used; the text says which and why. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

export interface BackupHead {
  readonly systemId: string;
  readonly systemName: string;
  /** Software that wrote it. */
  readonly software: string;
  readonly takenAtMs: number;
  readonly term: number;
  readonly sequence: number;
  readonly pairs: number;
}

interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface Backup extends BackupHead {
  readonly entries: readonly Pair[];
}

/** Writes a file whose content comes part by part. */
class BackupWriter {
  private readonly path: string;
  private readonly beside: string;
  private readonly file: number;
  private readonly sum = createHash('sha256');
  private left: number;

  /** @throws BackupError when there is a file already */
  constructor(path: string, head: BackupHead) {
    if (existsSync(path))
      throw new BackupError(`${path} exists already; backups are never overwritten`);
    this.path = path;
    this.beside = `${path}.part`;
    rmSync(this.beside, { force: true });
    this.file = openSync(this.beside, 'wx', 0o600);
    this.left = head.pairs;
    this.put(Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION, ...head })}\n`));
  }

  add({ key, value }: Pair): void {
    const head = Buffer.alloc(PAIR_HEAD_BYTES);
    head.writeUInt16LE(key.length, 0);
    head.writeUInt32LE(value.length, 2);
    this.put(Buffer.concat([head, key, value]));
    this.left -= 1;
  }

  finish(): void {
    if (this.left !== 0) throw new BackupError(`${this.path}: ${this.left} pairs are missing`);
    writeSync(this.file, this.sum.digest());
    fsyncSync(this.file);
    closeSync(this.file);
    renameSync(this.beside, this.path);
    syncDirectory(dirname(this.path));
  }

  discard(): void {
    closeSync(this.file);
    rmSync(this.beside, { force: true });
  }

  private put(bytes: Buffer): void {
    this.sum.update(bytes);
    writeSync(this.file, bytes);
  }
}

/**
 * Takes a backup of a running system.
 *
 * @param facts - of the system and of this program
 * @returns how many pairs it has, and of which commit
 * @throws ClusterError, BackupError, or the file system's error; then there is no file
 */
export async function takeBackup(
  cluster: Pick<Cluster, 'command'>,
  actor: string,
  path: string,
  facts: Pick<BackupHead, 'systemId' | 'systemName' | 'software' | 'takenAtMs'>,
): Promise<{ readonly pairs: number; readonly sequence: number }> {
  let part = await cluster.command('BACKUP_METADATA', actor, { sequence: 0, from: 0 });
  const { term, sequence, total } = part;
  const writer = new BackupWriter(path, { ...facts, term, sequence, pairs: total });
  try {
    for (let from = 0; ;) {
      for (const pair of part.pairs) writer.add(pair);
      from += part.pairs.length;
      if (from >= total) break;
      if (part.pairs.length === 0) throw new BackupError('the MDM sent an empty part');
      part = await cluster.command('BACKUP_METADATA', actor, { sequence, from });
    }
    writer.finish();
  } catch (error) {
    writer.discard();
    throw error;
  }
  return { pairs: total, sequence };
}

/** Reads and checks a backup, whole. @throws BackupError */
export function readBackup(path: string): Backup {
  const bad = (why: string): BackupError => new BackupError(`${path} cannot be used: ${why}`);
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > FILE_BYTES_MAX)
      throw bad(`it has ${size} bytes, a backup has at most ${FILE_BYTES_MAX}`);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof BackupError) throw error;
    throw bad((error as Error).message);
  }
  const lineEnd = bytes.subarray(0, HEAD_BYTES_MAX).indexOf(0x0a);
  if (lineEnd < 0 || bytes[0] !== 0x7b) throw bad('it is no backup of metadata');
  const body = bytes.subarray(0, bytes.length - SUM_BYTES);
  const head = headOf(bytes.subarray(0, lineEnd).toString('utf8'), bad);
  const sum = createHash('sha256').update(body).digest();
  if (
    bytes.length < lineEnd + 1 + SUM_BYTES ||
    !sum.equals(bytes.subarray(bytes.length - SUM_BYTES))
  )
    throw bad('its checksum is wrong: it is cut short or damaged');
  const entries: Pair[] = [];
  for (let at = lineEnd + 1; at < body.length;) {
    if (at + PAIR_HEAD_BYTES > body.length) throw bad('a pair is cut short');
    const keyEnd = at + PAIR_HEAD_BYTES + body.readUInt16LE(at);
    const end = keyEnd + body.readUInt32LE(at + 2);
    if (end > body.length) throw bad('a pair is cut short');
    entries.push({
      key: body.subarray(at + PAIR_HEAD_BYTES, keyEnd),
      value: body.subarray(keyEnd, end),
    });
    at = end;
  }
  if (entries.length !== head.pairs)
    throw bad(`it has ${entries.length} pairs instead of ${head.pairs}`);
  return { ...head, entries };
}

function headOf(line: string, bad: (why: string) => BackupError): BackupHead {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(line) as Record<string, unknown>;
  } catch {
    throw bad('it is no backup of metadata');
  }
  const { format, version } = parsed;
  if (format !== FORMAT) throw bad('it is no backup of metadata');
  if (version !== VERSION)
    throw bad(`it has version ${String(version)}, this program reads ${VERSION}`);
  const number = (name: string): number => {
    const value = parsed[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw bad(`its ${name} is ${String(value)}`);
    return value;
  };
  return {
    systemId: String(parsed['systemId']),
    systemName: String(parsed['systemName']),
    software: String(parsed['software']),
    takenAtMs: number('takenAtMs'),
    ...{ term: number('term'), sequence: number('sequence'), pairs: number('pairs') },
  };
}
