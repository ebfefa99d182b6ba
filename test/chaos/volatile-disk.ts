// The disks of one node as the rig sees them: a process of their own that is told when the power goes and comes back. It owns
// that process; what is on the disks is volatile-medium.ts.

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { CutCounts } from './volatile-medium.js';

const PROGRAM = join(import.meta.dirname, 'volatile-process.js');
const START_MS = 30_000;

export interface DiskTask {
  readonly seed: number;
  readonly disks: readonly {
    /** Where the disk is a file. */
    readonly file: string;
    /** A folder for its content. */
    readonly backing: string;
    readonly sizeBytes: number;
  }[];
}

export interface DiskOrder {
  /** The power goes; whoever waits is told of an error; the power is back; nothing. */
  readonly order: 'fail' | 'release' | 'restore' | 'count';
}

/** Follows every order, and the start. */
export interface DiskAnswer {
  readonly counts: readonly CutCounts[];
}

export class VolatileDisks {
  readonly #process: ChildProcess;
  #ended = false;

  private constructor(child: ChildProcess) {
    this.#process = child;
    child.once('exit', () => {
      this.#ended = true;
    });
  }

  /** Makes the disks; resolved when they are there. @throws Error when the system refuses the mounts */
  static async make(task: DiskTask): Promise<VolatileDisks> {
    for (const { backing } of task.disks) mkdirSync(backing, { recursive: true, mode: 0o700 });
    const child = fork(PROGRAM, [JSON.stringify(task)]);
    const disks = new VolatileDisks(child);
    await disks.#answer();
    return disks;
  }

  async order(order: DiskOrder['order']): Promise<DiskAnswer> {
    if (this.#ended) throw new Error('the process of the disks has ended');
    const answer = this.#answer();
    this.#process.send({ order } satisfies DiskOrder);
    return answer;
  }

  async #answer(): Promise<DiskAnswer> {
    const signal = AbortSignal.timeout(START_MS);
    const exit = once(this.#process, 'exit', { signal }).then(() => {
      throw new Error('the process of the disks has ended');
    });
    const message = once(this.#process, 'message', { signal });
    const [answer] = (await Promise.race([message, exit])) as [DiskAnswer];
    return answer;
  }

  /** The mounts are dead afterwards; they go with the namespace. */
  end(): void {
    this.#process.kill('SIGKILL');
  }
}
