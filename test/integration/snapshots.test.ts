// Snapshots with real processes: what an operator relies on. Written through a client by NBD, taken and removed by REST, judged by
// what is read back: dependent writes across two volumes, qemu-img's comparison, fio's own verification, the pool's accounting.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { NbdClient } from '../chaos/nbd-client.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const BLOCK = 4096;
const CHAINS = 48;
/** A chunk each, so that the chains run over all devices. */
const STRIDE = 2 ** 20;

let cluster: LocalCluster;
test.before(async (t) => {
  t.timeout(200_000);
  cluster = await LocalCluster.start();
});
test.after.always(async () => {
  await cluster.remove();
});

const uriOf = (socket: string): string => `nbd+unix:///?socket=${socket}`;

interface Answer {
  readonly status: number;
  readonly volumeIdList: readonly string[];
  readonly snapshotGroupId: string;
  readonly errorCode: number;
  readonly message: string;
}

async function post<T>(path: string, body: object): Promise<T & { readonly status: number }> {
  const rest = await cluster.rest();
  const { data, status } = await rest.post<T>(path, body, { validateStatus: () => true });
  return { ...data, status };
}

function snapshot(...ids: readonly string[]): Promise<Answer> {
  const snapshotDefs = ids.map((volumeId) => ({ volumeId }));
  return post<Answer>('/instances/System/action/snapshotVolumes', { snapshotDefs });
}

async function taken(...ids: readonly string[]): Promise<readonly string[]> {
  const { status, message, volumeIdList } = await snapshot(...ids);
  if (status !== 200) throw new Error(message);
  return volumeIdList;
}

const remove = (id: string, removeMode = 'ONLY_ME'): Promise<Answer> =>
  post<Answer>(`/instances/Volume::${id}/action/removeVolume`, { removeMode });

async function volumeIds(): Promise<readonly string[]> {
  const rest = await cluster.rest();
  return (await rest.get<{ id: string }[]>('/types/Volume/instances')).data.map(({ id }) => id);
}

/** Runs commands of qemu-io on a volume that is mapped. @throws Error when one failed */
async function qemuIo(uri: string, ...commands: string[]): Promise<void> {
  const args = commands.flatMap((command) => ['-c', command]);
  const { all } = await execa('qemu-io', ['-f', 'raw', '-t', 'none', ...args, uri], {
    ...{ all: true, stdin: 'ignore', timeout: 60_000 },
  });
  if (/fail|error/i.test(all)) throw new Error(all);
}

/** Does something with a volume while it is mapped. */
async function mapped<T>(id: string, use: (uri: string, socket: string) => Promise<T>): Promise<T> {
  const socket = await cluster.mapVolume(id);
  try {
    return await use(uriOf(socket), socket);
  } finally {
    await cluster.unmapVolume(id);
  }
}

/** A number that fills a block, so that a torn one shows. */
function numbered(number: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  for (let at = 0; at < BLOCK; at += 8) block.writeBigUInt64LE(BigInt(number), at);
  return block;
}

async function numberAt(client: NbdClient, chain: number): Promise<number> {
  const block = await client.read(chain * STRIDE, BLOCK);
  const number = Number(block.readBigUInt64LE(0));
  if (!block.equals(numbered(number))) throw new Error(`block of chain ${chain} is torn`);
  return number;
}

/** Writes that depend on each other: a number goes to the second volume only once the first has answered for it. */
class Chains {
  readonly acked = Array<number>(CHAINS).fill(0);
  readonly begun = Array<number>(CHAINS).fill(0);
  private stopped = false;
  private readonly running: Promise<void>[];

  constructor(first: NbdClient, second: NbdClient) {
    this.running = this.acked.map((_, chain) => this.run(chain, first, second));
  }

  private async run(chain: number, first: NbdClient, second: NbdClient): Promise<void> {
    for (let number = 1; !this.stopped; number++) {
      this.begun[chain] = number;
      await first.write(chain * STRIDE, numbered(number), false);
      await second.write(chain * STRIDE, numbered(number), false);
      this.acked[chain] = number;
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running);
  }
}

interface Point {
  readonly first: string;
  readonly second: string;
  readonly ackedBefore: readonly number[];
  readonly begunAfter: readonly number[];
}

async function checkPoint({ first, second, ackedBefore, begunAfter }: Point): Promise<string[]> {
  const numbers = async (id: string): Promise<number[]> =>
    mapped(id, async (_, socket) => {
      const client = await NbdClient.open(socket);
      try {
        return await Promise.all(ackedBefore.map((_number, chain) => numberAt(client, chain)));
      } finally {
        client.close();
      }
    });
  const ahead = await numbers(first);
  const behind = await numbers(second);
  const wrong: string[] = [];
  for (const [chain, a] of ahead.entries()) {
    const b = behind[chain] ?? 0;
    if (a !== b && a !== b + 1) wrong.push(`chain ${chain}: ${a} and ${b} are of two moments`);
    if (b < (ackedBefore[chain] ?? 0)) wrong.push(`chain ${chain}: ${b} lacks what was answered`);
    if (a > (begunAfter[chain] ?? 0)) wrong.push(`chain ${chain}: ${a} was written later`);
  }
  return wrong;
}

