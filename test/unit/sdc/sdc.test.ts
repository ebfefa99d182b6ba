// The client machine against data processes that share one memory: what a front end relies on, whatever the cluster
// answers.

import test from 'ava';

import type { BlockFront, BlockVolume, Errno } from '../../../backend/sdc/block-front.js';
import { BLOCK_STATE, ERRNO, IO } from '../../../backend/sdc/block-front.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import type { Sdc } from '../../../backend/sdc/sdc.js';
import type { ClientOptions } from '../../../backend/sdc/options.js';
import type { SimProcess } from '../../../backend/sim/process.js';
import { Workload } from '../../../backend/sim/workload.js';
import { ModelCluster } from './model-cluster.js';

const MIX = {
  depth: 8,
  thinkUsMax: 300,
  lengthSectorsMax: 80,
  hotSectors: 64,
  readWeight: 4,
  writeWeight: 5,
  zeroWeight: 2,
  flushWeight: 1,
  fuaPercent: 10,
  describeWeight: 0,
  abandonPermille: 0,
  alignedPercent: 50,
  readers: 0,
  together: false,
};

/** A front end by hand. */
class Front implements BlockFront {
  readonly told: string[] = [];
  readonly done = new Map<number, Errno>();

  volumeAdded(_nowUs: number, volume: BlockVolume): void {
    this.told.push(`added ${volume.key} ${volume.sizeBytes}`);
  }
  volumeChanged(_nowUs: number, volume: BlockVolume): void {
    this.told.push(`changed ${volume.key} ${volume.sizeBytes}`);
  }
  volumeRemoved(_nowUs: number, volumeKey: number): void {
    this.told.push(`removed ${volumeKey}`);
  }
  ioDone(_nowUs: number, token: number, errno: Errno): void {
    this.done.set(token, errno);
  }
  roomAgain(): void {
    this.told.push('room');
  }
}

interface Bench {
  readonly cluster: ModelCluster;
  readonly front: Front;
  readonly sdc: Sdc;
  readonly input: (act: (nowUs: number) => void) => void;
  readonly submit: (
    token: number,
    kind: (typeof IO)[keyof typeof IO],
    firstSector: number,
    bytes: Uint8Array,
    fua?: boolean,
  ) => boolean;
}

function bench(
  more: Partial<ClientOptions> = {},
  change?: (cluster: ModelCluster) => void,
  features?: number,
): Bench {
  const cluster = new ModelCluster(1, features);
  cluster.addVolume(5, 512, [1]);
  change?.(cluster);
  const front = new Front();
  let process: SimProcess | null = null;
  const sdc = cluster.addClient(
    1,
    (made) => {
      process = made;
      return front;
    },
    more,
  );
  cluster.until(() => front.told.length > 0);
  return {
    cluster,
    front,
    sdc,
    input(act) {
      process?.input(act);
    },
    submit(token, kind, firstSector, bytes, fua = false) {
      let taken = false;
      process?.input((nowUs) => {
        const offset = firstSector * 8;
        const length = kind === IO.describe ? bytes.length * 64 : bytes.length;
        taken = sdc.submit(nowUs, 5, kind, offset, length, fua, bytes, 0, token);
      });
      return taken;
    },
  };
}

test('a mixed load over a moving primary is linearizable and leaves nothing behind', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new ModelCluster(seed);
    cluster.addVolume(5, 512, [1, 2]);
    cluster.addVolume(6, 200, [2]);
    const loads: Workload[] = [];
    const clients = [1, 2].map((number) =>
      cluster.addClient(number, (process) => {
        const load = new Workload(cluster.sim, process, number, 1, cluster.history, MIX);
        loads.push(load);
        return load;
      }),
    );
    loads.forEach((load, index) => {
      const client = clients[index];
      if (client !== undefined) load.attach(client);
    });
    cluster.run(40_000);
    for (let change = 0; change < 4; change++) {
      cluster.switchPrimaries();
      if (change % 2 === 0) cluster.mdm.pushAll();
      for (const end of cluster.network.upEnds())
        if (end.process.name === 'data1' && change === 3) cluster.network.close(end);
      cluster.run(40_000);
    }
    for (const load of loads) load.stop();
    cluster.until(() => loads.every((load) => load.open === 0));
    cluster.run(3_000_000);
    t.is(cluster.check(), null, `seed ${seed}`);
    t.deepEqual(
      clients.map((client) => client.openCount),
      [0, 0],
    );
    t.true(loads.every((load) => load.completed > 50 && load.errors.size === 0));
    t.deepEqual(
      cluster.logged.filter(({ level }) => level === 'error'),
      [],
    );
  }
});

