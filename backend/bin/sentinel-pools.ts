// What a sentinel has in the cluster: a small thin volume for each pool, mapped to the client of this host, named after its
// verdict. It owns making, mapping, naming and removing them; what is missing is made at the next look, whoever took it away.

import { join } from 'node:path';

import { formatId } from '../core/ids.js';
import type { Log } from '../core/ports.js';
import type { StoragePool, Volume } from '../protocol/generated/types.js';
import type { Cluster } from '../runtime/cluster.js';
import { ClusterError } from '../runtime/cluster.js';
import { sentinelName, sentinelOf } from '../runtime/sentinel-volume.js';
import type { Verdict } from '../sentinel/probe.js';

import type { SentinelConfig } from './sentinel-config.js';
import { SENTINEL_BYTES } from './sentinel-io.js';
import type { ProbedVolumes } from './sentinel-io.js';

const SECTOR_BYTES = 512;

interface Watched {
  readonly pool: StoragePool;
  readonly volume: Volume;
}

export class SentinelPools {
  readonly #cluster: Cluster;
  readonly #config: SentinelConfig;
  readonly #volumes: ProbedVolumes;
  readonly #log: Log;
  /** Verdicts as they stand in names of volumes. */
  readonly #named = new Map<number, { readonly poolKey: number; verdict: Verdict }>();
  #sdcKey = 0;

  constructor(cluster: Cluster, config: SentinelConfig, volumes: ProbedVolumes, log: Log) {
    this.#cluster = cluster;
    this.#config = config;
    this.#volumes = volumes;
    this.#log = log;
  }

  /** Makes what is missing, and begins and ends probes as pools come and go. @throws ClusterError */
  async look(): Promise<void> {
    const sdc = (await this.#cluster.query('sdc')).find(({ guid }) => guid === this.#config.guid);
    if (sdc === undefined) {
      this.#log.event('warn', 'sentinel.no-client', { guid: this.#config.guid });
      return;
    }
    this.#sdcKey = sdc.key;
    const [system] = await this.#cluster.query('system');
    const pools = await this.#wantedPools();
    const own = await this.#own();
    for (const key of this.#volumes.keys)
      if (
        !own.some(
          (volume) => volume.key === key && pools.some((pool) => pool.key === volume.poolKey),
        )
      )
        this.#forget(key);
    for (const pool of pools) {
      const volume = own.find(({ poolKey }) => poolKey === pool.key);
      await this.#attempt(pool.key, async () => {
        await this.#watch(pool, volume ?? (await this.#make(pool)), system?.idPrefix ?? 0);
      });
    }
  }

  /** What is refused for one pool, full or gone by now, leaves the others watched. */
  async #attempt(poolKey: number, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.#log.event('warn', 'sentinel.refused', { pool: poolKey, reason: error.message });
    }
  }

  async #wantedPools(): Promise<readonly StoragePool[]> {
    const pools = await this.#cluster.query('storagePool');
    const { pools: names } = this.#config;
    return names.length === 0 ? pools : pools.filter(({ name }) => names.includes(name));
  }

  /** The volumes of this host's sentinel. */
  async #own(): Promise<readonly Volume[]> {
    const volumes = await this.#cluster.query('volume');
    return volumes.filter((volume) => sentinelOf(volume)?.sdcKey === this.#sdcKey);
  }

  async #make(pool: StoragePool): Promise<Volume> {
    const name = sentinelName({ verdict: 'well', sdcKey: this.#sdcKey, poolKey: pool.key });
    const { key } = await this.#cluster.command('ADD_VOLUME', this.#config.username, {
      ...{ poolKey: pool.key, name, sizeSectors: SENTINEL_BYTES / SECTOR_BYTES },
      provisioning: 'thin',
      rmcache: true,
    });
    const [made] = await this.#cluster.query('volume', [key]);
    if (made === undefined) throw ClusterError.named('NOT_FOUND', name);
    this.#log.event('info', 'sentinel.volume-made', { pool: pool.name, name });
    return made;
  }

  async #watch(pool: StoragePool, volume: Volume, idPrefix: number): Promise<void> {
    const mappings = await this.#cluster.query('mapping', [volume.key]);
    if (!mappings.some(({ sdcKey }) => sdcKey === this.#sdcKey))
      await this.#cluster.command('MAP_VOLUME', this.#config.username, {
        ...{ volumeKey: volume.key, sdcKey: this.#sdcKey, allowMultiple: false },
        access: 'readWrite',
      });
    if (this.#volumes.has(volume.key)) return;
    const before = sentinelOf(volume)?.verdict ?? 'well';
    this.#named.set(volume.key, { poolKey: pool.key, verdict: before });
    const socket = join(this.#config.nbdDir, `${formatId(idPrefix, volume.key)}.sock`);
    this.#volumes.add(volume.key, socket, before, (verdict, why) => {
      this.#judged({ pool, volume }, verdict, why);
    });
    this.#log.event('info', 'sentinel.watches', { pool: pool.name, volume: volume.name, before });
  }

  #judged({ pool, volume }: Watched, verdict: Verdict, why: string): void {
    const level = verdict === 'well' ? 'info' : verdict === 'starved' ? 'warn' : 'error';
    this.#log.event(level, `sentinel.${verdict}`, { pool: pool.name, volume: volume.key, why });
  }

  #forget(volumeKey: number): void {
    this.#volumes.remove(volumeKey);
    this.#named.delete(volumeKey);
  }

  /** Writes down what changed; what is refused is tried again at the next call. */
  async tell(): Promise<void> {
    for (const [volumeKey, named] of this.#named) {
      const verdict = this.#volumes.verdictOf(volumeKey);
      if (verdict === null || verdict === named.verdict) continue;
      await this.#attempt(named.poolKey, async () => {
        await this.#rename(volumeKey, named.poolKey, verdict);
        named.verdict = verdict;
      });
    }
  }

  async #rename(volumeKey: number, poolKey: number, verdict: Verdict): Promise<void> {
    const name = sentinelName({ verdict, sdcKey: this.#sdcKey, poolKey });
    await this.#cluster.command('RENAME_VOLUME', this.#config.username, { key: volumeKey, name });
  }

  /** Ends all probes on purpose: nobody is to miss them. What was read wrong stays said. */
  async leave(): Promise<void> {
    for (const [volumeKey, { poolKey, verdict }] of [...this.#named]) {
      this.#forget(volumeKey);
      await this.#attempt(poolKey, async () => {
        if (verdict === 'starved') await this.#rename(volumeKey, poolKey, 'well');
        await this.#unmap(volumeKey);
      });
    }
  }

  async #unmap(volumeKey: number): Promise<void> {
    const sdcKeys = [this.#sdcKey];
    const what = { volumeKey, sdcKeys, generation: 0 };
    await this.#cluster.command('UNMAP_VOLUME', this.#config.username, what);
  }
}