test.serial('snapshots of two volumes under load are of one moment', async (t) => {
  t.timeout(400_000);
  const sources = [await cluster.addVolume('one'), await cluster.addVolume('two')] as const;
  const sockets = [
    await cluster.mapVolume(sources[0]),
    await cluster.mapVolume(sources[1]),
  ] as const;
  const load = sockets.map((socket, index) =>
    execa(
      'fio',
      [
        ...[`--name=load${index}`, '--ioengine=nbd', `--uri=${uriOf(socket)}`, '--thread'],
        ...['--rw=randrw', '--bs=4k', '--iodepth=8', '--offset=1g', '--size=256m'],
        ...['--io_size=64m', '--rate_iops=700', '--verify=crc32c', '--verify_fatal=1'],
        ...['--verify_state_save=0'],
      ],
      { stdin: 'ignore', all: true, reject: false, timeout: 300_000, killSignal: 'SIGKILL' },
    ),
  );
  const clients = [await NbdClient.open(sockets[0]), await NbdClient.open(sockets[1])] as const;
  const chains = new Chains(...clients);
  const points: Point[] = [];
  const refused: Answer[] = [];
  const take = async (): Promise<void> => {
    const ackedBefore = [...chains.acked];
    const answer = await snapshot(...sources);
    const [first = '', second = ''] = answer.status === 200 ? answer.volumeIdList : [];
    if (answer.status === 200)
      points.push({ first, second, ackedBefore, begunAfter: [...chains.begun] });
    else refused.push(answer);
    // Each chain goes on before the next point.
    const from = [...chains.acked];
    await until('the load goes on', () => chains.acked.every((n, i) => n > (from[i] ?? 0)));
  };
  for (let round = 0; round < 16; round++) await take();
  t.is(points.length, 16, refused.map(({ message }) => message).join());
  // A data process dies while points are made: each of them is one moment, or is refused and leaves nothing.
  const [victim] = cluster.processes('sds-data');
  if (victim === undefined) throw new Error('no data process');
  const killed = cluster.killAndWait(victim);
  for (let round = 0; round < 4; round++) await take();
  await killed;
  await cluster.allInSync();
  await take();
  t.true(points.length >= 17);
  for (const { errorCode, message } of refused) {
    t.is(errorCode, 32, message);
    t.log(message);
  }
  await chains.stop();
  for (const client of clients) client.close();
  t.deepEqual(
    [...(await volumeIds())].length,
    2 + 2 * points.length,
    'a refused one left something',
  );
  for (const point of points) t.deepEqual(await checkPoint(point), []);
  for (const { exitCode, all } of await Promise.all(load)) t.is(exitCode, 0, all);
  for (const id of sources) await cluster.unmapVolume(id);
  for (const id of sources) t.is((await remove(id, 'WHOLE_VTREE')).status, 200);
  t.deepEqual(await volumeIds(), []);
});

