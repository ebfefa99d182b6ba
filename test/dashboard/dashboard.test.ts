// The dashboard as an operator sees it, in a real browser on a real cluster: login, capacity, live load, a failure and
// the resync after it, all without reload; and the metrics as a real parser reads them.

import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';

import test from 'ava';
import axios from 'axios';
import { execa } from 'execa';

import { LocalCluster } from '../support/local-cluster.js';

import { Browser } from './browser.js';
import { until } from '../support/until.js';

/** What a device misses while it is stopped: copying it takes several refreshes of the page. */
const MISSED = '2g';

let cluster: LocalCluster;
let browser: Browser;
let uri: string;
test.before(async () => {
  cluster = await LocalCluster.start();
  uri = await cluster.volumeUri('dashboard');
  const { gateway, caFile } = cluster.file;
  browser = await Browser.open(gateway, readFileSync(caFile));
});
test.after.always(async () => {
  await browser.close();
  await cluster.remove();
});

function password(): string {
  return readFileSync(cluster.file.passwordFile, 'utf8').trim();
}

function load(...args: string[]) {
  return execa(
    'timeout',
    [
      ...['-s', 'KILL', '300', 'fio', '--name=load', '--ioengine=nbd', `--uri=${uri}`, '--bs=4k'],
      ...['--rw=randrw', '--iodepth=8', '--size=256m', '--rate_iops=300', ...args],
    ],
    { stdin: 'ignore', all: true },
  );
}

test.serial('a wrong password is said, the right one opens the page', async (t) => {
  const { page } = browser;
  await page.goto(`${cluster.file.gateway}/`);
  await page.type('input[name=user]', cluster.file.username);
  await page.type('input[name=password]', 'wrong');
  await page.click('button[type=submit]');
  await browser.shows('.login .failure', /User or password is wrong/);
  await browser.clear('input[name=password]');
  await page.type('input[name=password]', password());
  await page.click('button[type=submit]');
  await browser.shows('.capacity', /Total/);
  t.regex(page.url(), /\/dashboard\/$/);
});

test.serial('the capacity ring shows what the REST interface says', async (t) => {
  const rest = await cluster.rest();
  const { data } = await rest.post<Record<string, number>>(
    '/types/System/instances/action/querySelectedStatistics',
    { properties: ['maxCapacityInKb', 'spareCapacityInKb'] },
  );
  const shown = async (part: string): Promise<number> => {
    const [, figure] = /^([\d.]+) GiB$/.exec(await browser.text(`[data-capacity=${part}]`)) ?? [];
    return Number(figure) * 1024 * 1024;
  };
  const near = (figure: number, kb = 0): boolean => Math.abs(figure - kb) <= kb / 100;
  t.true(near(await shown('totalBytes'), data['maxCapacityInKb']));
  t.true(near(await shown('spareBytes'), data['spareCapacityInKb']));
  t.true((data['spareCapacityInKb'] ?? 0) > 0);
});

test.serial('load appears and ends without a reload', async (t) => {
  const running = load('--time_based', '--runtime=240');
  await browser.shows('[aria-label=IOPS] .figure', /[1-9]\d* read, [1-9]\d* write/);
  await browser.shows('[data-tab=Volumes] tbody', /dashboard.*[1-9]\d* \/ [1-9]\d*/);
  for (const tab of ['Pools', 'SDSs', 'Devices', 'SDCs']) {
    await browser.page.click(`::-p-xpath(//button[@role="tab"][starts-with(., "${tab}")])`);
    await browser.shows(`[data-tab=${tab}] tbody`, /./);
    await browser.picture(`tab-${tab}`);
  }
  await browser.page.click('::-p-xpath(//button[@role="tab"][starts-with(., "Volumes")])');
  await browser.shows('[data-tab=Volumes] tbody', /dashboard/);
  await browser.picture('load');
  running.kill('SIGTERM');
  await running.catch(() => undefined);
  await browser.shows('[aria-label=IOPS] .figure', /^0 read, 0 write$/);
  t.deepEqual(browser.faults, []);
});