test('volumes appear, grow and disappear; a revoked one answers ESHUTDOWN', (t) => {
  const { cluster, front, submit } = bench();
  t.deepEqual(front.told, ['added 5 4096']);
  const volume = cluster.volumes.get(5);
  if (volume !== undefined) cluster.volumes.set(5, { ...volume, sizeSectors: 1024, epoch: 2 });
  cluster.mdm.pushAll();
  cluster.until(() => front.told.length === 2);
  t.is(front.told[1], 'changed 5 8192');
  for (const data of cluster.data) data.rule = () => 'silent';
  t.true(submit(1, IO.write, 0, new Uint8Array(64)));
  t.true(submit(2, IO.flush, 0, new Uint8Array(0)));
  cluster.run(10_000);
  t.deepEqual([...front.done], [[2, ERRNO.ok]], 'a flush that nothing is owed to ends at once');
  const gone = cluster.mappings;
  cluster.mappings = [];
  cluster.mdm.pushAll(gone);
  cluster.until(() => front.told.length === 3);
  t.is(front.told[2], 'removed 5');
  t.is(front.done.get(1), ERRNO.ESHUTDOWN);
  t.true(submit(3, IO.read, 0, new Uint8Array(64)));
  cluster.run(10);
  t.is(front.done.get(3), ERRNO.ESHUTDOWN);
});

test('ranges beyond the end or off the sectors are EINVAL, writes to a read-only mapping EPERM', (t) => {
  const { cluster, front, submit } = bench({}, (made) => {
    made.mappings = made.mappings.map((mapping) => ({ ...mapping, access: 'readOnly' }));
  });
  submit(1, IO.read, 510, new Uint8Array(24));
  submit(2, IO.read, 0, new Uint8Array(4));
  submit(3, IO.write, 0, new Uint8Array(8));
  submit(4, IO.discard, 0, new Uint8Array(8));
  submit(5, IO.read, 508, new Uint8Array(32));
  cluster.run(100_000);
  t.deepEqual(
    [1, 2, 3, 4, 5].map((token) => front.done.get(token)),
    [ERRNO.EINVAL, ERRNO.EINVAL, ERRNO.EPERM, ERRNO.EPERM, ERRNO.ok],
  );
});

test('of two overlapping writes the second is sent when the outcome of the first is known', (t) => {
  const { cluster, front, submit } = bench();
  const primary = cluster.primaryOf(cluster.combOf(5, 0));
  const seen: number[] = [];
  primary.rule = (code, view, at) => {
    if (code === MSG.WRITE) seen.push(head.getOffsetSectors(view, at));
    return seen.length === 1 ? 'silent' : 'serve';
  };
  submit(1, IO.write, 0, new Uint8Array(64).fill(1));
  submit(2, IO.write, 4, new Uint8Array(64).fill(2));
  submit(3, IO.write, 40, new Uint8Array(8).fill(3));
  cluster.run(50_000);
  t.deepEqual(seen, [0, 40]);
  t.deepEqual([...front.done.keys()], [3]);
  for (const end of cluster.network.upEnds())
    if (end.process.name.startsWith('data')) cluster.network.close(end);
  cluster.until(() => front.done.size === 3);
  t.deepEqual(seen, [0, 40, 0, 4]);
  t.is(cluster.memoryOf(5)[32], 2);
});

test('an operation keeps its id through refusals and lost links, and says that it was sent before', (t) => {
  const { cluster, front, submit } = bench();
  const primary = cluster.primaryOf(cluster.combOf(5, 0));
  const sent: string[] = [];
  const answers = [ERR.NO_LEASE, ERR.BUSY, ERR.TIMED_OUT, ERR.NOT_READY, ERR.DEVICE_FAILED];
  primary.rule = (_code, view, at) => {
    sent.push(`${head.getOpLow(view, at)} ${head.getFlags(view, at)}`);
    return answers.shift() ?? 'serve';
  };
  submit(1, IO.write, 0, new Uint8Array(64).fill(1));
  cluster.until(() => front.done.size === 1);
  t.is(front.done.get(1), ERRNO.ok);
  t.deepEqual(sent, ['1 0', '1 4', '1 4', '1 4', '1 4', '1 4']);
  cluster.until(() => primary.settledBelow === 2);
});

