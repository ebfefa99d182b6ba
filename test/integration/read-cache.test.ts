// The RAM read cache with real processes: what REST and scli set is what the data processes do, hits are counted where they
// are looked for, what is read is what was written, and memory goes back when the cache is switched off.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';

import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const BLOCKS = 256;

let cluster: LocalCluster;
let scratch: string;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '3', '--device-size', '2G');
  scratch = mkdtempSync(join(tmpdir(), 'meshsan-cache-'));
  const input = `${readFileSync(cluster.file.passwordFile, 'utf8').trim()}\n`;
  await execa(join(cluster.dir, 'bin', 'scli'), ['--login', '--username', 'admin'], { input });
});
test.after.always(async () => {
  await cluster.remove();
  rmSync(scratch, { recursive: true, force: true });
});

async function scli(...args: string[]): Promise<string> {
  return (await execa(join(cluster.dir, 'bin', 'scli'), args, { stdin: 'ignore' })).stdout;
}

interface Named {
  readonly id: string;
  readonly name: string;
}

interface CacheFacts {
  readonly rmcacheSizeInKb: number;
  readonly rmcacheCurrNumOf4kbEntries: number;
  readonly rmcacheNoEvictionCount: number;
  readonly primaryReadFromRmcacheBwc: { readonly numOccured: number };
}

async function all<T extends Named>(type: string): Promise<readonly T[]> {
  const rest = await cluster.rest();
  return (await rest.get<T[]>(`/types/${type}/instances`)).data;
}

/** Data processes of all servers. */
function processes(): readonly number[] {
  return ['sds1', 'sds2', 'sds3'].flatMap((server) => {
    const text = readFileSync(join(cluster.dir, server, 'processes.json'), 'utf8');
    return (JSON.parse(text) as { readonly pid: number }[]).map(({ pid }) => pid);
  });
}

async function act(object: string, action: string, body: object): Promise<void> {
  const rest = await cluster.rest();
  await rest.post(`/instances/${object}/action/${action}`, body);
}

/** What the caches of the pool's devices tell, once they have reported. */
async function facts(): Promise<CacheFacts> {
  const [pool] = await all('StoragePool');
  const rest = await cluster.rest();
  const path = `/instances/StoragePool::${pool?.id ?? ''}/relationships/Statistics`;
  return (await rest.get<CacheFacts>(path)).data;
}

async function hits(): Promise<number> {
  const rest = await cluster.rest();
  const { data: text } = await rest.get<string>('/../metrics');
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('meshsan_device_cache_hits_total{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Single blocks, one after the other: a whole MiB at once would be too long for the cache. */
async function readBlocks(uri: string, pattern: string): Promise<void> {
  const args = Array.from({ length: BLOCKS }, (_, block) => [
    ...['-c', `read -P ${pattern} ${block * 4}k 4k`],
  ]).flat();
  const { all: said } = await execa('qemu-io', ['-r', '-f', 'raw', '-t', 'none', ...args, uri], {
    ...{ all: true, stdin: 'ignore', timeout: 120_000 },
  });
  if (/failed|error/i.test(said)) throw new Error(said);
}

async function write(uri: string, pattern: string): Promise<void> {
  const args = ['-f', 'raw', '-c', `write -P ${pattern} 0 1M`, '-c', 'flush', uri];
  await execa('qemu-io', args, { stdin: 'ignore', timeout: 120_000 });
}

test.serial(
  'a cache that is switched on online is filled, answers reads, and goes again',
  async (t) => {
    const [pool] = await all<Named & { useRmcache: boolean }>('StoragePool');
    const running = processes();
    t.is(running.length, 3);
    t.false(pool?.useRmcache);
    const id = await cluster.addVolume('cached');
    const uri = `nbd+unix:///?socket=${await cluster.mapVolume(id)}`;
    await write(uri, '0x31');
    await readBlocks(uri, '0x31');
    t.is((await facts()).rmcacheSizeInKb, 0, 'without a pool that uses it no memory is taken');

    await scli('--set_rmcache_usage', '--storage_pool_id', pool?.id ?? '', '--use_rmcache');
    const whole = 3 * 128 * 1024;
    await until('the devices have their shares', async () =>
      (await facts()).rmcacheSizeInKb === whole ? true : null,
    );
    // What was written before is in the log for a moment: reads come from there until it is home.
    await until('reads are answered by the cache', async () => {
      await readBlocks(uri, '0x31');
      return (await hits()) >= BLOCKS ? true : null;
    });
    const filled = await facts();
    t.true(filled.rmcacheCurrNumOf4kbEntries >= BLOCKS);
    await until('statistics tell reads of the cache', async () => {
      await readBlocks(uri, '0x31');
      return (await facts()).primaryReadFromRmcacheBwc.numOccured > 0 ? true : null;
    });

    await write(uri, '0x32');
    await readBlocks(uri, '0x32');
    await write(uri, '0x33');
    await readBlocks(uri, '0x33');
    await readBlocks(uri, '0x33');

    await act(`Volume::${id}`, 'setVolumeUseRmcache', { useRmcache: 'FALSE' });
    const before = await hits();
    await readBlocks(uri, '0x33');
    await until('a heartbeat later', async () =>
      (await facts()).rmcacheSizeInKb > 0 ? true : null,
    );
    t.is(await hits(), before, 'a volume that does not use it neither finds nor fills anything');

    for (const { id: sds } of await all('Sds'))
      await scli('--disable_sds_rmcache', '--sds_id', sds);
    await until('the memory is given back', async () =>
      (await facts()).rmcacheSizeInKb === 0 ? true : null,
    );
    await readBlocks(uri, '0x33');
    t.deepEqual(processes(), running, 'no process ended over it');
  },
);

test.serial(
  'what is set is shown, by REST and by scli, and what is out of range is refused',
  async (t) => {
    const [sds] = await all<Named & { rmcacheEnabled: boolean; rmcacheSizeInKb: number }>('Sds');
    const id = sds?.id ?? '';
    await act(`Sds::${id}`, 'setSdsRmcacheEnabled', { rmcacheEnabled: 'TRUE' });
    await act(`Sds::${id}`, 'setSdsRmcacheSize', { rmcacheSizeInMB: '256' });
    const rest = await cluster.rest();
    const { data } = await rest.get<Record<string, unknown>>(`/instances/Sds::${id}`);
    t.like(data, {
      ...{ rmcacheEnabled: true, rmcacheSizeInKb: 262_144, rmcacheSizeInMb: 256 },
      rmcacheMemoryAllocationState: 'AllocationSuccessful',
    });
    t.regex(
      await scli('--query_sds', '--sds_id', id),
      /Total size is 256\.0 MB\s+Cache is enabled/,
    );
    const refused = await rest.post(
      `/instances/Sds::${id}/action/setSdsRmcacheSize`,
      { rmcacheSizeInMB: '100' },
      { validateStatus: () => true },
    );
    t.not(refused.status, 200);
    t.regex(JSON.stringify(refused.data), /128 to 307200 MiB, not 100/);
    const [pool] = await all<Named & { rmcacheWriteHandlingMode: string }>('StoragePool');
    t.is(pool?.rmcacheWriteHandlingMode, 'Cached');
    await act(`StoragePool::${pool?.id ?? ''}`, 'setRmcacheWriteHandlingMode', {
      rmcacheWriteHandlingMode: 'Passthrough',
    });
    const text = await scli('--query_storage_pool', '--storage_pool_id', pool?.id ?? '');
    t.regex(text, /RAM Read Cache write handling mode is 'passthrough'/);
  },
);
