// Damage on an open link: whatever arrives, it is answered or the link ends; no damaged frame reaches the machine, and
// the process serves the next link as if nothing had been.

import test from 'ava';
import fc from 'fast-check';

import { encodeControl } from '../../support/newest.js';
import { sealFrame, sealHeader } from '../../../backend/protocol/frames.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { Endpoint, until } from './endpoint.js';

const LAST_TAG = 0xffff;

const viewOf = (frame: Uint8Array): DataView =>
  new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

function victim(): Uint8Array {
  return encodeControl(MSG.REGISTER_SDS, 5, 0, {
    guid: '271BAD82-08EE-44F2-A2B1-7E2787C27BE1',
    addresses: [{ host: '127.0.0.1', role: 'all' }],
    port: 7072,
    version: '0.1.0',
    devices: [],
    systemId: '',
  });
}

interface Damage {
  readonly kind: 'flip' | 'cut' | 'random' | 'resealed';
  readonly place: number;
  readonly value: number;
  readonly noise: Uint8Array;
}

const damages: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('flip', 'cut', 'random', 'resealed'),
  place: fc.nat(),
  value: fc.integer({ min: 1, max: 255 }),
  noise: fc.uint8Array({ minLength: 1, maxLength: 2000 }),
});

function damaged({ kind, place, value, noise }: Damage): Uint8Array {
  const frame = victim();
  const at = place % frame.length;
  if (kind === 'random') return noise;
  if (kind === 'cut') return frame.subarray(0, Math.max(1, at));
  frame[at] = (frame[at] ?? 0) ^ value;
  // A liar can make the checksums right.
  if (kind === 'resealed') {
    if (head.getBodyBytes(viewOf(frame), 0) === frame.length - 64)
      sealFrame(frame, viewOf(frame), 0);
    else sealHeader(viewOf(frame), 0);
  }
  return frame;
}

test('damage is answered or ends the link, and reaches no machine unless its checksums are right', async (t) => {
  const server = new Endpoint('mdm', ['sds']);
  const port = await server.links.listen('127.0.0.1', 0);
  t.teardown(() => {
    server.stop();
  });
  await fc.assert(
    fc.asyncProperty(damages, async (damage) => {
      const client = new Endpoint('sds', []);
      try {
        const link = client.connect(port);
        await until('the link is up', () => client.ups.length === 1);
        const before = server.heard.length;
        const downs = server.downs.length;
        client.input(() => {
          for (const frame of [
            damaged(damage),
            encodeControl(MSG.CLUSTER_QUERY, LAST_TAG, 0, {}),
          ]) {
            // A reservation has the length of a frame at least; what is shorter is sent with what follows.
            const region = client.links.reserve(link, Math.max(64, frame.length));
            region.bytes.fill(0, region.at, region.at + 64);
            region.bytes.set(frame, region.at);
          }
          client.links.close(link);
        });
        await until('the server has seen the end', () => server.downs.length > downs);
        const heard = server.heard.slice(before);
        for (const { frame } of heard) {
          const tag = head.getTag(viewOf(frame), 0);
          if (damage.kind !== 'resealed') t.is(tag, LAST_TAG);
        }
      } finally {
        client.stop();
      }
    }),
    { numRuns: 150 },
  );
  const client = new Endpoint('sds', []);
  t.teardown(() => {
    client.stop();
  });
  const link = client.connect(port);
  await until('the link is up', () => client.ups.length === 1);
  const before = server.heard.length;
  client.send(link, encodeControl(MSG.CLUSTER_QUERY, 1, 0, {}));
  await until('the frame arrived', () => server.heard.length === before + 1);
  t.deepEqual(client.downs, []);
});

test('a frame whose length lies behind a right checksum waits for no more than it says', async (t) => {
  const server = new Endpoint('mdm', ['sds']);
  const client = new Endpoint('sds', []);
  t.teardown(() => {
    server.stop();
    client.stop();
  });
  const link = client.connect(await server.links.listen('127.0.0.1', 0));
  await until('the link is up', () => client.ups.length === 1);
  const frame = victim();
  // The body is said to be shorter than it is: what is left of it is no header.
  head.setBodyBytes(viewOf(frame), 0, 4);
  sealFrame(frame, viewOf(frame), 0);
  client.send(link, frame);
  await until('the server hangs up', () => client.downs.length === 1);
  t.regex(server.downs[0]?.reason ?? '', /magic/);
  t.is(server.heard.length, 1);
  t.not(head.getStatus(viewOf(server.heard[0]?.frame ?? frame), 0), ERR.BAD_FRAME);
});
