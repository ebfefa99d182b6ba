// Does what a plan says, and undoes it. It owns the disturbances that are in force: whatever it began ends, also when the
// run is broken off. It must never judge.

import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import { ADMIN_NAME } from '../../backend/deploy/local/layout.js';
import { until } from '../support/until.js';
import type { Heal, Network } from './network.js';
import { addDevice, maintain } from './operations.js';
import { inWords } from './plan.js';
import type { Step, Trouble } from './plan.js';
import type { Rig } from './rig.js';
import type { DiskFault } from './volatile-session.js';

const BALLAST = 'ballast';
const MIB = 2 ** 20;
const CLEAR_MS = 60_000;

export class Nemesis {
  readonly #rig: Rig;
  readonly #say: (text: string) => void;
  readonly #undo = new Set<Heal>();
  #done = 0;

  constructor(rig: Rig, say: (text: string) => void) {
    this.#rig = rig;
    this.#say = say;
  }

  /** How many troubles there were. */
  get done(): number {
    return this.#done;
  }

  /** Does the troubles of a step, each at its time; resolved when all are undone. */
  async step({ pauseMs, troubles }: Step, broken: AbortSignal): Promise<void> {
    await sleep(pauseMs, broken);
    const results = await Promise.allSettled(troubles.map((one) => this.#trouble(one, broken)));
    for (const result of results)
      if (result.status === 'rejected' && !broken.aborted) throw result.reason;
  }

  async #trouble(trouble: Trouble, broken: AbortSignal): Promise<void> {
    await sleep(trouble.afterMs, broken);
    this.#say(inWords(trouble));
    this.#done++;
    const heal = await this.#begin(trouble);
    this.#undo.add(heal);
    try {
      await sleep(trouble.forMs, broken);
    } finally {
      this.#undo.delete(heal);
      await heal();
    }
  }

  /** Undoes whatever is in force. */
  async heal(): Promise<void> {
    const all = [...this.#undo];
    this.#undo.clear();
    for (const undo of all) await undo();
  }

  get #network(): Network {
    if (this.#rig.network === null) throw new Error('the nodes have no networks of their own');
    return this.#rig.network;
  }

  async #begin(trouble: Trouble): Promise<Heal> {
    const { kind, target, others, direction, amount } = trouble;
    const { keeper } = this.#rig;
    switch (kind) {
      case 'kill':
        keeper.signal(target, 'SIGKILL');
        return nothing;
      case 'restart':
        keeper.signal(target, 'SIGTERM');
        return nothing;
      case 'stop': {
        const id = keeper.idOf(target);
        if (id !== null) process.kill(id.pid, 'SIGSTOP');
        return () => {
          // It may have been killed meanwhile.
          if (id !== null && keeper.idOf(target)?.pid === id.pid) process.kill(id.pid, 'SIGCONT');
          return nothing();
        };
      }
      case 'away': {
        const { release } = keeper.hold(target);
        return () => {
          release();
          return nothing();
        };
      }
      case 'cut':
        return this.#network.cut(target, others, direction);
      case 'stall':
        return this.#network.stall(target);
      case 'loss':
        return this.#network.loss(target, amount);
      case 'slow':
        return this.#network.slow(target, amount);
      case 'full':
        return this.#fill(target);
      case 'device':
        return addDevice(this.#rig, target, this.#done, this.#say);
      case 'maintenance':
        return maintain(this.#rig, target, amount === 0 ? 'instant' : 'protected', this.#say);
      case 'disk':
        return this.#spoil(target, amount === 0 ? 'flush' : 'read');
      case 'power': {
        const { power } = this.#rig;
        if (power === null) throw new Error('the nodes have no disks of their own');
        return power.cut([target, ...others], keeper);
      }
    }
  }

  /** Fills a disk; afterwards an operator clears the error of a device that failed by it. */
  #fill(node: string): Promise<Heal> {
    const file = this.#rig.onDisk(node, BALLAST);
    const handle = openSync(file, 'w');
    try {
      for (const piece of [Buffer.alloc(MIB), Buffer.alloc(4096)]) while (wrote(handle, piece));
    } finally {
      closeSync(handle);
    }
    this.#say(
      `the disk of ${node} is full: ${Math.round(statSync(file).size / MIB)} MiB of ballast`,
    );
    return Promise.resolve(async () => {
      rmSync(file, { force: true });
      if (!node.startsWith('mdm')) await this.#clearErrors();
    });
  }

  /** The disk of a server fails in part: its device must fail for good, until an operator clears the error of a good disk. */
  async #spoil(server: string, fault: DiskFault): Promise<Heal> {
    const { power, mdm } = this.#rig;
    if (power === null) throw new Error('the nodes have no disks of their own');
    await power.spoil(server, fault);
    const reason = await until(
      `the device of ${server} fails for good`,
      async () => {
        try {
          const sds = (await mdm.query('sds')).find(({ name }) => name === server);
          const failed = (await mdm.query('device')).find(
            ({ sdsKey, state }) => sdsKey === sds?.key && state === 'failed',
          );
          return failed?.failure ?? null;
        } catch (error) {
          // The MDM may be in trouble of its own.
          if (!(error instanceof Error)) throw error;
          return null;
        }
      },
      CLEAR_MS,
    );
    this.#say(`the device of ${server} failed: ${reason}`);
    return async () => {
      await power.spoil(server, null);
      await this.#clearErrors();
    };
  }

  async #clearErrors(): Promise<void> {
    const { mdm } = this.#rig;
    await until(
      'failed devices are taken back',
      async () => {
        try {
          const failed = (await mdm.query('device')).filter(({ failure }) => failure !== '');
          for (const { key } of failed) {
            this.#say(`clearing the error of device ${key}`);
            await mdm.command('CLEAR_DEVICE_ERROR', ADMIN_NAME, { key });
          }
          return failed.length === 0;
        } catch (error) {
          // The MDM may be in trouble of its own.
          if (!(error instanceof Error)) throw error;
          return false;
        }
      },
      CLEAR_MS,
    );
  }
}

const nothing: Heal = () => Promise.resolve();

/** Ends early when the run is broken off, so that what was begun is undone at once. */
async function sleep(ms: number, broken: AbortSignal): Promise<void> {
  if (ms === 0 || broken.aborted) return;
  await pause(ms, undefined, { signal: broken }).catch((error: unknown) => {
    if (!broken.aborted) throw error;
  });
}

/** Whether a piece still found room. */
function wrote(handle: number, piece: Buffer): boolean {
  try {
    return writeSync(handle, piece) > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    return false;
  }
}
