// What this master has seen of components since its start: links, lives, progress, counters. Never stored; everything in
// it is said again by the components after they reconnect. It must never decide what follows from it.

import type { LinkId, Micros } from '../core/ports.js';
import type { Address, CombEntry, CombMember, Usage } from '../protocol/generated/types.js';
import { CounterHistory } from './counters.js';
import { DeviceSamples } from './slow-samples.js';
import { VolumeReport } from './volume-report.js';

export const NO_LINK: LinkId = -1;

/** After this long without a loss it is forgotten how often a device was lost. */
const FORGET_US = 600_000_000;
const WAIT_US_MAX = 600_000_000;
/** Of an SDS; more say no more. */
const LOSSES_MAX = 32;

/** A data process. */
export class DeviceRun {
  readonly key: number;
  link: LinkId = NO_LINK;
  /** unknown: not heard of since the start of this master, which has not listened for long enough. */
  status: 'alive' | 'dead' | 'unknown';
  /** When it took its status or incarnation. */
  sinceUs: Micros;
  sinceMs: number;
  /** Of its registration, 0: none yet. */
  incarnation = 0;
  dataIncarnation = 0;
  version = '';
  progress = -1;
  /** When it last made progress. */
  provenUs: Micros = -1;
  /** Map sequence that it applied, as far as it said on its present link. */
  appliedSequence = 0;
  /** Commits in which combs of it were last given back to their preferred primary, or led by another one than a slow one. */
  givenBackSequence = 0;
  movedSequence = 0;
  /** Its process is known to have ended, not merely to be silent. */
  ended = false;
  /** When its SDS said that the process ended, while its link was still up. */
  endReportedUs: Micros = -Infinity;
  /** How often it was lost lately, and when last. */
  private falls = 0;
  private fellUs: Micros = -Infinity;
  /** Not made a target before. */
  excludedUntilUs: Micros = 0;
  usage: Usage | null = null;
  /** Of its present life. */
  samples = new DeviceSamples();
  readonly volumes = new VolumeReport();
  readonly counters = new CounterHistory();

  constructor(key: number, status: DeviceRun['status'], nowUs: Micros, wallMs: number) {
    this.key = key;
    this.status = status;
    this.sinceUs = nowUs;
    this.sinceMs = wallMs;
  }

  /** It was lost, or came back in a new life before that was noticed. */
  fell(nowUs: Micros): void {
    if (nowUs - this.fellUs > FORGET_US) this.falls = 0;
    this.falls++;
    this.fellUs = nowUs;
  }

  /**
   * From when on it counts as steady: a device that comes and goes gets neither its primaries nor further data back each
   * time. One loss costs no wait, every further one twice as long as the one before, up to ten minutes.
   *
   * @param delayUs - wait after the second loss
   */
  steadyUs(delayUs: Micros): Micros {
    if (this.falls < 2) return 0;
    return this.sinceUs + Math.min(WAIT_US_MAX, delayUs * 2 ** (this.falls - 2));
  }
}

/** An SDS control process; `sdsKey` 0: nobody added it yet. */
export interface SdsRun {
  readonly guid: string;
  readonly link: LinkId;
  readonly addresses: readonly Address[];
  readonly port: number;
  readonly version: string;
  /** System that it belongs to, as it remembers; may be empty. */
  readonly systemId: string;
  readonly sinceMs: number;
  readonly counters: CounterHistory;
}

/** A client host. */
export interface SdcRun {
  readonly key: number;
  readonly link: LinkId;
  readonly version: string;
  readonly sinceMs: number;
  appliedSequence: number;
  readonly counters: CounterHistory;
}

/** What is to be copied to other devices and did not begin, about. */
export interface PendingCopies {
  readonly pendingRebuildBytes: number;
  readonly pendingRebalanceBytes: number;
  /** Combs for which no device had room. */
  readonly stuckRebuildCombs: number;
  readonly stuckMoveCombs: number;
}

export const NOTHING_PENDING: PendingCopies = {
  ...{ pendingRebuildBytes: 0, pendingRebalanceBytes: 0 },
  ...{ stuckRebuildCombs: 0, stuckMoveCombs: 0 },
};

/** A copy that is to be made on another device and did not begin. */
export interface WaitingCopy {
  readonly entry: CombEntry;
  /** Device. */
  readonly to: number;
}

export class Runs {
  readonly devices = new Map<number, DeviceRun>();
  /** Connected SDSs by GUID. */
  readonly sds = new Map<string, SdsRun>();
  /** Connected SDCs by key. */
  readonly sdcs = new Map<number, SdcRun>();
  /** Since when SDSs are in maintenance, as this master knows, by key. */
  readonly restingSinceUs = new Map<number, Micros>();
  /** Since when slow devices leave their sets, as this master knows, by key. */
  readonly slowSinceUs = new Map<number, Micros>();
  /** When SDSs and SDCs disconnected, wall clock, by object key. */
  readonly goneMs = new Map<number, number>();
  /** When SDSs disconnected lately, by object key. */
  private readonly sdsLosses = new Map<number, Micros[]>();
  /** By pool. */
  readonly pendingCopies = new Map<number, PendingCopies>();
  readonly waitingCopies = new Map<number, readonly WaitingCopy[]>();

  /** Whether a device is alive in the life that an entry names. */
  isGood({ deviceKey, incarnation }: CombMember): boolean {
    const run = this.devices.get(deviceKey);
    return run?.status === 'alive' && run.incarnation === incarnation;
  }

  /** From when on a device that is there counts as steady; `delayUs`: its wait after the second loss. */
  steadyUs(deviceKey: number, delayUs: Micros): Micros {
    return this.devices.get(deviceKey)?.steadyUs(delayUs) ?? 0;
  }

  /** An SDS disconnected. */
  sdsLost(nowUs: Micros, sdsKey: number): void {
    const known = this.sdsLosses.get(sdsKey) ?? [];
    this.sdsLosses.set(sdsKey, [...known, nowUs].slice(-LOSSES_MAX));
  }

  /** How often an SDS disconnected within the last ten minutes, as far as this master saw, up to {@link LOSSES_MAX}. */
  sdsLossCount(nowUs: Micros, sdsKey: number): number {
    const known = this.sdsLosses.get(sdsKey) ?? [];
    return known.filter((atUs) => nowUs - atUs < FORGET_US).length;
  }
}
