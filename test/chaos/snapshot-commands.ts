// Commands about volumes and snapshots that an operator repeats until they are done, whatever happens to the MDM meanwhile. It
// owns which refusals mean that; it must never touch the history.

import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import type { Volume } from '../../backend/protocol/generated/types.js';
import type { ErrorName } from '../../backend/protocol/generated/errors.js';
import { ADMIN_NAME } from '../../backend/deploy/local/layout.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { until } from '../support/until.js';
import { SECOND_CLIENT } from './plan.js';
import type { ClientName, Rig } from './rig.js';

/** Troubles end, and nothing here takes long: what is not done by then never is. */
const DONE_MS = 120_000;
const AGAIN_MS = 100;
const CLIENTS: readonly ClientName[] = ['sdc', SECOND_CLIENT];

/** A volume or snapshot, and the client that has it. */
export interface Member {
  readonly key: number;
  readonly client: number;
}

/** Snapshots that were made by one command. */
export interface Made {
  readonly groupKey: number;
  readonly keys: readonly number[];
}

export class SnapshotCommands {
  readonly #rig: Rig;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  /** All volumes and snapshots. */
  async volumes(): Promise<readonly Volume[]> {
    return insist('volumes are listed', () => this.#rig.mdm.query('volume'), []);
  }

  socketOf({ key, client }: Member): Promise<string> {
    const name = CLIENTS[client] ?? 'sdc';
    return insist('the system is asked for', () => this.#rig.socketOf(key, name), '');
  }

  /** Asked once. @throws ClusterError */
  async snapshot(
    items: readonly { readonly volumeKey: number; readonly name: string }[],
  ): Promise<Made> {
    const accessLimit = 'readWrite' as const;
    return this.#rig.mdm.command('SNAPSHOT_VOLUMES', ADMIN_NAME, {
      ...{ items, accessLimit, secureMin: 0 },
    });
  }

  /** Resolved when the client serves it. */
  async map({ key, client }: Member): Promise<void> {
    const { mdm } = this.#rig;
    const name = CLIENTS[client] ?? 'sdc';
    const sdcKey = await insist('a client is looked for', () => this.#rig.sdcKey(name), 0);
    const params = { volumeKey: key, sdcKey, allowMultiple: true, access: 'readWrite' } as const;
    await insist(
      `volume ${key} is mapped`,
      () => mdm.command('MAP_VOLUME', ADMIN_NAME, params),
      null,
      'VOLUME_ALREADY_MAPPED',
    );
    const socket = await this.socketOf({ key, client });
    await until(`${name} serves volume ${key}`, () => existsSync(socket));
  }

  /** Resolved when no client can use it any more (C13). */
  async unmap({ key }: Member): Promise<void> {
    const params = { volumeKey: key, sdcKeys: [], generation: 0 };
    await insist(
      `volume ${key} is unmapped`,
      () => this.#rig.mdm.command('UNMAP_VOLUME', ADMIN_NAME, params),
      null,
      'VOLUME_NOT_MAPPED',
    );
  }

  async revert(volume: Member, source: Member): Promise<void> {
    const params = { key: volume.key, sourceKey: source.key };
    await insist(
      `volume ${volume.key} is reverted`,
      () => this.#rig.mdm.command('OVERWRITE_VOLUME', ADMIN_NAME, params),
      null,
    );
  }

  async removeGroup(groupKey: number): Promise<void> {
    await insist(
      `group ${groupKey} is removed`,
      () => this.#rig.mdm.command('REMOVE_GROUP_SNAPSHOTS', ADMIN_NAME, { groupKey }),
      null,
      'GROUP_NOT_FOUND',
    );
  }

  async remove({ key }: Member): Promise<void> {
    await insist(
      `snapshot ${key} is removed`,
      () => this.#rig.mdm.command('REMOVE_VOLUME', ADMIN_NAME, { key, mode: 'onlyMe' }),
      null,
      'VOLUME_NOT_FOUND',
    );
  }
}

/**
 * Asks until it is done.
 *
 * @param otherwise - the answer when a refusal says that it was done before
 * @throws Error when that takes too long, with the last refusal
 */
async function insist<T, O>(
  what: string,
  act: () => Promise<T>,
  otherwise: O,
  ...done: readonly ErrorName[]
): Promise<T | O> {
  let last = '';
  const deadline = Date.now() + DONE_MS;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      if (done.includes(error.info.name)) return otherwise;
      last = error.message;
    }
    if (Date.now() > deadline)
      throw new Error(`waited ${DONE_MS / 1000} s in vain: ${what}: ${last}`);
    await pause(AGAIN_MS);
  }
}
