// A cluster in memory for tests of the gateway and the command line: keeps objects, applies commands with the checks
// that clients depend on, and can be told to fail. It knows nothing of devices that fail or of I/O.

import { COPYING_OF_NEW_POOL, NO_COPY_LOAD } from '../../backend/cluster-map/copy-policy.js';
import { NO_DISK_TIMES } from '../../backend/core/disk-meter.js';
import { NO_POLICY } from '../../backend/mdm/vtrees.js';
import { policyCommands } from './memory-policies.js';
import type {
  ClusterQueryReplyBody,
  CommandParams,
  CommandResults,
  CopyJobs,
  RuntimeStatus,
  Usage,
  MdmMember,
  PoolStatus,
  VolumeStatus,
  VtreeStatus,
} from '../../backend/protocol/generated/types.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import type {
  Cluster,
  ObjectKind,
  Objects,
  StatusKind,
  StatusReport,
} from '../../backend/runtime/cluster.js';
import { hashPassword } from '../../backend/runtime/passwords.js';
import type { ErrorName } from '../../backend/protocol/generated/errors.js';

type Tables = { -readonly [K in ObjectKind]: Objects[K][] };
type Handlers = {
  readonly [N in keyof CommandParams]?: (params: CommandParams[N]) => CommandResults[N];
};

export const GIB_SECTORS = 2 ** 21;
/** Of a V-tree, as in the original. */
const SNAPSHOTS_MAX = 126;
export const SYSTEM_PREFIX = 0x4d534156;
export const SDC_GUID = '0B5E7C1A-8F52-4A0E-9D3C-5E1F2A3B4C5D';

function refuse(name: ErrorName): never {
  throw ClusterError.named(name);
}

/** Two managers and a tie-breaker. @param slaveUp - whether the second manager runs */
export function threeNodes(slaveUp: boolean): MdmMember[] {
  const member = {
    port: 6611,
    role: 'manager',
    member: true,
    master: false,
    up: true,
    version: '0.2.0',
    reason: '',
  } as const;
  return [
    { ...member, key: 0x101, name: 'mdm1', host: '127.0.0.1', master: true },
    {
      ...member,
      key: 0x102,
      name: 'mdm2',
      host: '10.0.0.2',
      up: slaveUp,
      version: slaveUp ? '0.2.0' : '',
    },
    { ...member, key: 0x103, name: 'tb', host: '10.0.0.3', role: 'tieBreaker' },
  ];
}

/** Fields that are to be changed; null keeps what is, and force is none of them. */
function given(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => value !== null && name !== 'force'),
  );
}

function volumesToRemove(
  all: readonly Objects['volume'][],
  volume: Objects['volume'],
  mode: CommandParams['REMOVE_VOLUME']['mode'],
): readonly Objects['volume'][] {
  if (mode === 'onlyMe') return [volume];
  if (mode === 'wholeVtree') return all.filter(({ vtreeKey }) => vtreeKey === volume.vtreeKey);
  const chosen = new Set([volume.key]);
  for (const { key, ancestorKey } of all) if (chosen.has(ancestorKey)) chosen.add(key);
  if (mode === 'descendantsOnly') chosen.delete(volume.key);
  return all.filter(({ key }) => chosen.has(key));
}

export class MemoryCluster implements Cluster {
  readonly tables: Tables = {
    system: [],
    protectionDomain: [],
    storagePool: [],
    faultSet: [],
    sds: [],
    device: [],
    sdc: [],
    volume: [],
    mapping: [],
    user: [],
    approvedSdc: [],
    attachment: [],
    snapshotPolicy: [],
  };
  readonly usage = new Map<number, Usage>();
  readonly volumeUsage: VolumeStatus[] = [];
  readonly treeUsage: VtreeStatus[] = [];
  /** What is not as it should be, by key of the pool. */
  readonly poolHealth = new Map<number, Partial<PoolStatus>>();
  /** SDSs, SDCs and devices that the MDM does not see, by key. */
  readonly disconnected = new Set<number>();
  readonly rates: RuntimeStatus['rates'][number][] = [];
  /** Commands as they came, newest last. */
  readonly asked: { readonly name: string; readonly actor: string; readonly params: unknown }[] =
    [];
  /** Every question and command fails with this while set. */
  failure: ClusterError | Error | null = null;
  /** Commands that are refused, by name. */
  readonly refusals = new Map<string, ClusterError>();
  /** Questions and commands that wait. */
  waiting = 0;
  private gate: Promise<void> | null = null;
  private nextKey = 1;

