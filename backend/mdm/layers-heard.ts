// Of which layers devices hold chunks, as they tell restored metadata. A layer that it does not know, of a V-tree that it
// knows, was made since the backup: what the volumes of that V-tree hold is not what the metadata says. It owns who has not
// told everything yet; it must never decide that a V-tree is right after all.

import type { LinkId } from '../core/ports.js';
import { MSG } from '../protocol/generated/constants.js';
import type { LayersRememberedBody } from '../protocol/generated/types.js';
import type { Sessions } from './sessions.js';
import type { State } from './state.js';
import { layerKeys } from './vtree-usage.js';

/** First protocol version in which devices can be asked. */
const SINCE_VERSION = 2;

export class LayersHeard {
  private readonly sessions: Sessions;
  /** By device, the key after which it was asked last; only of who began to tell. */
  private readonly telling = new Map<number, number>();
  /** V-trees by layer, of all that was told. */
  private readonly layers = new Map<number, number>();

  constructor(sessions: Sessions) {
    this.sessions = sessions;
  }

  /**
   * Asks a device from the beginning. It is asked before it is asked for combs, and links keep the order: whoever told those
   * has begun to tell this, or never will.
   */
  ask(deviceKey: number, link: LinkId): void {
    this.telling.delete(deviceKey);
    if ((this.sessions.get(link)?.peer.version ?? 0) < SINCE_VERSION) return;
    this.sessions.send(link, MSG.LAYERS_WANTED, 0, { after: 0 });
  }

  /** Whether a device has more to tell. */
  isTelling(deviceKey: number): boolean {
    return this.telling.has(deviceKey);
  }

  told(deviceKey: number, link: LinkId, { after, more, layers }: LayersRememberedBody): void {
    // An answer to an earlier question.
    if ((this.telling.get(deviceKey) ?? 0) !== after) return;
    for (const { layerKey, vtreeKey } of layers) this.layers.set(layerKey, vtreeKey);
    const last = layers.at(-1)?.layerKey ?? 0;
    if (!more || last <= after) {
      this.telling.delete(deviceKey);
      return;
    }
    this.telling.set(deviceKey, last);
    this.sessions.send(link, MSG.LAYERS_WANTED, 0, { after: last });
  }

  /** Marks volumes of which devices hold layers that the metadata does not know. @returns how many */
  doubt(state: State): number {
    const known = layerKeys(state);
    const vtreeKeys = new Set<number>();
    for (const [layerKey, vtreeKey] of this.layers)
      if (!known.has(layerKey) && !state.tombstones.has(layerKey)) vtreeKeys.add(vtreeKey);
    const doubted = state.volumes.filter(({ vtreeKey }) => vtreeKeys.has(vtreeKey));
    for (const volume of doubted) state.volumes.put(volume.key, { ...volume, doubtful: true });
    return doubted.length;
  }
}
