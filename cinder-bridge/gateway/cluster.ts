// What the bridge asks of the cluster, as typed calls of the gateway's REST interface. It owns paths, bodies and the
// check that answers have the shape that is relied on; it must never decide what Cinder is told.

import { Ajv } from 'ajv';
import type { JSONSchemaType, ValidateFunction } from 'ajv';

import { BridgeError } from '../bridge-error.js';
import { GatewayRefusal } from './client.js';
import type { GatewayClient } from './client.js';

/** A mapping as a volume shows it. */
export interface MappedSdc {
  readonly sdcId: string;
  readonly mappingGeneration: number;
  readonly accessMode: string;
}

export interface MeshVolume {
  readonly id: string;
  readonly name: string;
  readonly sizeInKb: number;
  readonly volumeType: string;
  readonly storagePoolId: string;
  /** Seconds since 1970. */
  readonly creationTime: number;
  readonly ancestorVolumeId: string | null;
  readonly vtreeId: string;
  readonly mappedSdcInfo: readonly MappedSdc[] | null;
}

export interface MeshSdc {
  readonly id: string;
  readonly name: string | null;
  readonly sdcGuid: string;
  readonly sdcIps: readonly string[];
  readonly sdcApproved: boolean;
  readonly mdmConnectionState: string;
}

export interface MeshPool {
  readonly id: string;
  readonly name: string;
  readonly protectionDomainId: string;
}

/** Who relies on a mapping. */
export interface MeshAttachment {
  readonly volumeId: string;
  readonly sdcId: string;
  readonly mappingGeneration: number;
  readonly holder: string;
  /** Seconds since 1970. */
  readonly creationTime: number;
}

/** What a mapping may do; 0: no limit. */
export interface Limits {
  readonly iops: number;
  /** KiB a second, a multiple of 1024. */
  readonly kbps: number;
  /** For each GiB of the volume, so that they grow with it. */
  readonly iopsPerGib: number;
  readonly kbpsPerGib: number;
}

export interface Held {
  readonly sdcId: string;
  readonly mappingGeneration: number;
  readonly shared: boolean;
}

/** Kilobytes of one pool, one copy counted unless the name says otherwise. */
export interface PoolCapacity {
  readonly netCapacityInUseInKb: number;
  readonly netUnusedCapacityInKb: number;
  readonly netProvisionedAddressesInKb: number;
  readonly numOfVolumes: number;
}

/** `errorCode`s that the bridge reacts to. */
const REST = {
  volumeNotFound: 79,
  notMapped: 84,
  nameInUse: 99,
  mapped: 104,
  snapshotLimit: 182,
  notFound: 3,
} as const;

const TEXT = { type: 'string' } as const;
const COUNT = { type: 'number', minimum: 0 } as const;
const ajv = new Ajv({ allowUnionTypes: true });

/** Answers may hold more than what is relied on. */
function shape<T>(schema: object): ValidateFunction<T> {
  return ajv.compile(schema as JSONSchemaType<T>);
}

function objectOf(properties: Readonly<Record<string, object>>): object {
  return { type: 'object', properties, required: Object.keys(properties) };
}

const MAPPED = objectOf({ sdcId: TEXT, mappingGeneration: COUNT, accessMode: TEXT });
const VOLUME = objectOf({
  ...{ id: TEXT, name: TEXT, sizeInKb: COUNT, volumeType: TEXT, storagePoolId: TEXT },
  ...{ creationTime: COUNT, vtreeId: TEXT },
  ancestorVolumeId: { type: ['string', 'null'] },
  mappedSdcInfo: { anyOf: [{ type: 'null' }, { type: 'array', items: MAPPED }] },
});
const SDC = objectOf({
  ...{ id: TEXT, sdcGuid: TEXT, mdmConnectionState: TEXT },
  name: { type: ['string', 'null'] },
  sdcIps: { type: 'array', items: TEXT },
  sdcApproved: { type: 'boolean' },
});
const ATTACHMENT = objectOf({
  ...{ volumeId: TEXT, sdcId: TEXT, mappingGeneration: COUNT, holder: TEXT, creationTime: COUNT },
});
const list = (items: object): object => ({ type: 'array', items });

