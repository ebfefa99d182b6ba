// The disks of one node as the rig sees them: a process of their own that is told when the power goes and comes back. It owns
// that process; what is on the disks is volatile-medium.ts.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { CutCounts } from './volatile-medium.js';

const PROGRAM = join(import.meta.dirname, 'volatile-process.js');
const ANSWER_MS = 30_000;

export interface DiskTask {
  readonly seed: number;
  readonly disks: readonly {
    /** Where the disk is a file. */
    readonly file: string;
    /** A folder for its content. */
    readonly backing: string;
    readonly sizeBytes: number;
    /** 512 or 4096: so much it writes whole or not at all. */
    readonly physicalSectorBytes: number;
  }[];
}

export interface DiskOrder {
  /**
   * The power goes; whoever waits is told of an error; the power is back; the disks are slower by `factor`; the last of the disks
   * answers nobody; it answers everybody with an error; its next flush fails; its reads fail; they do not any more; nothing.
   */
  readonly order:
    | 'fail'
    | 'release'
    | 'restore'
    | 'slow'
    | 'hang'
    | 'break'
    | 'failFlush'
    | 'failReads'
    | 'mend'
    | 'count';
  readonly factor: number;
}

/** Follows every order, and the start. */
export interface DiskAnswer {
  readonly counts: readonly CutCounts[];
}

interface Waiting {
  readonly done: (answer: DiskAnswer) => void;
  readonly failed: (error: Error) => void;
}

export class VolatileDisks {
  readonly #process: ChildProcess;
  readonly #waiting: Waiting[] = [];
  #ended: Error | null = null;

  private constructor(child: ChildProcess) {
    this.#process = child;
    child.on('message', (message) => {
      this.#waiting.shift()?.done(message as DiskAnswer);
    });
    child.once('exit', () => {
      this.#ended = new Error('the process of the disks has ended');
      for (const { failed } of this.#waiting.splice(0)) failed(this.#ended);
    });
  }

  /**
   * Makes the disks; resolved when they are there.
   *
   * @param folders - mounts under which file systems on these disks are mounted. The process of the disks must not see
   *   those: when it is the last that ends, it would wait for itself to write what they hold
   * @throws Error when the system refuses the mounts
   */
  static async make(task: DiskTask, folders: readonly string[]): Promise<VolatileDisks> {
    for (const { backing } of task.disks) mkdirSync(backing, { recursive: true, mode: 0o700 });
    const apart = 'for folder; do mount --make-private "$folder" || exit 1; done';
    const script = `program=$1 task=$2; shift 2; ${apart}; exec "$0" "$program" "$task"`;
    const shell = ['sh', '-c', script, process.execPath, PROGRAM, JSON.stringify(task)];
    const words = ['--mount', '--propagation', 'unchanged', ...shell, ...folders];
    const child = spawn('unshare', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const disks = new VolatileDisks(child);
    await disks.#answer();
    return disks;
  }

  async order(order: DiskOrder['order'], factor = 1): Promise<DiskAnswer> {
    if (this.#ended !== null) throw this.#ended;
    const answer = this.#answer();
    this.#process.send({ order, factor } satisfies DiskOrder);
    return answer;
  }

  /** Answers come in the order of what they answer. */
  #answer(): Promise<DiskAnswer> {
    return new Promise((done, failed) => {
      const timer = setTimeout(() => {
        failed(new Error(`the disks do not answer within ${ANSWER_MS / 1000} s`));
      }, ANSWER_MS);
      this.#waiting.push({
        done: (answer) => {
          clearTimeout(timer);
          done(answer);
        },
        failed: (error) => {
          clearTimeout(timer);
          failed(error);
        },
      });
    });
  }

  /** The mounts are dead afterwards; they go with the namespace. */
  end(): void {
    this.#process.kill('SIGKILL');
  }
}
