// Answers to questions: objects as committed, and what was seen of components. It must never change anything.

import { isBlank, isTarget } from '../cluster-map/entry.js';
import type { Micros } from '../core/ports.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type {
  ClusterQueryReplyBody,
  CombEntry,
  CombQueryBody,
  Counter,
  Liveness,
  Mdm,
  MdmMember,
  PoolStatus,
  QueryBody,
  QueryReplyBody,
  RuntimeStatus,
  StatusQueryBody,
  StatusQueryReplyBody,
  Volume,
  VolumeStatus,
} from '../protocol/generated/types.js';
import { allowanceOf, promisedOf } from './capacity.js';
import { addCounters } from './counters.js';
import { JobTally } from './copy-jobs.js';
import type { CounterHistory } from './counters.js';
import type { NodeReport } from './cluster-plan.js';
import { clusterOf, membersOf, selfOf } from './cluster-state.js';
import type { Engine } from './engine.js';
import type { Membership } from './membership.js';
import { ascending, objectsOf, page } from './query-objects.js';
import type { Paged } from './query-objects.js';
import { refuse } from './refusal.js';
import { NOTHING_PENDING } from './runs.js';
import type { Reshaper } from './reshaper.js';
import { Room } from './room.js';
import type { Runs } from './runs.js';
import { forecastOf } from './forecast.js';
import { usedBytesOf } from './usage-samples.js';
import { heldBy, thinRawBytes, vtreeStatuses } from './vtree-usage.js';

/** Counters of a page of statuses: twice 68 bytes each. */
const PAGE_COUNTERS_MAX = 5000;

const NO_STATUS: StatusQueryReplyBody = {
  ...{ more: false, statuses: [], volumes: [], pools: [], vtrees: [] },
};

export class Queries {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly membership: Membership;
  private readonly reshaper: Reshaper;
  private readonly startedMs: number;

  constructor(
    engine: Engine,
    runs: Runs,
    membership: Membership,
    reshaper: Reshaper,
    startedMs: number,
  ) {
    this.engine = engine;
    this.reshaper = reshaper;
    this.runs = runs;
    this.membership = membership;
    this.startedMs = startedMs;
  }

  /** @throws Refusal INVALID_PARAMETER */
  query(question: QueryBody): QueryReplyBody {
    return (
      objectsOf(this.engine.state, question) ??
      refuse('INVALID_PARAMETER', `${question.type} cannot be queried`)
    );
  }

  /** @throws Refusal INVALID_PARAMETER */
  status(nowUs: Micros, question: StatusQueryBody): StatusQueryReplyBody {
    const { state } = this.engine;
    switch (question.type) {
      case 'sds':
        return this.statuses(page(state.sds, question), (sds) =>
          this.component(nowUs, sds.key, this.runs.sds.get(sds.guid)),
        );
      case 'sdc':
        return this.statuses(page(state.sdcs, question), (sdc) =>
          this.component(nowUs, sdc.key, this.runs.sdcs.get(sdc.key)),
        );
      case 'device': {
        const jobs = new JobTally(state, this.runs);
        return this.statuses(page(state.devices, question), (device) =>
          this.device(nowUs, device.key, jobs),
        );
      }
      case 'volume':
        return this.volumes(nowUs, question);
      case 'storagePool':
        return this.pools(nowUs, question);
      case 'layer':
        return this.vtrees(question);
      default:
        return refuse(
          'INVALID_PARAMETER',
          'type must be sds, device, sdc, volume, storagePool or layer',
        );
    }
  }

  /** Entries of combs by number; a pool or a comb that does not exist has none. */
  entries({ poolKey, combs }: CombQueryBody): CombEntry[] {
    const all = this.engine.state.combs.ofPool(poolKey);
    return [...new Set(combs)].flatMap((index) => all[index] ?? []);
  }

  cluster(nowUs: Micros): ClusterQueryReplyBody {
    const { term, sequence, options, state } = this.engine;
    let combs = 0;
    let degradedCombs = 0;
    let unavailableCombs = 0;
    for (const [, entries] of state.combs.pooled()) {
      const health = this.healthOf(entries);
      combs += health.combs;
      degradedCombs += health.degradedCombs;
      unavailableCombs += health.unavailableCombs;
    }
    const self = selfOf(state, options);
    const { job, lastJob, lastReason } = clusterOf(state);
    return {
      term,
      sequence,
      combs,
      degradedCombs,
      unavailableCombs,
      mode: Math.max(1, membersOf(state).length),
      members: [...state.mdms.values()].map((mdm) => this.member(nowUs, mdm, self)),
      job: job?.id ?? 0,
      lastJob,
      lastReason,
      name: self?.name ?? options.name,
      addresses: options.addresses,
      port: options.port,
      version: options.version,
      upSinceMs: this.startedMs,
    };
  }

