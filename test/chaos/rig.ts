// A cluster of real processes whose nodes can fail: the product's own layout, configuration files and first start, with a
// network of its own for each node where that is allowed. It owns the directory's content, processes and volumes; what
// goes wrong is nemesis.ts.

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

import { formatId } from '../../backend/core/ids.js';
import { bootstrap } from '../../backend/deploy/local/bootstrap.js';
import { planOf, writeConfigs } from '../../backend/deploy/local/configs.js';
import type { ProcessPlan } from '../../backend/deploy/local/configs.js';
import {
  ADMIN_NAME,
  devicePath,
  openLayout,
  writeLayout,
} from '../../backend/deploy/local/layout.js';
import type { Layout, Paths } from '../../backend/deploy/local/layout.js';
import type { OptionsOf } from '../../backend/runtime/options-schema.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { until } from '../support/until.js';
import { Keeper } from './keeper.js';
import { Network } from './network.js';
import { addMdms, formCluster } from './mdms.js';
import { SECOND_CLIENT, mdmNames, sdsNames } from './plan.js';
import { Power } from './power.js';

const GIB = 2 ** 30;
const NAMESPACE_NETWORK = '10.213.7';
/** The second client's, on the network of the others. */
const SECOND_CLIENT_HOST = 4;
/** Disks are small enough to be filled, and hold what a run writes. */
const DISK_MIB = 1024;
const MDM_DISK_MIB = 64;
/** etcd reserves room for its log. */
const MEMBER_DISK_MIB = 512;
const mdmDiskMib = (mdms: number): number => (mdms > 1 ? MEMBER_DISK_MIB : MDM_DISK_MIB);
/** What a server keeps beside its device. */
const STATE_MIB = 32;
const REQUEST_MS = 35_000;

/** A client process of a rig. */
export type ClientName = 'sdc' | typeof SECOND_CLIENT;

export type MdmSettings = Partial<OptionsOf<'mdm'>>;

export interface RigOptions {
  /** An existing empty directory. */
  readonly dir: string;
  readonly sdsCount: number;
  /** One, or so many as a cluster on etcd. */
  readonly mdms: number;
  /** Nodes have networks and disks of their own; this process must be in namespaces made for it. */
  readonly isolated: boolean;
  readonly say: (text: string) => void;
  /** MDM and servers have disks in memory that can be filled, where nodes are isolated; otherwise files of the directory. */
  readonly smallDisks: boolean;
  /** Options of the MDM that differ from the usual ones. */
  readonly mdmOptions: MdmSettings;
  /** Words before the command of a storage server. */
  readonly throttle: readonly string[];
  /** MDM and servers have disks that lose what was not flushed when their power is cut; drawn from this. Null: they have not. */
  readonly powerSeed: number | null;
  /** Of each server's device, where it is neither small nor on a disk of its own; 2 GiB otherwise. */
  readonly deviceBytes?: number;
}

export class Rig {
  readonly keeper: Keeper;
  readonly paths: Paths;
  readonly layout: Layout;
  /** Null: all nodes share the host's loopback. */
  readonly network: Network | null;
  /** Null: nobody's power can be cut. */
  readonly power: Power | null;
  readonly secondNbdDir: string;
  readonly #secondGuid: string;
  readonly #plans: readonly ProcessPlan[];
  #session: MdmSession | null = null;

  private constructor(
    paths: Paths,
    layout: Layout,
    plans: readonly ProcessPlan[],
    network: Network | null,
    power: Power | null,
    second: { readonly guid: string; readonly nbdDir: string },
    throttle: readonly string[],
  ) {
    this.paths = paths;
    this.layout = layout;
    this.network = network;
    this.power = power;
    this.#plans = plans;
    this.#secondGuid = second.guid;
    this.secondNbdDir = second.nbdDir;
    this.keeper = new Keeper(plans, paths.log, ({ name, role }) => [
      ...(role === 'sds' ? throttle : []),
      ...(network?.entering(name) ?? []),
      ...(power?.entering(name) ?? []),
    ]);
  }

