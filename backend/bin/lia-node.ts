// The node that an agent speaks for: its report, and its support bundle. It must never change anything on the node.

import { existsSync, readFileSync } from 'node:fs';
import { hostname, networkInterfaces, release, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

import { execa } from 'execa';

import { MIB } from '../core/units.js';
import { VERSION } from '../core/version.js';
import { bundleParts, withoutSecrets } from '../lia/bundle.js';
import type { BundlePart } from '../lia/bundle.js';
import { LIA_SERVICES, STORE_PACKAGE } from '../protocol/lia.js';
import type { Job, NodeAddress, NodeDevice, NodeReport } from '../protocol/lia.js';
import { archive } from '../runtime/node-agent/archive.js';
import type { ArchiveFile } from '../runtime/node-agent/archive.js';
import { endOfFile, endOfOutput } from '../runtime/node-agent/collect.js';
import { installedPackages } from '../runtime/node-agent/debian.js';
import { serviceStates } from '../runtime/node-agent/systemd.js';

const DEVICES_PROGRAM = join(import.meta.dirname, 'lia-devices.js');
const DEVICES_MS = 30_000;
const DEVICES_BYTES_MAX = 4 * MIB;
/** No single part takes more of a bundle. */
const PART_SHARE = 4;

export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

function addresses(): NodeAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? [])
      .filter(({ internal }) => !internal)
      .map(({ address, cidr }) => ({
        name,
        address: address.replace(/%.*$/, ''),
        prefix: Number((cidr ?? '').split('/')[1] ?? 0),
      })),
  );
}

/** Asked of a process of its own: a read of a broken disk may not end, and must not stop the agent. */
async function devices(): Promise<{ devices: NodeDevice[]; devicesFault: string | null }> {
  const { stdout, failed, shortMessage } = await execa(process.execPath, [DEVICES_PROGRAM], {
    ...{ reject: false, timeout: DEVICES_MS, killSignal: 'SIGKILL', stdin: 'ignore' },
    maxBuffer: DEVICES_BYTES_MAX,
  });
  if (failed) return { devices: [], devicesFault: shortMessage ?? 'it ended' };
  return { devices: JSON.parse(stdout) as NodeDevice[], devicesFault: null };
}

/** Everything that is to be known of this node now. */
export async function nodeReport(name: string): Promise<NodeReport> {
  const uptimeSeconds = uptime();
  const [packages, services, found] = await Promise.all([
    installedPackages('meshsan-*', STORE_PACKAGE),
    serviceStates(LIA_SERVICES, Date.now() - uptimeSeconds * 1000),
    devices(),
  ]);
  return {
    ...{ name, hostName: hostname(), version: VERSION, kernel: release(), bootId: bootId() },
    ...{ uptimeSeconds, memoryBytes: totalmem() },
    ...{ packages, services, addresses: addresses(), ...found },
  };
}

export interface BundleSource {
  readonly name: string;
  readonly jobs: () => readonly Job[];
  readonly infoMiBMax: number;
  readonly infoHours: number;
}

const textOf = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

function configuration(path: string, bytesMax: number): Buffer {
  if (!existsSync(path)) return Buffer.alloc(0);
  const text = endOfFile(path, bytesMax).toString('utf8');
  try {
    return textOf(withoutSecrets(JSON.parse(text) as unknown));
  } catch (error) {
    // What is no JSON may hold a secret anywhere.
    return Buffer.from(`[${path} is no JSON: ${(error as SyntaxError).name}]\n`);
  }
}

async function contentOf(
  part: BundlePart,
  source: BundleSource,
  bytesMax: number,
): Promise<Buffer> {
  switch (part.kind) {
    case 'report':
      return textOf(await nodeReport(source.name));
    case 'jobs':
      return textOf(source.jobs());
    case 'configuration':
      return configuration(part.path, bytesMax);
    case 'file':
      return endOfFile(part.path, bytesMax);
    case 'command':
      return endOfOutput(part.argv, bytesMax);
  }
}

async function* filesOf(source: BundleSource): AsyncGenerator<ArchiveFile> {
  const folder = `meshsan-info-${source.name}`;
  let left = source.infoMiBMax * MIB;
  const partMax = Math.floor(left / PART_SHARE);
  const omitted: string[] = [];
  for (const part of bundleParts(source.infoHours)) {
    const content = await contentOf(part, source, Math.min(partMax, left));
    if (content.length === 0) continue;
    if (content.length > left) omitted.push(part.name);
    else {
      left -= content.length;
      yield { name: `${folder}/${part.name}`, content };
    }
  }
  if (omitted.length > 0)
    yield { name: `${folder}/left-out.txt`, content: Buffer.from(`${omitted.join('\n')}\n`) };
}

/** The support bundle: a tar in gzip, of bounded size, made while it is read. */
export const bundle = (source: BundleSource): Readable => archive(filesOf(source), Date.now());
