// The process that is the disks of one node: each a file in a FUSE mount, with a cache that does not survive a power cut. It
// outlives the processes of its node, as disks do, and ends with whoever started it. Use: volatile-process.js TASK, see
// volatile-disk.ts. It must never touch a path below its own mounts.

import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { Prng } from '../../backend/core/prng.js';
import { FuseMount } from '../../backend/runtime/fuse-mount.js';
import { Loop } from '../../backend/runtime/loop.js';
import { FUSE_REQUEST_BYTES_MAX } from '../../backend/sdc/attach/fuse-session.js';
import type { DiskAnswer, DiskOrder, DiskTask } from './volatile-disk.js';
import { VolatileMedium } from './volatile-medium.js';
import { VolatileSession } from './volatile-session.js';

const task = JSON.parse(process.argv[2] ?? '') as DiskTask;
const random = new Prng(task.seed);
const disks: { readonly medium: VolatileMedium; readonly session: VolatileSession }[] = [];
const loop = new Loop();

for (const { file, backing, sizeBytes, physicalSectorBytes } of task.disks) {
  const [seen = 0, medium = 0] = ['seen', 'medium'].map((name) => {
    const fd = openSync(join(backing, name), 'w+', 0o600);
    ftruncateSync(fd, sizeBytes);
    return fd;
  });
  closeSync(openSync(file, 'w', 0o600));
  const fork = random.fork();
  const disk = new VolatileMedium(seen, medium, sizeBytes, physicalSectorBytes, fork);
  await FuseMount.mount(file, 'volatile-disk', false, FUSE_REQUEST_BYTES_MAX, loop, (mount) => {
    const session = new VolatileSession(disk, random.fork(), (bytes) => {
      mount.reply(bytes, 0, bytes.length);
    });
    disks.push({ medium: disk, session });
    return session;
  });
}

function act({ order, factor }: DiskOrder): void {
  const last = disks.at(-1)?.session;
  if (order === 'hang') last?.fail();
  else if (order === 'break') last?.release();
  else if (order === 'failFlush') last?.spoil('flush');
  else if (order === 'failReads') last?.spoil('read');
  else if (order === 'mend') last?.spoil(null);
  else actOnAll(order, factor);
}

function actOnAll(order: DiskOrder['order'], factor: number): void {
  for (const { session } of disks)
    switch (order) {
      case 'fail':
        session.fail();
        break;
      case 'release':
        session.release();
        break;
      case 'restore':
        session.restore();
        break;
      case 'slow':
        session.slow(factor);
        break;
      default:
        break;
    }
}

process.on('message', (message) => {
  act(message as DiskOrder);
  const counts = disks.map(({ medium }) => medium.counts);
  process.send?.({ counts } satisfies DiskAnswer);
});
process.once('disconnect', () => process.exit(0));
process.send?.({ counts: [] } satisfies DiskAnswer);