  private member(nowUs: Micros, mdm: Mdm, self: Mdm | undefined): MdmMember {
    const { key, name, host, port, role, member } = mdm;
    const master = key === self?.key;
    const report = this.reshaper.report(nowUs, key);
    const isKnown = typeof report === 'object';
    const up = master || (isKnown && (report.storeUp || !member));
    const version = master ? this.engine.options.version : isKnown ? report.version : '';
    const reason = isKnown ? faultOf(report, up) : report;
    return { key, name, host, port, role, member, master, up, version, reason };
  }

  private healthOf(
    combs: readonly CombEntry[],
  ): Pick<PoolStatus, 'combs' | 'degradedCombs' | 'unavailableCombs'> {
    let degradedCombs = 0;
    let unavailableCombs = 0;
    for (const { members, inSyncMask } of combs) {
      const inSync = members.filter((_, index) => ((inSyncMask >> index) & 1) === 1);
      if (inSync.length < 2) degradedCombs++;
      if (!inSync.some((member) => this.runs.isGood(member))) unavailableCombs++;
    }
    return { combs: combs.length, degradedCombs, unavailableCombs };
  }

  /** Combs with a returned copy that cannot take what it lacks: its device is full. */
  private stuckResyncs(combs: readonly CombEntry[]): number {
    const room = new Room(this.engine.state, this.runs);
    return combs.filter((entry) =>
      entry.members.some(
        (member, index) =>
          isTarget(entry, index) &&
          !isBlank(entry, index) &&
          this.runs.isGood(member) &&
          room.isFull(member.deviceKey),
      ),
    ).length;
  }

  private pools(nowUs: Micros, question: StatusQueryBody): StatusQueryReplyBody {
    const { state, options } = this.engine;
    const { items, more } = page(state.pools, question);
    const raw = this.rawBytes();
    const pools = items.map((pool): PoolStatus => {
      const promised = promisedOf(state, pool, options.sectorBytes);
      const used = this.poolThinUsedBytes(pool.key, raw);
      const left = allowanceOf(promised, used, options.overProvisioningFactor);
      return {
        poolKey: pool.key,
        ...this.healthOf(state.combs.ofPool(pool.key)),
        netBytes: promised.netBytes,
        ...(this.runs.pendingCopies.get(pool.key) ?? NOTHING_PENDING),
        stuckResyncCombs: this.stuckResyncs(state.combs.ofPool(pool.key)),
        thinLeftBytes: Math.max(0, Math.floor(left.thinBytes)),
        thickLeftBytes: Math.max(0, Math.floor(left.thickBytes)),
        ...this.forecast(nowUs, pool.key, usedBytesOf(promised, used), promised.netBytes),
      };
    });
    return { ...NO_STATUS, more, pools };
  }

  private forecast(
    nowUs: Micros,
    poolKey: number,
    usedBytes: number,
    netBytes: number,
  ): Pick<PoolStatus, 'growthBytesPerDay' | 'isFillingUp' | 'fullInS'> {
    const samples = this.engine.state.poolUsages.get(poolKey)?.samples ?? [];
    const now = { atMs: this.engine.wallMs(nowUs), usedBytes };
    const { growthBytesPerDay, fullInS } = forecastOf(samples, now, netBytes);
    return { growthBytesPerDay, isFillingUp: fullInS !== null, fullInS: fullInS ?? 0 };
  }

  /**
   * Data that thin volumes of a pool and snapshots hold, one copy counted.
   *
   * @param raw - what layers hold on all devices together
   */
  poolThinUsedBytes(poolKey: number, raw = this.rawBytes()): number {
    return Math.round(thinRawBytes(this.engine.state, poolKey, raw) / this.copiesOf(poolKey));
  }

  layerUsedBytes(poolKey: number, layerKey: number): number {
    let raw = 0;
    for (const { volumes } of this.runs.devices.values()) raw += volumes.bytes.get(layerKey) ?? 0;
    return Math.round(raw / this.copiesOf(poolKey));
  }

  /** Mappings in order of volume, then SDC; a page never ends within a volume. */
  private statuses<T>(
    { items, more }: Paged<T>,
    status: (item: T) => RuntimeStatus,
  ): StatusQueryReplyBody {
    const statuses: RuntimeStatus[] = [];
    let counters = 0;
    for (const item of items) {
      const one = status(item);
      counters += one.counters.length + one.rates.length;
      if (statuses.length > 0 && counters > PAGE_COUNTERS_MAX)
        return { ...NO_STATUS, more: true, statuses };
      statuses.push(one);
    }
    return { ...NO_STATUS, more, statuses };
  }

  private component(
    nowUs: Micros,
    key: number,
    run: { version: string; sinceMs: number; counters: CounterHistory } | undefined,
  ): RuntimeStatus {
    const liveness: Liveness = run === undefined ? 'disconnected' : 'connected';
    const sinceMs = run?.sinceMs ?? this.runs.goneMs.get(key) ?? this.startedMs;
    const counters = summed(key, run?.counters.latest ?? []);
    const rates = summed(key, run?.counters.rates(nowUs) ?? []);
    const losses = this.runs.sdsLossCount(nowUs, key);
    const seen = { key, liveness, version: run?.version ?? '', sinceMs, losses, jobs: [] };
    return { ...seen, usage: null, counters, rates };
  }

