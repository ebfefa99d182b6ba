import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { hostCheckScript } from '../../../backend/deploy/host-check.js';

const home = mkdtempSync(join(tmpdir(), 'meshsan-host-'));
test.after.always(() => {
  rmSync(home, { recursive: true, force: true });
});

/** Runs the check on a host that says this of itself. */
async function checked(says: Readonly<Record<string, string>>, glibcMin = '2.34') {
  const bin = mkdtempSync(join(home, 'bin-'));
  const usual = { id: '0', uname: 'x86_64', getconf: 'glibc 2.36', 'apt-get': '' };
  for (const [name, text] of Object.entries({ ...usual, ...says }))
    writeFileSync(join(bin, name), `#!/bin/sh\necho '${text}'\n`, { mode: 0o755 });
  // Whether this machine has systemd is no matter here.
  const script = hostCheckScript(glibcMin).replace('/run/systemd/system', home);
  const { exitCode, stderr } = await execa('/bin/sh', ['-c', `${script}meshsan_host_check`], {
    reject: false,
    extendEnv: false,
    env: { PATH: `${bin}:/usr/bin:/bin` },
  });
  return { exitCode, stderr };
}

test('a host that is new enough', async (t) => {
  t.deepEqual(await checked({}), { exitCode: 0, stderr: '' });
  t.is((await checked({ getconf: 'glibc 2.34' })).exitCode, 0);
  t.is((await checked({ getconf: 'glibc 3.0' })).exitCode, 0);
  t.is((await checked({ getconf: 'glibc 2.36.9000' })).exitCode, 0);
});

test('hosts of old Fuel releases are refused with the sentence that says why', async (t) => {
  for (const version of ['2.12', '2.19', '2.23', '2.33', '1.99'])
    t.deepEqual(await checked({ getconf: `glibc ${version}` }), {
      exitCode: 3,
      stderr: `MeshSAN: needs glibc 2.34 or newer, this host has ${version}: nothing was changed`,
    });
});

test('no glibc, another processor, not root', async (t) => {
  t.regex((await checked({ getconf: 'musl' })).stderr, /does not say which it has/);
  t.regex((await checked({ uname: 'aarch64' })).stderr, /needs x86_64, this host is aarch64/);
  t.regex((await checked({ id: '1000' })).stderr, /must run as root/);
});

test('a version that is none is refused when the script is made', (t) => {
  t.throws(() => hostCheckScript('2.34; reboot'), { message: /must look like 2.28/ });
});
