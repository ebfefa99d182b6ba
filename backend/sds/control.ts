// The control machine of a storage server: registers with the MDM, keeps one data process running for each device that the
// MDM wants open, and reports what becomes of them. It must never touch a device, and never restart one that failed (C14).

import { ALL_KEYS } from '../core/key-range.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, Log, Machine, Micros, Peer } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { MdmClient } from '../mdm-client/mdm-client.js';
import type { MdmClientHost, Registration } from '../mdm-client/host.js';
import type { MdmClientOptions } from '../mdm-client/options.js';
import type { ControlMessage } from '../protocol/control.js';
import { errorText } from '../protocol/error-text.js';
import { ERR, LIMIT, MSG } from '../protocol/generated/constants.js';
import type {
  Address,
  DeviceWant,
  DeviceWantsBody,
  FoundDevice,
  ErrorDetail,
} from '../protocol/generated/types.js';
import { CacheShares } from './cache-shares.js';
import { DATA_EXIT } from './device-process.js';
import type { DataReport, DeviceProcesses, DeviceProcessOwner } from './device-process.js';

const MARKS = {
  restarted: mark('sds.control: a data process ended and was started again'),
  failed: mark('sds.control: a device failed for good'),
  portTaken: mark('sds.control: a data port was taken by somebody else'),
  owner: mark('sds.control: a system took the server in, or let it go'),
  unwanted: mark('sds.control: a device is no longer wanted'),
};

export interface ControlIdentity {
  readonly guid: string;
  readonly addresses: readonly Address[];
  readonly port: number;
  readonly version: string;
}

export interface ControlOptions {
  readonly mdm: MdmClientOptions;
  readonly dataPortFirst: number;
  /** First and longest pause before an ended data process is started again. */
  readonly restartMsMin: number;
  readonly restartMsMax: number;
}

export const CONTROL_DEFAULTS = { restartMsMin: 100, restartMsMax: 5000 } as const;

export interface ControlPorts {
  readonly links: Links;
  readonly log: Log;
  readonly processes: DeviceProcesses;
  /** Devices with our signature that can be seen now. */
  foundDevices(): readonly FoundDevice[];
  readonly owner: OwnerRecord;
}

/** Which system has taken this server in; kept when the process ends. */
export interface OwnerRecord {
  /** 16 hex digits, or empty. */
  readonly systemId: string;
  /** Another system has taken it in, or (empty) the one that had it let it go. */
  change(systemId: string): void;
}

type Stage = 'idle' | 'running' | 'stopping' | 'pausing' | 'failed';

/** One device that is wanted, or whose process has not ended yet. */
class Kept {
  want: DeviceWant;
  wanted = true;
  stage: Stage = 'idle';
  port = 0;
  formatted = false;
  opened = false;
  /** What it said before it ended. */
  refusal: { readonly status: number; readonly reason: string } | null = null;
  restartMs: number;
  startUs: Micros = Infinity;

  constructor(want: DeviceWant, restartMs: number) {
    this.want = want;
    this.restartMs = restartMs;
  }
}

export class SdsControl implements Machine, MdmClientHost, DeviceProcessOwner {
  private readonly ports: ControlPorts;
  private readonly identity: ControlIdentity;
  private readonly options: ControlOptions;
  private readonly client: MdmClient;
  private readonly kept = new Map<number, Kept>();
  private readonly cacheShares: CacheShares;
  private sdsKey = 0;
  private systemId = '';
  private stopping = false;
  private progress = 0;
  /** Why the MDM refused it last; 0: it did not. */
  private refusedStatus = 0;

  constructor(ports: ControlPorts, identity: ControlIdentity, options: ControlOptions) {
    this.ports = ports;
    this.identity = identity;
    this.options = options;
    this.client = new MdmClient(ports.links, ports.log, this, options.mdm);
    this.cacheShares = new CacheShares((deviceKey, bytes) => {
      ports.processes.allotCache(deviceKey, bytes);
    });
  }

  start(nowUs: Micros): void {
    this.client.start(nowUs);
  }

  /** Stops all data processes; `isStopped` tells when they have ended. */
  stop(nowUs: Micros): void {
    this.stopping = true;
    this.client.stop(nowUs);
    for (const kept of this.kept.values()) this.end(kept);
  }

  get isStopped(): boolean {
    return [...this.kept.values()].every(
      ({ stage }) => stage !== 'running' && stage !== 'stopping',
    );
  }