  /** Makes the cluster and starts it; resolved when volumes can be made. */
  static async start({ dir, sdsCount, mdms, isolated, say, ...rest }: RigOptions): Promise<Rig> {
    const wishes = { detach: false, demo: false, attach: false, scini: false } as const;
    const { deviceBytes = 2 * GIB } = rest;
    const sizes = { sdsCount, deviceBytes, gatewayPort: 8443 } as const;
    const options = { dir, ...wishes, ...sizes, cinderBridge: false };
    const { paths, layout: own } = openLayout(options);
    const layout = isolated ? { ...own, network: NAMESPACE_NETWORK } : own;
    writeLayout(paths, layout);
    if (isolated && rest.smallDisks && rest.powerSeed === null)
      await mountDisks(paths, sdsCount, mdms);
    const power =
      rest.powerSeed === null ? null : await powerOf(paths, sdsCount, mdms, rest.powerSeed);
    const plans = [...planOf(paths, layout, false)];
    await writeConfigs(paths, layout, plans, options);
    setMdmOptions(plans, rest.mdmOptions);
    const second = addClient(paths, layout, plans);
    if (mdms > 1) addMdms(paths, layout, plans, mdms);
    const nodes = plans.map(({ name, address }) => ({ name, host: address }));
    const network = isolated ? await Network.make(layout.network, nodes) : null;
    const rig = new Rig(paths, layout, plans, network, power, second, rest.throttle);
    try {
      const cancelled = new AbortController().signal;
      await bootstrap(paths, layout, rig.keeper, {
        ...{ demo: false, cinderBridge: false, say, cancelled },
      });
      if (mdms > 1) {
        await formCluster(rig.mdm, plans);
        say(`the MDM is a cluster of ${mdms}`);
      }
    } catch (error) {
      await rig.stop();
      throw error;
    }
    return rig;
  }

  /** A session with the MDM that outlasts its deaths. */
  get mdm(): MdmSession {
    this.#session ??= new MdmSession({
      addresses: this.#plans
        .filter(({ role }) => role === 'mdm')
        .map(({ address, port }) => ({ host: address, port })),
      secret: readSecretFile(this.paths.secret),
      log: { event: () => undefined },
      requestTimeoutMs: REQUEST_MS,
    });
    return this.#session;
  }

  /** Makes a volume and maps it to clients; the path of its socket at each, in the order of the clients. */
  async addVolume(name: string, gib: number, clients: readonly ClientName[]): Promise<string[]> {
    const [pool] = await this.mdm.query('storagePool');
    if (pool === undefined) throw new Error('the cluster has no pool');
    const { key: volumeKey } = await this.mdm.command('ADD_VOLUME', ADMIN_NAME, {
      ...{
        poolKey: pool.key,
        name,
        sizeSectors: (gib * GIB) / 512,
        provisioning: 'thin',
        rmcache: true,
      },
    });
    const sockets: string[] = [];
    for (const client of clients) {
      const sdcKey = await this.sdcKey(client);
      await this.mdm.command('MAP_VOLUME', ADMIN_NAME, {
        ...{ volumeKey, sdcKey, allowMultiple: true, access: 'readWrite' },
      });
      const socket = await this.socketOf(volumeKey, client);
      sockets.push(
        await until(`${client} has a socket`, () => (existsSync(socket) ? socket : null)),
      );
    }
    return sockets;
  }

  /** Key of a client, once it is registered. */
  async sdcKey(client: ClientName): Promise<number> {
    const guid = client === 'sdc' ? this.layout.sdcGuid : this.#secondGuid;
    const sdc = await until(`${client} is registered`, async () => {
      const known = await this.mdm.query('sdc');
      return known.find((one) => one.guid === guid) ?? null;
    });
    return sdc.key;
  }

  /** Where a client serves a volume that is mapped to it. */
  async socketOf(volumeKey: number, client: ClientName): Promise<string> {
    const [system] = await this.mdm.query('system');
    const folder = client === 'sdc' ? this.paths.nbd : this.secondNbdDir;
    return join(folder, `${formatId(system?.idPrefix ?? 0, volumeKey)}.sock`);
  }

  /** Whether every comb has all its copies in sync; null: the MDM did not say. */
  async isWhole(): Promise<boolean | null> {
    try {
      const { degradedCombs, unavailableCombs } = await this.mdm.clusterState();
      return degradedCombs + unavailableCombs === 0;
    } catch (error) {
      // An MDM that is away says nothing; whoever waits for it asks again.
      if (!(error instanceof Error)) throw error;
      return null;
    }
  }

  /** Stops all processes and takes the network away. */
  async stop(): Promise<void> {
    this.#session?.close();
    this.#session = null;
    await this.keeper.stop();
    await this.power?.close();
    await this.network?.close();
  }

  /** A file in the directory of a node's disk. */
  onDisk(node: string, name: string): string {
    const plan = this.#plans.find((one) => one.name === node);
    if (plan === undefined) throw new Error(`no node is named ${node}`);
    return join(plan.stateDir, name);
  }
}