  static async make(): Promise<MemoryCluster> {
    const cluster = new MemoryCluster();
    await cluster.fill();
    return cluster;
  }

  key(): number {
    return this.nextKey++;
  }

  async query<K extends ObjectKind>(
    kind: K,
    keys?: readonly number[],
  ): Promise<readonly Objects[K][]> {
    await this.turn();
    const all: readonly Objects[K][] = this.tables[kind];
    if (keys === undefined) return [...all];
    return all.filter((object) =>
      keys.includes('volumeKey' in object ? object.volumeKey : object.key),
    );
  }

  async status(kind: StatusKind): Promise<StatusReport> {
    await this.turn();
    const nothing = { statuses: [], volumes: [], pools: [], vtrees: [] };
    if (kind === 'layer') return { ...nothing, vtrees: this.treeUsage };
    if (kind === 'storagePool') return { ...nothing, pools: this.pools() };
    const rated = ['sdc', 'volume'].includes(kind);
    const statuses = this.tables[kind].map(({ key }) => ({
      key,
      liveness: this.disconnected.has(key) ? ('disconnected' as const) : ('connected' as const),
      version: '0.2.0',
      sinceMs: 0,
      usage: this.usage.get(key) ?? null,
      losses: this.losses.get(key) ?? 0,
      jobs: this.jobs.get(key) ?? [],
      counters: [],
      rates: this.rates.filter((rate) => rated && (kind === 'sdc' || rate.key === key)),
    }));
    return { ...nothing, statuses, volumes: kind === 'volume' ? this.volumeUsage : [] };
  }

  /** Every pool is whole, holds what it was given, and may promise ten times of it. */
  private pools(): PoolStatus[] {
    return this.tables.storagePool.map(({ key }) => {
      const netBytes = this.tables.device
        .filter(({ poolKey }) => poolKey === key)
        .reduce((sum, { capacityBytes }) => sum + capacityBytes / 2, 0);
      const promised = this.tables.volume
        .filter(({ poolKey }) => poolKey === key)
        .reduce((sum, { sizeSectors }) => sum + sizeSectors * 512, 0);
      return {
        ...{ poolKey: key, combs: 1024, degradedCombs: 0, unavailableCombs: 0, netBytes },
        thinLeftBytes: netBytes * 10 - promised,
        thickLeftBytes: netBytes - promised,
        ...{ pendingRebuildBytes: 0, pendingRebalanceBytes: 0 },
        ...{ stuckRebuildCombs: 0, stuckMoveCombs: 0, stuckResyncCombs: 0 },
        ...{ growthBytesPerDay: 0, isFillingUp: false, fullInS: 0 },
        ...this.poolHealth.get(key),
      };
    });
  }

  /** How often SDSs disconnected lately, by key. */
  readonly losses = new Map<number, number>();
  /** By device. */
  readonly jobs = new Map<number, readonly CopyJobs[]>();
  /** Nodes of the MDM cluster; none: there is one MDM. */
  members: readonly MdmMember[] = [];
  /** What became of the last change of the MDM cluster. */
  lastJob = 0;
  lastReason = '';

  async clusterState(): Promise<ClusterQueryReplyBody> {
    await this.turn();
    return {
      term: 1,
      sequence: 1,
      mode: Math.max(1, this.members.filter(({ member }) => member).length),
      name: 'mdm1',
      addresses: [{ host: '127.0.0.1', role: 'all' }],
      port: 6611,
      version: '0.2.0',
      degradedCombs: 0,
      unavailableCombs: 0,
      combs: 1024,
      upSinceMs: 0,
      members: this.members,
      job: 0,
      lastJob: this.lastJob,
      lastReason: this.lastReason,
    };
  }

