// What happens when answers are lost, gateways are down or the cluster cannot be reached: nothing is lost, nothing is doubled.

import { randomUUID } from 'node:crypto';

import test from 'ava';
import fc from 'fast-check';

import { volumeName } from '../../../cinder-bridge/naming.js';
import { ClusterError } from '../../../backend/runtime/cluster.js';
import { BridgeHarness, POOL } from '../../support/bridge-harness.js';
import type { BridgeAnswer } from '../../support/bridge-harness.js';

const GIB_SECTORS = 2 ** 21;

function wanted(sizeGib: number) {
  return { ...POOL, sizeGib, provisioning: 'thin' };
}

async function withBridge(work: (bridge: BridgeHarness) => Promise<void>): Promise<void> {
  const bridge = await BridgeHarness.start();
  try {
    await work(bridge);
  } finally {
    await bridge.stop();
  }
}

test('an answer that is lost is asked for again: one volume, one attachment, gone once', async (t) => {
  await withBridge(async (bridge) => {
    const uuid = randomUUID();
    const path = `/v1/volumes/${uuid}`;
    const lossy = async (method: string, place: string, body: unknown): Promise<BridgeAnswer> => {
      const before = bridge.proxy.lost;
      bridge.proxy.losing = 1;
      const answer = await bridge.call(method, place, body);
      bridge.proxy.losing = 0;
      t.true(bridge.proxy.lost >= before);
      return answer;
    };
    t.is((await lossy('PUT', path, wanted(2))).status, 200);
    t.is((await lossy('PUT', path, wanted(2))).status, 200);
    t.is((await lossy('POST', `${path}/extend`, { sizeGib: 3 })).status, 200);
    const host = { host: 'c1', accessMode: 'ReadWrite' };
    t.is((await lossy('PUT', `${path}/attachments/a`, host)).status, 200);
    t.is((await lossy('DELETE', `${path}/attachments/a`, { generation: 0 })).status, 200);
    t.is((await lossy('DELETE', path, { unmapLeftovers: false })).status, 200);
    t.deepEqual(bridge.cluster.tables.volume, []);
    t.deepEqual(bridge.cluster.tables.attachment, []);
    t.true(bridge.proxy.lost > 0, 'answers were lost at all');
  });
});

test('a gateway that is gone: the next one serves, and its token counts there too', async (t) => {
  await withBridge(async (bridge) => {
    const uuid = randomUUID();
    t.is((await bridge.call('PUT', `/v1/volumes/${uuid}`, wanted(1))).status, 200);
    await bridge.proxy.stop();
    t.is((await bridge.call('POST', `/v1/volumes/${uuid}/extend`, { sizeGib: 2 })).status, 200);
    const { body } = await bridge.call('GET', '/v1/health');
    t.is(body['status'], 'degraded');
    t.true(bridge.log.some(({ name }) => name === 'bridge.gateway.failed'));
  });
});

test('all gateways without a cluster: refused in time as unavailable; afterwards it works', async (t) => {
  await withBridge(async (bridge) => {
    const uuid = randomUUID();
    bridge.cluster.failure = ClusterError.named('NOT_READY');
    const refused = await bridge.call('PUT', `/v1/volumes/${uuid}`, wanted(1));
    t.is(refused.status, 503);
    t.like(refused.body, { error: { code: 'unavailable' } });
    t.is((await bridge.call('GET', '/v1/health')).body['status'], 'down');
    bridge.cluster.failure = null;
    t.is((await bridge.call('PUT', `/v1/volumes/${uuid}`, wanted(1))).status, 200);
  });
});

test('a session that ended is replaced by a new one', async (t) => {
  await withBridge(async (bridge) => {
    t.is((await bridge.call('GET', '/v1/ledger')).status, 200);
    for (const gateway of bridge.gateways) gateway.clockAheadMs = 9 * 3_600_000;
    t.is((await bridge.call('GET', '/v1/ledger')).status, 200);
  });
});

test('snapshots and copies whose answers are lost are made once', async (t) => {
  await withBridge(async (bridge) => {
    const [volumeId, snapshotId, copyId] = [randomUUID(), randomUUID(), randomUUID()];
    await bridge.call('PUT', `/v1/volumes/${volumeId}`, wanted(1));
    const snapshot = { snapshots: [{ snapshotId, volumeId }] };
    const copy = { ...POOL, volumeId: copyId, source: { snapshotId }, sizeGib: 2 };
    for (const lost of [1, 2, 0]) {
      bridge.proxy.losing = lost;
      t.is((await bridge.call('POST', '/v1/snapshots', snapshot)).status, 200);
      bridge.proxy.losing = lost;
      t.is((await bridge.call('POST', '/v1/copies', { copies: [copy] })).status, 200);
    }
    bridge.proxy.losing = 0;
    t.is(bridge.cluster.tables.volume.length, 3);
    t.true(bridge.cluster.asked.some(({ name }) => name === 'RESIZE_VOLUME'));
  });
});

