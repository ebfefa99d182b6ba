// The load that somebody else wrote: fio writes and verifies through a volume's NBD socket. It owns how fio is called and
// what its words mean; it must never decide how long it runs.

import { execa } from 'execa';

/** fio ends with an error when one request takes so long. */
const STALL_S = 30;
/** An error, content that is not what was written, a request that took too long. */
const COMPLAINT = /err=\s*[1-9]|verify failed|verify: bad|latency of .* exceeds/i;

const start = (socket: string, folder: string, iops: number) =>
  execa(
    'fio',
    [
      ...['--name=load', '--ioengine=nbd', `--uri=nbd+unix:///?socket=${socket}`],
      ...['--rw=randrw', '--rwmixread=30', '--bsrange=4k-64k', '--iodepth=8', '--size=64m'],
      ...['--time_based=1', '--runtime=86400', '--thread=1', `--rate_iops=${iops}`],
      ...['--verify=crc32c', '--verify_fatal=1', '--verify_backlog=256'],
      ...['--verify_state_save=0', `--max_latency=${STALL_S}s`],
      ...['--eta=never', `--aux-path=${folder}`],
    ],
    { stdin: 'ignore', all: true, reject: false, cwd: folder },
  );

export class FioVerify {
  readonly #process: ReturnType<typeof start>;
  #ended = false;
  #stopping = false;

  /** @param iops - at most; without a bound it would take the machine from those whom it judges */
  constructor(socket: string, folder: string, iops: number) {
    this.#process = start(socket, folder, iops);
    void this.#process.then(() => {
      this.#ended = true;
    });
  }

  /** It ended by itself: an error, a wrong byte, or a request that took too long. */
  get hasFailed(): boolean {
    return this.#ended && !this.#stopping;
  }

  /**
   * Ends it.
   *
   * @param patienceMs - how long it may wait for what is under way
   * @returns what it complains of, or null; and what it wrote
   */
  async stop(
    patienceMs: number,
  ): Promise<{ readonly fault: string | null; readonly text: string }> {
    const byItself = this.hasFailed;
    this.#stopping = true;
    this.#process.kill('SIGINT');
    // It waits for requests under way; those of a client that stands still for ever are not waited for.
    const timer = setTimeout(() => {
      this.#process.kill('SIGKILL');
    }, patienceMs);
    const { all, exitCode, signal } = await this.#process;
    clearTimeout(timer);
    const text = all;
    if (signal === 'SIGKILL')
      return { fault: `fio had requests without an answer for ${patienceMs / 1000} s`, text };
    const complaint = text.split('\n').find((line) => COMPLAINT.test(line));
    if (byItself || complaint !== undefined)
      return { fault: `fio ended (${String(exitCode)}): ${complaint ?? 'without a word'}`, text };
    return { fault: null, text };
  }
}