test('a refusal carries the newer entry: the client converges with the MDM down', (t) => {
  const { cluster, front, submit } = bench();
  const mdm = cluster.processes[0];
  if (mdm !== undefined) {
    mdm.die();
    cluster.network.processEnded(mdm, true);
  }
  cluster.switchPrimaries();
  submit(1, IO.write, 0, new Uint8Array(512).fill(1));
  cluster.until(() => front.done.size === 1, 1_000_000);
  t.is(front.done.get(1), ERRNO.ok);
});

test('a link says who the client is and raises its epoch at each connection', (t) => {
  const { cluster, front, submit } = bench();
  const primary = cluster.primaryOf(cluster.combOf(5, 0));
  for (let round = 1; round <= 3; round++) {
    submit(round, IO.write, 0, new Uint8Array(8));
    cluster.until(() => front.done.size === round);
    for (const end of cluster.network.upEnds())
      if (end.process.name === `data${primary.key}`) cluster.network.close(end);
    cluster.run(1_000_000);
  }
  t.deepEqual(
    primary.peers.map(({ key, run, link, linkEpoch }) => [key, run, link, linkEpoch]),
    [
      [1, 51, 0, 1],
      [1, 51, 0, 2],
      [1, 51, 0, 3],
    ],
  );
});

test('a write of a lost link is asked again only when that link is back, though another is up (C10)', (t) => {
  const { cluster, front, submit } = bench({ linksPerDevice: 2 });
  const primary = cluster.primaryOf(cluster.combOf(5, 0));
  submit(1, IO.read, 0, new Uint8Array(64));
  cluster.until(() => front.done.size === 1);
  cluster.run(100_000);
  t.deepEqual(primary.peers.map(({ link, linkEpoch }) => `${link}.${linkEpoch}`).sort(), [
    '0.1',
    '1.1',
  ]);
  const seen: (readonly [number, boolean])[] = [];
  primary.rule = (_code, view, at) => {
    const isBack = primary.peers.some(({ linkEpoch }) => linkEpoch === 2);
    seen.push([head.getFlags(view, at), isBack]);
    return seen.length === 1 ? 'silent' : 'serve';
  };
  submit(2, IO.write, 0, new Uint8Array(64).fill(1));
  cluster.until(() => seen.length === 1);
  // Of links that are equally free the operation took number 0.
  const ends = cluster.network
    .upEnds()
    .filter(({ process }) => process.name === `data${primary.key}`);
  const end = ends[primary.peers.findIndex(({ link }) => link === 0)];
  if (end !== undefined) cluster.network.close(end);
  cluster.until(() => front.done.size === 2);
  t.is(front.done.get(2), ERRNO.ok);
  t.deepEqual(seen, [
    [0, false],
    [4, true],
  ]);
});

test('with a bound on time a request ends with EIO, and its write still keeps later ones back', (t) => {
  const { cluster, front, submit } = bench({ ioTimeoutUs: 5_000_000 });
  const rules = cluster.data.map((data) => data.rule);
  for (const data of cluster.data) data.rule = () => 'silent';
  const bytes = new Uint8Array(64).fill(1);
  submit(1, IO.write, 0, bytes);
  submit(2, IO.read, 0, new Uint8Array(64));
  cluster.run(4_900_000);
  t.is(front.done.size, 0);
  cluster.run(200_000);
  t.is(front.done.get(1), ERRNO.EIO);
  t.is(front.done.get(2), ERRNO.EIO);
  bytes.fill(9);
  submit(3, IO.write, 0, new Uint8Array(64).fill(2));
  cluster.run(10_000);
  t.false(front.done.has(3));
  cluster.data.forEach((data, index) => {
    data.rule = rules[index] ?? data.rule;
  });
  for (const end of cluster.network.upEnds())
    if (end.process.name.startsWith('data')) cluster.network.close(end);
  cluster.until(() => front.done.has(3));
  t.is(front.done.get(3), ERRNO.ok);
  t.is(cluster.memoryOf(5)[0], 2);
  t.is(cluster.data.flatMap(({ applied }) => applied).length, 2, 'the first was settled before');
});

