// Snapshots that exist on MeshSAN, taken over by Cinder and given up again. Only a snapshot of the very volume that Cinder names is
// taken over; content never changes. It must never take a volume of Cinder for a snapshot.

import type { Log } from '../backend/core/ports.js';

import { BridgeError } from './bridge-error.js';
import type { SnapshotView } from './copies.js';
import { KB_PER_GIB } from './gateway/cluster.js';
import type { Cluster, MeshVolume } from './gateway/cluster.js';
import { cinderIdOf, releasedName, snapshotIdOf, snapshotName } from './naming.js';
import type { PoolName, Reference, Volumes } from './volumes.js';

/** A snapshot that Cinder could take over, or has. */
export interface ManageableSnapshotView {
  readonly meshsanId: string;
  readonly name: string;
  readonly sizeGib: number;
  /** Uuid of the snapshot of Cinder that it is, null: none. */
  readonly snapshotId: string | null;
  /** Uuid of the volume of Cinder that it is a snapshot of, null: of none. */
  readonly volumeId: string | null;
  /** Why it cannot be taken over, null: it can. */
  readonly reason: string | null;
}

export class ExistingSnapshots {
  private readonly cluster: Cluster;
  private readonly volumes: Volumes;
  private readonly log: Log;

  constructor(cluster: Cluster, volumes: Volumes, log: Log) {
    this.cluster = cluster;
    this.volumes = volumes;
    this.log = log;
  }

  /** What a snapshot is like that Cinder may take over as one of a volume; nothing changes. @throws BridgeError notFound */
  async inspect(volumeId: string, reference: Reference): Promise<ManageableSnapshotView> {
    const volume = await this.volumes.found(volumeId);
    return judged(await this.referred(reference), volume, volumeId);
  }

  /**
   * Takes a snapshot over: from now on it has the name of Cinder's snapshot. The same request again is fine.
   *
   * @throws BridgeError notFound, conflict
   */
  async manage(snapshotId: string, volumeId: string, reference: Reference): Promise<SnapshotView> {
    const volume = await this.volumes.found(volumeId);
    const before = await this.cluster.volumeByName(snapshotName(snapshotId));
    const snapshot = before ?? (await this.referred(reference));
    const { id: meshsanId } = snapshot;
    if (before === null) {
      const { reason } = judged(snapshot, volume, volumeId);
      if (reason !== null)
        throw new BridgeError('conflict', `${snapshot.name} cannot be managed: ${reason}`);
      if (!(await this.cluster.renameVolume(meshsanId, snapshotName(snapshotId))))
        throw new BridgeError('conflict', `another volume has the name of ${snapshotId} already`);
      this.log.event('info', 'bridge.snapshot.managed', { snapshotId, volumeId, meshsanId });
    }
    const sizeGib = Math.ceil(snapshot.sizeInKb / KB_PER_GIB);
    return { snapshotId, volumeId, meshsanId, name: snapshotName(snapshotId), sizeGib };
  }

  /** Gives a snapshot up: it stays, under a name that says whose it was. One that is gone is fine. @throws BridgeError conflict */
  async unmanage(snapshotId: string): Promise<{ readonly name: string }> {
    const snapshot = await this.cluster.volumeByName(snapshotName(snapshotId));
    const name = releasedName(snapshotId);
    if (snapshot === null) return { name };
    if (!(await this.cluster.renameVolume(snapshot.id, name)))
      throw new BridgeError('conflict', `another volume has the name ${name} already`);
    this.log.event('info', 'bridge.snapshot.unmanaged', { snapshotId, meshsanId: snapshot.id });
    return { name };
  }

  /** Every snapshot of a pool that is no volume of Cinder, with why Cinder cannot take it over. @throws BridgeError notFound */
  async manageable(at: PoolName): Promise<readonly ManageableSnapshotView[]> {
    const pool = await this.volumes.pool(at);
    const all = await this.cluster.volumesOfPool(pool.id);
    const byId = new Map(all.map((volume) => [volume.id, volume]));
    return all
      .filter(
        ({ ancestorVolumeId, name }) => ancestorVolumeId !== null && cinderIdOf(name) === null,
      )
      .map((snapshot) => {
        const volume = byId.get(snapshot.ancestorVolumeId ?? '') ?? null;
        return judged(snapshot, volume, volume === null ? null : cinderIdOf(volume.name));
      });
  }

  private async referred({ id, name }: Reference): Promise<MeshVolume> {
    const snapshot =
      id === undefined
        ? await this.cluster.volumeByName(name ?? '')
        : await this.cluster.volume(id.toLowerCase());
    if (snapshot === null)
      throw new BridgeError('notFound', `there is no snapshot ${id ?? name ?? ''} on MeshSAN`);
    return snapshot;
  }
}

/** Whether it can be taken over as a snapshot of a volume. @param volumeId - of that volume in Cinder; null: it is none of Cinder */
function judged(
  { id, name, sizeInKb, ancestorVolumeId, mappedSdcInfo }: MeshVolume,
  volume: MeshVolume | null,
  volumeId: string | null,
): ManageableSnapshotView {
  const snapshotId = snapshotIdOf(name);
  let reason: string | null = null;
  if (snapshotId !== null) reason = 'it is managed already';
  else if (cinderIdOf(name) !== null) reason = 'it is a volume of Cinder';
  else if (ancestorVolumeId === null) reason = 'it is no snapshot';
  else if (volumeId === null) reason = 'its volume is none of Cinder';
  else if (ancestorVolumeId !== volume?.id) reason = `it is no snapshot of the volume ${volumeId}`;
  else if (mappedSdcInfo !== null) reason = 'it is mapped to an SDC';
  else if (sizeInKb % KB_PER_GIB !== 0) reason = 'its size is not a whole number of GiB';
  const isOfIt = volume !== null && ancestorVolumeId === volume.id;
  return {
    ...{ meshsanId: id, name, sizeGib: Math.ceil(sizeInKb / KB_PER_GIB), snapshotId, reason },
    volumeId: isOfIt ? volumeId : null,
  };
}
