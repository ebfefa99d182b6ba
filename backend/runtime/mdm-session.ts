// The session of a program that only asks (gateway, command lines, deployer) with the master MDM: questions and commands
// as promises, over one link of this process. It owns paging and the translation of answers; it must never keep what it
// was told.

import { ClusterError } from './cluster.js';
import type { Cluster, ObjectKind, Objects, StatusKind, StatusReport } from './cluster.js';
import { handshakeRules } from './links/authentication.js';
import { LINK_TIMING, TcpLinks } from './links/tcp-links.js';
import { Loop } from './loop.js';
import type { LinkTarget, Log } from '../core/ports.js';
import { MdmClient } from '../mdm-client/mdm-client.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import type { MdmClientHost } from '../mdm-client/host.js';
import { decodeBody } from '../protocol/control.js';
import type { ControlCode } from '../protocol/control.js';
import { MSG } from '../protocol/generated/constants.js';
import type {
  ClusterQueryReplyBody,
  CommandParams,
  CommandResults,
  ControlBodies,
  QueryReplyBody,
  RuntimeStatus,
  VolumeStatus,
  VtreeStatus,
  PoolStatus,
} from '../protocol/generated/types.js';
import { ProtocolError } from '../protocol/wire.js';

export interface MdmSessionOptions {
  /** Where MDMs may be. */
  readonly addresses: LinkTarget['addresses'];
  /** The system's secret: 32 bytes. */
  readonly secret: Uint8Array;
  readonly log: Log;
  /** How long one question or command may take, waiting for the master included; default 35 s, longer than a drain. */
  readonly requestTimeoutMs?: number;
  /** Local address to connect from; without it the system chooses. */
  readonly localHost?: string;
}

const REQUEST_TIMEOUT_MS = 35_000;
/** Adding devices waits for their formatting. */
const SLOW_COMMANDS: ReadonlySet<string> = new Set(['ADD_SDS', 'ADD_DEVICE']);
const SLOW_TIMEOUT_MS = 120_000;

const NO_IDENTITY = { key: 0, incarnation: 0, run: 0, systemId: '' } as const;

/** Nothing registers, beats or follows the map here. */
const ASKING_ONLY: MdmClientHost = {
  registration: () => null,
  registered: () => undefined,
  refused: () => undefined,
  heartbeat: () => null,
  mapChanged: () => undefined,
  pushed: () => undefined,
  disconnected: () => undefined,
};

/** How the objects of a kind stand in a reply, and the key to continue behind. */
interface Page<K extends ObjectKind> {
  readonly list: (reply: QueryReplyBody) => readonly Objects[K][];
  readonly key: (object: Objects[K]) => number;
}

const PAGES: { readonly [K in ObjectKind]: Page<K> } = {
  system: { list: (reply) => reply.systems, key: (object) => object.key },
  protectionDomain: { list: (reply) => reply.domains, key: (object) => object.key },
  storagePool: { list: (reply) => reply.pools, key: (object) => object.key },
  faultSet: { list: (reply) => reply.faultSets, key: (object) => object.key },
  sds: { list: (reply) => reply.sds, key: (object) => object.key },
  device: { list: (reply) => reply.devices, key: (object) => object.key },
  sdc: { list: (reply) => reply.sdcs, key: (object) => object.key },
  volume: { list: (reply) => reply.volumes, key: (object) => object.key },
  mapping: { list: (reply) => reply.mappings, key: (object) => object.volumeKey },
  user: { list: (reply) => reply.users, key: (object) => object.key },
  approvedSdc: { list: (reply) => reply.approvedSdcs, key: (object) => object.key },
  attachment: { list: (reply) => reply.attachments, key: (object) => object.key },
  snapshotPolicy: { list: (reply) => reply.policies, key: (object) => object.key },
};

/** Keys of one question; more are asked in turn. */
const KEYS_MAX = 1000;

export class MdmSession implements Cluster {
  private readonly loop = new Loop();
  private readonly links: TcpLinks;
  private readonly client: MdmClient;
  private readonly timeoutMs: number;
  private closed = false;

  constructor(options: MdmSessionOptions) {
    const { addresses, secret, log, localHost } = options;
    this.timeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    this.links = new TcpLinks({
      loop: this.loop,
      rules: handshakeRules('admin', [], secret),
      identity: NO_IDENTITY,
      log,
      ...LINK_TIMING,
      ...(localHost === undefined ? {} : { localHost }),
    });
    this.client = new MdmClient(this.links, log, ASKING_ONLY, {
      ...MDM_CLIENT_DEFAULTS,
      addresses,
      heartbeatMs: 0,
      requestTimeoutMs: this.timeoutMs,
      seed: process.pid,
    });
    this.links.attach(this.client);
    this.loop.attach(this.client);
  }

  /** Begins to look for the master; the first question does so too. What is asked before it is found waits. */
  start(): void {
    this.input((nowUs) => {
      this.client.start(nowUs);
    });
  }