const isVolume = shape<MeshVolume>(VOLUME);
const areVolumes = shape<MeshVolume[]>(list(VOLUME));
const areSdcs = shape<MeshSdc[]>(list(SDC));
const arePools = shape<MeshPool[]>(
  list(objectOf({ id: TEXT, name: TEXT, protectionDomainId: TEXT })),
);
const areNamed = shape<{ id: string; name: string }[]>(list(objectOf({ id: TEXT, name: TEXT })));
const areIds = shape<{ id: string }[]>(list(objectOf({ id: TEXT })));
const areAttachments = shape<MeshAttachment[]>(list(ATTACHMENT));
const isHeld = shape<Held>(
  objectOf({ sdcId: TEXT, mappingGeneration: COUNT, shared: { type: 'boolean' } }),
);
const isReleased = shape<{ unmapped: boolean }>(objectOf({ unmapped: { type: 'boolean' } }));
const isText = shape<string>(TEXT);
const CAPACITY_NAMES = [
  'netCapacityInUseInKb',
  'netUnusedCapacityInKb',
  'netProvisionedAddressesInKb',
  'numOfVolumes',
] as const;
const isCapacity = shape<Record<string, PoolCapacity>>({
  type: 'object',
  additionalProperties: objectOf(Object.fromEntries(CAPACITY_NAMES.map((name) => [name, COUNT]))),
  required: [],
});

function checked<T>(validate: ValidateFunction<T>, what: string, answer: unknown): T {
  if (validate(answer)) return answer;
  const [fault] = validate.errors ?? [];
  throw new BridgeError(
    'internal',
    `the gateway's answer about ${what} is not understood: ${fault?.instancePath ?? ''} ${fault?.message ?? ''}`,
  );
}

/** True for a refusal with one of these codes; anything else is thrown again by the caller. */
function isRefusal(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof GatewayRefusal && codes.includes(error.errorCode);
}

/** The gateway counts capacity in KiB, which it calls KB. */
export const KB_PER_GIB = 1048576;

export class Cluster {
  readonly client: GatewayClient;

  constructor(client: GatewayClient) {
    this.client = client;
  }

  async systemId(): Promise<string> {
    const [system] = checked(areIds, 'systems', await this.client.get('/types/System/instances'));
    if (system === undefined) throw new BridgeError('internal', 'the gateway knows no system');
    return system.id;
  }

  /** @returns null when there is no such pool */
  async pool(domain: string, name: string): Promise<MeshPool | null> {
    const [domains, pools] = await Promise.all([
      this.client.get('/types/ProtectionDomain/instances'),
      this.client.get('/types/StoragePool/instances'),
    ]);
    const domainId = checked(areNamed, 'domains', domains).find((one) => one.name === domain)?.id;
    const known = checked(arePools, 'pools', pools);
    return known.find((one) => one.name === name && one.protectionDomainId === domainId) ?? null;
  }

  async capacity(poolId: string): Promise<PoolCapacity> {
    const answer = await this.client.post(
      '/types/StoragePool/instances/action/querySelectedStatistics',
      { ids: [poolId], properties: CAPACITY_NAMES },
    );
    const capacity = checked(isCapacity, 'capacity', answer)[poolId];
    if (capacity === undefined) throw new BridgeError('notFound', `there is no pool ${poolId}`);
    return capacity;
  }

  async volumes(): Promise<readonly MeshVolume[]> {
    return checked(areVolumes, 'volumes', await this.client.get('/types/Volume/instances'));
  }

  async volumesOfPool(poolId: string): Promise<readonly MeshVolume[]> {
    const path = `/instances/StoragePool::${poolId}/relationships/Volume`;
    return checked(areVolumes, 'volumes', await this.client.get(path));
  }

  /** @returns null when there is none of that name */
  async volumeByName(name: string): Promise<MeshVolume | null> {
    try {
      const path = `/types/Volume/instances/getByName::${encodeURIComponent(name)}`;
      const id = checked(isText, 'a name', await this.client.get(path));
      return await this.volume(id);
    } catch (error) {
      if (isRefusal(error, REST.notFound, REST.volumeNotFound)) return null;
      throw error;
    }
  }

  /** @returns null when there is none with that id */
  async volume(id: string): Promise<MeshVolume | null> {
    try {
      return checked(isVolume, 'a volume', await this.client.get(`/instances/Volume::${id}`));
    } catch (error) {
      if (isRefusal(error, REST.volumeNotFound)) return null;
      throw error;
    }
  }

