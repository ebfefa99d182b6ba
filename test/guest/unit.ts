// The client's unit as its package installs it, under a real systemd on Debian's kernel: what it says must be in force for
// the client and for the holder that the client starts, and volumes must become block devices with no more rights than
// that. It is the judge of a machine whose first program is systemd; client.ts stands for the client.

import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  busybox,
  check,
  digest,
  failed,
  isTrue,
  run,
  running,
  same,
  say,
  until,
} from './checks.js';

const ETC = '/etc/meshsan';
const UNIT = 'meshsan-sdc';
const BY_ID = '/dev/disk/by-id';
const MOUNT = '/mnt';
const CONTENT = '/tmp/content';
const MIB = 1048576;
/** Process flags of PR_SET_IO_FLUSHER: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const IO_FLUSHER = 0x00180000;
/** CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_DAC_OVERRIDE and CAP_SYS_PTRACE. */
const RIGHTS = '0000000001280002';
const SECCOMP_FILTER = '2';

const mainPid = (): number =>
  Number(run('systemctl', 'show', '--property=MainPID', '--value', UNIT));

/** The process that runs a program of ours in the service's group. */
function pidOf(program: string): number {
  const pid = readdirSync('/proc').find((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return (
        readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`/${program}.js`) &&
        readFileSync(`/proc/${name}/cgroup`, 'utf8').includes(`/${UNIT}.service`)
      );
    } catch {
      // Gone meanwhile.
      return false;
    }
  });
  return pid === undefined ? 0 : Number(pid);
}

async function bringUp(): Promise<void> {
  mkdirSync(ETC, { recursive: true });
  // Only that they are there counts: the client that is started has a volume of its own.
  for (const name of ['sdc.json', 'secret']) writeFileSync(join(ETC, name), '');
  run('systemctl', 'start', UNIT);
  await until('the device', () => deviceName() !== null);
}

const deviceName = (): string | null =>
  existsSync(BY_ID)
    ? (readdirSync(BY_ID).find((name) => name.startsWith('emc-vol-')) ?? null)
    : null;

function inForce(pid: number): void {
  same(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(), '-900');
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
    const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
    same(flags & IO_FLUSHER, IO_FLUSHER);
  }
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (key: string): string | undefined =>
    new RegExp(`^${key}:\\s*(\\S+)$`, 'm').exec(status)?.[1];
  same(of('CapBnd'), RIGHTS);
  same(of('NoNewPrivs'), '1');
  same(of('Seccomp'), SECCOMP_FILTER);
  const group = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim();
  same(group, `0::/system.slice/${UNIT}.service`);
}

/** Writes the content to a file while something is done to the service. */
async function writeWhile(name: string, act: () => Promise<void>): Promise<void> {
  const to = join(MOUNT, name);
  let over = false;
  const writer = running('dd', `if=${CONTENT}`, `of=${to}`, 'bs=64k', 'oflag=direct', 'conv=fsync');
  const said = writer.finally(() => {
    over = true;
  });
  await until('the writer is at work', () => existsSync(to));
  isTrue(!over, 'the writer is at work when it happens');
  await act();
  same(await said, '');
  busybox('sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches');
  same(digest(readFileSync(to)), digest(readFileSync(CONTENT)));
}

async function another(what: string, pid: () => number, before: number): Promise<void> {
  await until(what, () => pid() !== 0 && pid() !== before);
}

async function judge(): Promise<void> {
  await check('the service starts, and a mapped volume is a device of the kernel nbd', async () => {
    await bringUp();
    same(readlinkSync(join(BY_ID, deviceName() ?? '')), '/dev/nbd2000');
    same(readlinkSync('/dev/scinia'), '/dev/nbd2000');
  });
  await check('what the unit says is in force for the client and its holder', () => {
    const client = mainPid();
    const holder = pidOf('sdc-holder');
    isTrue(client > 0 && holder > 0 && client !== holder, 'both run in the service');
    for (const pid of [client, holder]) inForce(pid);
    const group = `/sys/fs/cgroup/system.slice/${UNIT}.service`;
    same(readFileSync(join(group, 'memory.min'), 'utf8').trim(), String(256 * MIB));
    isTrue(
      readFileSync(join(group, 'cgroup.procs'), 'utf8').includes(String(holder)),
      'the memory is kept for the holder too',
    );
  });
  if (failed() > 0) return;
  await check('the client is killed while somebody writes: systemd starts it again', async () => {
    writeFileSync(CONTENT, randomBytes(4 * MIB));
    run('mkfs.ext4', '-q', '/dev/scinia');
    run('mount', '/dev/scinia', MOUNT);
    const before = mainPid();
    const holder = pidOf('sdc-holder');
    await writeWhile('killed', async () => {
      process.kill(before, 'SIGKILL');
      await another('the next client', mainPid, before);
    });
    same(pidOf('sdc-holder'), holder);
  });
  await check('the service is restarted while somebody writes', async () => {
    const holder = pidOf('sdc-holder');
    await writeWhile('restarted', async () => {
      await running('systemctl', 'restart', UNIT);
    });
    same(pidOf('sdc-holder'), holder);
  });
  await check('the holder is killed while somebody writes: the client starts another', async () => {
    const holder = pidOf('sdc-holder');
    await writeWhile('held', async () => {
      process.kill(holder, 'SIGKILL');
      await another('the next holder', () => pidOf('sdc-holder'), holder);
    });
    inForce(pidOf('sdc-holder'));
    same(readlinkSync('/dev/scinia'), '/dev/nbd2000');
    run('umount', MOUNT);
  });
}

await judge().catch((error: unknown) => {
  say(`-FAILED ${String(error)}`);
});
if (failed() > 0)
  for (const line of run('journalctl', '-b', '-o', 'cat', '-u', UNIT).split('\n').slice(-40))
    say(` journal: ${line}`);
say('-END');
process.exit(0);
