// What can be said of the OpenStack command without a cloud: its flags, its secrets, and that it ends only its own
// processes. The cloud itself is proved by `npm run openstack -- --core`.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { isRunning } from '../../backend/runtime/processes.js';
import { parseOptions } from '../openstack/options.js';
import { Daemons, identityOf } from '../openstack/processes.js';
import { EXIT, RunError } from '../openstack/progress.js';
import {
  createState,
  describeState,
  lockState,
  secret,
  updateLedger,
  readLedger,
  CORE_STATE,
  DEFAULT_STATE,
} from '../openstack/state.js';

const root = mkdtempSync(path.join(tmpdir(), 'meshsan-openstack-test-'));
chmodSync(root, 0o755);
test.after.always(() => {
  rmSync(root, { recursive: true, force: true });
});

test('flags: each verb, and where its cloud lives', (t) => {
  t.like(parseOptions([]), { verb: 'up', state: DEFAULT_STATE, json: false });
  t.like(parseOptions(['--core', '--json']), { verb: 'core', state: CORE_STATE, json: true });
  t.like(parseOptions(['--down', '--state', '/a/../b']), { verb: 'down', state: '/b' });
  t.like(parseOptions(['--purge']), { verb: 'purge', state: DEFAULT_STATE });
  t.like(parseOptions(['--core', '--help']), { verb: 'help' });
  t.deepEqual(parseOptions(['--only', 'migration,meshsan']).only, ['meshsan', 'migration']);
  t.deepEqual(parseOptions(['--only', 'none']).only, []);
});

for (const flags of [
  ['--core', '--down'],
  ['--down', '--purge'],
  ['--purge', '--cluster', '/x'],
  ['--unknown'],
  ['--only', 'ceph'],
  ['--core', '--only', 'meshsan'],
  ['word'],
  ['--state', ''],
])
  test(`flags refused with exit code 2: ${flags.join(' ')}`, (t) => {
    const error = t.throws(() => parseOptions(flags), { instanceOf: RunError });
    t.is(error.exitCode, EXIT.usage);
  });

test('secrets: random, kept, and readable by their owner only', (t) => {
  const state = describeState(path.join(root, 'secrets'), 'core');
  const other = describeState(path.join(root, 'other'), 'core');
  createState(state);
  createState(other);
  const admin = secret(state, 'admin');
  t.true(admin.length >= 40);
  t.is(secret(state, 'admin'), admin);
  t.not(secret(state, 'cinder'), admin);
  t.not(secret(other, 'admin'), admin);
  t.is(statSync(path.join(state.root, 'secrets', 'admin')).mode & 0o777, 0o600);
  t.not(state.address, other.address, 'two clouds never share an address');
});

test('a state directory that holds something else is refused and left alone', (t) => {
  const foreign = mkdtempSync(path.join(root, 'foreign-'));
  writeFileSync(path.join(foreign, 'precious'), 'x');
  t.throws(
    () => {
      createState(describeState(foreign, 'core'));
    },
    { message: /is not the state of a cloud/ },
  );
  t.is(readFileSync(path.join(foreign, 'precious'), 'utf8'), 'x');
});

test('a state directory that the services cannot reach is refused', (t) => {
  const closed = path.join(root, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  t.throws(
    () => {
      createState(describeState(path.join(closed, 'state'), 'core'));
    },
    { message: /cannot enter/ },
  );
  t.false(existsSync(path.join(closed, 'state')));
});

test('the ledger remembers what was changed', (t) => {
  const state = describeState(path.join(root, 'ledger'), 'core');
  createState(state);
  updateLedger(state, (ledger) => ledger.created.push('/a'));
  updateLedger(state, (ledger) => ledger.packages.push('b'));
  t.deepEqual(readLedger(state), {
    ...{ created: ['/a'], saved: [], packages: ['b'], disabledUnits: [] },
  });
});

test('the lock: held once, taken over from a holder that is gone', (t) => {
  const state = describeState(path.join(root, 'lock'), 'core');
  const unlock = lockState(state);
  t.throws(() => lockState(state), { message: /in use by process/ });
  unlock();
  writeFileSync(`${state.root}.lock`, JSON.stringify({ pid: process.pid, startTicks: 1 }));
  lockState(state)();
});

test('a daemon is stopped with everything that it started', async (t) => {
  const daemons = new Daemons(root, root);
  daemons.start({
    name: 'family',
    user: 'root',
    command: ['sh', '-c', 'sleep 300 & echo $!; wait'],
  });
  const leader = daemons.find('family');
  t.truthy(leader);
  let child = Number.NaN;
  await daemons.ready('family', 10, () => {
    child = Number.parseInt(readFileSync(daemons.logFile('family'), 'utf8'), 10);
    return Promise.resolve(!Number.isNaN(child));
  });
  const grandchild = identityOf(child);
  await daemons.stop('family', 5);
  t.is(daemons.find('family'), undefined);
  t.false(isRunning(grandchild));
});

test('a process that got the pid of one of ours is never ended', async (t) => {
  const bystander = spawn('sleep', ['300'], { detached: true, stdio: 'ignore' });
  t.teardown(() => bystander.kill('SIGKILL'));
  const identity = identityOf(bystander.pid ?? 0);
  const record = { pid: identity.pid, startTicks: identity.startTicks - 1 };
  writeFileSync(path.join(root, 'reused.pid.json'), JSON.stringify(record));
  const daemons = new Daemons(root, root);
  t.is(daemons.find('reused'), undefined);
  await daemons.stop('reused', 1);
  t.true(isRunning(identity));
});

test('a daemon that ends while it is waited for is an error that shows its log', async (t) => {
  const daemons = new Daemons(root, root);
  daemons.start({
    name: 'short',
    user: 'root',
    command: ['sh', '-c', 'sleep 0.2; echo gave up; exit 1'],
  });
  await t.throwsAsync(
    daemons.ready('short', 30, () => Promise.resolve(false)),
    { message: /gave up/ },
  );
});