  async command<N extends keyof CommandParams>(
    name: N,
    actor: string,
    params: CommandParams[N],
  ): Promise<CommandResults[N]> {
    await this.turn();
    this.asked.push({ name, actor, params });
    const user = this.tables.user.find((one) => one.name === actor);
    if (user === undefined || user.role === 'monitor') refuse('PERMISSION_DENIED');
    const refusal = this.refusals.get(name);
    if (refusal !== undefined) throw refusal;
    const handler = this.handlers[name];
    if (handler === undefined) throw ClusterError.named('INTERNAL');
    return handler(params);
  }

  /** From now on questions and commands wait. @returns ends that */
  hold(): () => void {
    let release = (): void => undefined;
    this.gate = new Promise((done) => {
      release = () => {
        this.gate = null;
        done();
      };
    });
    return release;
  }

  private async turn(): Promise<void> {
    this.waiting += 1;
    await this.gate;
    this.waiting -= 1;
    if (this.failure !== null) throw this.failure;
  }

  /** Replaces an object. @throws ClusterError when there is none */
  private change<K extends Exclude<ObjectKind, 'mapping'>>(
    kind: K,
    key: number,
    notFound: ErrorName,
    fields: Partial<Objects[K]>,
  ): Record<string, never> {
    const table: Objects[K][] = this.tables[kind];
    const index = table.findIndex((object) => object.key === key);
    const before = table[index];
    if (before === undefined) refuse(notFound);
    table[index] = { ...before, ...fields };
    return {};
  }

  private drop(
    kind: Exclude<ObjectKind, 'mapping'>,
    key: number,
    notFound: ErrorName,
  ): Record<string, never> {
    const table = this.tables[kind];
    const index = table.findIndex((object) => object.key === key);
    if (index < 0) refuse(notFound);
    table.splice(index, 1);
    return {};
  }

