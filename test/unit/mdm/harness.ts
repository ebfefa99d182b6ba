// An MDM with a store, links and components made of arrays: what it sends is decoded and kept, what it commits is kept and
// reported when the test says so, and a new MDM can be started on what was committed.

import { NO_COPY_LOAD } from '../../../backend/cluster-map/copy-policy.js';
import { NO_DISK_TIMES } from '../../../backend/core/disk-meter.js';
import { ALL_KEYS } from '../../../backend/core/key-range.js';
import type { KeyRange } from '../../../backend/core/key-range.js';
import type { LinkId, Role } from '../../../backend/core/ports.js';
import { Mdm } from '../../../backend/mdm/mdm.js';
import { MDM_DEFAULTS } from '../../../backend/mdm/options.js';
import type { MdmOptions } from '../../../backend/mdm/options.js';
import {
  decodeCommandAnswer,
  decodeControl,
  encodeCommand,
  encodeControl,
} from '../../support/newest.js';
import type { CommandName, ControlCode } from '../../../backend/protocol/control.js';
import {
  COMMAND_ANSWER_BIT,
  ERR,
  MSG,
  VERSION_MAX,
} from '../../../backend/protocol/generated/constants.js';
import { getBodyBytes } from '../../../backend/protocol/generated/frame-head.js';
import { errorText } from '../../../backend/protocol/error-text.js';
import type {
  CombEntry,
  CommandParams,
  CommandResults,
  ControlBodies,
  ErrorDetail,
  QueryReplyBody,
} from '../../../backend/protocol/generated/types.js';
import { MemoryStore, TestLinks } from './doubles.js';
import type { Sent } from './doubles.js';

export const GIB = 1024 ** 3;
export const SECTORS_PER_GIB = GIB / 512;

const INITIAL = {
  systemName: 'test',
  idPrefix: 0x11223344,
  installId: '0123456789abcdef',
  admin: { name: 'admin', salt: new Uint8Array(16), hash: new Uint8Array(64) },
};

const ERROR_NAMES = new Map<number, string>(
  Object.entries(ERR).map(([name, code]) => [code, name]),
);

export interface Refused {
  readonly error: string;
  readonly text: string;
}

export interface TestDevice {
  readonly key: number;
  readonly sdsKey: number;
  link: LinkId;
  incarnation: number;
  progress: number;
}

export class Cluster {
  nowUs = 1_000_000;
  readonly store = new MemoryStore();
  links = new TestLinks();
  mdm: Mdm;
  readonly events: { level: string; name: string }[] = [];
  steppedDown = '';
  /** Protocol version of links that are opened from now on; administrators speak the newest. */
  linkVersion: number = VERSION_MAX;
  /** What the other end of each link speaks. */
  private readonly versions = new Map<LinkId, number>();
  private readonly options: MdmOptions;
  private lastLink = 0;
  private lastTag = 0;
  private admin = 0;

  constructor(options: Partial<MdmOptions> = {}) {
    this.options = {
      ...MDM_DEFAULTS,
      initial: INITIAL,
      combCountLog2: 4,
      combsPerPair: 0,
      ...options,
    };
    this.mdm = this.make();
  }

  /** Starts another MDM on what was committed; all links are gone. */
  restart(): void {
    this.links = new TestLinks();
    this.store.waiting.length = 0;
    this.mdm = this.make();
  }

  private make(): Mdm {
    const log = {
      event: (level: string, name: string): void => {
        this.events.push({ level, name });
      },
    };
    const host = {
      steppedDown: (_: number, reason: string): void => {
        this.steppedDown = reason;
      },
    };
    const { term, sequence } = this.store;
    const content = { term, sequence, entries: this.store.entries() };
    const mdm = new Mdm({ links: this.links, store: this.store, log, host }, content, this.options);
    mdm.start(this.nowUs);
    this.mdm = mdm;
    this.admin = this.open('admin');
    this.settle();
    return mdm;
  }

  /** Reports commits until none is left. */
  settle(): void {
    for (;;) {
      const token = this.store.waiting.shift();
      if (token === undefined) break;
      this.mdm.committed(this.nowUs, token, this.store.outcome);
    }
    this.links.collect();
  }

  open(role: Role, key = 0): LinkId {
    const link = ++this.lastLink;
    const version = role === 'admin' ? VERSION_MAX : this.linkVersion;
    this.versions.set(link, version);
    const peer = {
      role,
      key,
      incarnation: 1,
      run: 0,
      link: 0,
      linkEpoch: 1,
      version,
      features: 0,
    };
    this.mdm.linkUp(this.nowUs, link, peer);
    return link;
  }

  close(link: LinkId): void {
    this.mdm.linkDown(this.nowUs, link);
    this.settle();
  }

  /** Lets time pass in steps, so that the MDM never seems to have paused itself. */
  pass(ms: number, meanwhile: () => void = () => undefined): void {
    for (let left = ms; left > 0; left -= 100) {
      this.nowUs += Math.min(100, left) * 1000;
      meanwhile();
      this.mdm.tick(this.nowUs);
      this.settle();
    }
  }

