// Restored metadata: what is waited for, what becomes of combs of which a device knows more, and what is never done.

import test from 'ava';
import { NO_DISK_TIMES } from '../../../backend/core/disk-meter.js';
import { NO_COPY_LOAD } from '../../../backend/cluster-map/copy-policy.js';
import { Recovery } from '../../../backend/mdm/recovery.js';
import { renewed, RenewalError } from '../../../backend/mdm/renewal.js';
import { MDM_DEFAULTS } from '../../../backend/mdm/options.js';
import type { StoredEntry } from '../../../backend/mdm/options.js';
import { State } from '../../../backend/mdm/state.js';
import { ERR, MSG, VERSION_MAX } from '../../../backend/protocol/generated/constants.js';
import type {
  CombEntry,
  CommandParams,
  CommandResults,
  ControlBodies,
  LayerAt,
} from '../../../backend/protocol/generated/types.js';
import type { CommandName, ControlCode } from '../../../backend/protocol/control.js';
import type { LinkId, Role } from '../../../backend/core/ports.js';
import { ALL_KEYS } from '../../../backend/core/key-range.js';
import {
  decodeCommandAnswer,
  decodeControl,
  encodeCommand,
  encodeControl,
} from '../../support/newest.js';
import { TestLinks } from './doubles.js';
import { Cluster, GIB } from './harness.js';
import type { TestDevice } from './harness.js';

/** A day of 2026. */
const NOW_MS = 1_785_000_000_000;
const isHere = (): boolean => false;

interface Made {
  readonly cluster: Cluster;
  readonly poolKey: number;
  readonly devices: readonly TestDevice[];
  readonly entries: readonly CombEntry[];
}

/** Three servers with a device each, a pool of 16 combs, and a volume. */
function made(): Made {
  const cluster = new Cluster();
  const domain = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'd' }).key;
  const poolKey = cluster.command('ADD_STORAGE_POOL', {
    ...{ domainKey: domain, name: 'p', mediaType: 'SSD', durability: 'media', zeroPadding: true },
    ...{
      checksums: true,
      rmcache: false,
      cacheWrites: 'cached' as const,
      sparePercent: 0,
      combCountLog2: 4,
    },
  }).key;
  const devices = [1, 2, 3].flatMap((number) => cluster.addSds(number, domain, poolKey));
  cluster.pass(2000, () => {
    for (const device of devices) cluster.beat(device);
  });
  return { cluster, poolKey, devices, entries: cluster.combs(poolKey) };
}

function stateOf({ entries }: { readonly entries: readonly StoredEntry[] }): State {
  const state = new State();
  state.load(entries);
  return state;
}

class Rig {
  readonly links = new TestLinks();
  readonly machine: Recovery;
  recovered: { sequence: number; state: State } | null = null;
  readonly poolKey: number;
  private readonly memories = new Map<number, CombEntry[]>();
  private lastLink = 0;
  private lastTag = 0;

  /** @param change - of what the backup holds */
  constructor({ cluster, poolKey, devices, entries }: Made, change?: (state: State) => void) {
    this.poolKey = poolKey;
    const { term, sequence } = cluster.store;
    const taken = new State();
    taken.load(cluster.store.entries());
    change?.(taken);
    const content = { term, sequence, entries: taken.all() };
    const log = { event: (): void => undefined };
    const recovered = (_: number, at: number, stored: readonly StoredEntry[]): void => {
      const state = new State();
      state.load(stored);
      this.recovered = { sequence: at, state };
    };
    const options = { ...MDM_DEFAULTS };
    this.machine = new Recovery(
      { links: this.links, log, recovered },
      renewed(content, NOW_MS, () => 0, isHere).content,
      options,
    );
    this.machine.start(0);
    for (const { key } of devices)
      this.memories.set(
        key,
        entries.filter(({ members }) => members.some(({ deviceKey }) => deviceKey === key)),
      );
  }

