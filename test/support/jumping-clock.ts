// Loaded before a program under test (`node --import`): its wall clock is off by what a file says, which may change at any
// moment, as when somebody sets the clock of the machine. Monotonic time goes on. Of several numbers in the file each process
// takes one, by its id.

import { readFileSync } from 'node:fs';

const LOOK_MS = 50;
const file = process.env['MESHSAN_TEST_CLOCK'];

if (file !== undefined) {
  const now = Date.now.bind(Date);
  const read = (): number => {
    const offsets = readFileSync(file, 'utf8').trim().split(/\s+/).map(Number);
    return offsets[process.pid % offsets.length] ?? 0;
  };
  let offsetMs = read();
  Date.now = () => now() + offsetMs;
  setInterval(() => {
    offsetMs = read();
  }, LOOK_MS).unref();
}
