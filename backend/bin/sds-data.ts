// The data process of one device: locks, formats where asked, opens and serves it until it is told to end or the device
// fails. It must never go on with a device after a failed write or flush (C14), nor outlive its control process. Where the
// file system that holds the device has no room, it ends too, but the device has not failed: it is opened again later.

import { readFileSync } from 'node:fs';
import { MIB, MICROS_PER_MS } from '../core/units.js';
import { VERSION } from '../core/version.js';
import { ERR } from '../protocol/generated/constants.js';
import { SYSTEM_CACHE_MEMORY } from '../runtime/cache-memory.js';
import { findDevice } from '../runtime/device-scan.js';
import { openFileDisk } from '../runtime/disk-file.js';
import type { FileDisk } from '../runtime/disk-file.js';
import { DeviceError, formatRefusal, lockDevice, probeDevice } from '../runtime/disk-probe.js';
import type { ProbedDevice } from '../runtime/disk-probe.js';
import { UsageError, readFlags } from '../runtime/flags.js';
import { handshakeRules } from '../runtime/links/authentication.js';
import { TcpLinks } from '../runtime/links/tcp-links.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { Loop } from '../runtime/loop.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { DataNode } from '../sds/data-node.js';
import type { DataEnd } from '../sds/data-node.js';
import { DATA_EXIT } from '../sds/device-process.js';
import type { CacheOrder, DataReport } from '../sds/device-process.js';
import { DATA_DEFAULTS } from '../sds/options.js';
import { DEFAULT_STORE_OPTIONS, PRODUCT_GEOMETRY } from '../sds/store/defaults.js';
import { DeviceStore } from '../sds/store/device-store.js';
import { startFailureCode } from './process-exit.js';
import { formatDevice } from './sds-format.js';
import { readSdsDataConfig } from './sds-config.js';
import type { SdsDataConfig } from './sds-config.js';

const NO_IDENTITY = { key: 0, incarnation: 0, run: 0, systemId: '' } as const;
/** Incarnations have 32 bits, which from here last until 2156. */
const INCARNATIONS_FROM_MS = Date.UTC(2020);
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** Why the device is not served; the control process is told before this process ends. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

function report(message: DataReport): Promise<void> {
  return new Promise((done) => {
    if (process.send === undefined) done();
    else
      process.send(message, undefined, undefined, () => {
        done();
      });
  });
}

function isCacheOrder(message: unknown): message is CacheOrder {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return false;
  return message.kind === 'cache' && 'bytes' in message && typeof message.bytes === 'number';
}

function probe(path: string): ProbedDevice {
  try {
    return probeDevice(path);
  } catch (error) {
    if (error instanceof DeviceError) throw new Refused(ERR.DEVICE_OPEN_FAILED, error.message);
    throw error;
  }
}

/** A device of ours that is formatted already, which a format that was interrupted behind its end leaves. */
function isOwn(config: SdsDataConfig, { identity }: ProbedDevice): boolean {
  return identity?.systemId === config.systemId && identity.deviceKey === config.deviceKey;
}

/** In seconds: a later open has a higher number, also one of another copy of the device. */
function incarnationNow(): number {
  return Math.max(0, Math.floor((Date.now() - INCARNATIONS_FROM_MS) / 1000));
}

/** A disk of the same system that is to become this device: its data was moved away before. */
function isReplaced({ systemId, replaces }: SdsDataConfig, { identity }: ProbedDevice): boolean {
  return identity?.systemId === systemId && replaces.includes(identity.deviceKey);
}

/** Where the disk is today that is to become this device, or that did already. */
function formatPlaceOf(config: SdsDataConfig): string {
  const { path, systemId, deviceKey, deviceSearch, replaces } = config;
  if (replaces.length === 0) return path;
  for (const key of [deviceKey, ...replaces]) {
    const found = findDevice(systemId, key, path, deviceSearch);
    if (found !== null) return found;
  }
  return path;
}

/** Where the device is today. */
function placeOf(config: SdsDataConfig): string {
  const { task, path, systemId, deviceKey, deviceSearch } = config;
  if (task === 'format') return formatPlaceOf(config);
  const found = findDevice(systemId, deviceKey, path, deviceSearch);
  if (found !== null) return found;
  throw new Refused(
    ERR.DEVICE_OPEN_FAILED,
    `device ${deviceKey} of system ${systemId} is neither at ${path} nor anywhere else`,
  );
}

async function lock(path: string): Promise<void> {
  probe(path);
  if ((await lockDevice(path)) === null)
    throw new Refused(ERR.DEVICE_OPEN_FAILED, `${path} is in use by another process`);
}

/** The locked device, formatted if that was the task and has not been done yet. */
async function prepare(config: SdsDataConfig, path: string, loop: Loop): Promise<ProbedDevice> {
  const probed = probe(path);
  if (config.task === 'open' || isOwn(config, probed)) return probed;
  const reason = formatRefusal(probed, config.force || isReplaced(config, probed));
  if (reason !== null) {
    const status = probed.inUse === null ? ERR.DEVICE_FOREIGN : ERR.DEVICE_OPEN_FAILED;
    throw new Refused(status, reason);
  }
  const disk = openFileDisk(path, probed.sizeBytes, probed.kind !== 'file', false, loop);
  const done = await formatDevice(disk, config, loop);
  if ('fault' in done) throw new Refused(done.status, `${path}: ${done.fault}`);
  await report({ kind: 'formatted', path, capacityBytes: done.capacityBytes });
  return probe(path);
}

