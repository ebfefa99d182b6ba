// What one request or command line reads of the cluster, each list at most once. It owns the joins that answers need;
// it must never outlive its request, so that every answer shows what is committed.

import { formatId } from '../core/ids.js';
import type {
  ClusterQueryReplyBody,
  RuntimeStatus,
  System,
  VtreeStatus,
} from '../protocol/generated/types.js';

import type { Cluster, ObjectKind, Objects, StatusKind, StatusReport } from './cluster.js';

/** Asking for more objects than this one by one costs more than the whole list. */
const KEYS_MAX = 500;
/** Version of a cluster that has snapshots and their policies; an older MDM does not know the question. */
const VTREES_SINCE = 2;

export class ClusterReader {
  readonly system: System;
  private readonly cluster: Cluster;
  private readonly lists = new Map<ObjectKind, Promise<readonly Objects[ObjectKind][]>>();
  private readonly reports = new Map<StatusKind, Promise<StatusReport>>();
  private state: Promise<ClusterQueryReplyBody> | null = null;

  /** @param system - its identity; settings in it are as of the start of the request */
  constructor(cluster: Cluster, system: System) {
    this.cluster = cluster;
    this.system = system;
  }

  /** All objects of a kind in ascending order of key. */
  all<K extends ObjectKind>(kind: K): Promise<readonly Objects[K][]> {
    const known = this.lists.get(kind);
    if (known !== undefined) return known as Promise<readonly Objects[K][]>;
    const list = this.isOlder(kind) ? Promise.resolve([]) : this.cluster.query(kind);
    this.lists.set(kind, list);
    return list;
  }

  /** Objects of a kind with these keys (mappings: of these volumes); unknown keys are left out. */
  async some<K extends ObjectKind>(
    kind: K,
    keys: readonly number[],
  ): Promise<readonly Objects[K][]> {
    const wanted = new Set(keys.filter((key) => key !== 0));
    if (wanted.size === 0 || this.isOlder(kind)) return [];
    if (wanted.size <= KEYS_MAX && !this.lists.has(kind))
      return this.cluster.query(kind, [...wanted]);
    const list = await this.all(kind);
    return list.filter((object) => wanted.has('key' in object ? object.key : object.volumeKey));
  }

  /** Whether the cluster has no such objects yet. */
  private isOlder(kind: ObjectKind): boolean {
    return kind === 'snapshotPolicy' && this.system.clusterVersion < VTREES_SINCE;
  }

  /** Objects of a kind by key. */
  async byKey<K extends Exclude<ObjectKind, 'mapping'>>(
    kind: K,
    keys?: readonly number[],
  ): Promise<ReadonlyMap<number, Objects[K]>> {
    const objects = keys === undefined ? await this.all(kind) : await this.some(kind, keys);
    return new Map(objects.map((object) => [object.key, object]));
  }

  /** What the MDM has seen of components of a kind. */
  status(kind: StatusKind): Promise<StatusReport> {
    const known = this.reports.get(kind);
    if (known !== undefined) return known;
    const report = this.cluster.status(kind);
    this.reports.set(kind, report);
    return report;
  }

  async statusByKey(kind: StatusKind): Promise<ReadonlyMap<number, RuntimeStatus>> {
    const { statuses } = await this.status(kind);
    return new Map(statuses.map((status) => [status.key, status]));
  }

  /** What V-trees hold; nothing while the cluster has none but those of one volume each. */
  async vtrees(): Promise<readonly VtreeStatus[]> {
    if (this.system.clusterVersion < VTREES_SINCE) return [];
    return (await this.status('layer')).vtrees;
  }

  clusterState(): Promise<ClusterQueryReplyBody> {
    this.state ??= this.cluster.clusterState();
    return this.state;
  }

  /** The 16 hex digits of a key. */
  id(key: number): string {
    return formatId(this.system.idPrefix, key);
  }

  /** The 16 hex digits of a key, null for key 0. */
  idOrNull(key: number): string | null {
    return key === 0 ? null : this.id(key);
  }

  get systemId(): string {
    return this.id(this.system.key);
  }
}
