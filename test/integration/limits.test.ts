// Limits (QoS) of a mapping on a cluster of real processes, judged by fio: they hold, follow a change while fio runs, go away
// with 0, and whoever operates the cluster sees what waits. How exactly they hold is measured by `npm run bench -- --limits`;
// the bounds here are ten times as wide, so that only a limit that does not work fails.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import axios from 'axios';
import test from 'ava';
import { execa } from 'execa';

import { LocalCluster } from '../support/local-cluster.js';
import { MeasuredLoad, fill, overNbd } from '../support/io-log.js';
import { until } from '../support/until.js';

const SIZE_MIB = 64;
const FIRST_MS = 1000;
const MEASURED_MS = 3000;
/** Ten times the 5 % that they are to hold to. */
const SLACK = 0.5;

let cluster: LocalCluster;
let scratch: string;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '32G');
  scratch = mkdtempSync(join(tmpdir(), 'meshsan-limits-'));
});
test.after.always(async () => {
  await cluster.remove();
  rmSync(scratch, { recursive: true, force: true });
});

type Limits = Readonly<Record<string, string>>;

async function limit(volumeId: string, limits: Limits): Promise<void> {
  const rest = await cluster.rest();
  const body = { guid: cluster.file.sdcGuid, ...limits };
  await rest.post(`/instances/Volume::${volumeId}/action/setMappedSdcLimits`, body);
}

/**
 * Lets fio do as much as it may on a volume while its limits change.
 *
 * @returns requests a second under each of them, the first second after the change left out
 */
async function measured(
  volumeId: string,
  socket: string,
  bs: string,
  changes: readonly (Limits | (() => Promise<unknown>))[],
): Promise<number[]> {
  const folder = mkdtempSync(join(scratch, 'fio-'));
  const mix = ['--rw=randrw', '--rwmixwrite=50', `--bs=${bs}`];
  const load = { mix, sizeMib: SIZE_MIB, depth: 16, iops: 0 };
  const fio = new MeasuredLoad(overNbd(socket), folder, load);
  const spans: [number, number][] = [];
  try {
    for (const change of changes) {
      await (typeof change === 'function' ? change() : limit(volumeId, change));
      await pause(FIRST_MS);
      const fromMs = Date.now();
      await pause(MEASURED_MS);
      spans.push([fromMs, Date.now()]);
    }
  } catch (error) {
    await fio.end();
    throw error;
  }
  const log = await fio.end();
  return spans.map(([fromMs, toMs]) => (log.count(fromMs, toMs) * 1000) / (toMs - fromMs));
}

async function volume(name: string): Promise<{ readonly id: string; readonly socket: string }> {
  const id = await cluster.addVolume(name);
  const socket = await cluster.mapVolume(id);
  await fill(socket, SIZE_MIB);
  return { id, socket };
}

const NONE = { iopsLimit: '0', bandwidthLimitInKbps: '0' };

test.serial('limits hold, the smaller of two counts, changes hold at once, 0 unsets', async (t) => {
  const { id, socket } = await volume('limited');
  const [plenty = 0, fewer = 0, both = 0, unset = 0] = await measured(id, socket, '16k', [
    { iopsLimit: '200' },
    { iopsLimit: '50' },
    // 64 requests of 16 KiB a second.
    { iopsLimit: '200', bandwidthLimitInKbps: '1024' },
    NONE,
  ]);
  const near = (rate: number, wanted: number): void => {
    const says = `${rate.toFixed(1)} requests a second, limited to ${wanted}`;
    t.true(rate > wanted * (1 - SLACK) && rate < wanted * (1 + SLACK), says);
  };
  near(plenty, 200);
  near(fewer, 50);
  near(both, 64);
  t.true(unset > 200 * (1 + SLACK), `${unset.toFixed(1)} requests a second without a limit`);
});

const DOCUMENT = join(import.meta.dirname, '../../../backend/docs/qos.md');
/** A row of the example's table: GB, IOPS, MiB/s, KiB. */
const ROW = /^\| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) KiB \|$/gm;

/** The body that the example sends. */
function example(text: string): Limits {
  const [, json = ''] = /```json\n(.*?)```/s.exec(text) ?? [];
  const { guid, ...limits } = JSON.parse(json) as Record<string, string>;
  if (guid === undefined) throw new Error(`the example names no SDC: ${json}`);
  return limits;
}

