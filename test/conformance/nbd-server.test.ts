// The NBD server alone, before a volume in memory, judged by clients that others wrote: libnbd's tools, QEMU, fio.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { Loop } from '../../backend/runtime/loop.js';
import { serveNbd } from '../support/nbd-server.js';
import { MemoryBack } from './memory-back.js';

const SIZE_BYTES = 64 * 1048576;
const scratch = mkdtempSync(join(tmpdir(), 'meshsan-nbd-'));
const socket = join(scratch, 'nbd.sock');
const uri = `nbd+unix:///?socket=${socket}`;
const volume = {
  key: 7,
  name: 'vol7',
  sizeBytes: SIZE_BYTES,
  readOnly: false,
  volatileCache: true,
};

const loop = new Loop();
const { server, back } = serveNbd(
  socket,
  volume,
  loop,
  (front) => new MemoryBack(volume, front, loop),
);

test.after.always(() => {
  server.close();
  loop.stop();
  rmSync(scratch, { recursive: true, force: true });
});

test.serial('nbdinfo sees size, block sizes and abilities', async (t) => {
  const { stdout } = await execa('nbdinfo', ['--json', uri]);
  const info = JSON.parse(stdout) as { exports: Record<string, unknown>[] };
  t.like(info.exports[0], {
    'export-size': SIZE_BYTES,
    is_read_only: false,
    can_flush: true,
    can_fua: true,
    can_trim: true,
    can_zero: true,
    can_multi_conn: true,
    block_size_minimum: 512,
    block_size_preferred: 4096,
  });
});

test.serial('nbdinfo lists the one export and its allocation', async (t) => {
  const list = await execa('nbdinfo', ['--list', uri]);
  t.true(list.stdout.includes('vol7'));
  const map = await execa('nbdinfo', ['--map', '--totals', uri]);
  t.regex(map.stdout, /67108864\s+100\.0%\s+3\s+hole,zero/);
});

test.serial('the allocation is told exactly, to libnbd and to QEMU', async (t) => {
  await execa('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 4k', '-c', 'write -P 8 1032k 8k', uri]);
  const { stdout } = await execa('nbdinfo', ['--map', uri]);
  const runs = stdout.split('\n').map((line) => line.trim().split(/\s+/).slice(0, 3).map(Number));
  t.deepEqual(runs, [
    [0, 1048576, 3],
    [1048576, 4096, 0],
    [1052672, 4096, 3],
    [1056768, 8192, 0],
    [1064960, SIZE_BYTES - 1064960, 3],
  ]);
  const mapped = await execa('qemu-img', ['map', '--output=json', '-f', 'raw', uri]);
  const extents = JSON.parse(mapped.stdout) as { start: number; length: number; zero: boolean }[];
  t.deepEqual(
    extents.filter(({ zero }) => !zero).map(({ start, length }) => [start, length]),
    [
      [1048576, 4096],
      [1056768, 8192],
    ],
  );
});

test.serial('fio writes and verifies at depth 64 over four connections', async (t) => {
  const jobs = [
    '--rw=randrw',
    '--bsrange=512-256k',
    '--bs_unaligned=0',
    '--ba=512',
    '--iodepth=64',
  ];
  const args = [
    ...['-s', 'KILL', '100', 'fio', '--name=v', '--ioengine=nbd', `--uri=${uri}`, ...jobs],
    ...[`--size=${SIZE_BYTES}`, '--io_size=64m', '--verify=crc32c', '--verify_fatal=1'],
    '--randseed=7',
  ];
  // It leaves a file of its state in its folder.
  const result = await execa('timeout', args, { cwd: scratch });
  t.is(result.exitCode, 0);
});

test.serial('qemu-io: patterns, zeroes, discard, flush, FUA', async (t) => {
  const { stdout } = await execa('qemu-io', [
    '-f',
    'raw',
    '-c',
    'write -P 0x5a 1M 2M',
    '-c',
    'write -f -P 0x11 4k 512',
    '-c',
    'read -P 0x5a 1M 2M',
    '-c',
    'write -z 1M 64k',
    '-c',
    'discard 1088k 64k',
    '-c',
    'read -P 0 1M 128k',
    '-c',
    'read -P 0x11 4k 512',
    '-c',
    'flush',
    uri,
  ]);
  t.false(stdout.includes('failed'), stdout);
  t.true(back.flushes > 0);
});

test.serial('nbdcopy in, nbdcopy out, and qemu-img compare find the same bytes', async (t) => {
  const file = join(scratch, 'image');
  await execa('sh', ['-c', `head -c ${SIZE_BYTES} /dev/urandom >"$1"`, 'sh', file]);
  await execa('nbdcopy', ['--flush', file, uri]);
  await execa('nbdcopy', [uri, `${file}.out`]);
  await execa('cmp', [file, `${file}.out`]);
  const { exitCode } = await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file, uri]);
  t.is(exitCode, 0);
});

/** Sends bytes and returns all that comes back until the server closes, or stays silent for a while after answering. */
async function exchange(parts: readonly Uint8Array[], enoughBytes: number): Promise<Buffer> {
  const client = connect(socket);
  const received: Buffer[] = [];
  let count = 0;
  await new Promise<void>((done, failed) => {
    client.on('data', (chunk) => {
      received.push(chunk);
      count += chunk.length;
      if (count >= enoughBytes) done();
    });
    client.once('close', () => {
      done();
    });
    client.once('error', failed);
    for (const part of parts) client.write(part);
  });
  client.destroy();
  return Buffer.concat(received);
}