  private readonly handlers: Handlers = {
    ADD_STANDBY_MDM: ({ name, host, role }) => {
      const key = this.key();
      this.members = [
        ...this.members,
        ...[
          {
            key,
            name,
            host,
            port: 6611,
            role,
            member: false,
            master: false,
            up: true,
            version: '',
            reason: '',
          },
        ],
      ];
      return { key };
    },
    REMOVE_STANDBY_MDM: ({ key }) => {
      this.members = this.members.filter((member) => member.key !== key);
      return {};
    },
    SWITCH_CLUSTER: ({ add, remove }) => {
      this.lastJob += 1;
      if (this.lastReason !== '') return { job: this.lastJob };
      this.members = this.members.map((each) => ({
        ...each,
        member: add.includes(each.key) || (each.member && !remove.includes(each.key)),
      }));
      return { job: this.lastJob };
    },
    SWITCH_MDM_OWNERSHIP: ({ key }) => {
      this.members = this.members.map((each) => ({ ...each, master: each.key === key }));
      return {};
    },
    RENAME_MDM: ({ key, name }) => {
      this.members = this.members.map((each) => (each.key === key ? { ...each, name } : each));
      return {};
    },
    ...policyCommands(this.tables, () => this.key()),
    ADD_PROTECTION_DOMAIN: ({ name }) => {
      if (this.tables.protectionDomain.some((domain) => domain.name === name))
        refuse('DOMAIN_NAME_IN_USE');
      const key = this.key();
      this.tables.protectionDomain.push({ key, name, active: true });
      return { key };
    },
    REMOVE_PROTECTION_DOMAIN: ({ key }) => {
      if (this.tables.storagePool.some((pool) => pool.domainKey === key))
        refuse('DOMAIN_HAS_POOLS');
      return this.drop('protectionDomain', key, 'DOMAIN_NOT_FOUND');
    },
    RENAME_PROTECTION_DOMAIN: ({ key, name }) =>
      this.change('protectionDomain', key, 'DOMAIN_NOT_FOUND', { name }),
    SET_PROTECTION_DOMAIN_ACTIVE: ({ key, active }) =>
      this.change('protectionDomain', key, 'DOMAIN_NOT_FOUND', { active }),
    ADD_STORAGE_POOL: (params) => {
      const key = this.key();
      this.tables.storagePool.push({
        ...params,
        key,
        fullPolicy: 'wait',
        capacityAlertHighPercent: 80,
        capacityAlertCriticalPercent: 90,
        combCountLog2: 10,
        loneReturn: false,
        ...COPYING_OF_NEW_POOL,
        scanner: null,
      });
      return { key };
    },
    SET_POOL_COPYING: ({ key, ...settings }) =>
      this.change('storagePool', key, 'POOL_NOT_FOUND', given(settings)),
    REMOVE_STORAGE_POOL: ({ key }) => {
      if (this.tables.volume.some((volume) => volume.poolKey === key)) refuse('POOL_HAS_VOLUMES');
      return this.drop('storagePool', key, 'POOL_NOT_FOUND');
    },
    RENAME_STORAGE_POOL: ({ key, name }) =>
      this.change('storagePool', key, 'POOL_NOT_FOUND', { name }),
    SET_STORAGE_POOL: ({ key, ...fields }) =>
      this.change('storagePool', key, 'POOL_NOT_FOUND', given(fields)),
    ADD_FAULT_SET: (params) => {
      const key = this.key();
      this.tables.faultSet.push({ ...params, key });
      return { key };
    },
    RENAME_FAULT_SET: ({ key, name }) =>
      this.change('faultSet', key, 'FAULT_SET_NOT_FOUND', { name }),
    CLEAR_FAULT_SET: ({ key }) => {
      if (!this.tables.faultSet.some((set) => set.key === key)) refuse('FAULT_SET_NOT_FOUND');
      this.tables.sds = this.tables.sds.map((sds) =>
        sds.faultSetKey === key ? { ...sds, faultSetKey: 0 } : sds,
      );
      return {};
    },
    REMOVE_FAULT_SET: ({ key }) => this.drop('faultSet', key, 'FAULT_SET_NOT_FOUND'),
    ADD_SDS: ({ devices, ...params }) => {
      const key = this.key();
      const name = params.name === '' ? `SDS_${key}` : params.name;
      this.tables.sds.push({
        ...params,
        name,
        key,
        port: params.port === 0 ? 7072 : params.port,
        guid: '',
        ...{ removing: false, maintenance: 'none', maintenanceStage: 'none', move: null },
      });
      for (const device of devices) this.addDevice(key, device);
      return { key };
    },
    REMOVE_SDS: ({ key }) => this.drop('sds', key, 'SDS_NOT_FOUND'),
    ENTER_MAINTENANCE: ({ key, maintenance }) =>
      this.change('sds', key, 'SDS_NOT_FOUND', { maintenance, maintenanceStage: 'active' }),
    EXIT_MAINTENANCE: ({ key }) => {
      const sds = this.tables.sds.find((one) => one.key === key);
      if (sds?.maintenance === 'none') refuse('SDS_NOT_IN_MAINTENANCE');
      const idle = { maintenance: 'none', maintenanceStage: 'none' } as const;
      return this.change('sds', key, 'SDS_NOT_FOUND', idle);
    },
    RENAME_SDS: ({ key, name }) => this.change('sds', key, 'SDS_NOT_FOUND', { name }),
    ADD_DEVICE: ({ sdsKey, device }) => ({ key: this.addDevice(sdsKey, device) }),
    REMOVE_DEVICE: ({ key }) => this.drop('device', key, 'DEVICE_NOT_FOUND'),
    ADD_VOLUME: (params) => {
      if (params.name !== '' && this.tables.volume.some(({ name }) => name === params.name))
        refuse('VOLUME_NAME_IN_USE');
      if (params.name.length > 31) refuse('NAME_TOO_LONG');
      const key = this.key();
      const name = params.name === '' ? `vol-${key}` : params.name;
      this.tables.volume.push({
        ...params,
        name,
        key,
        vtreeKey: key,
        ancestorKey: 0,
        groupKey: 0,
        epoch: 1,
        lastMappingGeneration: 0,
        createdAtMs: 1_700_000_000_000,
        ...{
          layerKey: 0,
          accessLimit: 'readWrite',
          doubtful: false,
          fullPolicy: 'pool',
          ...NO_POLICY,
        },
      });
      return { key };
    },
    REMOVE_VOLUME: ({ key, mode }) => {
      const volume = this.tables.volume.find((one) => one.key === key);
      if (volume === undefined) refuse('VOLUME_NOT_FOUND');
      return { removed: this.removeAll(volumesToRemove(this.tables.volume, volume, mode)) };
    },
    SNAPSHOT_VOLUMES: ({ items, accessLimit }) => {
      const names = new Set(this.tables.volume.map(({ name }) => name));
      const sources = items.map(({ volumeKey, name }) => {
        const source = this.tables.volume.find(({ key }) => key === volumeKey);
        if (source === undefined) refuse('VOLUME_NOT_FOUND');
        if (name.length > 31) refuse('NAME_TOO_LONG');
        if (name !== '' && names.has(name)) refuse('VOLUME_NAME_IN_USE');
        names.add(name);
        const { vtreeKey } = source;
        const members = this.tables.volume.filter((one) => one.vtreeKey === vtreeKey);
        if (members.length > SNAPSHOTS_MAX) refuse('SNAPSHOT_LIMIT');
        return { source, name };
      });
      const groupKey = this.key();
      const keys = sources.map(({ source, name }) => {
        const key = this.key();
        this.tables.volume.push({
          ...source,
          ...{
            key,
            groupKey,
            accessLimit,
            ancestorKey: source.key,
            provisioning: 'thin',
            rmcache: true,
          },
          name: name === '' ? `snap-${key}` : name,
        });
        return key;
      });
      return { groupKey, keys };
    },
    REMOVE_GROUP_SNAPSHOTS: ({ groupKey }) => {
      const members = this.tables.volume.filter((one) => one.groupKey === groupKey);
      if (groupKey === 0 || members.length === 0) refuse('GROUP_NOT_FOUND');
      return { removed: this.removeAll(members) };
    },
    OVERWRITE_VOLUME: ({ key, sourceKey }) => {
      const [volume, source] = [key, sourceKey].map((wanted) =>
        this.tables.volume.find((one) => one.key === wanted),
      );
      if (volume === undefined || source === undefined) refuse('VOLUME_NOT_FOUND');
      if (volume.vtreeKey !== source.vtreeKey || volume.sizeSectors !== source.sizeSectors)
        refuse('VTREE_MISMATCH');
      return {};
    },
    CONFIRM_VTREE: ({ vtreeKey }) => {
      if (!this.tables.volume.some((one) => one.vtreeKey === vtreeKey)) refuse('VTREE_NOT_FOUND');
      return {};
    },
    RENAME_VOLUME: ({ key, name }) => this.change('volume', key, 'VOLUME_NOT_FOUND', { name }),
    RESIZE_VOLUME: ({ key, sizeSectors }) => {
      const volume = this.tables.volume.find((one) => one.key === key);
      if (volume !== undefined && sizeSectors < volume.sizeSectors) refuse('VOLUME_SHRINK');
      return this.change('volume', key, 'VOLUME_NOT_FOUND', { sizeSectors });
    },
    SET_VOLUME_FULL_POLICY: ({ key, fullPolicy }) =>
      this.change('volume', key, 'VOLUME_NOT_FOUND', { fullPolicy }),
    MAP_VOLUME: ({ volumeKey, sdcKey, allowMultiple, access }) => {
      if (!this.tables.volume.some(({ key }) => key === volumeKey)) refuse('VOLUME_NOT_FOUND');
      const mapped = this.tables.mapping.filter((one) => one.volumeKey === volumeKey);
      if (mapped.some((one) => one.sdcKey === sdcKey)) refuse('VOLUME_ALREADY_MAPPED');
      if (mapped.length > 0 && !allowMultiple) refuse('ONLY_ONE_MAPPING');
      const generation = this.key();
      this.tables.mapping.push({
        volumeKey,
        sdcKey,
        generation,
        access,
        ...{ iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 },
      });
      return { generation };
    },
    UNMAP_VOLUME: ({ volumeKey, sdcKeys, generation }) => {
      const gone = this.tables.mapping.filter(
        (one) =>
          one.volumeKey === volumeKey &&
          (sdcKeys.length === 0 || sdcKeys.includes(one.sdcKey)) &&
          (generation === 0 || one.generation === generation),
      );
      if (gone.length === 0) refuse('VOLUME_NOT_MAPPED');
      this.tables.mapping = this.tables.mapping.filter((one) => !gone.includes(one));
      this.tables.attachment = this.tables.attachment.filter(
        (one) => !gone.some((lost) => lost.generation === one.generation),
      );
      return {};
    },
    HOLD_MAPPING: ({ volumeKey, sdcKey, holder, access }) => {
      const noted = this.tables.attachment.filter((one) => one.volumeKey === volumeKey);
      const own = noted.find((one) => one.holder === holder);
      const shared = noted.some((one) => one.sdcKey === sdcKey && one !== own);
      if (own !== undefined) return { generation: own.generation, shared };
      const mapping = this.tables.mapping.find(
        (one) => one.volumeKey === volumeKey && one.sdcKey === sdcKey,
      );
      const generation =
        mapping?.generation ??
        this.handlers.MAP_VOLUME?.({ volumeKey, sdcKey, allowMultiple: true, access }).generation ??
        0;
      this.tables.attachment.push({
        ...{ key: this.key(), volumeKey, sdcKey, generation, holder },
        createdAtMs: 1_700_000_000_000,
      });
      return { generation, shared };
    },
    RELEASE_MAPPING: ({ volumeKey, holder, generation }) => {
      const own = this.tables.attachment.find(
        (one) =>
          one.volumeKey === volumeKey &&
          one.holder === holder &&
          (generation === 0 || one.generation === generation),
      );
      if (own === undefined) refuse('VOLUME_NOT_MAPPED');
      this.tables.attachment = this.tables.attachment.filter((one) => one !== own);
      const { sdcKey } = own;
      const unmapped = !this.tables.attachment.some((one) => one.generation === own.generation);
      if (unmapped) this.handlers.UNMAP_VOLUME?.({ volumeKey, sdcKeys: [sdcKey], generation: 0 });
      return { unmapped };
    },
    SET_MAPPING_LIMITS: ({ volumeKey, sdcKey, ...limits }) => {
      const index = this.tables.mapping.findIndex(
        (one) => one.volumeKey === volumeKey && one.sdcKey === sdcKey,
      );
      const mapping = this.tables.mapping[index];
      if (mapping === undefined) refuse('VOLUME_NOT_MAPPED');
      this.tables.mapping[index] = {
        ...mapping,
        iopsLimit: limits.iopsLimit ?? mapping.iopsLimit,
        bandwidthLimitKbps: limits.bandwidthLimitKbps ?? mapping.bandwidthLimitKbps,
        iopsPerGib: limits.iopsPerGib ?? mapping.iopsPerGib,
        kbpsPerGib: limits.kbpsPerGib ?? mapping.kbpsPerGib,
      };
      return {};
    },
    RENAME_SDC: ({ key, name }) => this.change('sdc', key, 'SDC_NOT_FOUND', { name }),
    APPROVE_SDC: ({ key, guid, host }) => {
      const sdc = this.tables.sdc.find((one) => one.key === key || one.guid === guid);
      if (sdc !== undefined) {
        this.change('sdc', sdc.key, 'SDC_NOT_FOUND', { approved: true });
        return { key: sdc.key };
      }
      const made = this.key();
      this.tables.approvedSdc.push({ key: made, guid, host });
      return { key: made };
    },
    REMOVE_SDC: ({ key }) => this.drop('sdc', key, 'SDC_NOT_FOUND'),
    SET_APPROVAL: ({ approval }) =>
      this.change('system', this.tables.system[0]?.key ?? 0, 'NOT_FOUND', { approval }),
    SET_SYSTEM: ({ name }) =>
      this.change('system', this.tables.system[0]?.key ?? 0, 'NOT_FOUND', { name: name ?? '' }),
    ADD_USER: (params) => {
      if (this.tables.user.some(({ name }) => name === params.name)) refuse('USER_EXISTS');
      const key = this.key();
      this.tables.user.push({ ...params, key });
      return { key };
    },
    REMOVE_USER: ({ key }) => this.drop('user', key, 'USER_NOT_FOUND'),
    SET_PASSWORD: ({ key, salt, hash }) =>
      this.change('user', key, 'USER_NOT_FOUND', { salt, hash }),
    SET_USER_ROLE: ({ key, role }) => this.change('user', key, 'USER_NOT_FOUND', { role }),
  };

