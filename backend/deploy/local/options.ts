// The flags of start, stop and status of a local cluster. It owns their names, defaults and bounds; it must never touch
// the file system: what a flag means for an existing directory is decided by layout.ts.

import { resolve } from 'node:path';

import { formatSize, parseSize } from '../../core/units.js';
import { UsageError, readFlags, wholeNumber } from '../../runtime/flags.js';

export interface StartOptions {
  readonly dir: string;
  /** null: not given, so an existing cluster keeps what it has. */
  readonly sdsCount: number | null;
  readonly deviceBytes: number | null;
  readonly gatewayPort: number | null;
  readonly detach: boolean;
  readonly demo: boolean;
  /** Mapped volumes become block devices of this host. */
  readonly attach: boolean;
  /** The service that Cinder's driver talks to runs too. */
  readonly cinderBridge: boolean;
  /** The client answers on /dev/scini, where programs of the original ask. */
  readonly scini: boolean;
}

export const DEFAULTS = {
  dir: '.meshsan',
  sdsCount: 3,
  deviceBytes: 16 * 2 ** 30,
  gatewayPort: 8443,
} as const;
const SDS_COUNT_MIN = 2;
const SDS_COUNT_MAX = 32;
const DEVICE_BYTES_MIN = 2 ** 30;
const DEVICE_BYTES_MAX = 2 ** 46;

export const HELP: Readonly<Record<'start' | 'stop' | 'status', string>> = {
  start: `Usage: npm start -- [flags]
Starts a local MeshSAN cluster (MDM, SDSs on file-backed devices, SDC, gateway) and keeps it running; Ctrl-C stops it.
A second start on the same directory goes on with all data.
  --dir DIR            state directory (${DEFAULTS.dir})
  --sds N              storage servers, ${SDS_COUNT_MIN} to ${SDS_COUNT_MAX} (${DEFAULTS.sdsCount})
  --device-size SIZE   size of each SDS's device, such as 16G; sparse, at least 1G (16G)
  --gateway-port P     port of the REST gateway (${DEFAULTS.gatewayPort})
  --detach             return when the cluster is ready; it goes on in the background
  --demo               make and map an 8 GiB volume named demo
  --attach             make every mapped volume a block device, /dev/scinia and so on; needs root
  --scini              answer on /dev/scini too, where os-brick's own ScaleIO connector asks; needs root, one per host
  --cinder-bridge      run the service that MeshSAN's Cinder driver talks to (cinder-bridge/README.md)
  --help               this text
`,
  stop: `Usage: npm run stop -- [--dir DIR] [--json]
Stops the local cluster of DIR (${DEFAULTS.dir}) by the process ids and start times it recorded.
`,
  status: `Usage: npm run status -- [--dir DIR] [--json]
Shows the processes of the local cluster of DIR (${DEFAULTS.dir}). Exit code 0: all run; 3: some or none run.
`,
};

/** @throws UsageError unless the value of a flag is a size in a range */
function sizeOf(flag: string, text: string, minBytes: number, maxBytes: number): number {
  const bytes = parseSize(text);
  if (bytes === null || bytes < minBytes || bytes > maxBytes)
    throw new UsageError(
      `${flag} must be a size such as 16G, from ${formatSize(minBytes)} to ${formatSize(maxBytes)}, not "${text}"`,
    );
  return bytes;
}

/** Reads the flags of `start`; null: help was asked for. */
export function parseStart(args: readonly string[]): StartOptions | null {
  const values = readFlags(args, {
    dir: { type: 'string' },
    sds: { type: 'string' },
    'device-size': { type: 'string' },
    'gateway-port': { type: 'string' },
    detach: { type: 'boolean' },
    demo: { type: 'boolean' },
    attach: { type: 'boolean' },
    'cinder-bridge': { type: 'boolean' },
    scini: { type: 'boolean' },
    help: { type: 'boolean' },
  });
  if (values.help) return null;
  const { sds, 'device-size': size, 'gateway-port': port } = values;
  return {
    dir: directory(values.dir),
    sdsCount: sds === null ? null : wholeNumber('--sds', sds, SDS_COUNT_MIN, SDS_COUNT_MAX),
    deviceBytes:
      size === null ? null : sizeOf('--device-size', size, DEVICE_BYTES_MIN, DEVICE_BYTES_MAX),
    gatewayPort: port === null ? null : wholeNumber('--gateway-port', port, 1, 65535),
    detach: values.detach,
    demo: values.demo,
    attach: values.attach,
    cinderBridge: values['cinder-bridge'],
    scini: values.scini,
  };
}

/** Reads the flags of `stop` and `status`; null: help was asked for. */
export function parseSimple(args: readonly string[]): { dir: string; json: boolean } | null {
  const values = readFlags(args, {
    dir: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  });
  if (values.help) return null;
  return { dir: directory(values.dir), json: values.json };
}

function directory(given: string | null): string {
  if (given === '') throw new UsageError('--dir must name a directory');
  return resolve(given ?? DEFAULTS.dir);
}
