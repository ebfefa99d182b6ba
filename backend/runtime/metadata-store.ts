// The metadata store on one machine: LMDB in a directory of its own. A commit is atomic and flushed before it is reported;
// it compares term and sequence, so that of two masters on one directory the older one finds out at its next commit. It
// must never understand a key or a value of the MDM.

import { createHmac } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { open } from 'lmdb';
import type { RootDatabase } from 'lmdb';

import { makePrivateDirectory, syncDirectory, syncFile } from './durable-files.js';
import { isInUse } from '../protocol/node-state.js';
import type { StoreMark } from '../protocol/node-state.js';
import { checkLmdbFile } from './lmdb-check.js';
import type { CompletionSource, Loop } from './loop.js';
import type { Change, CommitOutcome, Log, MetadataStore, Micros, Token } from '../core/ports.js';

/** The directory cannot be used; the message says why and what would be right. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}

/** Who hears of the outcome of commits. */
export interface CommitSink {
  committed(nowUs: Micros, token: Token, outcome: CommitOutcome): void;
}

/** What the store held when it was opened. */
export interface StoreContent {
  readonly term: number;
  readonly sequence: number;
  readonly entries: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
}

/** Layout of the directory: 1 = the record below and the MDM's keys as they are. */
const FORMAT = 1;
/** The store's own record; keys of the MDM start with a type from 1 on. */
const HEAD_KEY = Buffer.from([0]);
const HEAD_BYTES = 1 + 16 + 8 + 8;
/** What becomes of the content, where that is not simply in use. */
const MARK_KEY = Buffer.from([0, 1]);
const DATABASE = 'metadata.mdb';

const MARK_STATES: ReadonlySet<string> = new Set(['sealed', 'imported', 'restored', 'used']);

interface Head {
  readonly fingerprint: Buffer;
  readonly term: number;
  readonly sequence: number;
}

function encodeHead({ fingerprint, term, sequence }: Head): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES);
  bytes.writeUInt8(FORMAT, 0);
  fingerprint.copy(bytes, 1);
  bytes.writeBigUInt64LE(BigInt(term), 17);
  bytes.writeBigUInt64LE(BigInt(sequence), 25);
  return bytes;
}

function decodeHead(path: string, bytes: Buffer): Head {
  const format = bytes[0] ?? 0;
  if (format !== FORMAT)
    throw new StoreError(
      `${path} has content format ${format}, this program knows ${FORMAT}: it belongs to another version of MeshSAN`,
    );
  if (bytes.length !== HEAD_BYTES)
    throw new StoreError(`${path} is damaged: its head is cut short`);
  return {
    fingerprint: bytes.subarray(1, 17),
    term: Number(bytes.readBigUInt64LE(17)),
    sequence: Number(bytes.readBigUInt64LE(25)),
  };
}

/** What tells systems apart without giving their secret away. */
function fingerprintOf(secret: Uint8Array): Buffer {
  return createHmac('sha256', secret).update('meshsan metadata store').digest().subarray(0, 16);
}

export class LmdbStore implements MetadataStore, CompletionSource {
  /** What it held when it was opened; whoever takes it may let go of it. */
  readonly content: StoreContent;
  private readonly database: RootDatabase<Buffer, Buffer>;
  private readonly path: string;
  private readonly fingerprint: Buffer;
  private readonly log: Log;
  private completions: { readonly token: Token; readonly outcome: CommitOutcome }[] = [];
  private sink: CommitSink | null = null;
  /** Set by the first commit of unknown outcome: what the disk holds is known again only after the store was reopened. */
  private failed = false;

  /**
   * Opens the store of a system, or makes an empty one.
   *
   * @param directory - made when it is missing
   * @param secret - of the system; a directory that was made under another one is refused
   * @throws StoreError with the path and the reason
   */
  static async open(directory: string, secret: Uint8Array, log: Log): Promise<LmdbStore> {
    const path = join(directory, DATABASE);
    try {
      makePrivateDirectory(directory);
      if (!existsSync(path)) await makeDatabase(directory, path);
      checkLmdbFile(path);
      return new LmdbStore(path, openDatabase(path), secret, log);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      throw new StoreError(`${path} cannot be opened: ${(error as Error).message}`);
    }
  }

  private constructor(
    path: string,
    database: RootDatabase<Buffer, Buffer>,
    secret: Uint8Array,
    log: Log,
  ) {
    this.path = path;
    this.fingerprint = fingerprintOf(secret);
    this.log = log;
    this.database = database;
    const head = this.head();
    if (head !== null && !head.fingerprint.equals(this.fingerprint))
      throw new StoreError(
        `${this.path} belongs to another system: it was made under another secret`,
      );
    this.content = {
      term: head?.term ?? 0,
      sequence: head?.sequence ?? 0,
      entries: this.entries(),
    };
    if (head === null && this.content.entries.length > 0)
      throw new StoreError(`${this.path} holds content without a head: it is not a MeshSAN store`);
  }

  /** Who hears of commits; once, before the first. */
  attach(loop: Loop, sink: CommitSink): void {
    this.sink = sink;
    loop.addSource(this);
  }

  /**
   * Synchronous on purpose: the MDM has one commit in flight and can do nothing meanwhile, and when the call returns LMDB
   * has flushed data and meta page. After a failure nothing more is tried: a flush that failed once may succeed the next
   * time without having written what it owed.
   */
  commit(token: Token, term: number, previousSequence: number, changes: readonly Change[]): void {
    this.completions.push({ token, outcome: this.write(term, previousSequence, changes) });
  }

