// Waiting for what a process, a machine or a cluster does in its own time. It must never sleep for a time in the hope that
// it was enough.

const WAIT_MS = 180_000;
const POLL_MS = 50;

/**
 * Waits for a condition; the bound is far beyond what it takes, and only against hanging.
 *
 * @param probe - finds what is waited for; null or false: not yet
 */
export async function until<T>(
  what: string,
  probe: () => T | null | false | Promise<T | null | false>,
  limitMs = WAIT_MS,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found !== null && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited ${limitMs / 1000} s in vain: ${what}`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