const GREETING = 18;
const exportName = Buffer.concat([
  Buffer.from('00000003', 'hex'),
  Buffer.from('49484156454f50540000000100000000', 'hex'),
]);
const AFTER_EXPORT_NAME = GREETING + 10;

function request(
  command: number,
  offset: number,
  length: number,
  cookie: number,
  flags = 0,
): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x25609513, 0);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeUInt32BE(cookie, 12);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

for (const [what, command, offset, length, errno, flags = 0] of [
  ['a read behind the end', 0, SIZE_BYTES, 512, 22],
  ['a read of nothing', 0, 0, 0, 22],
  ['a read that is not aligned', 0, 1, 512, 22],
  ['a write behind the end', 1, SIZE_BYTES - 512, 1024, 28],
  ['an unknown command', 99, 0, 512, 22],
  ['a flush of a range', 3, 512, 512, 22],
  ['a block status without its context', 7, 0, 512, 22],
  ['a write with a flag that does not exist', 1, 0, 512, 22, 0x8000],
  ['zeroes that have to be fast, which was not offered', 6, 0, 512, 22, 16],
  ['a discard that must leave no hole', 4, 0, 512, 22, 2],
] as const)
  test.serial(`${what} is refused with ${errno}, and the connection goes on`, async (t) => {
    const payload = command === 1 ? Buffer.alloc(length, 1) : Buffer.alloc(0);
    const answer = await exchange(
      [exportName, request(command, offset, length, 5, flags), payload, request(3, 0, 0, 6)],
      AFTER_EXPORT_NAME + 32,
    );
    const replies = answer.subarray(AFTER_EXPORT_NAME);
    t.is(replies.readUInt32BE(4), errno);
    t.is(replies.readUInt32BE(12), 5);
    t.is(replies.readUInt32BE(20), 0);
    t.is(replies.readUInt32BE(28), 6);
  });

for (const [what, bytes] of [
  ['no NBD at all', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['a wrong magic in transmission', Buffer.concat([exportName, Buffer.alloc(28, 7)])],
  ['a payload beyond the limit', Buffer.concat([exportName, request(1, 0, 0x7fffffff, 1)])],
] as const)
  test.serial(`${what} ends the connection and nothing else`, async (t) => {
    const answer = await exchange([bytes], Infinity);
    t.true(answer.length < 256);
    const { exitCode } = await execa('nbdinfo', ['--size', uri]);
    t.is(exitCode, 0);
  });

test.serial('data behind leading zeroes is data, in every size that is read', async (t) => {
  const at = 1048576;
  await execa('qemu-io', ['-f', 'raw', '-c', `write -z ${at} 1M`, uri]);
  await execa('qemu-io', ['-f', 'raw', '-c', `write -P 0x11 ${at + 3584} 512`, uri]);
  for (const size of [4096, 8192, 65536, 262144]) {
    const { stdout } = await execa('qemu-io', [
      ...['-f', 'raw', '-c', `read -P 0 -s 0 -l 3584 ${at} ${size}`],
      ...['-c', `read -P 0x11 -s 3584 -l 512 ${at} ${size}`, uri],
    ]);
    t.notRegex(stdout, /verification failed/i, `${size} bytes`);
  }
});

/** Sends the same bytes until nothing more is taken from this client, which reads no answer. @returns bytes taken */
async function takenUnread(first: Buffer, again: Buffer, enoughBytes: number): Promise<number> {
  const client = connect(socket);
  client.pause();
  client.write(first);
  const idleMs = 1000;
  for (let last = Date.now(); Date.now() - last < idleMs && client.bytesWritten < enoughBytes;) {
    const accepted = client.write(again);
    if (!accepted && (await drained(client, idleMs))) last = Date.now();
    else if (accepted) last = Date.now();
  }
  const taken = client.bytesWritten - client.writableLength;
  client.destroy();
  return taken;
}

function drained(client: Socket, limitMs: number): Promise<boolean> {
  return new Promise((done) => {
    const timer = setTimeout(done, limitMs, false);
    client.once('drain', () => {
      clearTimeout(timer);
      done(true);
    });
  });
}

const clientFlags = Buffer.from('00000003', 'hex');
/** An option whose answer is eight times as long: it asks 4,000 times for the name of the export. */
const manyInfos = Buffer.alloc(16 + 6 + 8000);
manyInfos.write('IHAVEOPT', 0, 'latin1');
manyInfos.writeUInt32BE(6, 8);
manyInfos.writeUInt32BE(6 + 8000, 12);
manyInfos.writeUInt16BE(4000, 20);
for (let at = 22; at < manyInfos.length; at += 2) manyInfos.writeUInt16BE(1, at);
const refused = Buffer.concat(Array.from({ length: 4000 }, () => request(99, 0, 512, 1)));

for (const [what, first, again, enoughBytes] of [
  ['requests that are refused', exportName, refused, 128 * 1048576],
  ['options', clientFlags, manyInfos, 8 * 1048576],
] as const)
  test.serial(
    `a client that sends ${what} and reads no answer is not read from for ever`,
    async (t) => {
      t.true((await takenUnread(first, again, enoughBytes)) < enoughBytes / 4);
      t.is((await execa('nbdinfo', ['--size', uri])).exitCode, 0);
    },
  );
