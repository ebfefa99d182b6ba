// Owns the Ceph peer: one monitor, one manager and three BlueStore OSDs on files, all on loopback
// and in one directory, with one RBD image in a pool of two copies. Nothing of it outlives stop().
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { execa } from 'execa';

import { MIB } from '../../backend/core/units.js';
import { residentMib } from './accounting.js';
import {
  CEPH_IMAGE,
  CEPH_OSDS,
  CEPH_POOL,
  cephConfig,
  cephPaths,
  monitorAddresses,
  type CephPaths,
} from './ceph-config.js';
import { startDaemon, waitUntil, type Daemon } from './daemons.js';
import { fill, type Engine } from './fio.js';
import { packageVersion } from './packages.js';
import { CEPH, type System, type SystemSettings } from './targets.js';

/** Starts the cluster, and creates and fills the image. */
export async function startCeph(settings: SystemSettings): Promise<System> {
  const cluster = new CephCluster(settings);
  try {
    await cluster.start();
    const idleResidentMib = cluster.idleResidentMib();
    settings.say(`Ceph: writing ${settings.sizeBytes / MIB} MiB`);
    await cluster.createImage();
    const media = await cluster.mediaKind();
    return {
      targets: [
        {
          description: {
            name: CEPH,
            version: `Ceph ${await packageVersion('ceph-osd')}, BlueStore's defaults for ${media}`,
            copies: 2,
            acknowledgement: 'flushed',
            durable: 'both copies stable (BlueStore commits before it acknowledges)',
            cached:
              "BlueStore's own cache of 1 GiB per OSD at most, then the page cache or the disk",
          },
          engine: cluster.engine(),
          takes: () => true,
          prepare: () => Promise.resolve(),
          processes: () => Promise.resolve(cluster.daemons),
        },
      ],
      idleResidentMib,
      stop: () => cluster.stop(),
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

class CephCluster {
  readonly daemons: Daemon[] = [];
  readonly paths: CephPaths;
  private readonly settings: SystemSettings;
  private readonly osdBytes: number;

  constructor(settings: SystemSettings) {
    this.settings = settings;
    this.paths = cephPaths(join(settings.workDir, 'ceph'));
    // Two copies over three OSDs take two thirds of this; the rest is for RocksDB and its log.
    this.osdBytes = settings.sizeBytes + 2048 * MIB;
  }

  async start(): Promise<void> {
    const { dir, configFile, keyringFile, monmapFile } = this.paths;
    const fsid = randomUUID();
    const port = await freePortPair();
    for (const sub of ['log', 'run', 'crash', 'mon.a', 'mgr.x'])
      await mkdir(join(dir, sub), { recursive: true, mode: 0o700 });
    await writeFile(configFile, cephConfig(this.paths, { fsid, port, osdBytes: this.osdBytes }));
    const key = ['--gen-key', '-n'];
    await this.run('ceph-authtool', [
      '--create-keyring',
      keyringFile,
      ...key,
      'mon.',
      '--cap',
      'mon',
      'allow *',
    ]);
    const all = ['mon', 'osd', 'mgr'].flatMap((part) => ['--cap', part, 'allow *']);
    await this.run('ceph-authtool', [keyringFile, ...key, 'client.admin', ...all]);
    const addresses = ['--addv', 'a', monitorAddresses(port)];
    await this.run('monmaptool', ['--create', '--fsid', fsid, ...addresses, monmapFile]);
    await this.run('ceph-mon', [
      '-i',
      'a',
      '--mkfs',
      '--monmap',
      monmapFile,
      '--keyring',
      keyringFile,
    ]);
    this.settings.say('Ceph: starting the monitor, the manager and three OSDs');
    this.launch('mon', 'ceph-mon', 'a');
    await this.wait('the monitor', 60, () => this.answers(['-s', '--connect-timeout', '2']));
    await this.ceph(['config', 'set', 'mon', 'auth_allow_insecure_global_id_reclaim', 'false']);
    this.launch('mgr', 'ceph-mgr', 'x');
    for (let osd = 0; osd < CEPH_OSDS; osd++) await this.startOsd();
    await this.wait('all OSDs', 120, () => this.allOsdsUp());
    for (const flag of ['noscrub', 'nodeep-scrub']) await this.ceph(['osd', 'set', flag]);
  }

  async createImage(): Promise<void> {
    const { sizeBytes, signal } = this.settings;
    await this.ceph(['osd', 'pool', 'create', CEPH_POOL, '64', '64', 'replicated']);
    await this.ceph(['osd', 'pool', 'application', 'enable', CEPH_POOL, 'rbd']);
    await this.wait('clean placement groups', 120, () => this.allClean());
    const size = ['--size', `${sizeBytes / MIB}M`, '--image-feature', 'layering'];
    await this.run('rbd', ['create', '--pool', CEPH_POOL, ...size, CEPH_IMAGE]);
    await fill(this.engine(), sizeBytes, signal);
  }

  engine(): Engine {
    const image = [`--pool=${CEPH_POOL}`, `--rbdname=${CEPH_IMAGE}`];
    return { words: ['--ioengine=rbd', '--clientname=admin', ...image], env: this.env() };
  }

  idleResidentMib(): Record<string, number> {
    return Object.fromEntries(this.daemons.map((daemon) => [daemon.name, residentMib(daemon)]));
  }

  /** Which defaults BlueStore chose for what lies under its file: `hdd` or `ssd`. */
  async mediaKind(): Promise<string> {
    const metadata = parseObject(await this.ceph(['osd', 'metadata', '0', '-f', 'json']));
    return metadata['bluestore_bdev_rotational'] === '0' ? 'ssd' : 'hdd';
  }

  async stop(): Promise<void> {
    for (const daemon of this.daemons.toReversed()) await daemon.stop(30);
    await rm(this.paths.dir, { recursive: true, force: true });
  }

  private async startOsd(): Promise<void> {
    const { dir } = this.paths;
    const uuid = randomUUID();
    const id = (await this.ceph(['osd', 'new', uuid])).trim();
    if (!/^\d+$/.test(id)) throw new Error(`ceph osd new answered ${id}`);
    const block = join(dir, `osd.${id}`, 'block');
    await mkdir(join(dir, `osd.${id}`), { mode: 0o700 });
    // Really written, so that BlueStore never pays for extents that the file system has not
    // written.
    const layout = ['--rw=write', '--bs=1m', '--ioengine=libaio', '--direct=1', '--iodepth=8'];
    const file = [`--filename=${block}`, `--size=${this.osdBytes}`, '--fallocate=none'];
    const rest = ['--zero_buffers=1', '--end_fsync=1', '--output=/dev/null'];
    await this.run('fio', ['--name=lay', ...file, ...layout, ...rest]);
    await this.run('ceph-osd', ['-i', id, '--mkfs', '--osd-uuid', uuid]);
    this.launch(`osd.${id}`, 'ceph-osd', id);
  }

  private launch(name: string, command: string, id: string): void {
    this.daemons.push(
      startDaemon({
        name: `ceph ${name}`,
        role: command,
        command,
        args: ['-f', '-i', id],
        logFile: this.logFile(name),
        env: this.env(),
      }),
    );
  }

  private logFile(name: string): string {
    return join(this.paths.dir, 'log', `${name}.out`);
  }

  private async wait(
    what: string,
    limitS: number,
    condition: () => Promise<boolean>,
  ): Promise<void> {
    const watched = this.daemons.map((daemon) => ({
      daemon,
      logFile: this.logFile(daemon.name.replace('ceph ', '')),
    }));
    await waitUntil(`Ceph's ${what}`, limitS, this.settings.signal, condition, watched);
  }

  private async allOsdsUp(): Promise<boolean> {
    const state = parseObject(await this.ceph(['osd', 'stat', '-f', 'json']));
    return state['num_up_osds'] === CEPH_OSDS;
  }

  private async allClean(): Promise<boolean> {
    const state = parseObject(await this.ceph(['pg', 'stat', '-f', 'json']));
    const summary = isObject(state['pg_summary']) ? state['pg_summary'] : state;
    const counts = summary['num_pg_by_state'];
    const only: unknown = Array.isArray(counts) && counts.length === 1 ? counts[0] : undefined;
    return isObject(only) && only['name'] === 'active+clean' && Number(only['num']) >= 64;
  }

  private async answers(words: readonly string[]): Promise<boolean> {
    const result = await execa('ceph', words, { ...this.options(), reject: false });
    return !result.failed;
  }

  private ceph(words: readonly string[]): Promise<string> {
    return this.run('ceph', words);
  }

  private async run(command: string, words: readonly string[]): Promise<string> {
    return (await execa(command, words, this.options())).stdout;
  }

  private env(): Record<string, string> {
    return { CEPH_CONF: this.paths.configFile };
  }

  private options(): {
    stdin: 'ignore';
    timeout: number;
    cancelSignal: AbortSignal;
    env: Record<string, string>;
  } {
    return {
      stdin: 'ignore',
      timeout: 600_000,
      cancelSignal: this.settings.signal,
      env: this.env(),
    };
  }
}

/**
 * Two neighbouring free ports on loopback: the monitor listens with both versions of its protocol.
 */
async function freePortPair(): Promise<number> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const first = await tryListen(0);
    if (first !== null && (await tryListen(first + 1)) !== null) return first;
  }
  throw new Error('found no two neighbouring free ports on loopback');
}

function tryListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(null);
    });
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : null);
      });
    });
  });
}

function parseObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error(`Ceph answered no object: ${text.slice(0, 200)}`);
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
