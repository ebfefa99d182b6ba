// A real local cluster with a volume of known content and the background scanner, whose devices are spoiled. It owns the
// content and the counters as REST tells them.

import { randomFillSync } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import { LocalCluster } from './local-cluster.js';
import { until } from './until.js';

const SCAN_KBPS = 10_240;
const COMPARE_MS = 600_000;
/** Of a block of random content, what tells it from all others. */
const NAME_BYTES = 16;

interface Device {
  readonly id: string;
  readonly sdsId: string;
  readonly deviceCurrentPathName: string;
  readonly storagePoolId: string;
}

/** As statistics name them. */
export interface ScanFacts {
  readonly BackgroundScannedInMB: number;
  readonly backgroundScanReadErrorCount: number;
  readonly backgroundScanFixedReadErrorCount: number;
  readonly backgroundScanCompareErrorCount: number;
}

export class ScannedCluster {
  readonly cluster: LocalCluster;
  readonly device: Device;
  private readonly uri: string;
  private readonly scratch: string;
  private readonly contentFile: string;

  private constructor(cluster: LocalCluster, device: Device, uri: string, scratch: string) {
    this.cluster = cluster;
    this.device = device;
    this.uri = uri;
    this.scratch = scratch;
    this.contentFile = join(scratch, 'content');
  }

  /** Starts one with three servers and a volume that holds nothing yet. */
  static async start(): Promise<ScannedCluster> {
    const cluster = await LocalCluster.start('--sds', '3', '--device-size', '2G');
    const scratch = mkdtempSync(join(tmpdir(), 'meshsan-scan-'));
    try {
      const uri = await cluster.volumeUri('scanned');
      const rest = await cluster.rest();
      const { data } = await rest.get<Device[]>('/types/Device/instances');
      const [device] = data;
      if (device === undefined) throw new Error('the cluster has no device');
      return new ScannedCluster(cluster, device, uri, scratch);
    } catch (error) {
      rmSync(scratch, { recursive: true, force: true });
      await cluster.remove();
      throw error;
    }
  }

  async remove(): Promise<void> {
    await this.cluster.remove();
    rmSync(this.scratch, { recursive: true, force: true });
  }

  /** Fills the volume from its start with new random content. */
  async write(lengthBytes: number): Promise<void> {
    const part = Buffer.alloc(1024 * 1024);
    const fd = openSync(this.contentFile, 'w');
    for (let at = 0; at < lengthBytes; at += part.length) writeSync(fd, randomFillSync(part));
    closeSync(fd);
    const args = ['convert', '-n', '-f', 'raw', '-O', 'raw', this.contentFile, this.uri];
    await execa('qemu-img', args, { stdin: 'ignore', timeout: COMPARE_MS });
  }

  /** Tells blocks of the present content. */
  liveBlocks(blockBytes: number): (block: Buffer) => boolean {
    const content = readFileSync(this.contentFile);
    const known = new Set<string>();
    for (let at = 0; at < content.length; at += blockBytes)
      known.add(content.toString('latin1', at, at + NAME_BYTES));
    return (block) => known.has(block.toString('latin1', 0, NAME_BYTES));
  }

  /** Reads every byte of the volume as a client; null: it is what was written. */
  async wrongBytes(): Promise<string | null> {
    const args = ['compare', '-f', 'raw', '-F', 'raw', this.contentFile, this.uri];
    const { exitCode, all } = await execa('qemu-img', args, {
      ...{ stdin: 'ignore', timeout: COMPARE_MS, all: true, reject: false },
    });
    return exitCode === 0 ? null : all;
  }

  async scan(scannerMode: string): Promise<void> {
    const rest = await this.cluster.rest();
    const object = `/instances/StoragePool::${this.device.storagePoolId}`;
    const body = { scannerMode, bandwidthLimitInKBps: String(SCAN_KBPS) };
    await rest.post(`${object}/action/enableBackgroundDeviceScanner`, body);
  }

  async counts(): Promise<ScanFacts> {
    const rest = await this.cluster.rest();
    const path = `/instances/Device::${this.device.id}/relationships/Statistics`;
    return (await rest.get<ScanFacts>(path)).data;
  }

  /** How often each device was scanned as a whole. */
  async passes(): Promise<number> {
    const rest = await this.cluster.rest();
    const { data } = await rest.get<string>('/../metrics');
    const name = `meshsan_device_scan_passes_total{device_id="${this.device.id}"`;
    const line = data.split('\n').find((text) => text.startsWith(name));
    return Number(line?.split(' ').at(-1) ?? 0);
  }

  /** Waits until the device was scanned as a whole twice more, and nothing that was found is wrong any more. */
  async scanned(): Promise<ScanFacts> {
    let before = await this.passes();
    return until(
      'the device was scanned, and what was found is repaired',
      async () => {
        const passes = await this.passes();
        // A process that began anew counts from zero; what was told last may be of the one before.
        if (passes < before) before = passes;
        if (passes < before + 2) return null;
        const counts = await this.counts();
        const { backgroundScanReadErrorCount, backgroundScanFixedReadErrorCount } = counts;
        return backgroundScanReadErrorCount === backgroundScanFixedReadErrorCount ? counts : null;
      },
      COMPARE_MS,
    );
  }

  /** Ends the processes of the device and waits until all copies are back. */
  async restart(): Promise<void> {
    const rows = this.cluster.processes('sds');
    const rest = await this.cluster.rest();
    const { data } = await rest.get<{ name: string }>(`/instances/Sds::${this.device.sdsId}`);
    const row = rows.find(({ name }) => name === data.name) ?? rows[0];
    if (row === undefined) throw new Error('no SDS runs');
    await this.cluster.killAndWait(row);
    await this.cluster.allInSync();
  }

  async scli(...args: string[]): Promise<string> {
    const { file, dir } = this.cluster;
    const scli = join(dir, 'bin', 'scli');
    const input = `${readFileSync(file.passwordFile, 'utf8').trim()}\n`;
    await execa(scli, ['--login', '--username', 'admin'], { input });
    return (await execa(scli, args, { stdin: 'ignore' })).stdout;
  }
}