  /** What the control process of a server is told to do with disks that it found. */
  wants(guid: string, found: readonly number[]): readonly { deviceKey: number; task: string }[] {
    const link = this.open('sds');
    this.send(link, MSG.REGISTER_SDS, {
      ...{ guid, addresses: [], port: 7072, version: '1', systemId: '' },
      devices: found.map((deviceKey) => ({ deviceKey, path: '/dev/disk', incarnation: 1 })),
    });
    const told = this.links.sent
      .filter((sent) => sent.link === link && sent.code === MSG.DEVICE_WANTS)
      .at(-1);
    if (told === undefined) throw new Error('nothing was wanted');
    const { body } = decodeControl(MSG.DEVICE_WANTS, told.body);
    return (body as ControlBodies[typeof MSG.DEVICE_WANTS]).wants;
  }

  /** A device knows a newer entry of a comb. */
  knows(deviceKey: number, entry: CombEntry): void {
    const known = this.memories.get(deviceKey) ?? [];
    this.memories.set(
      deviceKey,
      [...known.filter(({ index }) => index !== entry.index), entry].sort(
        (a, b) => a.index - b.index,
      ),
    );
  }

  open(role: Role): LinkId {
    const link = ++this.lastLink;
    this.machine.linkUp(0, link, {
      ...{ role, key: 0, incarnation: 1, run: 0, link: 0, linkEpoch: 1 },
      ...{ version: VERSION_MAX, features: 0 },
    });
    return link;
  }

  send<C extends ControlCode>(link: LinkId, code: C, body: ControlBodies[C]): number {
    const tag = ++this.lastTag;
    this.frame(link, encodeControl(code, tag, 0, body));
    return tag;
  }

  ask<N extends CommandName>(name: N, params: CommandParams[N]): CommandResults[N] | number {
    const tag = ++this.lastTag;
    this.frame(this.open('admin'), encodeCommand(name, tag, 'admin', params));
    const answer = this.links.sent.find((sent) => sent.tag === tag);
    if (answer === undefined) throw new Error('no answer');
    return answer.status === 0 ? decodeCommandAnswer(name, answer.body) : answer.status;
  }

  /** Layers of which each device holds chunks, in the pages in which it tells; none: it knows no such question. */
  readonly layers = new Map<number, LayerAt[][]>();

  /** Devices tell the first page only. */
  silent = false;

  /** The device goes on telling. */
  finishLayers(deviceKey: number, page: ControlBodies[typeof MSG.LAYERS_REMEMBERED]): void {
    this.send(this.linkOf.get(deviceKey) ?? 0, MSG.LAYERS_REMEMBERED, page);
  }

  private readonly linkOf = new Map<number, LinkId>();

  /** Answers what is asked of layers, until nothing more is. */
  private tellLayers(link: LinkId, deviceKey: number): void {
    const pages = this.layers.get(deviceKey) ?? [];
    for (const [place, layers] of pages.entries()) {
      if (this.silent && place > 0) return;
      const asked = this.links.sent
        .filter((sent) => sent.link === link && sent.code === MSG.LAYERS_WANTED)
        .at(-1);
      const { after } = decodeControl(MSG.LAYERS_WANTED, asked?.body ?? new Uint8Array(0))
        .body as ControlBodies[typeof MSG.LAYERS_WANTED];
      this.send(link, MSG.LAYERS_REMEMBERED, { after, layers, more: place < pages.length - 1 });
    }
  }

