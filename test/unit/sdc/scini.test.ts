// What programs of the original get from /dev/scini: the GUID where the kernel lets an ioctl name its memory, plain success
// where it does not, and a scan that ends when the scan is over. Requests are the kernel's bytes.

import test from 'ava';
import { SciniSession, SCINI_IOCTL } from '../../../backend/sdc/attach/scini-session.js';
import type { SciniTicket } from '../../../backend/sdc/attach/scini-session.js';

const GUID = '6C9A2E70-1B3D-4F58-8A61-0D2F4E6A8C90';
const BODY = 16;

class Kernel {
  readonly replies: Buffer[] = [];
  readonly tickets: SciniTicket[] = [];
  readonly session = new SciniSession('scini', GUID, {
    reply: (bytes, at, length) => this.replies.push(Buffer.from(bytes.slice(at, at + length))),
    rescan: (ticket) => this.tickets.push(ticket),
  });

  /** Sends a request; returns the reply, if one came at once. */
  ask(opcode: number, body: Buffer, lengthBytes = 40 + body.length): Buffer | undefined {
    const bytes = Buffer.alloc(8192);
    bytes.writeUInt32LE(lengthBytes, 0);
    bytes.writeUInt32LE(opcode, 4);
    bytes.writeBigUInt64LE(77n, 8);
    body.copy(bytes, 40);
    const before = this.replies.length;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.session.receive(bytes, view, lengthBytes);
    return this.replies[before];
  }

  ioctl(command: number, flags: number, argument: bigint, outBytes: number): Buffer | undefined {
    const body = Buffer.alloc(32);
    body.writeUInt32LE(flags, 8);
    body.writeUInt32LE(command, 12);
    body.writeBigUInt64LE(argument, 16);
    body.writeUInt32LE(outBytes, 28);
    return this.ask(39, body);
  }
}

const errnoOf = (reply: Buffer | undefined): number | undefined => reply?.readInt32LE(4);

test('a character device asks for the memory of the caller, and puts the GUID there', (t) => {
  const kernel = new Kernel();
  const retry = kernel.ioctl(SCINI_IOCTL.guid, 2, 0x7ffd12345678n, 0);
  t.is(errnoOf(retry), 0);
  t.is(retry?.readUInt32LE(BODY + 4), 4, 'the kernel shall ask again');
  t.is(retry?.readUInt32LE(BODY + 8), 0, 'nothing of the caller is read');
  t.is(retry?.readUInt32LE(BODY + 12), 1);
  t.is(retry?.readBigUInt64LE(BODY + 16), 0x7ffd12345678n);
  t.is(retry?.readBigUInt64LE(BODY + 24), 24n);
  const answer = kernel.ioctl(SCINI_IOCTL.guid, 2, 0x7ffd12345678n, 24);
  t.is(answer?.length, BODY + 16 + 24);
  t.is(answer?.readUInt32LE(0), answer?.length);
  t.is(answer?.subarray(BODY + 16 + 8).toString('hex'), GUID.replaceAll('-', '').toLowerCase());
});

test('a file answers success and touches no memory', (t) => {
  const reply = new Kernel().ioctl(SCINI_IOCTL.guid, 0, 0x7ffd12345678n, 0);
  t.is(errnoOf(reply), 0);
  t.is(reply?.length, BODY + 16);
  t.is(reply?.readUInt32LE(BODY + 4), 0);
});

test('a scan is answered when it is over, and a scan that failed is an error', (t) => {
  const kernel = new Kernel();
  for (const [done, errno] of [
    [true, 0],
    [false, -5],
  ] as const) {
    t.is(kernel.ioctl(SCINI_IOCTL.rescan, 2, 0n, 0), undefined);
    const ticket = kernel.tickets.at(-1);
    if (ticket === undefined) throw new Error('the scan was not asked for');
    kernel.session.rescanned(ticket, done);
    t.is(kernel.replies.at(-1)?.readBigUInt64LE(8), 77n);
    t.is(errnoOf(kernel.replies.at(-1)), errno);
  }
});

test('the device is named, and a kernel of another protocol is told so', (t) => {
  const init = Buffer.alloc(16);
  init.writeUInt32LE(7, 0);
  init.writeUInt32LE(37, 4);
  const made = new Kernel().ask(4096, init);
  t.is(made?.readUInt32LE(BODY + 12), 1, 'it names memory itself');
  t.is(made?.subarray(BODY + 72).toString('latin1'), 'DEVNAME=scini\0');
  init.writeUInt32LE(8, 0);
  t.is(errnoOf(new Kernel().ask(4096, init)), -71);
  t.is(errnoOf(new Kernel().ask(26, init)), -71);
});

test('other ioctls, writes and requests that are cut short are refused', (t) => {
  const kernel = new Kernel();
  t.is(errnoOf(kernel.ioctl(0x1234, 2, 0n, 0)), -25);
  t.is(errnoOf(kernel.ask(39, Buffer.alloc(8))), -22);
  t.is(errnoOf(kernel.ask(16, Buffer.alloc(48))), -22);
  t.is(errnoOf(kernel.ask(9999, Buffer.alloc(0))), -38);
  t.is(kernel.ask(39, Buffer.alloc(0), 12), undefined);
});
