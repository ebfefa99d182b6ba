// The cluster as command-giving programs see it: questions and commands as promises. It owns the interface and the one
// error it fails with; who implements it speaks to the master MDM. It must never hold configuration of its own.

import { errorInfo, errorText } from '../protocol/error-text.js';
import { ERROR_BY_NAME } from '../protocol/generated/errors.js';
import type { ErrorInfo, ErrorName } from '../protocol/generated/errors.js';
import type {
  ApprovedSdc,
  Attachment,
  ClusterQueryReplyBody,
  CommandParams,
  CommandResults,
  Device,
  ErrorDetail,
  FaultSet,
  Mapping,
  PoolStatus,
  ProtectionDomain,
  RuntimeStatus,
  Sdc,
  Sds,
  SnapshotPolicy,
  StoragePool,
  System,
  User,
  Volume,
  VolumeStatus,
  VtreeStatus,
} from '../protocol/generated/types.js';

/** What a query of each type gives. */
export interface Objects {
  readonly system: System;
  readonly protectionDomain: ProtectionDomain;
  readonly storagePool: StoragePool;
  readonly faultSet: FaultSet;
  readonly sds: Sds;
  readonly device: Device;
  readonly sdc: Sdc;
  readonly volume: Volume;
  readonly mapping: Mapping;
  readonly user: User;
  readonly approvedSdc: ApprovedSdc;
  readonly attachment: Attachment;
  readonly snapshotPolicy: SnapshotPolicy;
}

export type ObjectKind = keyof Objects;
/** `layer`: of V-trees, by their keys. */
export type StatusKind = 'sds' | 'device' | 'sdc' | 'volume' | 'storagePool' | 'layer';

/** What has been seen of components, how much volumes hold, and how pools keep their data. */
export interface StatusReport {
  readonly statuses: readonly RuntimeStatus[];
  readonly volumes: readonly VolumeStatus[];
  readonly pools: readonly PoolStatus[];
  readonly vtrees: readonly VtreeStatus[];
}

export interface Cluster {
  /**
   * Objects of one type in ascending order of key (mappings: of volume, then SDC), all pages.
   * @param keys - only these (mappings: of these volumes); none given: all
   * @throws ClusterError
   */
  query<K extends ObjectKind>(kind: K, keys?: readonly number[]): Promise<readonly Objects[K][]>;
  /** What the MDM has seen of components since it became master. @throws ClusterError */
  status(kind: StatusKind, keys?: readonly number[]): Promise<StatusReport>;
  /** State of the MDM cluster. @throws ClusterError */
  clusterState(): Promise<ClusterQueryReplyBody>;
  /**
   * Changes the configuration; resolved when the change is durable.
   * @param actor - name of the user on whose behalf
   * @throws ClusterError
   */
  command<N extends keyof CommandParams>(
    name: N,
    actor: string,
    params: CommandParams[N],
  ): Promise<CommandResults[N]>;
}

/** Why the cluster did not do what was asked: a row of the error table and what fills its text. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
  readonly info: ErrorInfo;
  readonly details: readonly ErrorDetail[];

  constructor(info: ErrorInfo, details: readonly ErrorDetail[] = []) {
    super(errorText(info.code, details));
    this.info = info;
    this.details = details;
  }

  /** From the status of an answer; a number that this program does not know counts as an internal error. */
  static ofStatus(status: number, details: readonly ErrorDetail[] = []): ClusterError {
    return new ClusterError(errorInfo(status) ?? ERROR_BY_NAME.INTERNAL, details);
  }

  /** @param reason - fills `{reason}` of the text */
  static named(name: ErrorName, reason?: string): ClusterError {
    const details = reason === undefined ? [] : [{ name: 'reason', value: reason }];
    return new ClusterError(ERROR_BY_NAME[name], details);
  }
}
