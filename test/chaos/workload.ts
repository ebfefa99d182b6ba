// The load whose history is judged: several connections to one volume, through different clients of the cluster, write,
// read, zero, discard and flush overlapping places. It owns what is asked and when.

import { setTimeout as pause } from 'node:timers/promises';

import type { Prng } from '../../backend/core/prng.js';
import { SECTORS_PER_BLOCK } from './content.js';
import { openAgain } from './nbd-client.js';
import type { NbdClient } from './nbd-client.js';
import type { Requests, Wish } from './requests.js';

const CHUNK_SECTORS = 2048;
/** Chunks of which a few blocks are used: each chunk is of another comb. */
const CHUNKS = 24;
const HOT_BLOCKS = 4;
const VOLUME = 0;
const DEPTH = 3;

/** One client process of the cluster, and how many connections go there. */
export interface Endpoint {
  readonly socket: string;
  readonly connections: number;
  /** Connections beside those that only read: one that writes soon waits for what cannot be written. */
  readonly readers: number;
}

/** A connection, and what goes over it. */
interface Lane {
  readonly socket: string;
  readonly client: number;
  readonly onlyReads: boolean;
  readonly paceMs: number;
  readonly random: Prng;
}

export class Workload {
  readonly #requests: Requests;
  readonly #endpoints: readonly Endpoint[];
  readonly #random: Prng;
  readonly #opsPerSecond: number;
  readonly #workers: Promise<void>[] = [];
  readonly #clients = new Set<NbdClient>();
  #ends = false;

  /** @param opsPerSecond - of all connections together, at most */
  constructor(
    requests: Requests,
    endpoints: readonly Endpoint[],
    random: Prng,
    opsPerSecond: number,
  ) {
    this.#requests = requests;
    this.#endpoints = endpoints;
    this.#random = random;
    this.#opsPerSecond = opsPerSecond;
  }

  start(): void {
    const lanes = this.#endpoints.flatMap(({ socket, connections, readers }, client) =>
      Array.from({ length: connections + readers }, (_, index) => ({
        ...{ socket, client, onlyReads: index >= connections },
      })),
    );
    const paceMs = (1000 * lanes.length * DEPTH) / this.#opsPerSecond;
    for (const lane of lanes)
      this.#workers.push(this.#lane({ ...lane, paceMs, random: this.#random.fork() }));
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
      await this.#requests.one(
        client,
        { volume: VOLUME, client: 0 },
        {
          ...{ ...wish, firstSector, sectors: HOT_BLOCKS * SECTORS_PER_BLOCK },
        },
      );
    }
    client.close();
    this.#clients.delete(client);
  }

  async #connected(socket: string, isEnough: () => boolean): Promise<NbdClient | null> {
    const client = await openAgain(socket, isEnough);
    if (client !== null) this.#clients.add(client);
    return client;
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
      if (!isLeft) await this.#requests.one(nbd, { volume: VOLUME, client }, wish);
      await pause(random.below(Math.max(1, Math.round(2 * paceMs))));
    }
  }
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
