// What one request reads of the cluster, and how it reads ids that clients send.

import { keyOfId, parseId } from '../core/ids.js';
import type { System } from '../protocol/generated/types.js';
import type { Cluster } from '../runtime/cluster.js';
import { ClusterReader } from '../runtime/cluster-reader.js';

import { ApiError } from './api-error.js';

export class Reader extends ClusterReader {
  /** Such as 2 for `Accept: application/json; version=2.0`; null where the client does not say. */
  readonly interfaceVersion: number | null;

  /**
   * @param system - its identity; settings in it are as of the start of the request
   * @param interfaceVersion - that the client asked for
   */
  constructor(cluster: Cluster, system: System, interfaceVersion: number | null = null) {
    super(cluster, system);
    this.interfaceVersion = interfaceVersion;
  }

  /**
   * The key behind an id; 0 for an id of another system, which names nothing here.
   * @throws ApiError when it is not 16 hex digits
   */
  keyOf(id: string): number {
    const text = id.trim();
    if (parseId(text) === null) throw invalidId(text);
    return keyOfId(this.system.idPrefix, text) ?? 0;
  }
}

function invalidId(text: string): ApiError {
  const shown = text.length > 64 ? `${text.slice(0, 64)}...` : text;
  return ApiError.invalid(`id (${shown}) must be a hexadecimal number of 16 digits`);
}
