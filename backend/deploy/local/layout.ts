// The state directory of a local cluster: which files it has, what the nodes are called, which loopback addresses they
// use, and the configuration file of each process. It must never start a process.

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  ftruncateSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  rmdirSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makePrivateDirectory, writePrivate } from '../../runtime/durable-files.js';
import { UsageError } from '../../runtime/flags.js';
import { newPassword } from '../../runtime/passwords.js';
import { DEFAULTS } from './options.js';
import type { StartOptions } from './options.js';

/** Raised whenever a directory of an older release cannot be used as it is. */
const LAYOUT_VERSION = 1;
/** sun_path of a unix socket, less its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;
/** In a directory that is not complete yet. */
const MAKING = 'making';
export const ADMIN_NAME = 'admin';
export const DOMAIN_NAME = 'domain1';
export const POOL_NAME = 'pool1';

/** What a directory was made with; `layout.json`. */
export interface Layout {
  readonly product: 'meshsan';
  readonly layoutVersion: number;
  /** Where the directory was when it was made; its addresses come from this. */
  readonly madeAt: string;
  /** First three parts of every node's address, as in "127.7.1". */
  readonly network: string;
  readonly sdsCount: number;
  readonly deviceBytes: number;
  readonly gatewayPort: number;
  readonly sdcGuid: string;
}

export interface Paths {
  readonly dir: string;
  readonly layout: string;
  readonly cluster: string;
  readonly secret: string;
  readonly password: string;
  readonly caFile: string;
  readonly bin: string;
  readonly log: string;
  readonly config: string;
  readonly run: string;
  readonly nbd: string;
  /** Control socket of the client process. */
  readonly sdcControl: string;
  readonly bridgeSocket: string;
  /** What Cinder's driver and the bridge prove themselves with. */
  readonly bridgeToken: string;
}

export function pathsOf(dir: string): Paths {
  return {
    dir,
    layout: join(dir, 'layout.json'),
    cluster: join(dir, 'cluster.json'),
    secret: join(dir, 'secret'),
    password: join(dir, 'password'),
    caFile: join(dir, 'ca.pem'),
    bin: join(dir, 'bin'),
    log: join(dir, 'log'),
    config: join(dir, 'config'),
    run: join(dir, 'run'),
    nbd: join(dir, 'nbd'),
    sdcControl: join(dir, 'run', 'sdc.sock'),
    bridgeSocket: join(dir, 'run', 'cinder-bridge.sock'),
    bridgeToken: join(dir, 'cinder-bridge-token'),
  };
}

export const mdmAddress = (layout: Layout): string => `${layout.network}.1`;
export const sdcAddress = (layout: Layout): string => `${layout.network}.2`;
export const gatewayAddress = (layout: Layout): string => `${layout.network}.3`;
export const sdsAddress = (layout: Layout, index: number): string =>
  `${layout.network}.${11 + index}`;
export const devicePath = (paths: Paths, index: number): string =>
  join(paths.dir, `sds${index + 1}`, 'device0');

/** What the directory holds; it is made when it is missing. @throws UsageError unless files can be made in it */
function makeDirectory(dir: string): string[] {
  try {
    makePrivateDirectory(dir);
    const existing = readdirSync(dir);
    // Rights and mounts say less than an attempt.
    rmdirSync(mkdtempSync(join(dir, '.probe-')));
    return existing;
  } catch (error) {
    throw new UsageError(`--dir ${dir} cannot be used: ${(error as Error).message}`);
  }
}

/** What the real path of a directory is, or will be when it has been made. */
export function futurePath(dir: string): string {
  if (existsSync(dir)) return realpathSync(dir);
  const parent = dirname(dir);
  return parent === dir ? dir : join(futurePath(parent), basename(dir));
}

/** @throws UsageError when the sockets in it could not be opened */
function checkLength(paths: Paths): void {
  const socketBytes = Buffer.byteLength(join(paths.nbd, '0123456789abcdef.sock'));
  const tooMany = socketBytes - SOCKET_PATH_BYTES_MAX;
  if (tooMany <= 0) return;
  throw new UsageError(
    `--dir is too long by ${tooMany} bytes: a socket in it would have a path of ${socketBytes} bytes, the system allows ${SOCKET_PATH_BYTES_MAX}`,
  );
}

/**
 * Opens the directory of a cluster, or makes it. A changed gateway port is written down by the caller, once it is free.
 * @throws UsageError when the directory holds something else, or flags contradict what it was made with.
 */