  /** The device's process registers, tells what it remembers in pages of `size`, and beats. */
  tells(
    device: Pick<TestDevice, 'key' | 'sdsKey' | 'incarnation'>,
    appliedSequence = 7,
    size = 5,
    poolKey = this.poolKey,
  ): void {
    const link = this.open('sdsData');
    this.send(link, MSG.REGISTER_DEVICE, {
      ...{ deviceKey: device.key, sdsKey: device.sdsKey, incarnation: device.incarnation },
      ...{ dataIncarnation: device.incarnation - 1, rolledBack: false, port: 7073, version: '1' },
      ...{ usage: USAGE, epoch: 1 },
    });
    this.linkOf.set(device.key, link);
    this.tellLayers(link, device.key);
    const entries = this.memories.get(device.key) ?? [];
    for (;;) {
      const asked = this.links.sent
        .filter((sent) => sent.link === link && sent.code === MSG.COMBS_WANTED)
        .at(-1);
      const wanted = decodeControl(MSG.COMBS_WANTED, asked?.body ?? new Uint8Array(0))
        .body as ControlBodies[typeof MSG.COMBS_WANTED];
      const rest = entries.filter(({ index }) => index >= wanted.from);
      const page = rest.slice(0, size);
      const more = rest.length > page.length;
      this.send(link, MSG.COMBS_REMEMBERED, {
        ...{ poolKey, from: wanted.from, more },
        through: more ? (page.at(-1)?.index ?? 0) : 0xffffffff,
        memories: page.map((entry) => ({
          entry,
          inSyncUntil: entry.generation,
          changedSince: NONE,
        })),
      });
      if (!more) break;
    }
    this.send(link, MSG.HEARTBEAT, {
      ...{ progress: 1, appliedSequence, usage: null, counters: [], volumes: [] },
      ...{ listedAfter: ALL_KEYS.after, listedThrough: ALL_KEYS.through },
    });
  }

  private frame(link: LinkId, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.machine.frame(0, link, bytes, view, 0);
    this.links.collect();
  }
}

const NONE = { epoch: 0, number: 0 };
const USAGE = {
  ...{
    capacityBytes: GIB,
    usedBytes: 0,
    resyncBytesTotal: 0,
    resyncBytesDone: 0,
    degradedCombs: 0,
  },
  ...{ rebuildBytesLeft: 0, rebalanceBytesLeft: 0, times: NO_DISK_TIMES, cache: null, scan: null },
  ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
};

const shrunk = (entry: CombEntry, deviceKey: number): CombEntry => {
  const place = entry.members.findIndex((member) => member.deviceKey === deviceKey);
  const inSyncMask = entry.inSyncMask & ~(1 << place);
  const primary = entry.members.findIndex((_, index) => ((inSyncMask >> index) & 1) === 1);
  const { epoch, number } = entry.generation;
  return { ...entry, inSyncMask, primary, generation: { epoch, number: number + 1 } };
};

test('nothing goes on before every device that may know more was heard, and then in a new epoch', (t) => {
  const facts = made();
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const waiting = rig.ask('CHECK_METADATA', {});
  t.true(typeof waiting === 'object' && waiting.restoring && waiting.findings.length === 3);
  rig.tells(a);
  rig.tells(b);
  t.is(rig.recovered, null);
  const refused = rig.ask('ADD_PROTECTION_DOMAIN', { name: 'x' });
  t.is(refused, ERR.METADATA_RESTORED);
  rig.tells(c, 9_000_000);
  const { state, sequence } = rig.recovered ?? { state: new State(), sequence: 0 };
  t.true(sequence > 9_000_000, 'what a device applied of the former life does not count');
  const before = new Map(facts.entries.map((entry) => [entry.index, entry]));
  for (const entry of state.combs.ofPool(facts.poolKey)) {
    t.is(entry.generation.epoch, state.system.clusterEpoch);
    t.true(entry.generation.epoch > (before.get(entry.index)?.generation.epoch ?? 0));
    t.is(entry.inSyncMask, before.get(entry.index)?.inSyncMask ?? -1);
  }
});

