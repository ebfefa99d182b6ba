// An MDM whose metadata was restored, until the devices confirmed it. A backup is older than what the devices do: since then a
// copy may have left a set and missed writes. So nothing is decided, and nobody is told anything of the map, before every
// device that may know something newer told what it remembers; the newest entry of each comb is the true one. Then
// everything begins under a new cluster epoch, and whoever comes from another life of the metadata is seen by that. It must
// never put a copy in sync that the newest entry does not put in sync: unavailable beats stale.
//
// Why it is enough to hear the members of an entry that are in sync or targets: a later entry in which anybody acted has its
// primary among them (an admission is asked for by the primary of the entry before, a promotion goes to a member in sync), and
// that one wrote the entry down before it acted.

import { normalizeGuid, formatId } from '../core/ids.js';
import type { LinkId, Links, Log, Machine, Micros, Peer } from '../core/ports.js';
import {
  bodyOf,
  decodeCommand,
  decodeControl,
  encodeBadFrame,
  encodeCommandAnswer,
  isCommandCode,
} from '../protocol/control.js';
import type { Command, ControlMessage } from '../protocol/control.js';
import { ERR, LIMIT, MSG } from '../protocol/generated/constants.js';
import { getCode, getTag } from '../protocol/generated/frame-head.js';
import type {
  Device,
  Finding,
  RegisterDeviceBody,
  RegisterSdsBody,
} from '../protocol/generated/types.js';
import { COMMANDS } from '../protocol/tables/commands.js';
import { ProtocolError } from '../protocol/wire.js';
import { CombsHeard } from './combs-heard.js';
import type { NodeReport } from './cluster-plan.js';
import { mayAsk } from './commands/users.js';
import { FormerMdms } from './former-mdms.js';
import { LayersHeard } from './layers-heard.js';
import { NewestCombs } from './newest-combs.js';
import type { MdmContent, MdmOptions, StoredEntry } from './options.js';
import { objectsOf } from './query-objects.js';
import { concluded } from './recovery-end.js';
import type { Heard } from './recovery-end.js';
import { Sessions } from './sessions.js';
import type { Session } from './sessions.js';
import { State } from './state.js';

const NO_FINDING = { deviceKey: 0, poolKey: 0, comb: 0, combs: 0, volumeKey: 0 } as const;

export interface RecoveryPorts {
  readonly links: Links;
  readonly log: Log;
  /** Everything is known: this is the content with which the system goes on. */
  recovered(nowUs: Micros, sequence: number, entries: readonly StoredEntry[]): void;
}

export class Recovery implements Machine {
  private readonly ports: RecoveryPorts;
  private readonly options: MdmOptions;
  private readonly state = new State();
  private readonly sequence: number;
  private readonly term: number;
  private readonly sessions: Sessions;
  private readonly combsHeard: CombsHeard;
  private readonly layersHeard: LayersHeard;
  private readonly newest: NewestCombs;
  private readonly registered = new Map<number, RegisterDeviceBody>();
  private readonly heard = new Map<number, Heard>();
  /** Devices that the backup does not know, and where they are. */
  private readonly unknown = new Map<number, number>();
  private readonly foundPaths = new Map<number, string>();
  private readonly givenUp = new Set<number>();
  /** Devices of pools of a domain to which their SDS went after the backup. */
  private readonly moved = new Set<number>();
  /** Map sequence that each device has applied, of the former life; whoever did not say so is not heard. */
  private readonly applied = new Map<number, number>();
  private readonly toldAll = new Set<number>();
  /** Whoever runs it has them looked for, again and again. */
  readonly former: FormerMdms;
  private isDone = false;

  /** @throws ContentError when the content cannot be understood */
  constructor(ports: RecoveryPorts, content: MdmContent, options: MdmOptions) {
    this.ports = ports;
    this.options = options;
    this.term = content.term + 1;
    this.sequence = content.sequence;
    this.state.load(content.entries);
    this.former = new FormerMdms(this.state.mdms.values());
    this.sessions = new Sessions(ports.links, (_, session) => {
      const { registered } = session;
      if (registered.kind === 'device') this.combsHeard.forget(registered.deviceKey);
    });
    this.layersHeard = new LayersHeard(this.sessions);
    this.combsHeard = new CombsHeard(
      this.sessions,
      (_, poolKey, __, ___, memories) => {
        this.newest.take(poolKey, memories);
      },
      (deviceKey) => {
        this.toldAll.add(deviceKey);
        this.told(deviceKey);
      },
    );
    this.newest = new NewestCombs(this.state.combs.pooled());
  }