  drain(nowUs: Micros): boolean {
    if (this.completions.length === 0) return false;
    const { completions } = this;
    this.completions = [];
    for (const { token, outcome } of completions) this.sink?.committed(nowUs, token, outcome);
    return true;
  }

  async close(): Promise<void> {
    await this.database.close();
  }

  /** What becomes of the content; null: it is in use, and never was elsewhere. */
  mark(): StoreMark | null {
    const bytes = this.database.getBinary(MARK_KEY);
    if (bytes === undefined) return null;
    const { state, token } = JSON.parse(bytes.toString('utf8')) as Partial<StoreMark>;
    if (state === undefined || !MARK_STATES.has(state) || typeof token !== 'string')
      throw new StoreError(`${this.path} has a mark that cannot be read`);
    return { state, token };
  }

  /** What is committed now. */
  present(): StoreContent {
    const head = this.head();
    return { term: head?.term ?? 0, sequence: head?.sequence ?? 0, entries: this.entries() };
  }

  /** Ends the use of this store, if nothing was committed after `sequence`: the content is in another. */
  seal(token: string, sequence: number): boolean {
    return this.database.transactionSync(() => {
      if (this.head()?.sequence !== sequence || !this.isInUse()) return false;
      this.putMark({ state: 'sealed', token });
      return true;
    });
  }

  /**
   * Replaces whatever is here by content from elsewhere.
   *
   * @param state - what becomes of it; nothing but `used` is in use
   */
  import(
    token: string,
    { term, sequence, entries }: StoreContent,
    state: Exclude<StoreMark['state'], 'sealed'> = 'imported',
  ): void {
    this.database.transactionSync(() => {
      for (const key of [...this.database.getKeys({ snapshot: true })])
        this.database.removeSync(key);
      for (const { key, value } of entries)
        this.database.putSync(Buffer.from(key), Buffer.from(value));
      const bytes = encodeHead({ fingerprint: this.fingerprint, term, sequence });
      this.database.putSync(HEAD_KEY, bytes);
      this.putMark({ state, token });
    });
  }

  /** Whether the content is neither elsewhere by now nor yet. */
  private isInUse(): boolean {
    return isInUse(this.mark());
  }

  /** What was imported under this token is used from now on; false: nothing was. Done twice it is done once. */
  activate(token: string): boolean {
    return this.database.transactionSync(() => {
      const mark = this.mark();
      if (mark === null || mark.state === 'sealed' || mark.token !== token) return false;
      this.putMark({ state: 'used', token });
      return true;
    });
  }

  private putMark(mark: StoreMark): void {
    this.database.putSync(MARK_KEY, Buffer.from(JSON.stringify(mark)));
  }

  private write(term: number, previousSequence: number, changes: readonly Change[]): CommitOutcome {
    if (this.failed) return 'unknown';
    try {
      return this.database.transactionSync<CommitOutcome>(() => {
        const head = this.head();
        if (!this.isInUse()) return 'conflict';
        const present = head ?? { term: 0, sequence: 0 };
        if (term < present.term || previousSequence !== present.sequence) return 'conflict';
        for (const { key, value } of changes) {
          if (value === null) this.database.removeSync(Buffer.from(key));
          else this.database.putSync(Buffer.from(key), Buffer.from(value));
        }
        const sequence = previousSequence + 1;
        const bytes = encodeHead({ fingerprint: this.fingerprint, term, sequence });
        this.database.putSync(HEAD_KEY, bytes);
        return 'done';
      });
    } catch (error) {
      this.failed = true;
      this.log.event('error', 'metadata-store.commit-failed', {
        path: this.path,
        reason: error instanceof Error ? error.message : String(error),
      });
      return 'unknown';
    }
  }

  private head(): Head | null {
    const bytes = this.database.getBinary(HEAD_KEY);
    return bytes === undefined ? null : decodeHead(this.path, bytes);
  }

  private entries(): StoreContent['entries'] {
    const entries: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const { key, value } of this.database.getRange({ snapshot: true }))
      if (key[0] !== HEAD_KEY[0])
        entries.push({ key: Uint8Array.from(key), value: Uint8Array.from(value) });
    return entries;
  }
}

function openDatabase(path: string): RootDatabase<Buffer, Buffer> {
  return open<Buffer, Buffer>({
    path,
    encoding: 'binary',
    keyEncoding: 'binary',
    noSubdir: true,
    // A commit returns only when it is on the disk.
    overlappingSync: false,
    noSync: false,
    noMetaSync: false,
    permissionsMode: 0o600,
  } as Parameters<typeof open>[0] & { path: string });
}

/**
 * LMDB writes the first pages of a new file without a flush. The file gets its name only when they are on the disk, so
 * that a file of that name is never half made and a damaged one never taken for new.
 */
async function makeDatabase(directory: string, path: string): Promise<void> {
  const unfinished = `${path}.new`;
  const removeLeftovers = (): void => {
    for (const name of [unfinished, `${unfinished}-lock`]) rmSync(name, { force: true });
  };
  removeLeftovers();
  await openDatabase(unfinished).close();
  syncFile(unfinished);
  renameSync(unfinished, path);
  removeLeftovers();
  syncDirectory(directory);
}
