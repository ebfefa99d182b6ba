// An operator who gives commands meanwhile: renames a volume and asks for its name. The name is one register of the history, so
// that acknowledged commands are judged as acknowledged writes are. It owns its requests only; a command that was not
// answered may have been done.

import { setTimeout as pause } from 'node:timers/promises';

import type { Prng } from '../../backend/core/prng.js';
import { ADMIN_NAME } from '../../backend/deploy/local/layout.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import type { Cluster } from '../../backend/runtime/cluster.js';
import type { History } from '../../backend/sim/history.js';
import { SECTORS_PER_BLOCK } from './content.js';

/** As a volume of the history, beside that of the data. */
const NAMES = 1;
const CLIENT = 2;
const PAUSE_MS = 500;

export class Operator {
  answered = 0;
  readonly #mdm: Cluster;
  readonly #history: History;
  readonly #random: Prng;
  readonly #first: string;
  #ends = false;
  #work: Promise<void> | null = null;

  /** @param name - of the volume, as it was made */
  constructor(mdm: Cluster, history: History, random: Prng, name: string) {
    this.#mdm = mdm;
    this.#history = history;
    this.#random = random;
    this.#first = name;
  }

  async start(): Promise<void> {
    const volume = (await this.#mdm.query('volume')).find(({ name }) => name === this.#first);
    if (volume === undefined) throw new Error(`no volume is named ${this.#first}`);
    this.#work = this.#run(volume.key);
  }

  /** The last word: what the volume is called now. */
  async stop(): Promise<void> {
    this.#ends = true;
    await this.#work;
  }

  async #run(key: number): Promise<void> {
    while (!this.#ends) {
      await (this.#random.chance(1, 2) ? this.#rename(key) : this.#ask(key));
      await pause(this.#random.below(PAUSE_MS));
    }
    await this.#ask(key);
  }

  #begin(kind: 'read' | 'write') {
    const startUs = Math.floor(performance.now() * 1000);
    return this.#history.begin(kind, NAMES, CLIENT, 0, false, 0, SECTORS_PER_BLOCK, startUs);
  }

  async #rename(key: number): Promise<void> {
    const record = this.#begin('write');
    await this.#tried(async () => {
      await this.#mdm.command('RENAME_VOLUME', ADMIN_NAME, { key, name: `name-${record.tag}` });
      record.endUs = Math.ceil(performance.now() * 1000);
    });
  }

  async #ask(key: number): Promise<void> {
    const record = this.#begin('read');
    await this.#tried(async () => {
      const [volume] = await this.#mdm.query('volume', [key]);
      // -1 is what nobody wrote.
      const name = volume?.name ?? '';
      const tag = name === this.#first ? 0 : Number(/^name-(\d+)$/.exec(name)?.[1] ?? -1);
      record.seen = new Array<number>(SECTORS_PER_BLOCK).fill(tag);
      record.endUs = Math.ceil(performance.now() * 1000);
    });
  }

  /** What the MDM does not answer stays open in the history. */
  async #tried(act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.answered++;
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
    }
  }
}