  /** All of them or none; what was a snapshot of one becomes one of what that was a snapshot of. */
  private removeAll(volumes: readonly Objects['volume'][]): number {
    const parents = new Map(volumes.map(({ key, ancestorKey }) => [key, ancestorKey]));
    if (this.tables.mapping.some(({ volumeKey }) => parents.has(volumeKey)))
      refuse('VOLUME_MAPPED');
    this.tables.volume = this.tables.volume
      .filter(({ key }) => !parents.has(key))
      .map((one) => {
        let { ancestorKey } = one;
        while (parents.has(ancestorKey)) ancestorKey = parents.get(ancestorKey) ?? 0;
        return { ...one, ancestorKey };
      });
    return volumes.length;
  }

  private addDevice(
    sdsKey: number,
    spec: { readonly poolKey: number; readonly path: string; readonly name: string },
  ): number {
    const key = this.key();
    const capacityBytes = 64 * 2 ** 30;
    this.tables.device.push({
      mediaFound: '',
      mediaType: '',
      key,
      sdsKey,
      poolKey: spec.poolKey,
      name: spec.name,
      path: spec.path,
      state: 'up',
      incarnation: 1,
      capacityBytes,
      force: false,
      failure: '',
      port: 7073,
      formatted: true,
      dataSince: 1,
      rolledBackIncarnation: 0,
      slowStage: 'none',
      replaces: [],
      removing: false,
    });
    this.usage.set(key, {
      capacityBytes,
      usedBytes: 0,
      resyncBytesTotal: 0,
      resyncBytesDone: 0,
      degradedCombs: 0,
      rebuildBytesLeft: 0,
      rebalanceBytesLeft: 0,
      ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
      times: NO_DISK_TIMES,
      cache: null,
      scan: null,
    });
    return key;
  }

