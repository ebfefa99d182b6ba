// Who hears what of the committed state: data processes of their pool, SDCs of the volumes that are mapped to them. A new
// registration gets everything, then only changes. It must never send what is not committed.

import { mark } from '../core/marks.js';
import type { LinkId, Micros } from '../core/ports.js';
import { encodeControl } from '../protocol/control.js';
import { MSG } from '../protocol/generated/constants.js';
import type { CombEntry } from '../protocol/generated/types.js';
import type { Digest } from './digest.js';
import type { Engine } from './engine.js';
import {
  clientVolume,
  isEmpty,
  mapDevice,
  mapPool,
  mapVolume,
  noNews,
  parts,
} from './map-parts.js';
import type { News } from './map-parts.js';
import type { Registered, Session, Sessions } from './sessions.js';
import { mergeOf } from './vtrees.js';

const MARKS = {
  slow: mark('mdm: a subscriber that reads too slowly was cut off'),
  reminded: mark('mdm: a device was told how far it knows everything'),
};

/** A subscriber that lets this much pile up is cut off; it comes back and gets everything in one piece. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024;

type DeviceSubscriber = Extract<Registered, { kind: 'device' }>;
type SdcSubscriber = Extract<Registered, { kind: 'sdc' }>;

export class Subscribers {
  private readonly engine: Engine;
  private readonly sessions: Sessions;

  constructor(engine: Engine, sessions: Sessions) {
    this.engine = engine;
    this.sessions = sessions;
  }

  /** Sends all that a session may know; its registration must be noted. */
  sendAll(session: Session): void {
    const { registered } = session;
    session.subscribed = true;
    if (registered.kind === 'device') this.send(session, this.allForDevice(registered), true);
    if (registered.kind === 'sdc') this.send(session, this.allForSdc(registered), true);
  }

  /** Tells every subscriber what of a commit concerns it. */
  published(nowUs: Micros, changed: Digest): void {
    const late: LinkId[] = [];
    const combsOf = byDevice(changed);
    for (const session of this.sessions.all()) {
      const { registered } = session;
      if (!session.subscribed) continue;
      if (registered.kind === 'device') {
        const news = this.forDevice(registered, changed, combsOf.get(registered.deviceKey) ?? []);
        if (!isEmpty(news) || changed.isRaised) this.send(session, news, false);
      } else if (registered.kind === 'sdc') {
        if (changed.approvedSdcs.has(registered.sdcKey)) this.sendAll(session);
        else {
          const news = this.forSdc(registered, changed);
          if (!isEmpty(news)) this.send(session, news, false);
        }
      }
      if (this.sessions.pendingBytes(session.link) > PENDING_BYTES_MAX) late.push(session.link);
    }
    for (const link of late) {
      MARKS.slow.hits++;
      this.engine.ports.log.event('warn', 'mdm.subscriber-too-slow', { link });
      this.sessions.drop(nowUs, link);
    }
  }

  /** Tells a subscriber that it knows everything up to the last commit, unless it was told of `sequence`. */
  remind(link: LinkId, sequence: number): void {
    const session = this.sessions.get(link);
    if (session?.subscribed !== true || session.toldSequence >= sequence) return;
    MARKS.reminded.hits++;
    this.send(session, noNews(), false);
  }

  private send(session: Session, news: News, full: boolean): void {
    const { term, sequence } = this.engine;
    session.toldSequence = sequence;
    const { clusterVersion } = this.engine.state.system;
    for (const part of parts(news, term, sequence, full, clusterVersion))
      this.sessions.sendEncoded(
        session.link,
        encodeControl(MSG.MAP_UPDATE, 0, 0, part, session.peer.version),
      );
  }

  private allForDevice({ deviceKey, poolKey }: DeviceSubscriber): News {
    const { state } = this.engine;
    const news = noNews();
    const pool = state.pools.get(poolKey);
    if (pool === undefined) return news;
    news.pools.push(mapPool(state, pool));
    const combs = state.combs.ofDevices(poolKey, [deviceKey]);
    if (combs.length > 0) news.combs.set(poolKey, combs);
    this.addDevices(news, poolKey);
    for (const volume of state.volumes.values()) {
      if (volume.poolKey !== poolKey) continue;
      news.volumes.push(mapVolume(state, volume));
      news.mappings.push(...state.mappings.ofVolume(volume.key).values());
    }
    for (const layer of state.layers.values()) {
      const merge = layer.poolKey === poolKey ? mergeOf(layer) : null;
      if (merge !== null) news.merges.push(merge);
    }
    for (const { poolKey: owner, volumeKey, layerOnly } of state.tombstones.values())
      if (owner === poolKey) (layerOnly ? news.removedLayers : news.removedVolumes).push(volumeKey);
    return news;
  }

  private forDevice(
    { poolKey }: DeviceSubscriber,
    changed: Digest,
    combs: readonly CombEntry[],
  ): News {
    const { state } = this.engine;
    const news = noNews();
    const pool = changed.pools.has(poolKey) ? state.pools.get(poolKey) : undefined;
    if (pool !== undefined) news.pools.push(mapPool(state, pool));
    if (combs.length > 0) news.combs.set(poolKey, [...combs]);
    const isOurs = (object: { readonly poolKey: number }): boolean => object.poolKey === poolKey;
    for (const device of changed.devices.filter(isOurs))
      news.devices.push(mapDevice(state, device));
    for (const { key } of changed.removedDevices.filter(isOurs)) news.removedDevices.push(key);
    for (const volume of changed.volumes.filter(isOurs))
      news.volumes.push(mapVolume(state, volume));
    for (const { key } of changed.removedVolumes.filter(isOurs))
      (changed.isFreed(key) ? news.removedVolumes : news.goneVolumes).push(key);
    news.merges.push(...changed.merges.filter(isOurs));
    for (const { key } of changed.removedMerges.filter(isOurs)) news.removedMerges.push(key);
    for (const { volumeKey, layerOnly } of changed.freed.filter(isOurs))
      if (layerOnly) news.removedLayers.push(volumeKey);
    for (const { mapping } of changed.mappings.filter(isOurs)) news.mappings.push(mapping);
    for (const { mapping } of changed.removedMappings.filter(isOurs))
      news.removedMappings.push(mapping);
    return news;
  }

  private allForSdc(subscriber: SdcSubscriber): News {
    const { state } = this.engine;
    const news = noNews();
    subscriber.poolKeys.clear();
    if (state.sdcs.get(subscriber.sdcKey)?.approved !== true) return news;
    const volumeKeys = [...state.mappings.volumesOf(subscriber.sdcKey)].sort((a, b) => a - b);
    for (const volumeKey of volumeKeys) this.addMapped(news, subscriber, volumeKey);
    return news;
  }

  private forSdc(subscriber: SdcSubscriber, changed: Digest): News {
    const { state } = this.engine;
    const news = noNews();
    const { sdcKey, poolKeys } = subscriber;
    if (state.sdcs.get(sdcKey)?.approved !== true) return news;
    for (const poolKey of poolKeys) {
      const pool = changed.pools.has(poolKey) ? state.pools.get(poolKey) : undefined;
      if (pool !== undefined) news.pools.push(mapPool(state, pool));
      const combs = (changed.combs.get(poolKey) ?? []).map(({ entry }) => entry);
      if (combs.length > 0) news.combs.set(poolKey, combs);
    }
    for (const device of changed.devices)
      if (poolKeys.has(device.poolKey)) news.devices.push(mapDevice(state, device));
    for (const device of changed.removedDevices)
      if (poolKeys.has(device.poolKey)) news.removedDevices.push(device.key);
    const told = new Set<number>();
    for (const { mapping } of changed.removedMappings) {
      if (mapping.sdcKey !== sdcKey) continue;
      news.removedMappings.push(mapping);
      if (state.mappings.get(mapping.volumeKey, sdcKey) === undefined)
        news.removedVolumes.push(mapping.volumeKey);
    }
    for (const { mapping } of changed.mappings) {
      if (mapping.sdcKey !== sdcKey) continue;
      this.addMapped(news, subscriber, mapping.volumeKey);
      told.add(mapping.volumeKey);
    }
    for (const volume of changed.volumes)
      if (!told.has(volume.key) && state.mappings.get(volume.key, sdcKey) !== undefined)
        news.volumes.push(clientVolume(state, volume));
    return news;
  }

  /** A mapped volume, and its pool where the subscriber does not know that yet. */
  private addMapped(news: News, subscriber: SdcSubscriber, volumeKey: number): void {
    const { state } = this.engine;
    const volume = state.volumes.get(volumeKey);
    const mapping = state.mappings.get(volumeKey, subscriber.sdcKey);
    if (volume === undefined || mapping === undefined) return;
    news.volumes.push(clientVolume(state, volume));
    news.mappings.push(mapping);
    const pool = state.pools.get(volume.poolKey);
    if (pool === undefined || subscriber.poolKeys.has(pool.key)) return;
    subscriber.poolKeys.add(pool.key);
    news.pools.push(mapPool(state, pool));
    const combs = state.combs.ofPool(pool.key);
    if (combs.length > 0) news.combs.set(pool.key, [...combs]);
    this.addDevices(news, pool.key);
  }

  private addDevices(news: News, poolKey: number): void {
    const { state } = this.engine;
    for (const device of state.devices.values())
      if (device.poolKey === poolKey) news.devices.push(mapDevice(state, device));
  }
}

/** Changed entries by the devices that are members, or were before: there may be many of both. */
function byDevice(changed: Digest): ReadonlyMap<number, readonly CombEntry[]> {
  const found = new Map<number, CombEntry[]>();
  for (const list of changed.combs.values())
    for (const { entry, before } of list) {
      const keys = new Set<number>();
      for (const { deviceKey } of entry.members) keys.add(deviceKey);
      for (const { deviceKey } of before?.members ?? []) keys.add(deviceKey);
      for (const key of keys) {
        const combs = found.get(key);
        if (combs === undefined) found.set(key, [entry]);
        else combs.push(entry);
      }
    }
  return found;
}