test('the newest entry that anybody remembers is the true one: a copy that left stays out', (t) => {
  const facts = made();
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const comb = facts.entries.find(({ members }) => members.some((m) => m.deviceKey === a.key));
  if (comb === undefined) throw new Error('a comb of the device');
  const other = comb.members.find(({ deviceKey }) => deviceKey !== a.key)?.deviceKey ?? 0;
  const news = shrunk(comb, a.key);
  rig.knows(other, news);
  for (const device of [a, b, c]) rig.tells(device);
  const entry = rig.recovered?.state.combs.ofPool(facts.poolKey)[comb.index];
  t.is(entry?.inSyncMask, news.inSyncMask);
  t.is(entry?.members[entry.primary]?.deviceKey, other);
});

test('a device that an entry learned of later names is waited for, too', (t) => {
  const facts = made();
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const comb = facts.entries.find(({ members }) => members.every((m) => m.deviceKey !== c.key));
  if (comb === undefined) throw new Error('a comb without the third');
  // It moved to the third device since the backup, and then lost the first.
  const { epoch, number } = comb.generation;
  const [first] = comb.members;
  const moved: CombEntry = {
    ...comb,
    ...{
      members: [first, { deviceKey: c.key, incarnation: c.incarnation }] as CombEntry['members'],
    },
    ...{ primary: 0, inSyncMask: 3, targetMask: 0, generation: { epoch, number: number + 5 } },
  };
  rig.knows(first?.deviceKey ?? 0, moved);
  rig.knows(c.key, shrunk(moved, first?.deviceKey ?? 0));
  rig.tells(a);
  rig.tells(b);
  t.is(rig.recovered, null);
  const checked = rig.ask('CHECK_METADATA', {});
  t.true(
    typeof checked === 'object' && checked.findings.some(({ deviceKey }) => deviceKey === c.key),
  );
  rig.tells(c);
  const entry = rig.recovered?.state.combs.ofPool(facts.poolKey)[comb.index];
  t.is(entry?.members[entry.primary]?.deviceKey, c.key);
  t.is(entry?.inSyncMask, 2);
});

test('devices that are given up leave where another copy stays, and stay where they are the only one', (t) => {
  const facts = made();
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const alone = facts.entries.find(({ members }) => members.some((m) => m.deviceKey === c.key));
  if (alone === undefined) throw new Error('a comb of the third');
  const partner = alone.members.find(({ deviceKey }) => deviceKey !== c.key)?.deviceKey ?? 0;
  rig.knows(partner, shrunk(alone, partner));
  rig.tells(a);
  rig.tells(b);
  t.is(rig.recovered, null);
  t.deepEqual(rig.ask('CONFIRM_RESTORE', { deviceKeys: [c.key] }), {});
  const entries = rig.recovered?.state.combs.ofPool(facts.poolKey) ?? [];
  t.is(entries.length, facts.entries.length);
  for (const entry of entries) {
    const lost = entry.members.findIndex(({ deviceKey }) => deviceKey === c.key);
    if (entry.index === alone.index) {
      t.is(entry.inSyncMask, 1 << lost, 'nobody else is put in sync in its place (C8)');
      continue;
    }
    t.is(lost, -1);
    t.true(entry.inSyncMask > 0);
  }
});

test('a device that went to another domain with its SDS has no place in the backup: somebody decides', (t) => {
  const facts = made();
  const { cluster } = facts;
  const domainKey = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'other' }).key;
  const otherPool = cluster.command('ADD_STORAGE_POOL', {
    ...{ domainKey, name: 'o', mediaType: 'SSD', durability: 'media', zeroPadding: true },
    ...{
      checksums: true,
      rmcache: false,
      cacheWrites: 'cached' as const,
      sparePercent: 0,
      combCountLog2: 4,
    },
  }).key;
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const [comb] = facts.entries;
  const [first] = comb?.members ?? [];
  if (comb === undefined || first === undefined) throw new Error('a comb');
  const away = { key: 99, sdsKey: c.sdsKey, incarnation: 1 };
  const { epoch, number } = comb.generation;
  const members = [first, { deviceKey: away.key, incarnation: 1 }];
  const generation = { epoch, number: number + 5 };
  rig.knows(first.deviceKey, { ...comb, members, primary: 0, inSyncMask: 3, generation });
  for (const device of [a, b, c]) rig.tells(device);
  rig.tells(away, 7, 5, otherPool);
  t.is(rig.recovered, null);
  const checked = rig.ask('CHECK_METADATA', {});
  if (typeof checked === 'number') throw new Error('an answer');
  t.deepEqual(
    checked.findings.map(({ kind, deviceKey }) => [kind, deviceKey]),
    [['awaited', away.key]],
  );
  t.regex(checked.findings[0]?.reason ?? '', /went to another protection domain with its SDS/);
  t.deepEqual(rig.ask('CONFIRM_RESTORE', { deviceKeys: [away.key] }), {});
  const entry = rig.recovered?.state.combs.ofPool(facts.poolKey)[comb.index];
  t.deepEqual(
    entry?.members.map(({ deviceKey }) => deviceKey),
    [first.deviceKey],
  );
});

