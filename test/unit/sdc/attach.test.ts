// What consumers of an attached volume rely on while its server dies and comes back: every request is answered once, with
// what a disk would have answered. Client and server are joined without sockets; the server answers out of order, and what
// is under way when it dies was done or not.

import test from 'ava';
import { Prng } from '../../../backend/core/prng.js';
import { NbdLink } from '../../../backend/sdc/attach/nbd-link.js';
import { PAYLOAD_AT, VolumeClient } from '../../../backend/sdc/attach/volume-client.js';
import type { Request, RequestOwner } from '../../../backend/sdc/attach/volume-client.js';
import { ERRNO, IO } from '../../../backend/sdc/block-front.js';
import type { BlockBack, IoKind } from '../../../backend/sdc/block-front.js';
import { NbdFront } from '../../../backend/sdc/nbd/front.js';
import type { NbdSession } from '../../../backend/sdc/nbd/session.js';
import { Slots } from '../../../backend/sdc/nbd/slots.js';

const SECTOR = 512;
const SECTORS = 64;
const VOLUME = {
  key: 7,
  name: 'vol7',
  sizeBytes: SECTOR * SECTORS,
  readOnly: false,
  volatileCache: true,
};

/** One life of a server over a disk that outlives it. */
class Server implements BlockBack {
  readonly session: NbdSession;
  readonly #front: NbdFront;
  readonly #disk: Uint8Array;
  readonly #prng: Prng;
  #waiting: { readonly act: () => void; readonly token: number }[] = [];

  constructor(disk: Uint8Array, prng: Prng) {
    this.#disk = disk;
    this.#prng = prng;
    const nothing = (): void => undefined;
    this.#front = new NbdFront({
      exportAdded: nothing,
      exportChanged: nothing,
      exportRemoved: nothing,
      unblocked: nothing,
    });
    this.#front.attach(this);
    this.#front.volumeAdded(0, VOLUME);
    this.session = this.#front.open(VOLUME.key);
  }

  volumes() {
    return [VOLUME];
  }

  abandon(): void {
    // Everything ends soon here.
  }

  submit(
    _nowUs: number,
    _key: number,
    kind: IoKind,
    offsetBytes: number,
    lengthBytes: number,
    _fua: boolean,
    bytes: Uint8Array,
    at: number,
    token: number,
  ): boolean {
    const act = (): void => {
      const end = offsetBytes + lengthBytes;
      if (kind === IO.read) bytes.set(this.#disk.subarray(offsetBytes, end), at);
      else if (kind === IO.write) this.#disk.set(bytes.subarray(at, at + lengthBytes), offsetBytes);
      else if (kind !== IO.flush) this.#disk.fill(0, offsetBytes, end);
    };
    this.#waiting.push({ act, token });
    return true;
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Does one of the waiting requests. */
  step(): void {
    const [one] = this.#waiting.splice(this.#prng.below(Math.max(1, this.#waiting.length)), 1);
    if (one === undefined) return;
    one.act();
    this.#front.ioDone(0, one.token, ERRNO.ok);
  }

  /** What was under way was done, or not; nobody hears of it. */
  die(): void {
    for (const { act } of this.#waiting.splice(0)) if (this.#prng.below(2) === 0) act();
  }
}

/** Checks every answer against a disk that does what was asked in the order of the answers. */
class Consumer implements RequestOwner {
  writeSlots = 0;
  otherSlots = 0;
  readonly slots = new Slots<RequestOwner>(64, 64 * 1048576, PAYLOAD_AT);
  readonly expected = new Uint8Array(VOLUME.sizeBytes);
  readonly client: VolumeClient;
  answers = 0;
  wrong = 0;
  readonly errors: number[] = [];
  #stamp = 0;

  constructor(client: VolumeClient) {
    this.client = client;
  }

  submit(kind: IoKind, first: number, count: number): boolean {
    const lengthBytes = kind === IO.flush ? 0 : count * SECTOR;
    const slot = this.slots.take(this, PAYLOAD_AT + lengthBytes, kind === IO.write);
    if (slot === null) return false;
    slot.command = kind;
    slot.offsetBytes = kind === IO.flush ? 0 : first * SECTOR;
    slot.lengthBytes = lengthBytes;
    if (kind === IO.write) {
      this.#stamp = (this.#stamp % 255) + 1;
      slot.bytes.fill(this.#stamp, PAYLOAD_AT, PAYLOAD_AT + lengthBytes);
    }
    this.client.submit(slot);
    return true;
  }

  done(slot: Request, errno: number): void {
    this.answers++;
    if (errno !== 0) this.errors.push(errno);
    const { offsetBytes, lengthBytes, command } = slot;
    const payload = slot.bytes.subarray(PAYLOAD_AT, PAYLOAD_AT + lengthBytes);
    const place = this.expected.subarray(offsetBytes, offsetBytes + lengthBytes);
    if (errno === 0 && command === IO.read && Buffer.compare(payload, place) !== 0) this.wrong++;
    if (errno === 0 && command === IO.write) place.set(payload);
    if (errno === 0 && (command === IO.zero || command === IO.discard)) place.fill(0);
    this.slots.give(slot);
  }
}

/** Moves bytes between the two ends, cut anywhere. */
function exchange(link: NbdLink<RequestOwner>, server: Server, prng: Prng): void {
  const { session } = server;
  for (let moved = true; moved;) {
    moved = false;
    if (link.out.length > 0) {
      const bytes = link.out.take();
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + 1 + prng.below(700));
        at += session.receive(0, bytes, at, end);
      }
      moved = true;
    }
    if (session.out.length > 0) {
      const bytes = session.out.take();
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + 1 + prng.below(700));
        link.receive(bytes, at, end);
        at = end;
      }
      moved = true;
    }
  }
}