interface Mapped {
  readonly mappedSdcInfo: readonly { readonly limitIops: number; readonly limitBwInKbps: number }[];
}

test.serial('the example of the documentation, recomputed when the volume grows', async (t) => {
  const text = readFileSync(DOCUMENT, 'utf8');
  const limits = example(text);
  const { id, socket } = await volume('example');
  const rest = await cluster.rest();
  const shown = async (): Promise<readonly number[]> => {
    const { data } = await rest.get<Mapped>(`/instances/Volume::${id}`);
    return data.mappedSdcInfo.flatMap(({ limitIops, limitBwInKbps }) => [limitIops, limitBwInKbps]);
  };
  const grow = (gb: number): Promise<unknown> =>
    rest.post(`/instances/Volume::${id}/action/setVolumeSize`, { sizeInGB: String(gb) });
  // 2 MiB/s for 8 GB, 4 for 16: 32 and 64 requests of 64 KiB.
  const rates = await measured(id, socket, '64k', [limits, () => grow(16)]);
  t.deepEqual(await shown(), [500, 4096]);
  for (const [index, wanted] of [32, 64].entries()) {
    const rate = rates[index] ?? 0;
    t.true(Math.abs(rate - wanted) < wanted / 4, `${rate.toFixed(1)} a second, ${wanted} allowed`);
  }
  const rows = [...text.matchAll(ROW)].map((row) => row.slice(1).map(Number));
  t.true(rows.length >= 3);
  for (const [gb = 0, iops, mib = 0, kib] of rows) {
    await grow(gb);
    t.deepEqual(await shown(), [iops, mib * 1024]);
    t.is(kib, Number(((mib * 1024) / 500).toFixed(1)));
  }
});

interface Waiting {
  readonly userDataSdcThrottledLatency: {
    readonly numOccured: number;
    readonly totalWeightInKb: number;
  };
}

test.serial('what waits for a limit is shown by REST, metrics and scli', async (t) => {
  const { id, socket } = await volume('watched');
  const rest = await cluster.rest();
  const waiting = async (): Promise<number> => {
    const path = `/instances/Volume::${id}/relationships/Statistics`;
    const { data } = await rest.get<Waiting>(path);
    return data.userDataSdcThrottledLatency.numOccured;
  };
  const query = async (): Promise<string> => {
    const scli = join(cluster.dir, 'bin', 'scli');
    return (await execa(scli, ['--query_volume', '--volume_id', id], { stdin: 'ignore' })).stdout;
  };
  const input = readFileSync(cluster.file.passwordFile);
  await execa(join(cluster.dir, 'bin', 'scli'), ['--login', '--username', 'admin'], { input });
  t.is(await waiting(), 0);
  t.notRegex(await query(), /Throttled/);
  await limit(id, { iopsLimit: '50' });
  const folder = mkdtempSync(join(scratch, 'fio-'));
  const load = { mix: ['--rw=randread', '--bs=4k'], sizeMib: SIZE_MIB, depth: 8, iops: 0 };
  const fio = new MeasuredLoad(overNbd(socket), folder, load);
  try {
    await until('REST shows what waits', async () => (await waiting()) > 0);
    await until('scli shows it', async () =>
      /Throttled: \d+ requests per second wait \d+\.\d ms each/.test(await query()),
    );
    const { gateway, caFile, username, passwordFile } = cluster.file;
    await until('metrics show it', async () => {
      const auth = { username, password: readFileSync(passwordFile, 'utf8').trim() };
      const httpsAgent = new Agent({ ca: readFileSync(caFile) });
      const page = await axios.get<string>(`${gateway}/metrics`, {
        auth,
        httpsAgent,
        proxy: false,
      });
      const total = new RegExp(
        `meshsan_volume_throttled_seconds_total\\{volume_id="${id}".*\\} ([1-9]|0\\.\\d*[1-9])`,
      );
      return total.test(page.data);
    });
  } finally {
    await fio.end();
  }
  await limit(id, NONE);
  await until('nothing waits any more', async () => (await waiting()) === 0);
  t.pass();
});
