// Snapshots, volumes that are made of them or of other volumes, and reverting. What one request names is made as of one moment,
// all or nothing. It must never remove a volume of Cinder: a snapshot has a name of its own kind.

import type { Log } from '../backend/core/ports.js';

import { BridgeError } from './bridge-error.js';
import { KB_PER_GIB } from './gateway/cluster.js';
import type { Cluster, MeshVolume } from './gateway/cluster.js';
import { snapshotName, volumeName } from './naming.js';
import { viewOf } from './volumes.js';
import type { PoolName, VolumeView, Volumes } from './volumes.js';

export interface SnapshotSpec {
  /** Of Cinder. */
  readonly snapshotId: string;
  readonly volumeId: string;
}

/** A snapshot as the driver hears of it. */
export interface SnapshotView extends SnapshotSpec {
  /** 16 hex digits, of MeshSAN. */
  readonly meshsanId: string;
  readonly name: string;
  readonly sizeGib: number;
}

/** What a volume is made of: a snapshot or a volume of Cinder. */
export type Source = { readonly snapshotId: string } | { readonly volumeId: string };

export interface CopySpec extends PoolName {
  /** Of the volume to make. */
  readonly volumeId: string;
  readonly source: Source;
  readonly sizeGib: number;
}

/** A snapshot to make, for what was asked. */
interface Wanted<T> {
  readonly spec: T;
  readonly source: MeshVolume;
  readonly name: string;
}

export class Copies {
  private readonly cluster: Cluster;
  private readonly volumes: Volumes;
  private readonly log: Log;

  constructor(cluster: Cluster, volumes: Volumes, log: Log) {
    this.cluster = cluster;
    this.volumes = volumes;
    this.log = log;
  }

  /**
   * Makes snapshots of volumes as of one moment, or finds those that an earlier arrival of the same request made.
   *
   * @throws BridgeError notFound, conflict, snapshotLimit
   */
  async snapshot(specs: readonly SnapshotSpec[]): Promise<readonly SnapshotView[]> {
    const wanted: Wanted<SnapshotSpec>[] = [];
    for (const spec of specs) {
      const source = await this.volumes.found(spec.volumeId);
      wanted.push({ spec, source, name: snapshotName(spec.snapshotId) });
    }
    const made = await this.make(wanted);
    return made.map(({ spec, volume }) => {
      this.log.event('info', 'bridge.snapshot.made', { ...spec, meshsanId: volume.id });
      return snapshotView(spec, volume);
    });
  }

  /** Removes a snapshot; what was made of it stays. One that is gone is fine. @throws BridgeError busy */
  async removeSnapshot(snapshotId: string): Promise<{ readonly existed: boolean }> {
    const snapshot = await this.cluster.volumeByName(snapshotName(snapshotId));
    if (snapshot === null) return { existed: false };
    if (!(await this.cluster.removeVolume(snapshot.id)))
      throw new BridgeError('busy', `the snapshot ${snapshotId} is mapped to an SDC`);
    this.log.event('info', 'bridge.snapshot.removed', { snapshotId });
    return { existed: true };
  }

  /**
   * Makes volumes with the content of others as of one moment, enlarged where they are to be larger.
   *
   * @throws BridgeError notFound, conflict, snapshotLimit
   */
  async copy(specs: readonly CopySpec[]): Promise<readonly VolumeView[]> {
    const wanted: Wanted<CopySpec>[] = [];
    for (const spec of specs) {
      const { volumeId, source, sizeGib } = spec;
      const from = await this.sourceOf(source);
      const pool = await this.volumes.pool(spec);
      if (from.storagePoolId !== pool.id)
        throw new BridgeError(
          'conflict',
          `${from.name} lies in another pool than ${spec.domain}:${spec.pool}, a copy lies where its source does`,
        );
      if (from.sizeInKb > sizeGib * KB_PER_GIB)
        throw new BridgeError(
          'conflict',
          `the source of ${volumeId} has ${from.sizeInKb / KB_PER_GIB} GiB, a copy of ${sizeGib} GiB is smaller`,
        );
      wanted.push({ spec, source: from, name: volumeName(volumeId) });
    }
    const made = await this.make(wanted);
    const views: VolumeView[] = [];
    for (const { spec, volume } of made) {
      const { volumeId, sizeGib } = spec;
      views.push(await this.volumes.extend(volumeId, sizeGib));
      this.log.event('info', 'bridge.volume.copied', { volumeId, meshsanId: volume.id, sizeGib });
    }
    return views;
  }

  /** Gives a volume the content of one of its snapshots. @throws BridgeError notFound, busy */
  async revert(volumeId: string, snapshotId: string): Promise<VolumeView> {
    const volume = await this.volumes.found(volumeId);
    const snapshot = await this.sourceOf({ snapshotId });
    if (!(await this.cluster.overwriteVolume(volume.id, snapshot.id)))
      throw new BridgeError(
        'busy',
        `the volume of ${volumeId} or its snapshot is mapped: its content cannot be replaced under a host`,
      );
    this.log.event('warn', 'bridge.volume.reverted', { volumeId, snapshotId });
    return viewOf(volumeId, volume);
  }

  private async sourceOf(source: Source): Promise<MeshVolume> {
    if ('volumeId' in source) return this.volumes.found(source.volumeId);
    const snapshot = await this.cluster.volumeByName(snapshotName(source.snapshotId));
    if (snapshot === null)
      throw new BridgeError('notFound', `there is no snapshot ${source.snapshotId} on MeshSAN`);
    return snapshot;
  }

  /** What is asked for, in that order: made now, or by an earlier arrival of the same request. */
  private async make<T>(
    wanted: readonly Wanted<T>[],
  ): Promise<readonly { readonly spec: T; readonly volume: MeshVolume }[]> {
    const before = await this.byName(wanted);
    if (before.every((one) => one === null))
      // Another arrival of the same request may be quicker: then its snapshots are found below.
      await this.cluster.snapshotVolumes(
        wanted.map(({ source, name }) => ({ volumeId: source.id, snapshotName: name })),
      );
    const found = before.some((one) => one === null) ? await this.byName(wanted) : before;
    return wanted.map(({ spec, source, name }, index) => {
      const volume = found[index] ?? null;
      if (volume === null)
        throw new BridgeError(
          'conflict',
          `some of what is asked for exists already, ${name} does not: they cannot be of one moment`,
        );
      if (volume.vtreeId !== source.vtreeId)
        throw new BridgeError(
          'conflict',
          `${name} exists already and is no copy of ${source.name}`,
        );
      return { spec, volume };
    });
  }

  private async byName(
    wanted: readonly { readonly name: string }[],
  ): Promise<(MeshVolume | null)[]> {
    const found: (MeshVolume | null)[] = [];
    for (const { name } of wanted) found.push(await this.cluster.volumeByName(name));
    return found;
  }
}

function snapshotView(spec: SnapshotSpec, { id, name, sizeInKb }: MeshVolume): SnapshotView {
  return { ...spec, meshsanId: id, name, sizeGib: Math.ceil(sizeInKb / KB_PER_GIB) };
}