const KINDS = [IO.read, IO.read, IO.write, IO.write, IO.write, IO.zero, IO.discard, IO.flush];

test('whatever happens to the server, every answer is what a disk would have given', (t) => {
  let repeated = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed);
    const disk = new Uint8Array(VOLUME.sizeBytes);
    const client = new VolumeClient();
    const consumer = new Consumer(client);
    let server = new Server(disk, prng);
    let link: NbdLink<RequestOwner> | null = client.connected();
    let asked = 0;
    for (let round = 0; round < 400; round++) {
      const kind = KINDS[prng.below(KINDS.length)] ?? IO.read;
      const first = prng.below(SECTORS);
      const count = 1 + prng.below(Math.min(6, SECTORS - first));
      if (prng.below(3) > 0 && consumer.submit(kind, first, count)) asked++;
      if (link !== null) exchange(link, server, prng);
      const what = prng.below(40);
      if (what < 16) server.step();
      else if (what === 16 && link !== null) {
        // Some answers are lost on the way, the rest of the requests may have been done.
        if (prng.below(2) === 0) server.session.out.take();
        server.die();
        client.disconnected();
        link = null;
      } else if (link === null) {
        server = new Server(disk, prng);
        link = client.connected();
      }
    }
    server = link === null ? new Server(disk, prng) : server;
    link ??= client.connected();
    while (client.openCount > 0) {
      exchange(link, server, prng);
      if (server.isIdle) break;
      server.step();
    }
    exchange(link, server, prng);
    t.is(consumer.answers, asked, `seed ${seed}: every request is answered once`);
    t.is(consumer.wrong, 0, `seed ${seed}: a read saw what it should not`);
    t.deepEqual(consumer.errors, []);
    t.deepEqual(disk, consumer.expected, `seed ${seed}: the disk is as the answers say`);
    repeated += client.repeated;
  }
  t.true(repeated > 50, 'requests were repeated');
});

test('after revocation everything ends with EIO, what waits and what comes', (t) => {
  const client = new VolumeClient();
  const consumer = new Consumer(client);
  consumer.submit(IO.write, 0, 1);
  consumer.submit(IO.write, 0, 1);
  consumer.submit(IO.flush, 0, 0);
  client.revoke();
  consumer.submit(IO.read, 0, 1);
  t.deepEqual(consumer.errors, [ERRNO.EIO, ERRNO.EIO, ERRNO.EIO, ERRNO.EIO]);
  t.is(consumer.slots.used, 0);
});

const WORDS = new TextEncoder();
for (const [what, bytes] of [
  ['no NBD', WORDS.encode('HTTP/1.1 200 OK, go away please')],
  ['an old handshake', Uint8Array.from([...WORDS.encode('NBDMAGICIHAVEOPT'), 0, 0])],
  [
    'a refused export',
    Uint8Array.from([
      ...[...WORDS.encode('NBDMAGICIHAVEOPT'), 0, 3],
      ...[0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, 7, 0x80, 0, 0, 6, 0, 0, 0, 0],
    ]),
  ],
  [
    'an option reply without end',
    Uint8Array.from([
      ...[...WORDS.encode('NBDMAGICIHAVEOPT'), 0, 3],
      ...[0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, 7, 0, 0, 0, 3, 0xff, 0, 0, 0],
    ]),
  ],
] as const)
  test(`a server that says ${what} is left, with a reason`, (t) => {
    const link = new NbdLink<RequestOwner>(
      {
        ready: () => {
          t.fail();
        },
        requestOf: () => null,
        answered: () => {
          t.fail();
        },
      },
      PAYLOAD_AT,
    );
    link.receive(bytes, 0, bytes.length);
    t.not(link.failure, '');
  });
