// The RAM read cache of a server among its devices: whatever order answers come in, all together never have more than it.

import test from 'ava';
import fc from 'fast-check';

import { MIB } from '../../../backend/core/units.js';
import { CacheShares } from '../../../backend/sds/cache-shares.js';

/** A process: what it holds at most, and what it was told and did not do yet. */
interface Process {
  held: number;
  readonly told: number[];
}

class Server {
  readonly processes = new Map<number, Process>();
  readonly shares = new CacheShares((deviceKey, bytes) => {
    this.processes.get(deviceKey)?.told.push(bytes);
  });

  get heldBytes(): number {
    return [...this.processes.values()].reduce((sum, { held }) => sum + held, 0);
  }

  start(deviceKey: number, wanted = true): void {
    this.processes.set(deviceKey, { held: 0, told: [] });
    this.shares.use(deviceKey, wanted);
    this.shares.divide();
  }

  /** The process does what it was told first. */
  obey(deviceKey: number): void {
    const process = this.processes.get(deviceKey);
    const bytes = process?.told.shift();
    if (process === undefined || bytes === undefined) return;
    process.held = bytes;
    this.shares.confirmed(deviceKey, bytes);
  }

  end(deviceKey: number): void {
    this.processes.delete(deviceKey);
    this.shares.ended(deviceKey);
  }

  obeyAll(): void {
    while ([...this.processes.values()].some(({ told }) => told.length > 0))
      for (const deviceKey of this.processes.keys()) this.obey(deviceKey);
  }

  setTotal(mib: number): void {
    this.shares.setTotal(mib * MIB);
    this.shares.divide();
  }
}

test('devices of pools that use the cache have equal shares of it', (t) => {
  const server = new Server();
  server.setTotal(128);
  for (const key of [1, 2, 3]) server.start(key, key !== 2);
  server.obeyAll();
  const held = (): number[] => [...server.processes.values()].map((process) => process.held / MIB);
  t.deepEqual(held(), [64, 0, 64]);
  server.shares.use(2, true);
  server.shares.divide();
  server.obeyAll();
  t.deepEqual(held(), [42, 42, 42]);
  server.end(1);
  server.obeyAll();
  t.deepEqual(held(), [64, 64]);
  server.setTotal(0);
  server.obeyAll();
  t.deepEqual(held(), [0, 0]);
});

test('a larger share is told only when what others gave back is confirmed', (t) => {
  const server = new Server();
  server.setTotal(100);
  server.start(1);
  server.obey(1);
  server.start(2);
  t.deepEqual(server.processes.get(2)?.told, []);
  server.obey(1);
  t.deepEqual(server.processes.get(2)?.told, [50 * MIB]);
});

test('a share told twice, with a larger one between, is confirmed once only', (t) => {
  const server = new Server();
  server.setTotal(200);
  server.start(4);
  server.obey(4);
  server.start(3);
  // The second device stops using the cache and begins anew before the first has done anything of what that means for it.
  for (const wanted of [false, true]) {
    server.shares.use(3, wanted);
    server.shares.divide();
  }
  for (const deviceKey of [4, 3, 4]) {
    server.obey(deviceKey);
    t.true(server.heldBytes <= 200 * MIB);
  }
  server.obeyAll();
  t.deepEqual(
    [3, 4].map((deviceKey) => server.processes.get(deviceKey)?.held),
    [100 * MIB, 100 * MIB],
  );
});

test('all together never hold more than the server was given, in any order', (t) => {
  const action = fc.record({
    kind: fc.constantFrom('obey', 'obey', 'obey', 'start', 'end', 'use', 'total'),
    key: fc.integer({ min: 1, max: 4 }),
    value: fc.nat(300),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 100, size: 'max' }), (actions) => {
      const server = new Server();
      let mostMib = 200;
      server.setTotal(mostMib);
      for (const { kind, key, value } of actions) {
        const isRunning = server.processes.has(key);
        if (kind === 'obey') server.obey(key);
        else if (kind === 'start' && !isRunning) server.start(key, value % 3 > 0);
        else if (kind === 'end' && isRunning) server.end(key);
        else if (kind === 'use' && isRunning) {
          server.shares.use(key, value % 3 > 0);
          server.shares.divide();
        } else if (kind === 'total') {
          // A smaller total counts when all have heard of it.
          server.obeyAll();
          mostMib = value;
          server.setTotal(value);
          server.obeyAll();
        }
        if (server.heldBytes > mostMib * MIB) return false;
      }
      server.obeyAll();
      const users = [...server.processes.values()].filter(({ held }) => held > 0);
      return users.every(({ held }) => held === users[0]?.held);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