test.serial(
  'a snapshot reads as its source did, and what is written to either stays there',
  async (t) => {
    t.timeout(300_000);
    const copies = mkdtempSync(join(tmpdir(), 'meshsan-snapshots-'));
    t.teardown(() => {
      rmSync(copies, { recursive: true });
    });
    const copy = async (id: string, name: string): Promise<string> => {
      const file = join(copies, name);
      await mapped(id, (uri) => execa('nbdcopy', [uri, file], { timeout: 120_000 }));
      return file;
    };
    const same = async (id: string, file: string): Promise<void> => {
      const { exitCode, all } = await mapped(id, (uri) =>
        execa('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file, uri], {
          ...{ all: true, reject: false, timeout: 120_000 },
        }),
      );
      t.is(exitCode, 0, `${file}: ${all}`);
    };
    const base = await cluster.addVolume('base');
    await mapped(base, (uri) =>
      qemuIo(uri, 'write -P 0x11 0 24M', 'write -P 0x12 4G 3M', 'write -P 0x13 7168k 4k', 'flush'),
    );
    const first = await copy(base, 'first');
    const [old = ''] = await taken(base);
    await same(old, first);
    // Over old blocks, into a hole, zeroes over data, a discard: none of it shows in the snapshot.
    await mapped(base, (uri) =>
      qemuIo(
        uri,
        ...['write -P 0x21 1M 2M', 'write -P 0x22 513k 512', 'write -P 0x23 6G 1M'],
        ...['write -z 8M 1M', 'discard 16M 4M', 'flush'],
      ),
    );
    const second = await copy(base, 'second');
    await same(old, first);
    // A snapshot is written, and a snapshot of it taken: its source is as it was.
    const [below = ''] = await taken(old);
    await mapped(old, (uri) => qemuIo(uri, 'write -P 0x31 0 1M', 'write -z 4G 1M', 'flush'));
    await same(base, second);
    await same(below, first);
    await mapped(old, (uri) =>
      qemuIo(
        uri,
        'read -P 0x31 0 1M',
        'read -P 0x11 1M 6M',
        'read -P 0 4G 1M',
        'read -P 0x12 4097M 2M',
      ),
    );
    // Reverted to what it had first; and what it had is lost.
    const overwrite = (volume: string, srcVolumeId: string): Promise<Answer> =>
      post<Answer>(`/instances/Volume::${volume}/action/overwriteVolumeContent`, { srcVolumeId });
    const mappedOne = await mapped(base, () => overwrite(base, below));
    t.is(mappedOne.errorCode, 104, mappedOne.message);
    t.is((await overwrite(base, below)).status, 200);
    await same(base, first);
    await mapped(base, (uri) => qemuIo(uri, 'write -P 0x41 0 64k', 'flush'));
    await same(below, first);
    // Everything is there after the whole system was down.
    await cluster.stop();
    await cluster.startAgain();
    await same(below, first);
    await mapped(base, (uri) => qemuIo(uri, 'read -P 0x41 0 64k', 'read -P 0x11 64k 6M'));
    // The volume goes, the snapshots stay; removed in the middle, what stands on it stays.
    t.is((await remove(base)).status, 200);
    await same(below, first);
    t.is((await remove(old)).status, 200);
    await same(below, first);
    const larger = await post(`/instances/Volume::${below}/action/setVolumeSize`, { sizeInGB: 16 });
    t.is(larger.status, 200);
    await mapped(below, (uri) => qemuIo(uri, 'read -P 0x11 0 7M', 'read -P 0 12G 1M'));
    t.is((await remove(below)).status, 200);
  },
);

test.serial('all space comes back, whatever the order of removal', async (t) => {
  t.timeout(300_000);
  const held = async (): Promise<number> => {
    const path = '/types/StoragePool/instances/action/querySelectedStatistics';
    const names = ['capacityInUseInKb', 'snapCapacityInUseInKb', 'thinCapacityInUseInKb'];
    const rest = await cluster.rest();
    const body = { allIds: '', properties: names };
    const { data: pools } = await rest.post<Record<string, Record<string, number>>>(path, body);
    const [pool] = Object.values(pools);
    return names.reduce((sum, name) => sum + (pool?.[name] ?? Number.NaN), 0);
  };
  await until('nothing is held', async () => (await held()) === 0);
  for (const order of [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [1, 3, 0, 2],
  ]) {
    const base = await cluster.addVolume('space');
    const members = [base];
    await mapped(base, async (uri) => {
      await qemuIo(uri, 'write -P 0x51 0 32M', 'flush');
      for (let round = 1; round <= 3; round++) {
        members.push(...(await taken(members[round - 1] ?? '')));
        await qemuIo(uri, `write -P 0x6${round} ${round * 4}M 2M`, 'flush');
      }
    });
    // Reported with the next heartbeats.
    await until(
      'both copies of 32 MiB and more are counted',
      async () => (await held()) > 64 * 1024,
    );
    for (const index of order) t.is((await remove(members[index] ?? '')).status, 200);
    await until('all of it came back', async () => (await held()) === 0);
  }
  t.pass();
});

test.serial('the 127th snapshot of a V-tree is refused with error 182', async (t) => {
  t.timeout(200_000);
  const base = await cluster.addVolume('many');
  await mapped(base, (uri) => qemuIo(uri, 'write -P 0x71 0 64k', 'flush'));
  let last = base;
  for (let count = 0; count < 126; count++)
    [last = ''] = await taken(count % 2 === 0 ? base : last);
  const other = await cluster.addVolume('other');
  const { status, errorCode, message } = await snapshot(other, base);
  t.deepEqual(
    [status, errorCode, message],
    [500, 182, 'There are too many snapshots in the VTree'],
  );
  t.is((await volumeIds()).length, 128);
  await mapped(last, (uri) => qemuIo(uri, 'read -P 0x71 0 64k'));
  t.is((await remove(last)).status, 200);
  t.is((await taken(base)).length, 1, 'there is room for one again');
  t.is((await remove(base, 'WHOLE_VTREE')).status, 200);
  t.is((await remove(other)).status, 200);
});
