// Leases, heartbeats and retries go by monotonic time: while the wall clocks of SDS, data and SDC processes are set forward and
// back by an hour, differently for each, I/O goes on, no copy is given up, and what was written is read.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { LocalCluster } from '../support/local-cluster.js';

const HOUR_MS = 3_600_000;
/** Longer than a lease of the slowest clock and a detection. */
const ROUND_MS = 4000;

test('clocks of servers and clients that jump by an hour stop no I/O and cost no copy', async (t) => {
  t.timeout(240_000);
  const directory = mkdtempSync(join(tmpdir(), 'meshsan-clock-'));
  const clock = join(directory, 'clock');
  const setClocks = (...offsetsMs: readonly number[]): void => {
    writeFileSync(clock, offsetsMs.join(' '));
  };
  setClocks(0);
  const cluster = await LocalCluster.startWithClock(clock, '--sds', '3');
  t.teardown(async () => {
    await cluster.remove();
    rmSync(directory, { recursive: true, force: true });
  });
  const uri = await cluster.volumeUri('clocks');
  await cluster.allInSync();
  const [mdm] = cluster.processes('mdm');
  const session = new MdmSession({
    addresses: [{ host: mdm?.address ?? '', port: mdm?.port ?? 0 }],
    secret: readSecretFile(join(cluster.dir, 'secret')),
    log: { event: () => undefined },
  });
  t.teardown(() => {
    session.close();
  });
  const livesOf = async (): Promise<unknown> =>
    (await session.query('device')).map(({ key, incarnation, state }) => [key, incarnation, state]);
  const lives = await livesOf();
  let round = 0;
  /** Writes, and reads what this and the round before wrote. */
  const roundTrip = async (): Promise<void> => {
    round += 1;
    const [now, before] = [round % 256, (round - 1) % 256].map((one) => `0x${one.toString(16)}`);
    const at = `${(round % 64) * 64}k 64k`;
    const commands = [`write -P ${now} ${at}`, `read -P ${now} ${at}`, 'flush'];
    if (round > 1) commands.push(`read -P ${before} ${((round - 1) % 64) * 64}k 64k`);
    const args = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri];
    const { stdout } = await execa('qemu-io', args, { timeout: 60_000 });
    if (stdout.includes('failed')) throw new Error(stdout);
  };
  for (const offsets of [
    [HOUR_MS, 0, -HOUR_MS],
    [-HOUR_MS, HOUR_MS, 0],
    [-HOUR_MS],
    [HOUR_MS, -HOUR_MS],
    [0],
  ]) {
    setClocks(...offsets);
    const endMs = Date.now() + ROUND_MS;
    while (Date.now() < endMs) await roundTrip();
    const { degradedCombs, unavailableCombs } = await session.clusterState();
    t.is(
      degradedCombs + unavailableCombs,
      0,
      `no copy is given up with clocks at ${offsets.join(' ')}`,
    );
    t.deepEqual(await livesOf(), lives, 'every process lives on');
  }
  t.log(`${round} rounds of writes and reads`);
});