/** Gives the MDM and each server a small disk; it is seen in this mount namespace only. */
async function mountDisks(paths: Paths, sdsCount: number, mdms: number): Promise<void> {
  const mount = async (folder: string, mib: number): Promise<void> => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    await execa('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=700`, 'chaos-disk', folder]);
  };
  for (const name of mdmNames(mdms)) await mount(join(paths.dir, name), mdmDiskMib(mdms));
  for (let index = 0; index < sdsCount; index++) {
    await mount(join(paths.dir, `sds${index + 1}`), DISK_MIB);
    writeFileSync(devicePath(paths, index), '', { mode: 0o600 });
    truncateSync(devicePath(paths, index), 2 * GIB);
  }
}

/** Disks that lose what was not flushed, for the MDM and each server. */
function powerOf(paths: Paths, sdsCount: number, mdms: number, seed: number): Promise<Power> {
  const servers = sdsNames(sdsCount).map((name, index) => ({
    ...{ name, stateDir: join(paths.dir, name), stateMib: STATE_MIB },
    device: { path: devicePath(paths, index), sizeBytes: 2 * GIB },
  }));
  const managers = mdmNames(mdms).map((name) => ({
    ...{ name, stateDir: join(paths.dir, name), device: null, stateMib: mdmDiskMib(mdms) },
  }));
  return Power.make(join(paths.dir, 'disks'), [...managers, ...servers], seed);
}

/** Before its other nodes take their configuration from the first. */
function setMdmOptions(plans: readonly ProcessPlan[], given: MdmSettings): void {
  for (const { role, configFile } of plans) {
    if (role !== 'mdm') continue;
    const config = JSON.parse(readFileSync(configFile, 'utf8')) as { options?: MdmSettings };
    const options = { ...config.options, ...given };
    writeFileSync(configFile, JSON.stringify({ ...config, options }, null, 2), { mode: 0o600 });
  }
}

/** A second client process, which the product's local cluster does not have: configured as its only one is. */
function addClient(
  paths: Paths,
  layout: Layout,
  plans: ProcessPlan[],
): { readonly guid: string; readonly nbdDir: string } {
  const first = plans.find(({ role }) => role === 'sdc');
  if (first === undefined) throw new Error('the cluster has no client');
  const name = SECOND_CLIENT;
  const address = `${layout.network}.${SECOND_CLIENT_HOST}`;
  const stateDir = join(paths.dir, name);
  const configFile = join(paths.config, `${name}.json`);
  const nbdDir = join(paths.dir, 'nbd2');
  for (const folder of [stateDir, nbdDir]) mkdirSync(folder, { mode: 0o700 });
  const guid = randomUUID().toUpperCase();
  const config = {
    ...(JSON.parse(readFileSync(first.configFile, 'utf8')) as object),
    ...{ name, stateDir, guid, nbdDir, addresses: [{ host: address, role: 'all' }] },
    controlSocket: join(paths.run, `${name}.sock`),
  };
  writeFileSync(configFile, JSON.stringify(config, null, 2), { mode: 0o600 });
  plans.push({ ...first, name, address, stateDir, configFile });
  return { guid, nbdDir };
}
