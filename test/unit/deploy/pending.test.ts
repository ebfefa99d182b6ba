import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Step } from '../../../backend/deploy/plan/model.js';
import { PendingSteps } from '../../../backend/deploy/shell/pending.js';

const home = mkdtempSync(join(tmpdir(), 'meshsan-pending-'));
test.after.always(() => {
  rmSync(home, { recursive: true, force: true });
});

const FILE: Step = {
  kind: 'file',
  about: 'a file',
  path: '/x',
  text: 'secret',
  mode: 0o600,
  enforceMode: true,
};
const RESTART: Step = { kind: 'unit', about: 'restart it', unit: 'x.service', action: 'restart' };

test('a run that stopped before the restart leaves it to the next run', (t) => {
  const folder = join(home, 'one');
  new PendingSteps('gateway', folder).begin([FILE, RESTART]);
  // The file is as it should be now, so the next plan is empty.
  const next = new PendingSteps('gateway', folder);
  t.deepEqual(next.completed([]), [RESTART]);
  t.deepEqual(next.completed([FILE, RESTART]), [FILE, RESTART]);
  t.deepEqual(new PendingSteps('mdm', folder).completed([]), []);
  next.end();
  t.deepEqual(new PendingSteps('gateway', folder).completed([]), []);
  t.deepEqual(readdirSync(folder), []);
});

test('nothing is remembered of a plan that ends with nothing', (t) => {
  const folder = join(home, 'two');
  new PendingSteps('sds', folder).begin([FILE]);
  t.false(existsSync(folder));
});