test('a flush asks the primaries of all combs in debt, once, and covers other front ends too', (t) => {
  const { cluster, front, submit } = bench({}, (made) => {
    made.durability = 'memory';
  });
  submit(9, IO.flush, 0, new Uint8Array(0));
  cluster.until(() => front.done.size === 1);
  const all = [...new Set(cluster.data.flatMap(({ flushed }) => flushed.flat()))].sort();
  t.deepEqual(all, [0, 1, 2, 3], 'the first flush covers what a killed process may have owed');
  for (const data of cluster.data) data.flushed.length = 0;
  front.done.clear();
  submit(1, IO.write, 0, new Uint8Array(4096).fill(1));
  cluster.until(() => front.done.size === 1);
  submit(2, IO.flush, 0, new Uint8Array(0));
  submit(3, IO.flush, 0, new Uint8Array(0));
  submit(4, IO.flush, 0, new Uint8Array(0));
  cluster.until(() => front.done.size === 4);
  const asked = cluster.data.flatMap(({ flushed }) => flushed.flat()).sort();
  const owed = new Set([0, 1, 2, 3, 4, 5, 6, 7].map((chunk) => cluster.combOf(5, chunk)));
  t.deepEqual(asked, [...owed].sort());
  submit(5, IO.write, 0, new Uint8Array(8), true);
  cluster.until(() => front.done.size === 5);
  submit(6, IO.flush, 0, new Uint8Array(0));
  cluster.until(() => front.done.size === 6);
  t.is(cluster.data.flatMap(({ flushed }) => flushed.flat()).length, asked.length);
});

test('a flush finds combs whose primary moved', (t) => {
  const { cluster, front, submit } = bench({}, (made) => {
    made.durability = 'device';
  });
  submit(9, IO.flush, 0, new Uint8Array(0));
  cluster.until(() => front.done.size === 1);
  for (const data of cluster.data) data.flushed.length = 0;
  front.done.clear();
  submit(1, IO.write, 0, new Uint8Array(4096).fill(1));
  cluster.until(() => front.done.size === 1);
  cluster.switchPrimaries();
  submit(2, IO.flush, 0, new Uint8Array(0));
  cluster.until(() => front.done.size === 2);
  const asked = new Set(cluster.data.flatMap(({ flushed }) => flushed.flat()));
  const owed = new Set([0, 1, 2, 3, 4, 5, 6, 7].map((chunk) => cluster.combOf(5, chunk)));
  t.deepEqual([...asked].sort(), [...owed].sort());
});

test('when all requests are in use the next is refused and room is announced', (t) => {
  const { cluster, front, submit } = bench({ requestsMax: 4, opsMax: 16 });
  for (let token = 1; token <= 4; token++)
    t.true(submit(token, IO.write, token * 64, new Uint8Array(8)));
  t.false(submit(5, IO.write, 0, new Uint8Array(8)));
  cluster.until(() => front.told.includes('room'));
  t.true(submit(5, IO.write, 0, new Uint8Array(8)));
  cluster.until(() => front.done.size === 5);
});

test('content that does not verify is read again, and is EIO in the end, never wrong bytes', (t) => {
  const { cluster, front, submit } = bench();
  submit(1, IO.write, 0, new Uint8Array(64).fill(7));
  cluster.until(() => front.done.size === 1);
  const volume = cluster.volumes.get(5);
  // The data processes now seed their checksums with another V-tree.
  if (volume !== undefined) cluster.volumes.set(5, { ...volume, vtreeKey: 99 });
  const into = new Uint8Array(64).fill(3);
  submit(2, IO.read, 0, into);
  cluster.until(() => front.done.size === 2);
  t.is(front.done.get(2), ERRNO.EIO);
  t.is(into[0], 3);
  t.true(
    cluster.logged.some(({ name, level }) => level === 'error' && name === 'sdc.read-unverified'),
  );
});

/** Refuses every write for want of space until told otherwise; returns how often it was asked. */
function fill(cluster: ModelCluster): { full: boolean; asked: number } {
  const state = { full: true, asked: 0 };
  for (const data of cluster.data)
    data.rule = (code) => {
      if (code !== MSG.WRITE) return 'serve';
      state.asked += 1;
      return state.full ? ERR.NO_SPACE : 'serve';
    };
  return state;
}

