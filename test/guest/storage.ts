// A cluster for the guest's checks of memory: one MDM, two storage servers with a device each, and a client with an attached
// volume. The servers run in the guest or beside it; the client runs in the guest. It owns the processes that it starts; it
// must never judge.

import { randomBytes, scryptSync } from 'node:crypto';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '../../backend/core/ports.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';

const BIN = join(import.meta.dirname, '..', '..', 'backend', 'bin');
const GUID = '2F0C1D5E-7A42-4F0B-9B0D-2C7B4D1E8A91';
const MDM_PORT = 6611;
const DEVICE_BYTES = 2 ** 30;
const VOLUME_SECTORS = (8 * 2 ** 30) / 512;
const REQUEST_MS = 120_000;
const LOOK_MS = 5000;
const START_MS = 480_000;
/** Emulated processors take their time to start a program. */
const PATIENT = { handshakeTimeoutMs: 60_000, pingIdleMs: 10_000, pingDeadMs: 120_000 } as const;
const PATIENT_DETECTION_MS = 60_000;
const QUIET: Log = { event: () => undefined };

/** Where the servers are. */
export interface Site {
  readonly mdmHost: string;
  readonly serverHosts: readonly string[];
}
export const INSIDE: Site = { mdmHost: '127.7.2.1', serverHosts: ['127.7.2.11', '127.7.2.12'] };
/** Addresses of the namespace in which QEMU runs; its own network reaches them. */
export const OUTSIDE: Site = { mdmHost: '10.77.0.1', serverHosts: ['10.77.0.11', '10.77.0.12'] };

/** What is started is told its command; whoever starts it decides how. */
export type Start = (argv: readonly string[]) => void;

export class Storage {
  readonly #site: Site;
  readonly #folder: string;
  readonly #secret: Buffer;
  readonly #start: Start;
  readonly #detectionMs: number;