  frame(link: LinkId, frame: Uint8Array, settle = true): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    this.mdm.frame(this.nowUs, link, frame, view, 0);
    if (getBodyBytes(view, 0) !== frame.length - 64) throw new Error('a whole frame');
    if (settle) this.settle();
  }

  /** Sends a message; returns the tag. */
  send<C extends ControlCode>(
    link: LinkId,
    code: C,
    body: ControlBodies[C],
    settle = true,
  ): number {
    const tag = ++this.lastTag;
    const version = this.versions.get(link) ?? VERSION_MAX;
    this.frame(link, encodeControl(code, tag, 0, body, version), settle);
    return tag;
  }

  reply<C extends ControlCode>(tag: number, code: C): ControlBodies[C] {
    const answer = this.links.sent.find((sent) => sent.tag === tag);
    if (answer === undefined) throw new Error('no answer');
    if (answer.status !== 0) throw new Error(refusalOf(answer).error);
    const message = decodeControl(answer.code, answer.body);
    if (message.code !== code) throw new Error(`answer ${answer.code}`);
    return message.body as ControlBodies[C];
  }

  refusal(tag: number): Refused | null {
    const answer = this.links.sent.find((sent) => sent.tag === tag);
    return answer === undefined || answer.status === 0 ? null : refusalOf(answer);
  }

  /** Asks a command; the answer may come later. */
  begin<N extends CommandName>(
    name: N,
    params: CommandParams[N],
    actor = 'admin',
    settle = true,
  ): number {
    const tag = ++this.lastTag;
    this.frame(this.admin, encodeCommand(name, tag, actor, params), settle);
    return tag;
  }

  /** The result of a command, its refusal, or null when there is no answer yet. */
  outcome<N extends CommandName>(name: N, tag: number): CommandResults[N] | Refused | null {
    const answer = this.links.sent.find((sent) => sent.tag === tag);
    if (answer === undefined) return null;
    if (answer.status !== 0) return refusalOf(answer);
    if ((answer.code & COMMAND_ANSWER_BIT) === 0) throw new Error('no answer of a command');
    return decodeCommandAnswer(name, answer.body);
  }

  /** The result of a command that must succeed at once. */
  command<N extends CommandName>(
    name: N,
    params: CommandParams[N],
    actor = 'admin',
  ): CommandResults[N] {
    const outcome = this.outcome(name, this.begin(name, params, actor));
    if (outcome === null) throw new Error(`${name} has no answer yet`);
    if ('error' in outcome) throw new Error(`${name}: ${outcome.error} ${outcome.text}`);
    return outcome;
  }

  /** The error of a command that must be refused at once. */
  refused<N extends CommandName>(name: N, params: CommandParams[N], actor = 'admin'): Refused {
    const outcome = this.outcome(name, this.begin(name, params, actor));
    if (outcome === null || !('error' in outcome)) throw new Error(`${name} was not refused`);
    return outcome;
  }

  query(
    type: ControlBodies[typeof MSG.QUERY]['type'],
    keys: readonly number[] = [],
    after = 0,
  ): QueryReplyBody {
    return this.reply(this.send(this.admin, MSG.QUERY, { type, keys, after }), MSG.QUERY_REPLY);
  }

  status(
    type: ControlBodies[typeof MSG.STATUS_QUERY]['type'],
  ): ControlBodies[typeof MSG.STATUS_QUERY_REPLY] {
    const tag = this.send(this.admin, MSG.STATUS_QUERY, { type, keys: [], after: 0 });
    return this.reply(tag, MSG.STATUS_QUERY_REPLY);
  }

  combs(poolKey: number): CombEntry[] {
    return this.query('combPage', [poolKey]).combPages.flatMap(({ combs }) => combs);
  }

  /** Messages of one code that were sent to a link, in order. */
  messages<C extends ControlCode>(link: LinkId, code: C): ControlBodies[C][] {
    return this.links.sent
      .filter((sent) => sent.link === link && sent.code === code && sent.status === 0)
      .map(({ body }) => decodeControl(code, body).body as ControlBodies[C]);
  }

  sds(number: number, port = 7072, systemId = ''): LinkId {
    const link = this.open('sds');
    this.send(link, MSG.REGISTER_SDS, {
      guid: guid(number),
      addresses: [{ host: `10.0.0.${number}`, role: 'all' }],
      port,
      version: '1',
      devices: [],
      systemId,
    });
    return link;
  }

  /** An SDS with devices of a pool, formatted and up. */
  addSds(
    number: number,
    domainKey: number,
    poolKey: number,
    devices = 1,
    faultSetKey = 0,
    bytes = 16 * GIB,
  ): TestDevice[] {
    const link = this.sds(number);
    const specs = Array.from({ length: devices }, (_, index) => ({
      poolKey,
      path: `/dev/d${index}`,
      name: '',
      force: false,
    }));
    const tag = this.begin('ADD_SDS', {
      domainKey,
      faultSetKey,
      name: `sds${number}`,
      addresses: [{ host: `10.0.0.${number}`, role: 'all' }],
      port: 0,
      devices: specs,
      forceClean: false,
      cacheEnabled: true,
      cacheMiB: 0,
    });
    const added: TestDevice[] = [];
    const wants = this.messages(link, MSG.DEVICE_WANTS).at(-1);
    for (const { deviceKey, task, path } of wants?.wants ?? []) {
      if (task !== 'format') throw new Error(`task ${task}`);
      this.send(link, MSG.DEVICE_RESULT, {
        mediaFound: '',
        ...{ deviceKey, task, status: 0, reason: '', path, capacityBytes: bytes },
      });
      const device = {
        key: deviceKey,
        sdsKey: wants?.sdsKey ?? 0,
        link: -1,
        incarnation: 0,
        progress: 0,
      };
      this.register(device, { incarnation: 1, dataIncarnation: 0, bytes });
      added.push(device);
    }
    const outcome = this.outcome('ADD_SDS', tag);
    if (outcome === null || 'error' in outcome)
      throw new Error(`ADD_SDS: ${outcome?.error ?? 'no answer'}`);
    return added;
  }

  /** A data process registers; its link is new. */
  register(
    device: TestDevice,
    facts: {
      incarnation?: number;
      dataIncarnation?: number;
      rolledBack?: boolean;
      epoch?: number;
      bytes?: number;
      usedBytes?: number;
    } = {},
  ): number {
    device.link = this.open('sdsData', device.key);
    const before = device.incarnation;
    device.incarnation = facts.incarnation ?? before + 1;
    device.progress = 0;
    return this.send(device.link, MSG.REGISTER_DEVICE, {
      deviceKey: device.key,
      sdsKey: device.sdsKey,
      incarnation: device.incarnation,
      dataIncarnation: facts.dataIncarnation ?? before,
      rolledBack: facts.rolledBack ?? false,
      epoch: facts.epoch ?? 0,
      port: 7073,
      version: '1',
      usage: {
        capacityBytes: facts.bytes ?? 16 * GIB,
        usedBytes: facts.usedBytes ?? 0,
        ...{ resyncBytesTotal: 0, resyncBytesDone: 0, degradedCombs: 0 },
        ...{ rebuildBytesLeft: 0, rebalanceBytesLeft: 0 },
        ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
        times: NO_DISK_TIMES,
        cache: null,
        scan: null,
      },
    });
  }

  beat(
    device: TestDevice,
    appliedSequence = 0,
    volumes: { volumeKey: number; usedBytes: number }[] = [],
    listed: KeyRange = ALL_KEYS,
  ): void {
    device.progress++;
    this.send(device.link, MSG.HEARTBEAT, {
      ...{ progress: device.progress, appliedSequence, volumes },
      ...{ listedAfter: listed.after, listedThrough: listed.through },
      usage: null,
      counters: [],
    });
  }

  /** All these devices apply everything that was committed. */
  applyAll(devices: readonly TestDevice[]): void {
    for (const device of devices) this.beat(device, this.store.sequence);
  }

  sdc(number: number, run = 0): { link: LinkId; sdcKey: number; run: number; approved: boolean } {
    const link = this.open('sdc');
    const tag = this.send(link, MSG.REGISTER_SDC, {
      guid: guid(100 + number),
      name: `host${number}`,
      addresses: [{ host: `10.1.0.${number}`, role: 'all' }],
      version: '1',
      run,
      zeroGuid: false,
    });
    const { sdcKey, run: given, approved } = this.reply(tag, MSG.REGISTER_SDC_REPLY);
    return { link, sdcKey, run: given, approved };
  }
}

