// Volumes as Cinder means them: found by the uuid, made once however often they are asked for, sized in whole GiB. It must
// never remove a volume that Cinder did not name, and never one that somebody may be using.

import type { Log } from '../backend/core/ports.js';

import { BridgeError } from './bridge-error.js';
import { KB_PER_GIB } from './gateway/cluster.js';
import type { Cluster, MeshPool, MeshVolume } from './gateway/cluster.js';
import { cinderIdOf, releasedName, volumeName } from './naming.js';

export interface PoolName {
  readonly domain: string;
  readonly pool: string;
}

export interface WantedVolume extends PoolName {
  readonly sizeGib: number;
  readonly provisioning: 'thin' | 'thick';
}

/** A volume as the driver hears of it. */
export interface VolumeView {
  /** Of Cinder. */
  readonly volumeId: string;
  /** 16 hex digits, of MeshSAN. */
  readonly meshsanId: string;
  readonly name: string;
  readonly sizeGib: number;
}

/** A volume that Cinder could take over, or has. */
export interface ManageableView {
  readonly meshsanId: string;
  readonly name: string;
  readonly sizeGib: number;
  /** Uuid of the volume of Cinder that it is, null: none. */
  readonly volumeId: string | null;
  /** Why it cannot be taken over, null: it can. */
  readonly reason: string | null;
}

/** How a volume is named that Cinder shall take over: one of both. */
export interface Reference {
  readonly id?: string;
  readonly name?: string;
}

const isThin = ({ volumeType }: MeshVolume): boolean => volumeType === 'ThinProvisioned';

export class Volumes {
  private readonly cluster: Cluster;
  private readonly log: Log;

  constructor(cluster: Cluster, log: Log) {
    this.cluster = cluster;
    this.log = log;
  }

  /**
   * Makes a volume, or finds the one that an earlier arrival of the same request made.
   *
   * @throws BridgeError conflict when there is one for this uuid that differs in size, pool or provisioning
   */
  async create(
    volumeId: string,
    wanted: WantedVolume,
  ): Promise<VolumeView & { readonly created: boolean }> {
    const { sizeGib, provisioning } = wanted;
    const pool = await this.pool(wanted);
    const name = volumeName(volumeId);
    const before = await this.cluster.volumeByName(name);
    let created = false;
    if (before === null)
      created = await this.cluster.createVolume(pool, name, sizeGib, provisioning);
    const volume = before ?? (await this.found(volumeId));
    const differs = [
      volume.sizeInKb === sizeGib * KB_PER_GIB ? '' : `has ${volume.sizeInKb / KB_PER_GIB} GiB`,
      volume.storagePoolId === pool.id ? '' : 'lies in another pool',
      isThin(volume) === (provisioning === 'thin') ? '' : 'is provisioned otherwise',
    ].filter((text) => text !== '');
    if (differs.length > 0)
      throw new BridgeError(
        'conflict',
        `the volume of ${volumeId} exists already and ${differs.join(', ')}; asked for were ${sizeGib} GiB ${provisioning} in ${wanted.domain}:${wanted.pool}`,
      );
    if (created) this.log.event('info', 'bridge.volume.created', { volumeId, sizeGib });
    return { ...viewOf(volumeId, volume), created };
  }

  /** @throws BridgeError notFound */
  async show(volumeId: string): Promise<VolumeView> {
    return viewOf(volumeId, await this.found(volumeId));
  }

  /**
   * Removes a volume; one that is gone already is fine.
   *
   * @param unmapLeftovers - Cinder knows of no attachment: mappings that are left are taken away first, each by its
   * generation, so that one that is being made now is not hit
   * @throws BridgeError busy when it is mapped
   */
  async remove(volumeId: string, unmapLeftovers: boolean): Promise<{ readonly existed: boolean }> {
    const volume = await this.cluster.volumeByName(volumeName(volumeId));
    if (volume === null) return { existed: false };
    const mapped = volume.mappedSdcInfo ?? [];
    if (unmapLeftovers)
      for (const { sdcId, mappingGeneration } of mapped) {
        this.log.event('warn', 'bridge.leftover.unmapped', { volumeId, sdcId, mappingGeneration });
        await this.cluster.unmap(volume.id, sdcId, mappingGeneration);
      }
    if (!(await this.cluster.removeVolume(volume.id)))
      throw new BridgeError(
        'busy',
        `the volume of ${volumeId} is mapped to ${mapped.map(({ sdcId, mappingGeneration }) => `SDC ${sdcId} (generation ${mappingGeneration})`).join(', ')}`,
      );
    this.log.event('info', 'bridge.volume.removed', { volumeId });
    return { existed: true };
  }