  private device(nowUs: Micros, key: number, jobs: JobTally): RuntimeStatus {
    const run = this.runs.devices.get(key);
    const isAlive = run?.status === 'alive';
    return {
      key,
      liveness: isAlive ? 'connected' : 'disconnected',
      version: run?.version ?? '',
      sinceMs: run?.sinceMs ?? this.startedMs,
      usage: run?.usage ?? null,
      losses: 0,
      jobs: jobs.of(key),
      counters: own(key, run?.counters.latest ?? []),
      rates: isAlive ? own(key, run.counters.rates(nowUs)) : [],
    };
  }

  private volumes(nowUs: Micros, question: StatusQueryBody): StatusQueryReplyBody {
    const { items, more } = page(this.engine.state.volumes, question);
    const raw = this.rawBytes();
    const totals = this.volumeCounters((history) => history.latest);
    const rates = this.volumeCounters((history) => history.rates(nowUs));
    const copies = new Map<number, number>();
    const statuses: RuntimeStatus[] = [];
    const volumes: VolumeStatus[] = [];
    for (const volume of items) {
      const { key, poolKey } = volume;
      const each = copies.get(poolKey) ?? this.copiesOf(poolKey);
      copies.set(poolKey, each);
      const { bytes, shared } = heldBy(this.engine.state, volume, raw);
      volumes.push({
        volumeKey: key,
        rawBytes: bytes,
        netBytes: Math.round(bytes / each),
        sharedNetBytes: Math.round(shared / each),
      });
      const isMapped = this.engine.state.mappings.ofVolume(key).size > 0;
      statuses.push({
        ...{ key, version: '', sinceMs: this.startedMs, usage: null, losses: 0, jobs: [] },
        liveness: isMapped ? 'connected' : 'disconnected',
        counters: totals.has(key) ? [addCounters(key, totals.get(key) ?? [])] : [],
        rates: rates.has(key) ? [addCounters(key, rates.get(key) ?? [])] : [],
      });
    }
    return { ...NO_STATUS, more, statuses, volumes };
  }

  private vtrees({ keys, after }: StatusQueryBody): StatusQueryReplyBody {
    const { state } = this.engine;
    const known = keys.length > 0 ? keys : Array.from(state.volumes.values(), vtreeOf);
    const wanted = [...new Set(known)].filter((key) => key > after).sort(ascending);
    const vtreeKeys = wanted.slice(0, LIMIT.queryItemsMax);
    const vtrees = vtreeStatuses(state, vtreeKeys, this.rawBytes(), (key) => this.copiesOf(key));
    return { ...NO_STATUS, more: wanted.length > vtreeKeys.length, vtrees };
  }

  /** Counters by volume as clients saw them; of volumes that no client reports, as data processes did. */
  private volumeCounters(
    read: (history: CounterHistory) => readonly Counter[],
  ): ReadonlyMap<number, readonly Counter[]> {
    const gather = (
      runs: Iterable<{ readonly counters: CounterHistory }>,
    ): Map<number, Counter[]> => {
      const found = new Map<number, Counter[]>();
      for (const { counters } of runs)
        for (const counter of read(counters))
          found.set(counter.key, [...(found.get(counter.key) ?? []), counter]);
      return found;
    };
    return new Map([...gather(this.runs.devices.values()), ...gather(this.runs.sdcs.values())]);
  }

  private rawBytes(): ReadonlyMap<number, number> {
    const raw = new Map<number, number>();
    for (const { volumes } of this.runs.devices.values())
      for (const [key, bytes] of volumes.bytes) raw.set(key, (raw.get(key) ?? 0) + bytes);
    return raw;
  }

  /** How many filled copies a comb of the pool has on average: 2 while nothing is degraded. */
  private copiesOf(poolKey: number): number {
    const combs = this.engine.state.combs.ofPool(poolKey);
    if (combs.length === 0) return 1;
    let copies = 0;
    for (const { members, inSyncMask } of combs)
      copies += members.filter((_, index) => ((inSyncMask >> index) & 1) === 1).length;
    return copies / combs.length;
  }
}

/** One counter of a component from those of what it serves; none where it reported none. */
function summed(key: number, counters: readonly Counter[]): Counter[] {
  return counters.length === 0 ? [] : [addCounters(key, counters)];
}

/** A device reports itself beside its volumes. */
function own(key: number, counters: readonly Counter[]): Counter[] {
  return counters.filter((counter) => counter.key === key);
}

const vtreeOf = ({ vtreeKey }: Volume): number => vtreeKey;

/** Why an MDM that answers is of less use than it could be. */
function faultOf({ storeFault }: NodeReport, up: boolean): string {
  return up || storeFault !== '' ? storeFault : 'its metadata store (etcd) does not answer';
}