function refusalOf({ status, body }: Sent): Refused {
  const message = decodeControl(MSG.ERROR_REPLY, body);
  const details: readonly ErrorDetail[] = 'details' in message.body ? message.body.details : [];
  return { error: ERROR_NAMES.get(status) ?? String(status), text: errorText(status, details) };
}

export function guid(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0').toUpperCase()}`;
}

/** A cluster with one domain, one pool and SDSs of one device each, and one volume where `volume` is given. */
export function standard(
  options: Partial<MdmOptions> = {},
  sdsCount = 3,
): { cluster: Cluster; domainKey: number; poolKey: number; devices: TestDevice[] } {
  const cluster = new Cluster(options);
  const { key: domainKey } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'domain' });
  const { key: poolKey } = cluster.command('ADD_STORAGE_POOL', poolParams(domainKey));
  const devices: TestDevice[] = [];
  for (let number = 1; number <= sdsCount; number++)
    devices.push(...cluster.addSds(number, domainKey, poolKey));
  return { cluster, domainKey, poolKey, devices };
}

export function poolParams(domainKey: number, name = 'pool'): CommandParams['ADD_STORAGE_POOL'] {
  return {
    ...{ domainKey, name, mediaType: 'SSD', durability: 'media', zeroPadding: true },
    ...{
      checksums: true,
      rmcache: false,
      cacheWrites: 'cached' as const,
      sparePercent: 0,
      combCountLog2: 0,
    },
  };
}
