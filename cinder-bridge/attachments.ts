// Attaching and detaching: which client gets a volume mapped, who relies on that, and the way back. The ledger itself lies
// in the cluster, with the mapping (backend/docs/mdm.md), so that any bridge on any controller sees the same one and none
// has state of its own.

import type { Log } from '../backend/core/ports.js';

import { BridgeError } from './bridge-error.js';
import type { Cluster, Limits, MeshSdc } from './gateway/cluster.js';
import { sdcOfHost } from './hosts.js';
import type { HostFacts, HostRules } from './hosts.js';
import type { Volumes } from './volumes.js';

export interface AttachmentView {
  readonly volumeId: string;
  readonly meshsanId: string;
  readonly systemId: string;
  readonly sdcId: string;
  readonly sdcGuid: string;
  /** Of the mapping; a detach that names it touches no other one. */
  readonly generation: number;
  /** Others rely on the same mapping. */
  readonly shared: boolean;
  /** Where the host finds the volume. */
  readonly devicePath: string;
  readonly sizeGib: number;
}

/**
 * What became of a detach. `unmapped`: the host cannot reach the volume any more, not even late. `kept`: others on that
 * host rely on the mapping. `stale`: nothing was noted for that holder; newer attachments, if any, are untouched.
 */
export type DetachOutcome = 'unmapped' | 'kept' | 'stale';

export class Attachments {
  private readonly cluster: Cluster;
  private readonly volumes: Volumes;
  private readonly rules: HostRules;
  private readonly log: Log;
  private systemId: Promise<string> | null = null;

  constructor(cluster: Cluster, volumes: Volumes, rules: HostRules, log: Log) {
    this.cluster = cluster;
    this.volumes = volumes;
    this.rules = rules;
    this.log = log;
  }

  /** The SDC of a host. @throws BridgeError notFound */
  async sdcOf(facts: HostFacts): Promise<MeshSdc> {
    return sdcOfHost(facts, this.rules, await this.cluster.sdcs());
  }

  /**
   * Maps a volume to the SDC of a host and notes who relies on it. The same holder again gets the same mapping.
   *
   * @param limits - of the mapping, for all who rely on it; null: as they are
   * @throws BridgeError notFound
   */
  async attach(
    volumeId: string,
    holder: string,
    facts: HostFacts,
    accessMode: 'ReadWrite' | 'ReadOnly',
    limits: Limits | null = null,
  ): Promise<AttachmentView> {
    const [volume, sdc, systemId] = await Promise.all([
      this.volumes.show(volumeId),
      this.sdcOf(facts),
      this.system(),
    ]);
    const { meshsanId, sizeGib } = volume;
    const held = await this.cluster.hold(meshsanId, sdc.id, holder, accessMode);
    const { mappingGeneration: generation, shared } = held;
    if (limits !== null) await this.cluster.setLimits(meshsanId, sdc.id, limits);
    const { host } = facts;
    const event = { volumeId, holder, host, sdcId: sdc.id, generation, shared };
    this.log.event('info', 'bridge.attached', event);
    return {
      ...{ volumeId, meshsanId, systemId, sdcId: sdc.id, sdcGuid: sdc.sdcGuid },
      ...{ generation, shared, sizeGib },
      devicePath: `/dev/disk/by-id/emc-vol-${systemId}-${meshsanId}`,
    };
  }

  /**
   * Strikes a holder out, and unmaps when it was the last one.
   *
   * @param generation - of the mapping that it was given, 0: not known
   */
  async detach(volumeId: string, holder: string, generation: number): Promise<DetachOutcome> {
    const meshsanId = await this.meshsanId(volumeId);
    const released =
      meshsanId === null ? null : await this.cluster.release(meshsanId, holder, generation);
    let outcome: DetachOutcome = 'stale';
    if (released !== null) outcome = released.unmapped ? 'unmapped' : 'kept';
    const level = outcome === 'stale' ? 'warn' : 'info';
    this.log.event(level, 'bridge.detached', { volumeId, holder, generation, outcome });
    return outcome;
  }

  /** Limits what every host may do that has the volume mapped. @returns how many that are */
  async setLimits(volumeId: string, limits: Limits): Promise<number> {
    const { id, mappedSdcInfo } = await this.volumes.found(volumeId);
    let limited = 0;
    for (const { sdcId } of mappedSdcInfo ?? [])
      if (await this.cluster.setLimits(id, sdcId, limits)) limited++;
    this.log.event('info', 'bridge.limited', { volumeId, limited, ...limits });
    return limited;
  }

  /** Takes every mapping of a volume away, each by the generation that it has now. @returns how many */
  async detachAll(volumeId: string): Promise<number> {
    const volume = await this.volumes.found(volumeId);
    let unmapped = 0;
    for (const { sdcId, mappingGeneration } of volume.mappedSdcInfo ?? [])
      if (await this.cluster.unmap(volume.id, sdcId, mappingGeneration)) unmapped++;
    this.log.event('warn', 'bridge.detached.all', { volumeId, unmapped });
    return unmapped;
  }

  /** Null for a volume that is gone: then nothing of it is attached. */
  private async meshsanId(volumeId: string): Promise<string | null> {
    try {
      return (await this.volumes.show(volumeId)).meshsanId;
    } catch (error) {
      if (error instanceof BridgeError && error.code === 'notFound') return null;
      throw error;
    }
  }

  private system(): Promise<string> {
    // Asked once; a failure is forgotten so that the next caller asks again.
    this.systemId ??= this.cluster.systemId().catch((error: unknown) => {
      this.systemId = null;
      throw error;
    });
    return this.systemId;
  }
}