/** Everything of a device that is being served. */
interface Serving {
  readonly node: DataNode;
  readonly links: TcpLinks;
}

function serve(
  config: SdsDataConfig,
  secret: Uint8Array,
  disk: FileDisk,
  loop: Loop,
  log: ProcessLog,
  ended: (end: DataEnd, reason: string) => void,
): Serving {
  const { options, mdm, port, sdsKey, systemId, deviceKey } = config;
  const rules = handshakeRules('sdsData', ['sdc', 'sdsData'], secret);
  const [{ host } = { host: '0.0.0.0' }] = config.addresses;
  const links = new TcpLinks({
    ...{ loop, rules, identity: NO_IDENTITY, log, localHost: host },
    ...options,
  });
  const node = new DataNode(
    {
      links,
      log,
      openStore: (owner) =>
        new DeviceStore(
          disk,
          PRODUCT_GEOMETRY,
          {
            ...DEFAULT_STORE_OPTIONS,
            windowSegments: options.logWindowMiB,
            cacheChunks: options.descriptorCacheChunks,
            directBytesMax: options.directWritesMiB * MIB,
            idleUs: options.logIdleMs * MICROS_PER_MS,
            allocate: (lengthBytes) => disk.allocate(lengthBytes),
            release: (bytes) => {
              disk.release(bytes);
            },
            incarnationFloor: incarnationNow(),
            expected: { systemId, deviceKey },
            cacheMemory: SYSTEM_CACHE_MEMORY,
          },
          owner,
        ),
      cacheSettled: (bytes) => void report({ kind: 'cache', bytes }),
      ended,
    },
    {
      sdsKey,
      dataPort: port,
      version: VERSION,
      bootId: readFileSync(BOOT_ID_FILE, 'utf8').trim(),
    },
    {
      ...DATA_DEFAULTS,
      resyncChunksMax: options.resyncChunks,
      settleMs: options.settleMs,
      settleVolatileMs: options.settleVolatileMs,
      mdmAddresses: mdm,
      seed: process.pid,
    },
  );
  disk.attach(node);
  loop.addSource(disk);
  links.attach(node);
  loop.attach(node);
  return { node, links };
}

const EXITS: Readonly<Record<DataEnd, number>> = {
  closed: DATA_EXIT.closed,
  refused: DATA_EXIT.refused,
  failed: DATA_EXIT.failed,
};
const STATUSES: Readonly<Record<DataEnd, number>> = {
  closed: 0,
  refused: ERR.DEVICE_OPEN_FAILED,
  failed: ERR.DEVICE_FAILED,
};

async function main(): Promise<void> {
  const { config: file } = readFlags(process.argv.slice(2), { config: { type: 'string' } });
  if (file === null) throw new UsageError('Use: sds-data --config FILE');
  const config = readSdsDataConfig(file);
  const secret = readSecretFile(config.secretFile);
  const log = openLog({ component: config.name, level: config.logLevel });
  const loop = new Loop();
  const place = placeOf(config);
  await lock(place);
  const { path, sizeBytes, kind } = await prepare(config, place, loop);
  const disk = openFileDisk(path, sizeBytes, kind !== 'file', config.direct, loop);
  const finish = async (how: DataEnd, reason: string): Promise<void> => {
    const why = disk.failure ?? reason;
    const end = how === 'failed' && disk.outOfRoom ? 'refused' : how;
    log.event(end === 'closed' ? 'info' : 'error', 'sds.data-ended', { end, reason: why });
    if (end !== 'closed') await report({ kind: 'refused', status: STATUSES[end], reason: why });
    await log.close();
    process.exit(EXITS[end]);
  };
  const { node, links } = serve(config, secret, disk, loop, log, (end, reason) => {
    // Not before the running input is over: its effects, such as the last answers, leave first.
    setImmediate(() => void finish(end, reason));
  });
  for (const { host } of config.addresses) await links.listen(host, config.port);
  const stop = (): void => {
    loop.begin();
    node.stop(loop.nowUs);
    loop.end();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
  process.once('disconnect', stop);
  process.on('message', (message) => {
    if (!isCacheOrder(message)) return;
    loop.begin();
    node.setCacheSize(message.bytes);
    loop.end();
  });
  loop.begin();
  node.start(loop.nowUs);
  loop.end();
  await report({ kind: 'opened', path, capacityBytes: 0, mediaFound: probe(path).media });
}

main().catch(async (error: unknown) => {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`sds-data: ${reason}\n`);
  if (error instanceof Refused) {
    await report({ kind: 'refused', status: error.status, reason });
    process.exit(DATA_EXIT.refused);
  }
  process.exit(startFailureCode(error));
});
