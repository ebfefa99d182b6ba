// Runs command lines of scli against a cluster in memory, and keeps what they print.

import { runScli } from '../../backend/cli/scli.js';
import type { Session } from '../../backend/cli/option.js';

import type { MdmCreateBody } from '../../backend/protocol/generated/types.js';

import { MemoryCluster } from './memory-cluster.js';

export interface Printed {
  readonly code: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
}

export class ScliHarness {
  readonly cluster: MemoryCluster;
  /** What a person would type when asked for a password. */
  typed: string | null = null;
  /** What a person would answer to "are you sure". */
  sure = true;
  readonly questions: string[] = [];
  /** Systems that were made. */
  readonly created: { readonly host: string; readonly system: MdmCreateBody }[] = [];
  nowMs = 1_700_000_000_000;
  private session: Session | null = null;

  constructor(cluster: MemoryCluster) {
    this.cluster = cluster;
  }

  static async make(): Promise<ScliHarness> {
    return new ScliHarness(await MemoryCluster.make());
  }

  static async loggedIn(user = 'admin'): Promise<ScliHarness> {
    const scli = await ScliHarness.make();
    await scli.run('--login', '--username', user, '--password', 'Correct-1');
    return scli;
  }

  async run(...argv: readonly string[]): Promise<Printed> {
    const out: string[] = [];
    const err: string[] = [];
    const code = await runScli(argv, {
      terminal: {
        out: (line) => out.push(line),
        err: (line) => err.push(line),
        secret: () => Promise.resolve(this.typed),
        confirm: (question) => {
          this.questions.push(question);
          return Promise.resolve(this.sure);
        },
      },
      sessions: {
        read: (nowMs) =>
          this.session !== null && nowMs - this.session.startedAtMs <= 8 * 3_600_000
            ? this.session
            : null,
        write: (session) => {
          this.session = session;
        },
        clear: () => {
          this.session = null;
        },
      },
      nowMs: () => this.nowMs,
      create: (host, system) => {
        this.created.push({ host, system });
        return Promise.resolve();
      },
      connect: (targets) =>
        Promise.resolve({
          cluster: this.cluster,
          targets: targets ?? [{ host: '127.0.0.1', port: 6611 }],
          absence: () => Promise.resolve(''),
          close: () => undefined,
        }),
    });
    return { code, out, err };
  }
}

/** The id at the end of a line such as `... Object ID 4d53415600000010`. */
export function idAtEnd(printed: Printed): string {
  return /([0-9a-f]{16})$/.exec(printed.out.at(-1) ?? '')?.[1] ?? '';
}