  /** Grows a volume; one that has the size already is fine. @throws BridgeError conflict when it is larger */
  async extend(volumeId: string, sizeGib: number): Promise<VolumeView> {
    const volume = await this.found(volumeId);
    const kb = sizeGib * KB_PER_GIB;
    if (volume.sizeInKb > kb)
      throw new BridgeError(
        'conflict',
        `the volume of ${volumeId} has ${volume.sizeInKb / KB_PER_GIB} GiB, it cannot shrink to ${sizeGib} GiB`,
      );
    if (volume.sizeInKb < kb) {
      await this.cluster.resizeVolume(volume.id, sizeGib);
      this.log.event('info', 'bridge.volume.extended', { volumeId, sizeGib });
    }
    return viewOf(volumeId, await this.found(volumeId));
  }

  /** What a volume that Cinder may take over is like; nothing changes. @throws BridgeError notFound, conflict */
  async inspect(reference: Reference, at: PoolName): Promise<ManageableView> {
    const volume = await this.referred(reference, await this.pool(at));
    return manageable(volume);
  }

  /** Takes a volume over: from now on it has the name of Cinder's volume. The same request again is fine. */
  async manage(volumeId: string, reference: Reference, at: PoolName): Promise<VolumeView> {
    const pool = await this.pool(at);
    const before = await this.cluster.volumeByName(volumeName(volumeId));
    const volume = before ?? (await this.referred(reference, pool));
    if (before === null) {
      const { reason } = manageable(volume);
      if (reason !== null)
        throw new BridgeError('conflict', `volume ${volume.name} cannot be managed: ${reason}`);
      if (!(await this.cluster.renameVolume(volume.id, volumeName(volumeId))))
        throw new BridgeError('conflict', `another volume has the name of ${volumeId} already`);
      this.log.event('info', 'bridge.volume.managed', { volumeId, meshsanId: volume.id });
    }
    return viewOf(volumeId, volume);
  }

  /** Gives a volume up: it stays, under a name that says whose it was. A volume that is gone is fine. */
  async unmanage(volumeId: string): Promise<{ readonly name: string }> {
    const volume = await this.cluster.volumeByName(volumeName(volumeId));
    const name = releasedName(volumeId);
    if (volume === null) return { name };
    if (!(await this.cluster.renameVolume(volume.id, name)))
      throw new BridgeError('conflict', `another volume has the name ${name} already`);
    this.log.event('info', 'bridge.volume.unmanaged', { volumeId, meshsanId: volume.id });
    return { name };
  }

  /** Every volume of a pool, with why Cinder cannot take it over. */
  async manageable(at: PoolName): Promise<readonly ManageableView[]> {
    const pool = await this.pool(at);
    return (await this.cluster.volumesOfPool(pool.id)).map(manageable);
  }

  /** @throws BridgeError notFound */
  async pool({ domain, pool }: PoolName): Promise<MeshPool> {
    const found = await this.cluster.pool(domain, pool);
    if (found === null)
      throw new BridgeError('notFound', `there is no storage pool ${domain}:${pool}`);
    return found;
  }

  /** The volume of a uuid. @throws BridgeError notFound */
  async found(volumeId: string): Promise<MeshVolume> {
    const volume = await this.cluster.volumeByName(volumeName(volumeId));
    if (volume === null)
      throw new BridgeError('notFound', `there is no volume of ${volumeId} on MeshSAN`);
    return volume;
  }

  private async referred({ id, name }: Reference, pool: MeshPool): Promise<MeshVolume> {
    const volume =
      id === undefined
        ? await this.cluster.volumeByName(name ?? '')
        : await this.cluster.volume(id.toLowerCase());
    if (volume === null)
      throw new BridgeError('notFound', `there is no volume ${id ?? name ?? ''} on MeshSAN`);
    if (volume.storagePoolId !== pool.id)
      throw new BridgeError('conflict', `volume ${volume.name} lies in another pool`);
    return volume;
  }
}

/** A volume for the driver. */
export function viewOf(volumeId: string, { id, name, sizeInKb }: MeshVolume): VolumeView {
  return { volumeId, meshsanId: id, name, sizeGib: Math.ceil(sizeInKb / KB_PER_GIB) };
}

function manageable(volume: MeshVolume): ManageableView {
  const { id, name, sizeInKb, ancestorVolumeId, mappedSdcInfo } = volume;
  const volumeId = cinderIdOf(name);
  let reason: string | null = null;
  if (volumeId !== null) reason = 'it is managed already';
  else if (ancestorVolumeId !== null) reason = 'it is a snapshot';
  else if (mappedSdcInfo !== null) reason = 'it is mapped to an SDC';
  else if (sizeInKb % KB_PER_GIB !== 0) reason = 'its size is not a whole number of GiB';
  return { meshsanId: id, name, sizeGib: Math.ceil(sizeInKb / KB_PER_GIB), volumeId, reason };
}