  /**
   * @param folder - of its own, existing; secrets, configurations, states and devices lie there
   * @param detectionMs - after so long without a sign of life a device is replaced by its copy
   */
  constructor(
    site: Site,
    folder: string,
    secret: Buffer,
    start: Start,
    detectionMs = PATIENT_DETECTION_MS,
  ) {
    this.#detectionMs = detectionMs;
    this.#site = site;
    this.#folder = folder;
    this.#secret = secret;
    this.#start = start;
    this.#writePrivate('secret', secret.toString('hex'));
    mkdirSync(this.#devices, { mode: 0o700 });
  }

  get #devices(): string {
    return join(this.#folder, 'devices');
  }

  #device(index: number): string {
    return join(this.#devices, `d${index}`);
  }

  #writePrivate(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  #startService(name: string, program: string, host: string, config: object): void {
    const common = {
      ...{ name, stateDir: join(this.#folder, name), secretFile: join(this.#folder, 'secret') },
      addresses: [{ host, role: 'all' }],
    };
    const file = this.#writePrivate(`${name}.json`, JSON.stringify({ ...common, ...config }));
    this.#start([process.execPath, join(BIN, `${program}.js`), '--config', file]);
  }

  get #mdm() {
    return [{ host: this.#site.mdmHost, port: MDM_PORT }];
  }

  startServers(): void {
    const salt = randomBytes(16);
    this.#startService('mdm', 'mdm', this.#site.mdmHost, {
      options: {
        ...PATIENT,
        ...{ detectionMs: this.#detectionMs, deviceAddTimeoutMs: 600_000 },
        ...{ combCountLog2: 4, combsPerPair: 0 },
      },
      initialAdmin: {
        name: 'admin',
        saltHex: salt.toString('hex'),
        hashHex: scryptSync(randomBytes(12), salt, 32).toString('hex'),
      },
    });
    for (const [index, host] of this.#site.serverHosts.entries()) {
      writeFileSync(this.#device(index), '');
      truncateSync(this.#device(index), DEVICE_BYTES);
      const links = { options: PATIENT, dataOptions: PATIENT };
      const own = { mdm: this.#mdm, deviceSearch: [this.#devices], ...links };
      this.#startService(`sds${index}`, 'sds', host, own);
    }
  }

  /** @param host - an address of this machine */
  startClient(host: string): void {
    const sockets = {
      nbdDir: join(this.#folder, 'nbd'),
      controlSocket: join(this.#folder, 'sdc.sock'),
    };
    mkdirSync(sockets.nbdDir, { mode: 0o700 });
    this.#startService('sdc', 'sdc', host, {
      ...{ mdm: this.#mdm, ...sockets, guid: GUID, attach: 'all', options: PATIENT },
    });
  }

  /** Makes pool, servers and volume, and maps it to the client as soon as there is one. */
  async makeVolume(): Promise<void> {
    const addresses = this.#mdm;
    const secret = this.#secret;
    const mdm = new MdmSession({ addresses, secret, log: QUIET, requestTimeoutMs: REQUEST_MS });
    mdm.start();
    try {
      await this.#make(mdm);
    } finally {
      mdm.close();
    }
  }

  /** Whether the MDM answers, every device is up, and every copy is in sync. */
  async isWhole(): Promise<boolean> {
    const mdm = new MdmSession({
      ...{ addresses: this.#mdm, secret: this.#secret, log: QUIET, requestTimeoutMs: LOOK_MS },
    });
    mdm.start();
    try {
      const { degradedCombs, unavailableCombs } = await mdm.clusterState();
      const { statuses } = await mdm.status('device');
      const up = statuses.filter(({ liveness }) => liveness === 'connected').length;
      return up === this.#site.serverHosts.length && degradedCombs + unavailableCombs === 0;
    } catch (error) {
      if (error instanceof ClusterError) return false;
      throw error;
    } finally {
      mdm.close();
    }
  }

  /** Each step looks first, since one that ran out of time may have been done. */
  async #make(mdm: MdmSession): Promise<void> {
    const domainKey = await eventually('the protection domain', async () => {
      const [domain] = await mdm.query('protectionDomain');
      return (
        domain?.key ?? (await mdm.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'd' })).key
      );
    });
    const poolKey = await eventually('the pool', async () => {
      const [pool] = await mdm.query('storagePool');
      if (pool !== undefined) return pool.key;
      const made = await mdm.command('ADD_STORAGE_POOL', 'admin', {
        ...{ domainKey, name: 'p', mediaType: 'SSD', durability: 'media', zeroPadding: true },
        ...{
          checksums: true,
          rmcache: false,
          cacheWrites: 'cached' as const,
          sparePercent: 10,
          combCountLog2: 0,
        },
      });
      return made.key;
    });
    for (const [index, host] of this.#site.serverHosts.entries())
      await eventually(`server ${index}`, async () => {
        const known = await mdm.query('sds');
        if (known.some(({ name }) => name === `sds${index}`)) return;
        const device = { poolKey, path: this.#device(index), name: '', force: true };
        await mdm.command('ADD_SDS', 'admin', {
          ...{ domainKey, faultSetKey: 0, name: `sds${index}`, port: 0, devices: [device] },
          addresses: [{ host, role: 'all' }],
          forceClean: false,
          cacheEnabled: true,
          cacheMiB: 0,
        });
      });
    const volumeKey = await eventually('the volume', async () => {
      const [volume] = await mdm.query('volume');
      if (volume !== undefined) return volume.key;
      const wish = {
        poolKey,
        name: 'v',
        sizeSectors: VOLUME_SECTORS,
        provisioning: 'thin',
        rmcache: true,
      } as const;
      return (await mdm.command('ADD_VOLUME', 'admin', wish)).key;
    });
    await eventually('the mapping', async () => {
      const [sdc] = await mdm.query('sdc');
      if (sdc === undefined) throw new Error('no client is registered');
      if ((await mdm.query('mapping', [volumeKey])).length > 0) return;
      const wish = {
        volumeKey,
        sdcKey: sdc.key,
        allowMultiple: false,
        access: 'readWrite',
      } as const;
      await mdm.command('MAP_VOLUME', 'admin', wish);
    });
  }
}

/** Tries until it succeeds: what takes too long here is asked for again. */
export async function eventually<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + START_MS;
  for (;;)
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what}: ${String(error)}`);
      await pause(1000);
    }
}