/** What the backup knows of a device that came along with its SDS to another domain, and is not formatted yet. */
function onTheWay(facts: Made, deviceKey: number, sdsKey: number): (state: State) => void {
  return (state) => {
    const device = state.devices.get(deviceKey);
    const sds = state.sds.get(sdsKey);
    if (device === undefined || sds === undefined) throw new Error('a device and its SDS');
    const blank = { incarnation: 0, capacityBytes: 0, port: 0, dataSince: 0, formatted: false };
    state.devices.put(deviceKey, { ...device, ...blank, state: 'adding', replaces: [77] });
    const { domainKey, faultSetKey } = sds;
    state.sds.put(sdsKey, {
      ...sds,
      move: {
        ...{ stage: 'joining', domainKey, faultSetKey, fromDomainKey: 55, fromFaultSetKey: 0 },
        devices: [{ deviceKey, poolKey: facts.poolKey, fromPoolKey: 56 }],
      },
    });
  };
}

test('a device that was on its way into the pool when the backup was taken tells what it got since, and is there', (t) => {
  const facts = made();
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const rig = new Rig(facts, onTheWay(facts, c.key, c.sdsKey));
  const guid = facts.cluster.query('sds', [c.sdsKey]).sds[0]?.guid ?? '';
  t.deepEqual(
    rig.wants(guid, [c.key]).map(({ deviceKey, task }) => [deviceKey, task]),
    [[c.key, 'open']],
    'a disk that is one of the system by now is not closed',
  );
  for (const device of [a, b]) rig.tells(device);
  t.is(rig.recovered, null, 'combs name it');
  rig.tells(c);
  const { state } = rig.recovered ?? { state: new State() };
  t.like(state.devices.get(c.key), {
    ...{ state: 'up', formatted: true, capacityBytes: GIB, incarnation: c.incarnation },
    replaces: [],
  });
});

test('a disk that was not formatted by then is not opened, and the system goes on without it', (t) => {
  const facts = made();
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const rig = new Rig(facts, (state) => {
    onTheWay(facts, c.key, c.sdsKey)(state);
    for (const entry of state.combs.ofPool(facts.poolKey))
      state.combs.put(facts.poolKey, {
        ...entry,
        members: [a, b].map(({ key, incarnation }) => ({ deviceKey: key, incarnation })),
      });
  });
  const guid = facts.cluster.query('sds', [c.sdsKey]).sds[0]?.guid ?? '';
  t.deepEqual(rig.wants(guid, []), []);
  rig.tells(a);
  rig.tells(b);
  t.like(rig.recovered?.state.devices.get(c.key), { state: 'adding', formatted: false });
});

