// The compatibility judges as tests: foreign, unmodified clients against a cluster of processes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { startCluster, stopCluster } from '../openstack/meshsan.js';
import { JUDGES, runJudge } from './judges.js';

const home = mkdtempSync(path.join(tmpdir(), 'meshsan-compat-test-'));
const dir = path.join(home, 'cluster');
const log = path.join(home, 'meshsan.log');

test.before('a cluster', async (t) => {
  t.timeout(180_000);
  await startCluster(dir, log);
});

test.after.always('no cluster', async () => {
  await stopCluster(dir, log);
  rmSync(home, { recursive: true, force: true });
});

for (const judge of JUDGES)
  test.serial(`${judge.name}: ${judge.about}`, async (t) => {
    // The first run installs the client.
    t.timeout(300_000);
    const { checks } = await runJudge(judge, dir, (text) => {
      t.log(text);
    });
    const failed = checks.filter((check) => !check.ok && check.skipped === undefined);
    t.deepEqual(
      failed.map(({ check, detail }) => `${check}: ${detail ?? ''}`),
      [],
    );
    for (const { check, skipped } of checks)
      if (skipped !== undefined) t.log(`skipped: ${check}: ${skipped}`);
    t.true(checks.length >= 10, 'a judge that checks next to nothing');
  });