  start(nowUs: Micros): void {
    const { ports, term, sequence } = this;
    ports.links.identify({ key: 0, incarnation: term, run: 0, systemId: this.systemId() });
    ports.log.event('warn', 'mdm.restored', { term, sequence });
    this.consider(nowUs);
  }

  systemId(): string {
    const { idPrefix, key } = this.state.system;
    return formatId(idPrefix, key);
  }

  linkUp(_nowUs: Micros, link: LinkId, peer: Peer): void {
    this.sessions.open(link, peer);
  }

  linkDown(nowUs: Micros, link: LinkId): void {
    this.sessions.ended(nowUs, link);
  }

  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    const session = this.sessions.get(link);
    if (session === undefined || this.isDone) return true;
    const tag = getTag(view, at);
    const code = getCode(view, at);
    const body = bodyOf(bytes, view, at);
    const { version } = session.peer;
    try {
      if (isCommandCode(code))
        this.command(nowUs, session, tag, decodeCommand(code, body, version));
      else this.message(nowUs, session, tag, decodeControl(code, body, version));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.sessions.sendEncoded(link, encodeBadFrame(tag, error, version));
    }
    return true;
  }

  tick(): void {
    // Devices come when they come.
  }

  nextDeadlineUs(): Micros {
    return Infinity;
  }

  /** What the MDMs of the former cluster are: only right after none of them was at work anything is concluded. */
  formerSeen(nowUs: Micros, reports: ReadonlyMap<number, NodeReport | string>): void {
    if (this.isDone) return;
    if (!this.former.seen(reports)) {
      this.conclude(nowUs);
      return;
    }
    // What devices said may be old by the time that the other one is silent.
    this.heard.clear();
    this.toldAll.clear();
    for (const { link, registered } of [...this.sessions.all()])
      if (registered.kind === 'device') this.sessions.drop(nowUs, link);
  }

  private message(nowUs: Micros, session: Session, tag: number, message: ControlMessage): void {
    const { link, peer, registered } = session;
    const { role } = peer;
    switch (message.code) {
      case MSG.REGISTER_SDS:
        if (role === 'sds') this.sds(session, tag, message.body);
        return;
      case MSG.REGISTER_DEVICE:
        if (role === 'sdsData') this.device(nowUs, session, tag, message.body);
        return;
      case MSG.COMBS_REMEMBERED:
        if (registered.kind !== 'device') return;
        this.adopt(registered.deviceKey, message.body.poolKey);
        this.combsHeard.told(registered.deviceKey, link, message.body);
        this.consider(nowUs);
        return;
      case MSG.LAYERS_REMEMBERED:
        if (registered.kind !== 'device') return;
        this.layersHeard.told(registered.deviceKey, link, message.body);
        this.told(registered.deviceKey);
        this.consider(nowUs);
        return;
      case MSG.HEARTBEAT:
        if (registered.kind === 'device') {
          this.applied.set(registered.deviceKey, message.body.appliedSequence);
          this.told(registered.deviceKey);
          this.consider(nowUs);
        }
        this.sessions.send(link, MSG.HEARTBEAT_REPLY, tag, { term: this.term });
        return;
      case MSG.DEVICE_RESULT:
        return;
      case MSG.QUERY:
        if (role === 'admin' || role === 'lia') this.query(link, tag, message.body);
        return;
      case MSG.CLUSTER_QUERY:
        this.sessions.send(link, MSG.CLUSTER_QUERY_REPLY, tag, this.clusterState());
        return;
      default:
        this.refuse(link, tag);
    }
  }

  private query(link: LinkId, tag: number, question: Parameters<typeof objectsOf>[1]): void {
    const objects = objectsOf(this.state, question);
    if (objects === null) this.sessions.refuse(link, tag, ERR.INVALID_PARAMETER);
    else this.sessions.send(link, MSG.QUERY_REPLY, tag, objects);
  }

  private clusterState() {
    const { options, state, term, sequence } = this;
    const { name, addresses, port, version } = options;
    const combs = this.newest.count();
    const awaited = [...this.awaited().values()].reduce((sum, count) => Math.max(sum, count), 0);
    return {
      ...{ term, sequence, mode: 1, name, addresses, port, version },
      ...{ degradedCombs: 0, unavailableCombs: awaited, combs, upSinceMs: options.wallMsAtZero },
      members: [],
      ...{ job: 0, lastJob: 0, lastReason: `the metadata of ${state.system.name} was restored` },
    };
  }

  private refuse(link: LinkId, tag: number): void {
    const value = this.reason();
    if (tag !== 0)
      this.sessions.refuse(link, tag, ERR.METADATA_RESTORED, [{ name: 'reason', value }]);
  }

  /** What is waited for, in a sentence. */
  private reason(): string {
    const [former] = this.former.reasons();
    if (former !== undefined) return former;
    const keys = [...this.awaited().keys()];
    if (keys.length === 0) return 'it looks whether an MDM of the former cluster runs';
    const named = keys.slice(0, 8).map((key) => this.nameOf(key));
    const more = keys.length > named.length ? ` and ${keys.length - named.length} more` : '';
    return `it waits for what these devices know: ${named.join(', ')}${more}`;
  }

  private nameOf(deviceKey: number): string {
    const device = this.state.devices.get(deviceKey);
    const sds = this.state.sds.get(device?.sdsKey ?? this.unknown.get(deviceKey) ?? 0);
    const id = formatId(this.state.system.idPrefix, deviceKey);
    return `${id} (${sds?.name ?? 'an SDS that the backup does not know'}${device === undefined ? '' : ` ${device.path}`})`;
  }

  private sds(session: Session, tag: number, body: RegisterSdsBody): void {
    const { link } = session;
    const { state } = this;
    const guid = normalizeGuid(body.guid);
    const sds = state.sds.find((candidate) => candidate.guid === guid);
    // Whoever is not known is not let go: it may hold what was written since the backup.
    if (sds === undefined || guid === null) {
      this.refuse(link, tag);
      return;
    }
    session.registered = { kind: 'sds', guid };
    for (const { deviceKey, path } of body.devices) this.foundPaths.set(deviceKey, path);
    const systemId = this.systemId();
    this.sessions.send(link, MSG.REGISTER_SDS_REPLY, tag, { sdsKey: sds.key, systemId });
    // What is told to an SDS is complete: a device that came after the backup would be closed.
    if (body.devices.some(({ deviceKey }) => !state.devices.has(deviceKey))) return;
    const isFound = (key: number): boolean => body.devices.some((found) => found.deviceKey === key);
    // One that was on its way into the system is there since, when its disk says so.
    const wants = state.devices
      .filter(({ key, sdsKey, formatted }) => sdsKey === sds.key && (formatted || isFound(key)))
      .map(({ key, poolKey, path }) => ({
        ...{ deviceKey: key, poolKey, task: 'open' as const, path, force: false },
        durability: state.pools.get(poolKey)?.durability ?? ('media' as const),
        ...{ replaces: [], rmcache: false },
      }));
    const wanted = { sdsKey: sds.key, systemId, wants, cacheBytes: 0 };
    this.sessions.send(link, MSG.DEVICE_WANTS, 0, wanted);
  }

  private device(nowUs: Micros, session: Session, tag: number, body: RegisterDeviceBody): void {
    const { link } = session;
    const { deviceKey, sdsKey } = body;
    const device = this.state.devices.get(deviceKey);
    if (!this.state.sds.has(sdsKey) || (device !== undefined && device.sdsKey !== sdsKey)) {
      this.refuse(link, tag);
      return;
    }
    if (device === undefined) this.unknown.set(deviceKey, sdsKey);
    for (const other of [...this.sessions.all()])
      if (other.registered.kind === 'device' && other.registered.deviceKey === deviceKey)
        this.sessions.drop(nowUs, other.link);
    session.registered = { kind: 'device', deviceKey, poolKey: device?.poolKey ?? 0 };
    this.registered.set(deviceKey, body);
    const { leaseMs, detectionMs, driftPercent } = this.options;
    const timing = { leaseMs, detectionMs, driftPercent };
    this.sessions.send(link, MSG.REGISTER_DEVICE_REPLY, tag, timing);
    this.layersHeard.ask(deviceKey, link);
    this.combsHeard.ask(deviceKey, link);
  }

  /** A device that was added after the backup is a device of the system. */
  private adopt(deviceKey: number, poolKey: number): void {
    const sdsKey = this.unknown.get(deviceKey);
    const body = this.registered.get(deviceKey);
    const { pools, devices, sds } = this.state;
    const pool = pools.get(poolKey);
    if (sdsKey === undefined || body === undefined || pool === undefined) return;
    if (pool.domainKey !== sds.get(sdsKey)?.domainKey) {
      this.moved.add(deviceKey);
      return;
    }
    this.unknown.delete(deviceKey);
    const { usage, incarnation, port } = body;
    const adopted: Device = {
      ...{ key: deviceKey, sdsKey, poolKey, name: '', path: this.foundPaths.get(deviceKey) ?? '' },
      ...{ state: 'up', incarnation, capacityBytes: usage.capacityBytes, force: false },
      ...{ failure: '', port, formatted: true, dataSince: 1, rolledBackIncarnation: 0 },
      ...{ removing: false, replaces: [], slowStage: 'none' },
      ...{ mediaFound: '', mediaType: '' },
    };
    devices.put(deviceKey, adopted);
    this.ports.log.event('warn', 'mdm.device-adopted', { device: deviceKey, sds: sdsKey });
  }

  private told(deviceKey: number): void {
    const body = this.registered.get(deviceKey);
    if (body === undefined || !this.toldAll.has(deviceKey) || !this.applied.has(deviceKey)) return;
    if (this.layersHeard.isTelling(deviceKey)) return;
    // What it holds has no place in this metadata: nobody goes on without deciding about that.
    if (this.moved.has(deviceKey)) return;
    const { incarnation, port, usage } = body;
    this.heard.set(deviceKey, { incarnation, port, capacityBytes: usage.capacityBytes });
  }

  /** Devices that may know something newer, and of how many combs. */
  private awaited(): Map<number, number> {
    return this.newest.actedOnBy((key) => !this.heard.has(key) && !this.givenUp.has(key));
  }

  private consider(nowUs: Micros): void {
    if (this.former.all.length === 0) this.conclude(nowUs);
  }

  private conclude(nowUs: Micros): void {
    if (this.isDone || this.awaited().size > 0) return;
    this.isDone = true;
    const isLost = (deviceKey: number): boolean =>
      this.givenUp.has(deviceKey) && !this.heard.has(deviceKey);
    const epoch = concluded(this.state, this.newest.pools, this.heard, isLost);
    const { log } = this.ports;
    log.event('warn', 'mdm.restore-confirmed', {
      ...{ epoch, devices: this.heard.size, lost: this.givenUp.size },
      doubtful: this.layersHeard.doubt(this.state),
    });
    // What a device applied of the former life must not count as applied of this one (C13).
    const sequence = Math.max(this.sequence, ...this.applied.values()) + 1;
    this.ports.recovered(nowUs, sequence, this.state.all());
  }

  private command(nowUs: Micros, { link, peer }: Session, tag: number, command: Command): void {
    const user = this.state.users.find(({ name }) => name === command.actor);
    const isAllowed =
      (peer.role === 'admin' || peer.role === 'lia') &&
      user !== undefined &&
      mayAsk(user.role, COMMANDS[command.name].needs);
    if (!isAllowed) {
      this.sessions.refuse(link, tag, ERR.PERMISSION_DENIED);
      return;
    }
    if (command.name === 'CHECK_METADATA') {
      const frame = encodeCommandAnswer('CHECK_METADATA', tag, this.check(), peer.version);
      this.sessions.sendEncoded(link, frame);
    } else if (command.name === 'CONFIRM_RESTORE') {
      for (const key of command.params.deviceKeys) this.givenUp.add(key);
      this.ports.log.event('warn', 'mdm.restore-without', {
        devices: command.params.deviceKeys.length,
      });
      this.sessions.sendEncoded(
        link,
        encodeCommandAnswer('CONFIRM_RESTORE', tag, {}, peer.version),
      );
      this.consider(nowUs);
    } else this.refuse(link, tag);
  }

  private check() {
    const former = this.former
      .reasons()
      .map((reason): Finding => ({ ...NO_FINDING, kind: 'awaited', reason }));
    const awaited = [...this.awaited()].map(([deviceKey, combs]): Finding => ({
      ...NO_FINDING,
      ...{ kind: 'awaited', deviceKey, combs },
      poolKey: this.state.devices.get(deviceKey)?.poolKey ?? 0,
      reason: this.moved.has(deviceKey)
        ? `${this.nameOf(deviceKey)} went to another protection domain with its SDS since the backup: restore a later one, or give it up`
        : `${this.nameOf(deviceKey)} did not say yet what it knows`,
    }));
    const findings = [...former, ...awaited];
    const combs = this.newest.count();
    return {
      ...{ restoring: true, combs, devices: this.heard.size, total: findings.length },
      findings: findings.slice(0, LIMIT.queryItemsMax),
    };
  }
}
