// Writes through an attached device with a tenth of the memory left: whoever serves the device must make progress, because
// nobody else can write the pages back that fill the rest. Where the host lets services mark themselves as I/O flushers,
// they share the bound with the writer; elsewhere they would wait for pages that only they can write (seen: all of them
// in folio_wait_bit), so the bound is for whoever writes and fills the memory.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { Machine } from './machine.js';
import { until } from '../support/until.js';
import { SERVICES, mainPid } from './cluster.js';
import { hasResourceCapability } from './guest.js';

const MIB = 2 ** 20;
/** What stays free for page cache and everything else. */
const FREE = 0.1;
const LIMIT_BYTES = 1536 * MIB;
const WRITE_MIB = 600;
const UNLIMITED = -1;
const WRITE_MS = 240_000;

/** Takes memory and keeps it. */
const HOG = `
import sys, time
memory = bytearray(int(sys.argv[1]) << 20)
for at in range(0, len(memory), 4096):
    memory[at] = 1 + at % 255
open("/run/hog-ready", "w").close()
time.sleep(3600)
`;

export async function memoryStory({
  machine,
}: {
  readonly machine: Machine;
}): Promise<readonly string[]> {
  const before = await Promise.all(SERVICES.map((unit) => mainPid(machine, unit)));
  // Caches give way; what cannot is what the processes hold.
  const which = hasResourceCapability() ? 'all' : 'apart';
  const used = machine.memoryHeld(which);
  machine.limitMemory(which, LIMIT_BYTES);
  const hogMib = Math.floor((LIMIT_BYTES * (1 - FREE) - used) / MIB);
  assert.ok(hogMib > 0, `${used} bytes are held already`);
  try {
    const { stdout, seconds } = await underPressure(machine, hogMib);
    assert.match(stdout, /wrote and read back/);
    const after = await Promise.all(SERVICES.map((unit) => mainPid(machine, unit)));
    assert.deepEqual(after, before, 'no service was killed');
    return [
      `${which === 'all' ? 'services and writer' : 'the writer'}: ${LIMIT_BYTES / MIB} MiB, ${Math.round(used / MIB)} MiB held by processes, ${hogMib} MiB taken: ${WRITE_MIB} MiB written, flushed and compared in ${seconds} s`,
    ];
  } finally {
    machine.limitMemory(which, UNLIMITED);
  }
}

async function underPressure(
  machine: Machine,
  hogMib: number,
): Promise<{ readonly stdout: string; readonly seconds: number }> {
  writeFileSync(machine.path('/run-hog.py'), HOG);
  await machine.runApart(
    ...['sh', '-ec'],
    `setsid /usr/bin/python3 /run-hog.py ${hogMib} > /dev/null 2>&1 < /dev/null & echo $! > /run/hog.pid`,
  );
  try {
    await until('the memory is taken', async () => {
      const { code } = await machine.try('test', '-e', '/run/hog-ready');
      return code === 0;
    });
    const began = Date.now();
    const stdout = await machine.runApart(
      ...['timeout', '-s', 'KILL', String(WRITE_MS / 1000), 'sh', '-ec'],
      `openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c ${WRITE_MIB * MIB} > /mnt/volume/pressure
       sync /mnt/volume/pressure
       openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c ${WRITE_MIB * MIB} | cmp - /mnt/volume/pressure
       kill -0 "$(cat /run/hog.pid)"
       rm /mnt/volume/pressure
       echo wrote and read back`,
    );
    return { stdout, seconds: Math.round((Date.now() - began) / 1000) };
  } finally {
    await machine.try(
      'sh',
      '-c',
      'kill -9 "$(cat /run/hog.pid)"; rm -f /run/hog-ready /run-hog.py',
    );
  }
}