test('a life has its own numbers; a backup restored twice gives out others; they end', (t) => {
  const { cluster, poolKey } = made();
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const { term, sequence } = cluster.store;
  const content = { term, sequence, entries: cluster.store.entries() };
  const one = renewed(content, NOW_MS, () => 0.7, isHere).content;
  const two = renewed(content, NOW_MS + 60_000, () => 0.1, isHere).content;
  t.true(one.term > term && one.sequence > sequence);
  t.is(two.term, one.term + 60, 'whoever followed the first life follows the second');
  t.not(one.sequence, two.sequence);
  const [life, later] = [stateOf(one), stateOf(two)];
  t.is(later.system.nextRun, life.system.nextRun + 60, 'a new client gets a run that is new');
  const numbers = (state: State): number[] =>
    [...state.volumes.values()].map((volume) => volume.epoch + volume.lastMappingGeneration);
  t.true(numbers(life).length > 0);
  t.deepEqual(
    numbers(later),
    numbers(life).map((number) => number + 120),
    'what devices remember of volumes is older',
  );
  const timeless = renewed(content, 0, () => 0.5, isHere).content;
  t.true(timeless.term > term, 'a clock that says nothing');
  t.throws(() => renewed(content, Date.UTC(2200, 0), () => 0.5, isHere), {
    instanceOf: RenewalError,
    message: /term would be \d+, which is too high: look at the clock of this server/,
  });
  let again: Parameters<typeof renewed>[0] = content;
  const error = t.throws(
    () => {
      for (let count = 0; count < 2000; count++)
        again = renewed(again, NOW_MS, () => 0.5, isHere).content;
    },
    { instanceOf: RenewalError },
  );
  t.regex(error.message, /restored too often/);
  t.throws(() => renewed({ term: 0, sequence: 0, entries: [] }, NOW_MS, () => 0, isHere), {
    message: /holds no system/,
  });
});

test('a device that remembers a later life of the metadata is refused with both epochs', (t) => {
  const { cluster, devices } = made();
  const [device] = devices;
  if (device === undefined) throw new Error('a device');
  const refusal = cluster.refusal(cluster.register(device, { epoch: 5 }));
  t.regex(refusal?.text ?? '', /remembers cluster epoch 5, this metadata is of epoch 1/);
});

/** With two volumes of one layer each. */
function withVolumes(): { facts: Made; volumes: readonly number[] } {
  const facts = made();
  const volumes = ['v', 'w'].map((name) => {
    const params = { poolKey: facts.poolKey, name, sizeSectors: 2048 } as const;
    return facts.cluster.command('ADD_VOLUME', { ...params, provisioning: 'thin', rmcache: true })
      .key;
  });
  return { facts, volumes };
}

test('volumes of which devices hold layers that the backup does not know are served to nobody until that is confirmed', (t) => {
  const { facts, volumes } = withVolumes();
  const [v = 0, w = 0] = volumes;
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const known = [v, w].map((key) => ({ layerKey: key, vtreeKey: key }));
  // A volume that was made since is none of these: it has a V-tree of its own.
  const foreign = { layerKey: 9_000, vtreeKey: 9_000 };
  rig.layers.set(a.key, [known, [{ layerKey: 8_000, vtreeKey: v }, foreign]]);
  rig.layers.set(b.key, [known]);
  for (const device of [a, b, c]) rig.tells(device);
  const state = rig.recovered?.state;
  t.deepEqual([state?.volumes.get(v)?.doubtful, state?.volumes.get(w)?.doubtful], [true, false]);
});

test('a device that has more layers to tell is waited for', (t) => {
  const { facts, volumes } = withVolumes();
  const rig = new Rig(facts);
  const [a, b, c] = facts.devices as [TestDevice, TestDevice, TestDevice];
  const [v = 0] = volumes;
  rig.layers.set(a.key, [[{ layerKey: v, vtreeKey: v }], [{ layerKey: 8_000, vtreeKey: v }]]);
  rig.silent = true;
  for (const device of [a, b, c]) rig.tells(device);
  t.is(rig.recovered, null);
  rig.finishLayers(a.key, { after: v, layers: [{ layerKey: 8_000, vtreeKey: v }], more: false });
  t.true(rig.recovered?.state.volumes.get(v)?.doubtful);
});
