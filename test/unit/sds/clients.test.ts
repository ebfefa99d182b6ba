// Links and runs of clients, and which operations may still be asked again (C10).

import test from 'ava';

import type { Peer } from '../../../backend/core/ports.js';
import { opIdOf } from '../../../backend/protocol/settled-ops.js';
import type { SettledOps } from '../../../backend/protocol/settled-ops.js';
import { Clients } from '../../../backend/sds/clients.js';

const MINUTE_US = 60_000_000;

function peer(run: number, link: number, linkEpoch: number, key = 9): Peer {
  return { role: 'sdc', key, incarnation: 0, run, link, linkEpoch, version: 1, features: 0 };
}

function below(opLow: number, opHigh: number, open: readonly number[] = []): SettledOps {
  return { belowId: opIdOf(opLow, opHigh), open };
}

test('a newer epoch of a link replaces the older one; another link of the client stays', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  clients.add(0, 1, peer(5, 0, 1));
  clients.add(0, 2, peer(5, 1, 1));
  const replaced = clients.add(0, 3, peer(5, 0, 2)) ?? [];
  t.deepEqual(
    replaced.map(({ link }) => link),
    [1],
  );
});

test('a link that is older than what is known is refused', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  clients.add(0, 1, peer(5, 0, 7));
  t.is(clients.add(0, 2, peer(5, 0, 6)), null);
  t.is(clients.add(0, 3, peer(4, 0, 9)), null);
});

test('a newer run replaces all links of the older one, whose operations are over', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  clients.add(0, 1, peer(5, 0, 1));
  clients.add(0, 2, peer(5, 1, 1));
  t.true(clients.mayRetry(0, 5, 100, 0));
  t.is(clients.add(0, 3, peer(6, 0, 1))?.length, 2);
  t.false(clients.mayRetry(0, 5, 100, 0));
  t.true(clients.mayRetry(0, 6, 0, 0));
});

test('operations below the watermark are over, whatever is told later', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  t.true(clients.settled(0, 5, below(10, 1)));
  t.false(clients.settled(0, 5, below(20, 0)), 'an older watermark is no news');
  t.false(clients.mayRetry(0, 5, 9, 1));
  t.false(clients.mayRetry(0, 5, 0xffffffff, 0));
  t.true(clients.mayRetry(0, 5, 10, 1));
});

test('what still waits below the watermark may be asked again, until it is told otherwise', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  t.true(clients.settled(0, 5, below(100, 0, [7, 50])));
  t.true(clients.mayRetry(0, 5, 7, 0));
  t.true(clients.mayRetry(0, 5, 50, 0));
  t.false(clients.mayRetry(0, 5, 49, 0));
  t.false(clients.settled(0, 5, below(100, 0, [7, 50])), 'the same is no news');
  t.false(
    clients.settled(0, 5, below(7, 0)),
    'what a data process relays that knows no exceptions',
  );
  t.true(clients.mayRetry(0, 5, 50, 0));
  t.true(clients.settled(0, 5, below(100, 0, [50])));
  t.false(clients.mayRetry(0, 5, 7, 0));
  t.true(clients.mayRetry(0, 5, 50, 0));
});

test('a run of which nothing is heard for long is over, one with a link is not', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  clients.startedUs = 0;
  clients.settled(0, 5, below(1, 0));
  clients.add(0, 1, peer(6, 0, 1));
  t.true(clients.mayRetry(MINUTE_US, 5, 1, 0));
  t.false(clients.mayRetry(20 * MINUTE_US, 5, 1, 0));
  t.true(clients.mayRetry(20 * MINUTE_US, 6, 1, 0));
  t.true(clients.mayRetry(MINUTE_US, 7, 1, 0), 'a run from before this process');
  t.false(clients.mayRetry(20 * MINUTE_US, 7, 1, 0));
});

test('what is told again is no sign of life; a link that was there until now is', (t) => {
  const clients = new Clients(15 * MINUTE_US);
  clients.settled(0, 5, below(1, 0));
  clients.settled(14 * MINUTE_US, 5, below(1, 0));
  t.false(clients.mayRetry(16 * MINUTE_US, 5, 1, 0));
  clients.add(0, 1, peer(6, 0, 1));
  clients.remove(20 * MINUTE_US, 1);
  t.true(clients.mayRetry(34 * MINUTE_US, 6, 1, 0));
  t.false(clients.mayRetry(36 * MINUTE_US, 6, 1, 0));
});

test('what a client says is passed on once, also where another data process had said it before', (t) => {
  const clients = new Clients(1000);
  clients.add(0, 1, peer(9, 0, 1));
  t.is(clients.toRelay(9), null, 'nothing was said');
  const settled = below(40, 0);
  // Another data process was quicker.
  t.true(clients.settled(1, 9, settled));
  t.false(clients.settled(2, 9, settled));
  t.deepEqual(clients.toRelay(9), settled);
  t.is(clients.toRelay(9), null);
  t.true(clients.settled(3, 9, below(41, 0, [40])));
  t.deepEqual(clients.toRelay(9), below(41, 0, [40]));
});