  // Links: the MDM is the only one this machine talks to.

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    if (this.client.owns(link)) this.client.linkUp(nowUs, link, peer);
    else this.ports.links.close(link);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    if (this.client.owns(link)) this.client.linkDown(nowUs, link, reason);
  }

  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    return this.client.owns(link) ? this.client.frame(nowUs, link, bytes, view, at) : true;
  }

  tick(nowUs: Micros): void {
    this.progress++;
    this.client.tick(nowUs);
    for (const kept of this.kept.values())
      if (kept.stage === 'pausing' && kept.startUs <= nowUs) this.run(kept);
  }

  nextDeadlineUs(): Micros {
    let next = this.client.nextDeadlineUs();
    for (const kept of this.kept.values())
      if (kept.stage === 'pausing') next = Math.min(next, kept.startUs);
    return next;
  }

  // What the session with the MDM asks and says.

  registration(): Registration {
    const { guid, addresses, port, version } = this.identity;
    const devices = this.ports.foundDevices().slice(0, LIMIT.devicesPerSdsMax);
    return {
      code: MSG.REGISTER_SDS,
      body: { guid, addresses, port, version, devices, systemId: this.ports.owner.systemId },
    };
  }

  registered(_nowUs: Micros, reply: ControlMessage | null): void {
    this.refusedStatus = 0;
    if (reply?.code !== MSG.REGISTER_SDS_REPLY) return;
    this.sdsKey = reply.body.sdsKey;
    this.systemId = reply.body.systemId;
    const { sdsKey: key, systemId } = this;
    this.ports.links.identify({ key, incarnation: 0, run: 0, systemId });
    this.owned(key, systemId);
    // What ended while nobody listened is said now; a refused format is tried again when it is wanted again.
    for (const kept of this.kept.values()) {
      if (kept.stage === 'failed') this.report(kept, 'open', ERR.DEVICE_FAILED, reasonOf(kept));
    }
  }

  refused(_nowUs: Micros, status: number, details: readonly ErrorDetail[]): void {
    // The session asks again on its own; what stays as it is is said once.
    if (status === this.refusedStatus) return;
    this.refusedStatus = status;
    const reason = errorText(status, details);
    this.ports.log.event('warn', 'sds.registration-refused', { reason });
  }

  heartbeat(): ReturnType<MdmClientHost['heartbeat']> {
    return {
      progress: ++this.progress,
      appliedSequence: 0,
      usage: null,
      listedAfter: ALL_KEYS.after,
      listedThrough: ALL_KEYS.through,
      counters: [],
      volumes: [],
    };
  }

  mapChanged(): void {
    // The control process needs no map.
  }

  pushed(_nowUs: Micros, message: ControlMessage): void {
    if (message.code === MSG.DEVICE_WANTS) this.wants(message.body);
  }

  disconnected(): void {
    // Data processes go on without it.
  }

  /** The system that has it says so with a key; only that one can let it go. */
  private owned(sdsKey: number, systemId: string): void {
    const { owner, log } = this.ports;
    const before = owner.systemId;
    const now = sdsKey !== 0 ? systemId : before === systemId ? '' : before;
    if (now === before) return;
    MARKS.owner.hits++;
    log.event(before !== '' && now !== '' ? 'warn' : 'info', 'sds.owner', { before, now });
    owner.change(now);
  }

  // Devices.

  private wants({ sdsKey, systemId, wants, cacheBytes }: DeviceWantsBody): void {
    if (this.stopping) return;
    this.sdsKey = sdsKey;
    this.systemId = systemId;
    this.owned(sdsKey, systemId);
    const open = new Set<number>();
    for (const want of wants) {
      if (want.task === 'close') continue;
      open.add(want.deviceKey);
      this.want(want);
    }
    for (const [key, kept] of this.kept) {
      if (open.has(key)) continue;
      MARKS.unwanted.hits++;
      kept.wanted = false;
      this.end(kept);
      this.forgetIfDone(key, kept);
    }
    this.cacheShares.setTotal(cacheBytes);
    for (const { want, wanted, opened } of this.kept.values())
      if (opened) this.cacheShares.use(want.deviceKey, wanted && want.rmcache);
    this.cacheShares.divide();
  }

  private want(want: DeviceWant): void {
    const known = this.kept.get(want.deviceKey);
    if (known === undefined) {
      const kept = new Kept(want, this.options.restartMsMin);
      this.kept.set(want.deviceKey, kept);
      this.run(kept);
      return;
    }
    const before = known.want;
    known.want = want;
    known.wanted = true;
    // A device that failed stays closed until the MDM has said so too: then it is forgotten, and may be wanted anew.
    if (known.stage === 'idle') this.run(known);
    // How the device is opened follows from the mode.
    else if (isDirect(before) !== isDirect(want) && known.stage === 'running') this.end(known);
  }

  private run(kept: Kept): void {
    kept.stage = 'running';
    kept.startUs = Infinity;
    kept.opened = false;
    kept.refusal = null;
    if (kept.port === 0) kept.port = this.freePort(this.options.dataPortFirst);
    const { want, port } = kept;
    this.ports.processes.start({ want, sdsKey: this.sdsKey, systemId: this.systemId, port });
  }

  /** The lowest port from `first` on that no other device has. */
  private freePort(first: number): number {
    const taken = new Set([...this.kept.values()].map(({ port }) => port));
    let port = first;
    while (taken.has(port)) port++;
    return port;
  }

  private end(kept: Kept): void {
    if (kept.stage === 'running') {
      kept.stage = 'stopping';
      this.ports.processes.stop(kept.want.deviceKey);
    } else if (kept.stage !== 'stopping') kept.stage = 'idle';
  }

  dataReported(_nowUs: Micros, deviceKey: number, report: DataReport): void {
    const kept = this.kept.get(deviceKey);
    if (kept === undefined) return;
    if (report.kind === 'cache') {
      this.cacheShares.confirmed(deviceKey, report.bytes);
      return;
    }
    if (report.kind === 'refused') {
      kept.refusal = report;
      return;
    }
    if (report.kind === 'formatted') kept.formatted = true;
    else {
      kept.opened = true;
      kept.restartMs = this.options.restartMsMin;
      this.cacheShares.use(deviceKey, kept.wanted && kept.want.rmcache);
      this.cacheShares.divide();
    }
    const task = report.kind === 'formatted' ? 'format' : 'open';
    const mediaFound = report.kind === 'opened' ? report.mediaFound : '';
    this.report(kept, task, 0, '', report.path, report.capacityBytes, mediaFound);
  }

  dataEnded(nowUs: Micros, deviceKey: number, exitCode: number): void {
    const kept = this.kept.get(deviceKey);
    if (kept === undefined) return;
    const asked = kept.stage === 'stopping';
    kept.stage = 'idle';
    kept.opened = false;
    this.cacheShares.ended(deviceKey);
    this.forgetIfDone(deviceKey, kept);
    if (!kept.wanted || this.stopping) return;
    if (exitCode === DATA_EXIT.failed) this.deviceFailed(kept);
    else if (exitCode === DATA_EXIT.refused) this.deviceRefused(nowUs, kept);
    else if (exitCode === DATA_EXIT.address) {
      MARKS.portTaken.hits++;
      kept.port = this.freePort(this.nextPort(kept.port));
      this.pause(nowUs, kept);
    } else {
      MARKS.restarted.hits++;
      if (!asked) this.report(kept, 'open', ERR.NOT_READY, `the data process ended (${exitCode})`);
      this.pause(nowUs, kept);
    }
  }

  private nextPort(port: number): number {
    const next = port + 1;
    return next < this.options.dataPortFirst + LIMIT.devicesPerSdsMax
      ? next
      : this.options.dataPortFirst;
  }

  private deviceFailed(kept: Kept): void {
    MARKS.failed.hits++;
    kept.stage = 'failed';
    this.report(kept, 'open', ERR.DEVICE_FAILED, reasonOf(kept));
  }

  /** A format is tried once per wish; an open goes on trying, because the device may come back. */
  private deviceRefused(nowUs: Micros, kept: Kept): void {
    const { want } = kept;
    const task = want.task === 'format' && !kept.formatted ? 'format' : 'open';
    const status = kept.refusal?.status ?? ERR.DEVICE_OPEN_FAILED;
    this.report(kept, task, status, reasonOf(kept));
    if (task === 'format') kept.wanted = false;
    else this.pause(nowUs, kept);
  }

  private pause(nowUs: Micros, kept: Kept): void {
    kept.stage = 'pausing';
    kept.startUs = nowUs + kept.restartMs * MICROS_PER_MS;
    kept.restartMs = Math.min(kept.restartMs * 2, this.options.restartMsMax);
  }

  private forgetIfDone(deviceKey: number, kept: Kept): void {
    if (!kept.wanted && kept.stage === 'idle') this.kept.delete(deviceKey);
  }

  private report(
    { want }: Kept,
    task: 'format' | 'open',
    status: number,
    reason: string,
    path = want.path,
    capacityBytes = 0,
    mediaFound = '',
  ): void {
    const { deviceKey } = want;
    this.ports.log.event(status === 0 ? 'info' : 'warn', 'sds.device', {
      ...{ device: deviceKey, task, status, reason, path },
    });
    const body = { deviceKey, task, status, reason, path, capacityBytes, mediaFound };
    this.client.tell(MSG.DEVICE_RESULT, body);
  }
}

function isDirect({ durability }: DeviceWant): boolean {
  return durability === 'device';
}

function reasonOf({ refusal }: Kept): string {
  return refusal?.reason ?? 'the data process gave no reason';
}
