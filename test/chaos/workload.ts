// The load whose history is judged: several connections to one volume, through different clients of the cluster, write,
// read, zero, discard and flush overlapping places. It owns the requests and the record of them; what the record means is
// judge.ts's. A request that lost its connection may have been done, and is never repeated.

import { setTimeout as pause } from 'node:timers/promises';

import type { Prng } from '../../backend/core/prng.js';
import { History } from '../../backend/sim/history.js';
import type { OpKind, OpRecord } from '../../backend/sim/history.js';
import { SECTOR_BYTES, SECTORS_PER_BLOCK, contentOf, tagsOf } from './content.js';
import { IoError, NbdClient, Unanswered } from './nbd-client.js';

const CHUNK_SECTORS = 2048;
/** Chunks of which a few blocks are used: each chunk is of another comb. */
const CHUNKS = 24;
const HOT_BLOCKS = 4;
const VOLUME = 0;
const DEPTH = 3;
const RECONNECT_MS = 100;

interface Extent {
  readonly firstSector: number;
  readonly sectors: number;
}

/** One client process of the cluster, and how many connections go there. */
export interface Endpoint {
  readonly socket: string;
  readonly connections: number;
  /** Connections beside those that only read: one that writes soon waits for what cannot be written. */
  readonly readers: number;
}

interface Wish extends Extent {
  readonly kind: OpKind;
  readonly isFua: boolean;
  /** Zeroes are asked for as a discard, which whoever reads cannot tell apart. */
  readonly isDiscard: boolean;
}

/** A connection, and what goes over it. */
interface Lane {
  readonly socket: string;
  readonly client: number;
  readonly onlyReads: boolean;
  readonly paceMs: number;
  readonly random: Prng;
}

interface Running {
  readonly record: OpRecord;
  readonly sinceMs: number;
}

export class Workload {
  readonly history = new History();
  /** What is wrong whatever the history says: errors, content of another place. */
  readonly faults: string[] = [];
  /** The longest that a request took, and which. */
  longestMs = 0;
  longest = '';
  answered = 0;
  unanswered = 0;
  readonly #endpoints: readonly Endpoint[];
  readonly #random: Prng;
  readonly #opsPerSecond: number;
  readonly #running = new Set<Running>();
  readonly #workers: Promise<void>[] = [];
  readonly #clients = new Set<NbdClient>();
  #ends = false;
  #sinceMs = 0;