test('writes wait at a full pool, everything else goes on, and they go on by themselves', (t) => {
  const { cluster, front, submit } = bench({ opsMax: 16, requestsMax: 200 });
  const state = fill(cluster);
  // More than all operations together.
  for (let token = 1; token <= 60; token++)
    t.true(submit(token, IO.write, 8 * (token % 60), new Uint8Array(64).fill(token)));
  cluster.run(1_000_000);
  for (let token = 101; token <= 120; token++)
    t.true(submit(token, IO.read, 8 * (token - 60), new Uint8Array(64)));
  t.true(submit(121, IO.discard, 62 * 8, new Uint8Array(64)));
  t.true(submit(122, IO.flush, 0, new Uint8Array(0)));
  cluster.until(() => front.done.size === 22, 1_000_000);
  t.true([...front.done].every(([token, errno]) => token > 100 && errno === ERRNO.ok));

  const before = state.asked;
  cluster.run(10_000_000);
  t.true(state.asked - before < 1000, `asked ${state.asked - before} times in 10 s`);
  state.full = false;
  cluster.until(() => front.done.size === 82);
  t.true([...front.done.values()].every((errno) => errno === ERRNO.ok));
  for (let token = 1; token < 60; token++) t.is(cluster.memoryOf(5)[64 * token], token);
});

test('a full pool whose policy is not to wait says ENOSPC; so do writes that waited when it changes', (t) => {
  const { cluster, front, submit } = bench();
  fill(cluster);
  t.true(submit(1, IO.write, 0, new Uint8Array(64)));
  cluster.run(3_000_000);
  t.is(front.done.size, 0);
  cluster.fullPolicy = 'error';
  cluster.mdm.pushAll();
  cluster.until(() => front.done.get(1) === ERRNO.ENOSPC, 2_000_000);
  t.true(submit(2, IO.write, 0, new Uint8Array(64)));
  cluster.until(() => front.done.get(2) === ERRNO.ENOSPC, 2_000_000);
});

test('a volume with a policy of its own for full pools does not ask that of the pool', (t) => {
  const { cluster, front, submit } = bench();
  fill(cluster);
  const [volume] = [...cluster.volumes.values()];
  if (volume === undefined) throw new Error('the cluster has no volume');
  const choose = (fullPolicy: 'pool' | 'wait' | 'error'): void => {
    cluster.volumes.set(volume.key, { ...volume, fullPolicy });
    cluster.mdm.pushAll();
  };
  t.true(submit(1, IO.write, 0, new Uint8Array(64)));
  cluster.run(3_000_000);
  t.is(front.done.size, 0, 'the pool has its writes wait');
  choose('error');
  cluster.until(() => front.done.get(1) === ERRNO.ENOSPC, 2_000_000);
  cluster.fullPolicy = 'error';
  choose('wait');
  cluster.run(1_000_000);
  t.true(submit(2, IO.write, 0, new Uint8Array(64)));
  cluster.run(3_000_000);
  t.false(front.done.has(2), 'the volume has them wait, whatever the pool says');
  choose('pool');
  cluster.until(() => front.done.get(2) === ERRNO.ENOSPC, 2_000_000);
});

test('the bound on time ends a write that waits for space with ENOSPC, and it never happens later', (t) => {
  const { cluster, front, submit } = bench({ ioTimeoutUs: 2_000_000 });
  const state = fill(cluster);
  t.true(submit(1, IO.write, 0, new Uint8Array(64).fill(7)));
  cluster.until(() => front.done.get(1) === ERRNO.ENOSPC, 3_000_000);
  state.full = false;
  cluster.run(3_000_000);
  t.is(cluster.memoryOf(5)[0], 0);
});