  /** Ends the link; open questions fail, and so do later ones. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.input((nowUs) => {
      this.client.stop(nowUs);
    });
    this.links.stop();
    this.loop.stop();
  }

  async query<K extends ObjectKind>(
    kind: K,
    keys: readonly number[] = [],
  ): Promise<readonly Objects[K][]> {
    const page = PAGES[kind];
    const objects: Objects[K][] = [];
    for (const some of chunks(keys)) {
      let after = 0;
      for (let more = true; more;) {
        const reply = await this.ask(MSG.QUERY, { type: kind, keys: some, after }, MSG.QUERY_REPLY);
        const list = page.list(reply);
        objects.push(...list);
        const last = list.at(-1);
        more = reply.more && last !== undefined;
        if (last !== undefined) after = page.key(last);
      }
    }
    return objects;
  }

  async status(kind: StatusKind, keys: readonly number[] = []): Promise<StatusReport> {
    const statuses: RuntimeStatus[] = [];
    const volumes: VolumeStatus[] = [];
    const pools: PoolStatus[] = [];
    const vtrees: VtreeStatus[] = [];
    for (const some of chunks(keys)) {
      let after = 0;
      for (let more = true; more;) {
        const question = { type: kind, keys: some, after };
        const reply = await this.ask(MSG.STATUS_QUERY, question, MSG.STATUS_QUERY_REPLY);
        statuses.push(...reply.statuses);
        volumes.push(...reply.volumes);
        pools.push(...reply.pools);
        vtrees.push(...reply.vtrees);
        const last =
          reply.statuses.at(-1)?.key ??
          reply.volumes.at(-1)?.volumeKey ??
          reply.pools.at(-1)?.poolKey ??
          reply.vtrees.at(-1)?.vtreeKey;
        more = reply.more && last !== undefined;
        if (last !== undefined) after = last;
      }
    }
    return { statuses, volumes, pools, vtrees };
  }

  clusterState(): Promise<ClusterQueryReplyBody> {
    return this.ask(MSG.CLUSTER_QUERY, {}, MSG.CLUSTER_QUERY_REPLY);
  }

  command<N extends keyof CommandParams>(
    name: N,
    actor: string,
    params: CommandParams[N],
  ): Promise<CommandResults[N]> {
    const timeoutMs = SLOW_COMMANDS.has(name)
      ? Math.max(SLOW_TIMEOUT_MS, this.timeoutMs)
      : this.timeoutMs;
    return new Promise((resolve, reject) => {
      this.asked(reject, (nowUs) => {
        this.client.command(
          nowUs,
          name,
          actor,
          params,
          (_, status, result, details) => {
            if (result === null) reject(ClusterError.ofStatus(status, details));
            else resolve(result);
          },
          timeoutMs,
        );
      });
    });
  }

  private ask<Q extends ControlCode, A extends ControlCode>(
    question: Q,
    body: ControlBodies[Q],
    answer: A,
  ): Promise<ControlBodies[A]> {
    return new Promise((resolve, reject) => {
      this.asked(reject, (nowUs) => {
        this.client.ask(
          nowUs,
          question,
          body,
          (_, { status, details, code, body: bytes, version }) => {
            if (status !== 0) reject(ClusterError.ofStatus(status, details));
            else if (code !== answer)
              reject(ClusterError.named('BAD_FRAME', `answer ${code} to question ${question}`));
            else
              try {
                resolve(decodeBody(answer, bytes, version));
              } catch (error) {
                if (error instanceof ProtocolError)
                  reject(ClusterError.named('BAD_FRAME', error.message));
                throw error;
              }
          },
        );
      });
    });
  }

  /** Runs an input; parameters that break a bound of the protocol become a refusal like one of the MDM. */
  private asked(reject: (error: Error) => void, input: (nowUs: number) => void): void {
    if (this.closed) {
      reject(ClusterError.named('NOT_READY'));
      return;
    }
    try {
      this.input((nowUs) => {
        this.client.start(nowUs);
        input(nowUs);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // The MDM says it of names that are a little too long; the protocol does not carry the others there.
      const isName = error.path.endsWith('.name');
      reject(
        ClusterError.named(
          isName ? 'NAME_TOO_LONG' : 'INVALID_PARAMETER',
          isName ? undefined : error.message,
        ),
      );
    }
  }

  private input(run: (nowUs: number) => void): void {
    this.loop.begin();
    try {
      run(this.loop.nowUs);
    } finally {
      this.loop.end();
    }
  }
}

/** Slices of keys; no keys at all mean all objects: one empty slice. */
function chunks(keys: readonly number[]): number[][] {
  if (keys.length === 0) return [[]];
  const slices: number[][] = [];
  for (let at = 0; at < keys.length; at += KEYS_MAX) slices.push(keys.slice(at, at + KEYS_MAX));
  return slices;
}