  /** @param opsPerSecond - of all connections together, at most */
  constructor(endpoints: readonly Endpoint[], random: Prng, opsPerSecond: number) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#opsPerSecond = opsPerSecond;
  }

  start(): void {
    this.#sinceMs = performance.now();
    const lanes = this.#endpoints.flatMap(({ socket, connections, readers }, client) =>
      Array.from({ length: connections + readers }, (_, index) => ({
        ...{ socket, client, onlyReads: index >= connections },
      })),
    );
    const paceMs = (1000 * lanes.length * DEPTH) / this.#opsPerSecond;
    for (const lane of lanes)
      this.#workers.push(this.#lane({ ...lane, paceMs, random: this.#random.fork() }));
  }

  /** The oldest request that is under way, in words; null: none is older than the limit. */
  stalled(limitMs: number): string | null {
    const now = performance.now();
    for (const { record, sinceMs } of this.#running)
      if (now - sinceMs > limitMs)
        return `${inWords(record)} has no answer after ${limitMs / 1000} s`;
    return null;
  }

  /** No new requests; resolved when all that are under way have been answered or lost. */
  async stop(): Promise<void> {
    this.#ends = true;
    await Promise.all(this.#workers);
    for (const client of this.#clients) client.close();
    this.#clients.clear();
  }

  /** Requests that wait for ever end as unanswered. */
  abandon(): void {
    this.#ends = true;
    for (const client of this.#clients) client.close();
  }

  /** Reads every place that is used, in the history. */
  async readAll(): Promise<void> {
    const [endpoint] = this.#endpoints;
    if (endpoint === undefined) throw new Error('the workload has no endpoint');
    const client = await this.#connected(endpoint.socket, () => false);
    if (client === null) throw new Error('not connected');
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const wish = { kind: 'read', isFua: false, isDiscard: false } as const;
      const firstSector = chunk * CHUNK_SECTORS;
      await this.#one(client, 0, {
        ...{ ...wish, firstSector, sectors: HOT_BLOCKS * SECTORS_PER_BLOCK },
      });
    }
    client.close();
    this.#clients.delete(client);
  }

  async #connected(socket: string, isEnough: () => boolean): Promise<NbdClient | null> {
    while (!isEnough())
      try {
        const client = await NbdClient.open(socket);
        this.#clients.add(client);
        return client;
      } catch (error) {
        // A client process that was killed comes again; one that never does ends the run by its limits.
        if (!(error instanceof Error)) throw error;
        await pause(RECONNECT_MS);
      }
    return null;
  }

  /** One connection and its requests, connected again whenever it ends. */
  async #lane(lane: Lane): Promise<void> {
    while (!this.#ends) {
      const nbd = await this.#connected(lane.socket, () => this.#ends);
      if (nbd === null) return;
      const slots = Array.from({ length: DEPTH }, () => this.#slot(nbd, lane));
      await Promise.all(slots);
      nbd.close();
      this.#clients.delete(nbd);
    }
  }

  async #slot(nbd: NbdClient, { client, paceMs, random, onlyReads }: Lane): Promise<void> {
    while (!this.#ends && nbd.isOpen) {
      const wish = drawn(random);
      const isLeft = onlyReads && wish.kind !== 'read';
      if (!isLeft) await this.#one(nbd, client, wish);
      await pause(random.below(Math.max(1, Math.round(2 * paceMs))));
    }
  }

  async #one(nbd: NbdClient, client: number, wish: Wish): Promise<void> {
    const { kind, isFua, firstSector, sectors } = wish;
    const began = performance.now();
    const startUs = Math.floor(began * 1000);
    const record = this.history.begin(
      ...([kind, VOLUME, client, 0, isFua, firstSector, sectors, startUs] as const),
    );
    const running = { record, sinceMs: began };
    this.#running.add(running);
    try {
      const data = await send(nbd, record, wish.isDiscard);
      record.endUs = Math.ceil(performance.now() * 1000);
      this.answered++;
      if (kind === 'read') this.#seen(record, data);
    } catch (error) {
      if (!(error instanceof Unanswered)) this.#fault(record, error);
      this.unanswered++;
    } finally {
      this.#running.delete(running);
      this.#took(record, performance.now() - began);
    }
  }

  #seen(record: OpRecord, data: Buffer): void {
    const tags = tagsOf(VOLUME, record.firstSector, data);
    if (typeof tags !== 'string') {
      record.seen = tags;
      return;
    }
    // Nothing can be said about what it saw.
    record.endUs = Infinity;
    this.faults.push(`${inWords(record)}: ${tags}`);
  }

  #fault(record: OpRecord, error: unknown): void {
    if (!(error instanceof IoError)) throw error;
    this.faults.push(`${inWords(record)} was answered with ${error.message}`);
  }

  #took(record: OpRecord, ms: number): void {
    if (ms <= this.longestMs) return;
    this.longestMs = Math.round(ms);
    const askedS = (performance.now() - ms - this.#sinceMs) / 1000;
    this.longest = `${inWords(record)}, asked ${askedS.toFixed(1)} s after the load began`;
  }
}

function inWords({ kind, index, client, firstSector, sectors }: OpRecord): string {
  return `${kind} ${index} of client ${client} at sector ${firstSector} (${sectors} sectors)`;
}

async function send(nbd: NbdClient, record: OpRecord, isDiscard: boolean): Promise<Buffer> {
  const { kind, firstSector, sectors, tag, fua } = record;
  const offset = firstSector * SECTOR_BYTES;
  const length = sectors * SECTOR_BYTES;
  switch (kind) {
    case 'read':
      return nbd.read(offset, length);
    case 'write':
      await nbd.write(offset, contentOf(VOLUME, firstSector, sectors, tag), fua);
      break;
    case 'zero':
      await (isDiscard ? nbd.trim(offset, length) : nbd.zero(offset, length));
      break;
    case 'flush':
      await nbd.flush();
      break;
    case 'describe':
      throw new Error('descriptions are not asked for');
  }
  return Buffer.alloc(0);
}

/** What is asked next: mostly writes and reads, of whole blocks or of a few sectors. */
function drawn(random: Prng): Wish {
  const start = random.below(CHUNKS) * CHUNK_SECTORS;
  const dice = random.below(100);
  const inBlocks = random.chance(2, 3);
  const unit = inBlocks ? SECTORS_PER_BLOCK : 1;
  const units = (HOT_BLOCKS * SECTORS_PER_BLOCK) / unit;
  const first = random.below(units);
  const most = Math.min(units - first, inBlocks ? HOT_BLOCKS : SECTORS_PER_BLOCK);
  const sectors = (1 + random.below(most)) * unit;
  const isFua = random.chance(1, 8);
  const wish = { isFua: false, isDiscard: false, firstSector: start + first * unit, sectors };
  if (dice < 50) return { ...wish, kind: 'write', isFua };
  if (dice < 88) return { ...wish, kind: 'read' };
  if (dice < 96) return { ...wish, kind: 'zero', isDiscard: random.chance(1, 2) };
  return { ...wish, kind: 'flush', firstSector: 0, sectors: 0 };
}
