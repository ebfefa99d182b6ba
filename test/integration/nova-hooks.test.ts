// The Python package for compute hosts against Debian's os-brick: its own tests, run where os-brick is installed.

import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const ROOT = path.resolve(import.meta.dirname, '..', '..', '..');
const PACKAGE = path.join(ROOT, 'nova-hooks', 'python');
const PYTHON = '/usr/bin/python3';

test('the connectors of meshsan-nova do what Nova and Cinder rely on', async (t) => {
  const found = await execa(PYTHON, ['-c', 'import os_brick'], { reject: false });
  if (found.exitCode !== 0) {
    t.log('left out: python3-os-brick is not installed (npm run openstack installs it)');
    t.pass();
    return;
  }
  const run = await execa(PYTHON, ['-B', '-m', 'unittest', 'discover', '-s', 'tests'], {
    cwd: PACKAGE,
    env: { PYTHONPATH: PACKAGE },
    reject: false,
  });
  t.is(run.exitCode, 0, run.stderr);
  t.regex(run.stderr, /Ran [1-9]\d* tests/);
});

interface Run {
  readonly code: number;
  readonly said: string;
  readonly errors: string;
}

interface Judgement {
  readonly one: Run;
  readonly two: Run;
  readonly otherProgram: Run;
  readonly passes: Readonly<Record<string, boolean>>;
}

const NEEDS = "import oslo_rootwrap, oslo_privsep, pwd; pwd.getpwnam('nova')";

test('the user nova reaches the SDC through sudo, rootwrap and our filters, and nothing else', async (t) => {
  const found = await execa(PYTHON, ['-c', NEEDS], { reject: false });
  if (found.exitCode !== 0 || process.getuid?.() !== 0) {
    t.log('left out: needs root, and nova-common (npm run openstack installs it)');
    t.pass();
    return;
  }
  const judge = path.join(ROOT, 'test', 'integration', 'python', 'rootwrap.py');
  const filters = path.join(ROOT, 'nova-hooks', 'etc', 'nova', 'rootwrap.d', 'meshsan.filters');
  const { stdout } = await execa('unshare', ['--mount', PYTHON, '-B', judge, PACKAGE, filters], {
    stdin: 'ignore',
    timeout: 120_000,
    env: { LC_ALL: 'C' },
  });
  const { one, two, otherProgram, passes } = JSON.parse(stdout) as Judgement;
  for (const run of [one, two]) {
    t.is(run.code, 0, run.errors);
    t.regex(run.said, /nova itself may not\n\('ok', \{'ok': True, 'guid': 'G'\}\)/);
  }
  t.is(otherProgram.code, 99);
  t.regex(otherProgram.errors, /no filter matched/);
  t.deepEqual(passes, {
    oneFile: true,
    twoFiles: true,
    otherFile: false,
    otherFolder: false,
    otherContext: false,
    more: false,
  });
});
