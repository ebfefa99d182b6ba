// A cluster of a given size, made with the MDM's own commands: servers, one pool, volumes, clients. It owns their number and
// what is known of the pool's combs; it must never change an entry.

import { Prng } from '../../core/prng.js';
import type { CombEntry } from '../../protocol/generated/types.js';
import { Client } from './client.js';
import { Disks } from './disks.js';
import { Operator } from './operator.js';
import { Server } from './server.js';
import type { EntryWatch } from './server.js';
import { World, WorldError } from './world.js';

const SECTORS_PER_GIB = 2 ** 21;
const VOLUME_GIB = 1024;
const SETTLE_US = 5_000_000;
const PATIENCE_US = 600_000_000;

export interface ClusterSize {
  readonly servers: number;
  readonly combCountLog2: number;
  /** The pool gets so many combs for each two devices while it has no volume; 0: it keeps what it begins with. */
  readonly combsPerPair: number;
  readonly clients: number;
  /** Of each disk, reads and writes together. */
  readonly diskBytesPerSecond: number;
  /** What all copies on a server hold together, about. */
  readonly serverBytes: number;
}

/** How one comb changed. */
export interface Change {
  readonly atUs: number;
  readonly before: CombEntry;
  readonly after: CombEntry;
}

export class ScaleCluster implements EntryWatch {
  readonly world: World;
  readonly operator: Operator;
  readonly servers: Server[];
  readonly clients: Client[];
  readonly size: ClusterSize;
  poolKey = 0;
  domainKey = 0;
  readonly disks: Disks;
  /** Newest entry of each comb, as any server was told. */
  readonly entries: (CombEntry | undefined)[];
  /** Combs and the devices on which they are being filled. */
  private readonly filling = new Set<string>();
  /** Hears of every change, once per comb and generation. */
  changed: (change: Change) => void = () => undefined;

  /** @param progress - is told what is being done */
  constructor(size: ClusterSize, progress: (what: string) => void) {
    this.size = size;
    const prng = new Prng(1);
    this.world = new World({
      combCountLog2: size.combCountLog2,
      combsPerPair: size.combsPerPair,
      deviceAddTimeoutMs: PATIENCE_US / 1000,
      initial: {
        systemName: 'scale',
        idPrefix: prng.below(2 ** 31) + 1,
        installId: '5ca1e00000000001',
        admin: { name: 'admin', salt: new Uint8Array(16), hash: new Uint8Array(32) },
      },
    });
    this.entries = [];
    this.disks = new Disks(this.world, size.diskBytesPerSecond);
    this.operator = new Operator(this.world);
    this.servers = Array.from(
      { length: size.servers },
      (_, index) => new Server(this.world, index + 1, this),
    );
    this.clients = Array.from(
      { length: size.clients },
      (_, index) => new Client(this.world, index + 1),
    );
    progress(`${size.servers} servers register`);
    this.makePool();
    this.addServers(this.servers);
    progress(`volumes for ${size.clients} clients`);
    this.makeVolumes();
    this.rest(SETTLE_US);
  }

  /** What one comb holds. */
  get combBytes(): number {
    return (this.size.servers * this.size.serverBytes) / 2 / this.entries.length;
  }

  /** Lets time pass without anything being done. */
  rest(us: number): void {
    this.world.run(this.world.nowUs + us);
  }

  reset(): void {
    // A map that begins anew says the same of combs that did not change.
  }

  entry(nowUs: number, server: Server, entry: CombEntry): void {
    const before = this.entries[entry.index];
    const isNews =
      before === undefined ||
      entry.generation.epoch > before.generation.epoch ||
      entry.generation.number > before.generation.number;
    if (isNews) {
      this.entries[entry.index] = entry;
      if (before !== undefined) this.changed({ atUs: nowUs, before, after: entry });
    }
    const primary = entry.members[entry.primary];
    if (primary?.deviceKey === server.deviceKey) this.fill(server, entry);
  }

  /** A primary fills its targets, and asks for each to be admitted when that is done. */
  private fill(server: Server, entry: CombEntry): void {
    const { index } = entry;
    entry.members.forEach(({ deviceKey }, at) => {
      const name = `${index} ${deviceKey}`;
      if (((entry.targetMask >> at) & 1) === 0 || this.filling.has(name)) return;
      this.filling.add(name);
      this.disks.copy(server.deviceKey, deviceKey, this.combBytes, () => {
        this.filling.delete(name);
        this.admit(server, index, deviceKey);
      });
    });
  }

  private admit(server: Server, comb: number, deviceKey: number): void {
    const entry = this.entries[comb];
    const at = entry?.members.findIndex((member) => member.deviceKey === deviceKey) ?? -1;
    const member = entry?.members[at];
    if (entry === undefined || member === undefined) return;
    if (((entry.targetMask >> at) & 1) === 0) return;
    if (entry.members[entry.primary]?.deviceKey !== server.deviceKey) return;
    server.ask([{ comb, generation: entry.generation, change: 'admit', member }]);
  }

  /** Takes servers in and waits until all of them serve. */
  addServers(servers: readonly Server[]): void {
    const { world, operator, domainKey, poolKey } = this;
    for (const server of servers) server.start();
    this.rest(1_000_000);
    for (const { index, host } of servers)
      operator.ask('ADD_SDS', {
        ...{
          domainKey,
          faultSetKey: 0,
          name: `sds${index}`,
          port: 0,
          forceClean: false,
          cacheEnabled: true,
          cacheMiB: 0,
        },
        addresses: [{ host, role: 'all' }],
        devices: [{ poolKey, path: '/dev/sdb', name: '', force: false }],
      });
    operator.finish();
    const isDone = (): boolean => servers.every((server) => server.isServing);
    if (!world.run(world.nowUs + PATIENCE_US, isDone))
      throw new WorldError('not all servers came up');
  }

  private makePool(): void {
    const { operator, size } = this;
    this.domainKey = operator.do('ADD_PROTECTION_DOMAIN', { name: 'domain' }).key;
    this.poolKey = operator.do('ADD_STORAGE_POOL', {
      ...{ domainKey: this.domainKey, name: 'pool', mediaType: 'SSD', durability: 'media' },
      ...{
        zeroPadding: true,
        checksums: true,
        rmcache: false,
        cacheWrites: 'cached' as const,
        sparePercent: 0,
      },
      combCountLog2: size.combCountLog2,
    }).key;
  }

  /** One volume per client, and at least one: a pool without volumes is placed anew, not moved. */
  private makeVolumes(): void {
    const { operator, clients, poolKey, world } = this;
    for (const client of clients) client.start();
    const hasKey = (): boolean => clients.every(({ sdcKey }) => sdcKey !== 0);
    if (!world.run(world.nowUs + PATIENCE_US, hasKey))
      throw new WorldError('not all clients were registered');
    const volumes: number[] = [];
    for (let index = 0; index < Math.max(1, clients.length); index++)
      operator.ask(
        'ADD_VOLUME',
        {
          ...{ poolKey, name: `volume${index}`, provisioning: 'thin', rmcache: true },
          sizeSectors: VOLUME_GIB * SECTORS_PER_GIB,
        },
        ({ key }) => {
          volumes.push(key);
        },
      );
    operator.finish();
    clients.forEach(({ sdcKey }, index) => {
      const volumeKey = volumes[index];
      if (volumeKey === undefined) throw new WorldError('a volume is missing');
      operator.ask('MAP_VOLUME', {
        ...{ volumeKey, sdcKey, allowMultiple: false, access: 'readWrite' },
      });
    });
    operator.finish();
  }
}