  /** @returns false when the name is taken: perhaps by an earlier arrival of the same request */
  async createVolume(
    pool: MeshPool,
    name: string,
    sizeGib: number,
    provisioning: 'thin' | 'thick',
  ): Promise<boolean> {
    try {
      await this.client.post('/types/Volume/instances', {
        storagePoolId: pool.id,
        protectionDomainId: pool.protectionDomainId,
        name,
        volumeType: provisioning === 'thin' ? 'ThinProvisioned' : 'ThickProvisioned',
        volumeSizeInKb: String(sizeGib * KB_PER_GIB),
        sizeGranularityInGb: 1,
      });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.nameInUse)) return false;
      throw error;
    }
  }

  /** @returns false when it is mapped; true when it is gone, also when it was gone before */
  async removeVolume(id: string): Promise<boolean> {
    try {
      await this.action(id, 'removeVolume', { removeMode: 'ONLY_ME' });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.volumeNotFound)) return true;
      if (isRefusal(error, REST.mapped)) return false;
      throw error;
    }
  }

  /**
   * Makes snapshots as of one moment, all or none.
   *
   * @returns false when a name is taken: perhaps by an earlier arrival of the same request
   * @throws BridgeError snapshotLimit
   */
  async snapshotVolumes(
    snapshotDefs: readonly { readonly volumeId: string; readonly snapshotName: string }[],
  ): Promise<boolean> {
    try {
      await this.client.post('/instances/System/action/snapshotVolumes', { snapshotDefs });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.nameInUse)) return false;
      if (error instanceof GatewayRefusal && error.errorCode === REST.snapshotLimit)
        throw new BridgeError('snapshotLimit', error.message, error);
      throw error;
    }
  }

  /** Gives a volume the content of another of its V-tree. @returns false when one of them is mapped */
  async overwriteVolume(id: string, srcVolumeId: string): Promise<boolean> {
    try {
      await this.action(id, 'overwriteVolumeContent', { srcVolumeId });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.mapped)) return false;
      throw error;
    }
  }

  /** Limits what an SDC may do on a volume. @returns false when it is not mapped there any more */
  async setLimits(id: string, sdcId: string, limits: Limits): Promise<boolean> {
    try {
      await this.action(id, 'setMappedSdcLimits', {
        ...{ sdcId, iopsLimit: limits.iops, bandwidthLimitInKbps: limits.kbps },
        ...{ iopsPerGb: limits.iopsPerGib, bandwidthPerGbInKbps: limits.kbpsPerGib },
      });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.notMapped)) return false;
      throw error;
    }
  }

  async resizeVolume(id: string, sizeGib: number): Promise<void> {
    await this.action(id, 'setVolumeSize', { sizeInGB: String(sizeGib), sizeGranularityInGb: 1 });
  }

  /** @returns false when the name is taken */
  async renameVolume(id: string, newName: string): Promise<boolean> {
    try {
      await this.action(id, 'setVolumeName', { newName });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.nameInUse)) return false;
      throw error;
    }
  }

  async hold(id: string, sdcId: string, holder: string, accessMode: string): Promise<Held> {
    const body = { sdcId, holder, accessMode };
    return checked(isHeld, 'a mapping', await this.action(id, 'holdMappedSdc', body));
  }

  /** @returns null when nothing is noted for that holder and generation */
  async release(
    id: string,
    holder: string,
    mappingGeneration: number,
  ): Promise<{ readonly unmapped: boolean } | null> {
    try {
      const answer = await this.action(id, 'releaseMappedSdc', { holder, mappingGeneration });
      return checked(isReleased, 'a release', answer);
    } catch (error) {
      if (isRefusal(error, REST.notMapped, REST.volumeNotFound)) return null;
      throw error;
    }
  }

  /** Takes one mapping away, whoever relies on it. @returns false when that generation is not there any more */
  async unmap(id: string, sdcId: string, mappingGeneration: number): Promise<boolean> {
    try {
      await this.action(id, 'removeMappedSdc', { sdcId, mappingGeneration });
      return true;
    } catch (error) {
      if (isRefusal(error, REST.notMapped, REST.volumeNotFound)) return false;
      throw error;
    }
  }

  async sdcs(): Promise<readonly MeshSdc[]> {
    return checked(areSdcs, 'SDCs', await this.client.get('/types/Sdc/instances'));
  }

  /** @param volumeIds - only of these; null: of all */
  async attachments(volumeIds: readonly string[] | null): Promise<readonly MeshAttachment[]> {
    const answer = await this.client.post(
      '/types/Volume/instances/action/queryAttachments',
      volumeIds === null ? {} : { volumeIds },
    );
    return checked(areAttachments, 'attachments', answer);
  }

  private action(id: string, name: string, body: unknown): Promise<unknown> {
    return this.client.post(`/instances/Volume::${id}/action/${name}`, body);
  }
}