interface Step {
  readonly kind: 'create' | 'remove' | 'extend' | 'attach' | 'detach';
  readonly volume: number;
  readonly sizeGib: number;
  readonly lost: number;
  readonly twice: boolean;
}

const STEP: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('create', 'remove', 'extend', 'attach', 'detach'),
  volume: fc.nat({ max: 2 }),
  sizeGib: fc.integer({ min: 1, max: 3 }),
  lost: fc.nat({ max: 2 }),
  twice: fc.boolean(),
});

/** What the cluster must hold of one volume. */
interface Expected {
  sizeGib: number;
  holders: Set<string>;
}

function request({ kind, sizeGib }: Step, path: string): readonly [string, string, object] {
  const holder = `${path}/attachments/h${sizeGib}`;
  if (kind === 'create') return ['PUT', path, wanted(sizeGib)];
  if (kind === 'remove') return ['DELETE', path, { unmapLeftovers: false }];
  if (kind === 'extend') return ['POST', `${path}/extend`, { sizeGib }];
  if (kind === 'attach') return ['PUT', holder, { host: 'c1', accessMode: 'ReadWrite' }];
  return ['DELETE', holder, { generation: 0 }];
}

/** What the model says that the answer is, and the change. */
function judged(step: Step, uuid: string, model: Map<string, Expected>): number {
  const { kind, sizeGib } = step;
  const volume = model.get(uuid);
  if (kind === 'create') {
    if (volume === undefined) model.set(uuid, { sizeGib, holders: new Set() });
    return volume === undefined || volume.sizeGib === sizeGib ? 200 : 409;
  }
  if (kind === 'remove') {
    if (volume !== undefined && volume.holders.size > 0) return 423;
    model.delete(uuid);
    return 200;
  }
  if (kind === 'detach') {
    volume?.holders.delete(`h${sizeGib}`);
    return 200;
  }
  if (volume === undefined) return 404;
  if (kind === 'attach') {
    volume.holders.add(`h${sizeGib}`);
    return 200;
  }
  if (volume.sizeGib > sizeGib) return 409;
  volume.sizeGib = sizeGib;
  return 200;
}

test('any requests, sent twice and with answers lost, leave what they would once', async (t) => {
  t.timeout(120_000);
  await withBridge(async (bridge) => {
    const run = async (steps: readonly Step[]): Promise<void> => {
      const uuids = [randomUUID(), randomUUID(), randomUUID()];
      const model = new Map<string, Expected>();
      for (const step of steps) {
        const uuid = uuids[step.volume] ?? '';
        const [method, path, body] = request(step, `/v1/volumes/${uuid}`);
        const expected = judged(step, uuid, model);
        bridge.proxy.losing = step.lost;
        const answers = [await bridge.call(method, path, body)];
        if (step.twice) answers.push(await bridge.call(method, path, body));
        bridge.proxy.losing = 0;
        for (const { status } of answers) t.is(status, expected, JSON.stringify(step));
      }
      const { volume, attachment, mapping } = bridge.cluster.tables;
      for (const uuid of uuids) {
        const found = volume.filter(({ name }) => name === volumeName(uuid));
        const wantedVolume = model.get(uuid);
        t.is(found.length, wantedVolume === undefined ? 0 : 1);
        const [one] = found;
        if (one === undefined || wantedVolume === undefined) continue;
        t.is(one.sizeSectors, wantedVolume.sizeGib * GIB_SECTORS);
        const holders = attachment.filter(({ volumeKey }) => volumeKey === one.key);
        t.deepEqual(new Set(holders.map(({ holder }) => holder)), wantedVolume.holders);
        const mappings = mapping.filter(({ volumeKey }) => volumeKey === one.key).length;
        t.is(mappings, wantedVolume.holders.size > 0 ? 1 : 0);
      }
    };
    await fc.assert(fc.asyncProperty(fc.array(STEP, { minLength: 3, maxLength: 12 }), run), {
      numRuns: 25,
    });
  });
});