export function openLayout(options: StartOptions): { paths: Paths; layout: Layout; made: boolean } {
  checkLength(pathsOf(futurePath(options.dir)));
  const existing = makeDirectory(options.dir);
  const paths = pathsOf(realpathSync(options.dir));
  if (existsSync(paths.layout)) {
    const kept = compatibleLayout(paths, options);
    const layout = { ...kept, gatewayPort: options.gatewayPort ?? kept.gatewayPort };
    return { paths, layout, made: false };
  }
  if (existing.length > 0 && !existing.includes(MAKING))
    throw new UsageError(
      `${options.dir} holds files that are not of a MeshSAN cluster (${existing.slice(0, 3).join(', ')}); name an empty or new directory with --dir`,
    );
  const layout = makeLayout(options, paths);
  // A start that ends in between, such as on a full disk, leaves what no process has used yet: the next one makes it anew.
  const making = join(paths.dir, MAKING);
  writePrivate(making, '');
  makeSecrets(paths);
  for (let i = 0; i < layout.sdsCount; i++) makeDevice(paths, i, layout.deviceBytes);
  // Last: a directory with this file is complete.
  writeLayout(paths, layout);
  rmSync(making);
  return { paths, layout, made: true };
}

function compatibleLayout(paths: Paths, options: StartOptions): Layout {
  const kept = readLayout(paths);
  refuseContradiction('--sds', options.sdsCount, kept.sdsCount);
  refuseContradiction('--device-size', options.deviceBytes, kept.deviceBytes);
  return kept;
}

/** Changes nothing. @throws UsageError when the directory holds a cluster that was made with other values */
export function refuseContradictions(options: StartOptions): void {
  const paths = pathsOf(futurePath(options.dir));
  if (existsSync(paths.layout)) compatibleLayout(paths, options);
}

/** Writes down what the directory was made with, and the gateway's port, which a later start may change. */
export function writeLayout(paths: Paths, layout: Layout): void {
  writePrivate(paths.layout, JSON.stringify(layout, null, 2));
}

/** Reads what a directory was made with. @throws UsageError when it is none of ours or of another version. */
export function readLayout(paths: Paths): Layout {
  if (!existsSync(paths.layout))
    throw new UsageError(`${paths.dir} is not the directory of a MeshSAN cluster (no layout.json)`);
  const layout = parseLayout(paths);
  if (layout.product !== 'meshsan' || layout.layoutVersion !== LAYOUT_VERSION)
    throw new UsageError(
      `${paths.dir} was made by another version (layout ${String(layout.layoutVersion)}, this release uses ${LAYOUT_VERSION}); start it with that release or name another --dir`,
    );
  if (layout.madeAt !== paths.dir && existsSync(pathsOf(layout.madeAt ?? '').layout))
    throw new UsageError(
      `${paths.dir} is a copy of the cluster in ${String(layout.madeAt)}, which is still there; two of them would answer for each other`,
    );
  return layout as Layout;
}

function parseLayout(paths: Paths): Partial<Layout> {
  try {
    return JSON.parse(readFileSync(paths.layout, 'utf8')) as Partial<Layout>;
  } catch (error) {
    throw new UsageError(`${paths.layout} cannot be used: ${(error as Error).message}`);
  }
}

function refuseContradiction(flag: string, asked: number | null, made: number): void {
  if (asked !== null && asked !== made)
    throw new UsageError(
      `${flag} ${asked} contradicts the cluster in this directory, which was made with ${made}`,
    );
}

function makeLayout(options: StartOptions, paths: Paths): Layout {
  const digest = createHash('sha256').update(paths.dir).digest();
  const network = `127.${1 + ((digest[0] ?? 0) % 254)}.${digest[1] ?? 0}`;
  return {
    product: 'meshsan',
    layoutVersion: LAYOUT_VERSION,
    madeAt: paths.dir,
    network,
    sdsCount: options.sdsCount ?? DEFAULTS.sdsCount,
    deviceBytes: options.deviceBytes ?? DEFAULTS.deviceBytes,
    gatewayPort: options.gatewayPort ?? DEFAULTS.gatewayPort,
    sdcGuid: randomUUID().toUpperCase(),
  };
}

function makeSecrets(paths: Paths): void {
  for (const folder of [paths.bin, paths.log, paths.config, paths.run, paths.nbd])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  writePrivate(paths.secret, `${randomBytes(32).toString('hex')}\n`);
  writePrivate(paths.password, `${newPassword()}\n`);
}

function makeDevice(paths: Paths, index: number, bytes: number): void {
  mkdirSync(join(paths.dir, `sds${index + 1}`), { recursive: true, mode: 0o700 });
  const file = openSync(devicePath(paths, index), 'w', 0o600);
  ftruncateSync(file, bytes);
  closeSync(file);
}