  /** A system with a domain, a pool on three SDSs, an SDC, and the users admin and watcher. */
  private async fill(): Promise<void> {
    this.tables.system.push({
      idPrefix: SYSTEM_PREFIX,
      key: this.key(),
      name: 'test',
      installId: '00112233445566aa',
      createdAtMs: 1_700_000_000_000,
      nextKey: 1,
      nextRun: 1,
      clusterEpoch: 1,
      clusterVersion: 2,
      approval: 'none',
      capacityAlertHighPercent: 80,
      capacityAlertCriticalPercent: 90,
      secureClockMs: 0,
    });
    for (const [name, role] of [
      ['admin', 'administrator'],
      ['watcher', 'monitor'],
    ] as const)
      this.tables.user.push({ key: this.key(), name, role, ...(await hashPassword('Correct-1')) });
    const actor = 'admin';
    const domain = await this.command('ADD_PROTECTION_DOMAIN', actor, { name: 'pd1' });
    const pool = await this.command('ADD_STORAGE_POOL', actor, {
      domainKey: domain.key,
      name: 'pool1',
      mediaType: 'SSD',
      durability: 'media',
      zeroPadding: true,
      checksums: false,
      rmcache: true,
      cacheWrites: 'cached' as const,
      sparePercent: 10,
      combCountLog2: 0,
    });
    for (const index of [1, 2, 3])
      await this.command('ADD_SDS', actor, {
        domainKey: domain.key,
        faultSetKey: 0,
        name: `sds${index}`,
        addresses: [{ host: `127.0.1.${index}`, role: 'all' }],
        port: 0,
        devices: [{ poolKey: pool.key, path: `/var/disk${index}`, name: '', force: false }],
        forceClean: false,
        cacheEnabled: true,
        cacheMiB: 0,
      });
    this.tables.sdc.push({
      key: this.key(),
      name: '',
      guid: SDC_GUID,
      addresses: [{ host: '127.0.2.1', role: 'all' }],
      approved: true,
      run: 1,
      zeroGuid: false,
    });
    this.asked.length = 0;
  }
}