test.serial('a device that stops is seen, and the resync after it', async (t) => {
  const [row] = cluster.processes('sds-data');
  if (row === undefined) throw new Error('no data process runs');
  process.kill(row.pid, 'SIGSTOP');
  try {
    await browser.shows('[aria-label=Health] .state', /one copy/);
    await browser.shows('[data-health=devices]', /2 of 3 connected/);
    await browser.shows('[data-alert=DEVICE_DISCONNECTED]', /Device/);
    const missed = ['--rw=write', '--bs=1m', `--size=${MISSED}`, '--rate_iops=10000'];
    t.is((await load(...missed)).exitCode, 0);
    await browser.picture('degraded');
  } finally {
    process.kill(row.pid, 'SIGCONT');
  }
  await browser.shows('[data-health=resync]', /% of/);
  await browser.picture('resync');
  await browser.shows('[aria-label=Health] .state', /All data has two copies/);
  await browser.shows('[data-health=devices]', /3 of 3 connected/);
  t.deepEqual(browser.faults, []);
});

test.serial('volumes are searched', async (t) => {
  const volumeId = await cluster.addVolume('needle');
  const rest = await cluster.rest();
  await rest.post('/instances/System/action/snapshotVolumes', {
    snapshotDefs: [{ volumeId, snapshotName: 'a-needle-of-monday' }],
  });
  await browser.page.type('input[type=search]', 'NEED');
  await browser.shows('[data-tab=Volumes] tbody', /needle/);
  // A snapshot stands below its volume, whatever its name.
  await browser.shows('[data-tab=Volumes] tbody', /needle[^]*└ a-needle-of-monday[^]*snapshot/);
  t.notRegex(await browser.text('[data-tab=Volumes] tbody'), /dashboard/);
  await browser.page.type('input[type=search]', 'less');
  await browser.shows('[data-tab=Volumes]', /No volume matches/);
});

test.serial('a gateway that is gone is said, its return heals the page', async (t) => {
  await browser.page.setOfflineMode(true);
  await browser.shows('header [role=status]', /trying again/);
  await browser.page.setOfflineMode(false);
  await browser.page.waitForSelector('header [data-fresh=true]');
  t.pass();
});

test.serial('logging out ends the session', async (t) => {
  await browser.page.click('header button');
  await browser.page.waitForSelector('input[name=password]');
  await browser.page.reload();
  t.truthy(await browser.page.waitForSelector('input[name=password]'));
});

test.serial(
  'metrics are read by the parser of the Prometheus client, and count writes',
  async (t) => {
    const { gateway, caFile, username } = cluster.file;
    const http = axios.create({
      baseURL: gateway,
      httpsAgent: new Agent({ ca: readFileSync(caFile) }),
      proxy: false,
      validateStatus: () => true,
      responseType: 'text',
    });
    const scrape = (word: string) =>
      http.get<string>('/metrics', { auth: { username, password: word } });
    t.is((await scrape('wrong')).status, 401);
    t.is((await http.get('/metrics')).status, 401);
    const written = async (): Promise<number> => {
      const { data } = await scrape(password());
      const { stdout } = await execa('/usr/bin/python3', ['-c', PARSER], { input: data });
      const samples = JSON.parse(stdout) as Record<string, number>;
      t.is(samples['meshsan_sds_connected'], 3);
      t.is(samples['meshsan_info'], 1);
      return samples['meshsan_volume_write_bytes_total'] ?? 0;
    };
    const before = await written();
    await load('--rw=write', '--number_ios=1000', '--rate_iops=5000');
    await until('the writes are counted', async () =>
      (await written()) - before >= 1000 * 4096 ? true : null,
    );
    t.is((await http.get('/health/live')).status, 200);
    t.is((await http.get('/health/ready')).status, 200);
  },
);

/** Sums the samples of each name of what a scrape gave. */
const PARSER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
sums = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        sums[sample.name] = sums.get(sample.name, 0) + sample.value
json.dump({name: value for name, value in sums.items() if value == value}, sys.stdout)
`;