test('writes of a client that is gone give way, unless they may have been applied', (t) => {
  const { cluster, front, submit, sdc, input } = bench();
  const state = fill(cluster);
  for (let token = 1; token <= 8; token++)
    t.true(submit(token, IO.write, 8 * (token & 3), new Uint8Array(64).fill(token)));
  cluster.run(1_000_000);
  for (const data of cluster.data) data.rule = () => 'silent';
  t.true(submit(9, IO.write, 40, new Uint8Array(64).fill(9)));
  t.true(submit(10, IO.read, 400, new Uint8Array(64)));
  cluster.run(1_000);
  input((nowUs) => {
    sdc.abandon(nowUs, (token) => token <= 10);
  });
  cluster.run(1_000);
  t.deepEqual(
    [...front.done.keys()].sort((one, other) => one - other),
    [1, 2, 3, 4, 5, 6, 7, 8, 10],
  );
  state.full = false;
  for (const data of cluster.data) data.rule = () => 'serve';
  for (const end of cluster.network.upEnds())
    if (end.process.name.startsWith('data')) cluster.network.close(end);
  cluster.until(() => front.done.get(9) === ERRNO.ok);
  cluster.run(2_000_000);
  t.is(sdc.openCount, 0);
  t.is(cluster.memoryOf(5)[0], 0, 'what was dropped never happens');
  t.is(cluster.memoryOf(5)[40 * 8], 9);
});

test('a write that was given up before all of it was sent is not done, even if what was sent is', (t) => {
  const { cluster, front, submit, sdc, input } = bench({ opsMax: 2 });
  for (const data of cluster.data) data.rule = () => 'silent';
  t.true(submit(1, IO.write, 0, new Uint8Array(200 * 8).fill(1)));
  cluster.run(1_000);
  input((nowUs) => {
    sdc.abandon(nowUs, (token) => token === 1);
  });
  for (const data of cluster.data) data.rule = () => 'serve';
  for (const end of cluster.network.upEnds())
    if (end.process.name.startsWith('data')) cluster.network.close(end);
  cluster.until(() => front.done.has(1));
  t.is(front.done.get(1), ERRNO.EIO);
  t.is(cluster.memoryOf(5)[0], 1);
  t.is(cluster.memoryOf(5)[199 * 8], 0);
});

/** Writes two blocks and asks for the states of twenty. */
function describeSome({ cluster, front, submit }: Bench): Uint8Array {
  submit(1, IO.write, 3 * 8, new Uint8Array(64).fill(1));
  submit(2, IO.write, 17 * 8, new Uint8Array(64).fill(2));
  cluster.until(() => front.done.size === 2);
  return new Uint8Array(20).fill(9);
}

test('a description says which blocks hold data, over all chunks of a range', (t) => {
  const made = bench();
  const states = describeSome(made);
  made.submit(3, IO.describe, 0, states);
  made.cluster.until(() => made.front.done.get(3) === ERRNO.ok);
  t.deepEqual(
    [...states].flatMap((state, block) => (state === BLOCK_STATE.absent ? [] : [block, state])),
    [3, BLOCK_STATE.data, 17, BLOCK_STATE.data],
  );
  t.is(made.sdc.openCount, 0);
});

test('where nobody can say, blocks count as data: older servers, refusals, links that are down or break', (t) => {
  const all = (states: Uint8Array): boolean => states.every((state) => state === BLOCK_STATE.data);
  const old = bench({}, undefined, 0);
  for (const data of old.cluster.data)
    data.rule = (code) => {
      t.not(code, MSG.DESCRIBE);
      return 'serve';
    };
  const first = describeSome(old);
  old.submit(3, IO.describe, 0, first);
  old.cluster.until(() => old.front.done.get(3) === ERRNO.ok);
  t.true(all(first));

  const made = bench();
  const cold = new Uint8Array(20).fill(9);
  made.submit(9, IO.describe, 0, cold);
  made.cluster.until(() => made.front.done.get(9) === ERRNO.ok, 1_000_000);
  t.true(
    cold.every((state) => state === BLOCK_STATE.absent),
    'links that are being opened are waited for',
  );
  made.front.done.clear();
  const states = describeSome(made);
  for (const data of made.cluster.data)
    data.rule = (code) => (code === MSG.DESCRIBE ? ERR.NO_LEASE : 'serve');
  made.submit(3, IO.describe, 0, states);
  made.cluster.until(() => made.front.done.get(3) === ERRNO.ok);
  t.true(all(states));
  for (const data of made.cluster.data) data.rule = () => 'silent';
  states.fill(0);
  made.submit(4, IO.describe, 0, states);
  made.cluster.run(100_000);
  for (const end of made.cluster.network.upEnds())
    if (end.process.name.startsWith('data')) made.cluster.network.close(end);
  made.cluster.until(() => made.front.done.get(4) === ERRNO.ok, 1_000_000);
  t.true(all(states));
  t.is(made.sdc.openCount, 0);
});
