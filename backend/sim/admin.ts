// The operator of a simulated cluster: asks commands, one after the other, and asks again what failed for a while. It
// owns one session with the MDM; it must never know more of the cluster than the answers say.

import type { LinkId, Links, LinkTarget, Log, Machine, Micros, Peer } from '../core/ports.js';
import { MdmClient } from '../mdm-client/mdm-client.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import type { MdmClientHost } from '../mdm-client/host.js';
import { decodeBody } from '../protocol/control.js';
import type { CommandName } from '../protocol/control.js';
import { MSG } from '../protocol/generated/constants.js';
import type {
  ClusterQueryReplyBody,
  CommandParams,
  CommandResults,
} from '../protocol/generated/types.js';

/** What became of a command: a status, and the result where it is 0. */
export type Outcome<N extends CommandName> = (
  status: number,
  result: CommandResults[N] | null,
) => void;

interface Task {
  readonly run: (nowUs: Micros) => void;
}

export class Admin implements Machine, MdmClientHost {
  private readonly session: MdmClient;
  private readonly waiting: Task[] = [];
  private busy = false;

  constructor(links: Links, log: Log, addresses: LinkTarget['addresses']) {
    this.session = new MdmClient(links, log, this, {
      ...MDM_CLIENT_DEFAULTS,
      heartbeatMs: 0,
      requestTimeoutMs: 60_000,
      addresses,
      seed: 1,
    });
  }

  start(nowUs: Micros): void {
    this.session.start(nowUs);
  }

  /** Commands that wait or run. */
  get pending(): number {
    return this.waiting.length + (this.busy ? 1 : 0);
  }

  /** Asks a command when those before it are answered. */
  ask<N extends CommandName>(
    nowUs: Micros,
    name: N,
    params: CommandParams[N],
    outcome: Outcome<N>,
  ): void {
    this.waiting.push({
      run: (atUs) => {
        this.session.command(atUs, name, 'admin', params, (_nowUs, status, result) => {
          this.busy = false;
          outcome(status, result);
        });
      },
    });
    this.next(nowUs);
  }

  /** As `ask`, at once, and others do not wait for the answer. */
  askAside<N extends CommandName>(
    nowUs: Micros,
    name: N,
    params: CommandParams[N],
    outcome: Outcome<N>,
  ): void {
    this.session.command(nowUs, name, 'admin', params, (_nowUs, status, result) => {
      outcome(status, result);
    });
  }

  /** What the MDMs say of their cluster; null: no answer. */
  askCluster(nowUs: Micros, answered: (state: ClusterQueryReplyBody | null) => void): void {
    this.session.ask(nowUs, MSG.CLUSTER_QUERY, {}, (_, { status, body, version }) => {
      answered(status === 0 ? decodeBody(MSG.CLUSTER_QUERY_REPLY, body, version) : null);
    });
  }

  private next(nowUs: Micros): void {
    if (this.busy) return;
    const task = this.waiting.shift();
    if (task === undefined) return;
    this.busy = true;
    task.run(nowUs);
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    this.session.linkUp(nowUs, link, peer);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    this.session.linkDown(nowUs, link, reason);
  }

  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    return this.session.frame(nowUs, link, bytes, view, at);
  }

  tick(nowUs: Micros): void {
    this.session.tick(nowUs);
  }

  endBatch(nowUs: Micros): void {
    this.next(nowUs);
  }

  nextDeadlineUs(): Micros {
    return this.session.nextDeadlineUs();
  }

  registration(): null {
    return null;
  }

  registered(): void {
    // Commands that waited for a master are sent by the session.
  }

  refused(): void {
    // Nothing is registered.
  }

  heartbeat(): null {
    return null;
  }

  mapChanged(): void {
    // Operators get no map.
  }

  pushed(): void {
    // Operators get no messages.
  }

  disconnected(): void {
    // The session finds the master again.
  }
}
