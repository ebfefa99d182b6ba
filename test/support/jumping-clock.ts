// Loaded before a program under test (`node --import`): its wall clock is off by what a file says, which may change at any
// moment, as when somebody sets the clock of the machine. Monotonic time goes on.

import { readFileSync } from 'node:fs';

const LOOK_MS = 50;
const file = process.env['MESHSAN_TEST_CLOCK'];

if (file !== undefined) {
  const now = Date.now.bind(Date);
  let offsetMs = Number(readFileSync(file, 'utf8'));
  Date.now = () => now() + offsetMs;
  setInterval(() => {
    offsetMs = Number(readFileSync(file, 'utf8'));
  }, LOOK_MS).unref();
}
