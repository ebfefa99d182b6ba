// The client process alone, without an MDM: its configuration, its control socket, its end.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { askControl } from '../../backend/runtime/control-socket.js';
import { until } from '../support/until.js';

const PROGRAM = join(import.meta.dirname, '..', '..', 'backend', 'bin', 'sdc.js');
const GUID = '0B5E7C1A-8F52-4A0E-9D3C-5E1F2A3B4C5D';
const NOBODY = 65534;

class Host {
  readonly dir = mkdtempSync(join(tmpdir(), 'meshsan-sdc-'));
  readonly control = join(this.dir, 'sdc.sock');
  readonly #children: ReturnType<typeof spawn>[] = [];

  constructor(t: ExecutionContext) {
    writeFileSync(join(this.dir, 'secret'), 'ab'.repeat(32), { mode: 0o600 });
    t.teardown(async () => {
      for (const child of this.#children)
        if (child.exitCode === null && child.signalCode === null) {
          const gone = once(child, 'exit');
          child.kill('SIGKILL');
          await gone;
        }
      rmSync(this.dir, { recursive: true, force: true });
    });
  }

  /** Starts the process with a configuration that differs from a good one. */
  start(changes: Record<string, unknown> = {}, asNobody = false) {
    const config = {
      name: 'sdc',
      addresses: [{ host: '127.93.1.2', role: 'all' }],
      mdm: [{ host: '127.93.1.1', port: 6611 }],
      secretFile: join(this.dir, 'secret'),
      stateDir: join(this.dir, 'state'),
      guid: GUID.toLowerCase(),
      nbdDir: join(this.dir, 'nbd'),
      controlSocket: this.control,
      ...changes,
    };
    const file = join(this.dir, 'sdc.json');
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    if (asNobody) for (const path of [this.dir, file, join(this.dir, 'secret')]) give(path);
    const child = spawn(process.execPath, [PROGRAM, '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(asNobody ? { uid: NOBODY, gid: NOBODY } : {}),
    });
    this.#children.push(child);
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      words += chunk;
    });
    return { child, ended: once(child, 'close') as Promise<[number | null]>, words: () => words };
  }

  async status(): Promise<Record<string, unknown>> {
    return until('the process answers', () =>
      askControl(this.control, { op: 'status' }).catch(() => null),
    );
  }
}

function give(path: string): void {
  if (process.getuid?.() === 0) chownSync(path, NOBODY, NOBODY);
}

test.serial('it answers before an MDM is there, privately, and ends cleanly', async (t) => {
  const host = new Host(t);
  const stale = join(host.dir, 'nbd', '4d53415600000007.sock');
  const { child, ended } = host.start();
  t.like(await host.status(), { ok: true, guid: GUID, sdcId: '', connected: false, volumes: [] });
  t.is(statSync(host.control).mode & 0o777, 0o600);
  child.kill('SIGKILL');
  await ended;
  writeFileSync(stale, '');
  const again = host.start();
  await host.status();
  t.false(existsSync(stale), 'what a killed process left is removed');
  again.child.kill('SIGTERM');
  t.deepEqual((await again.ended)[0], 0);
  t.false(existsSync(host.control));
  t.deepEqual(readdirSync(join(host.dir, 'nbd')), []);
});

test.serial('a second process for the same control socket is refused with 3', async (t) => {
  const host = new Host(t);
  host.start();
  await host.status();
  const second = host.start();
  t.is((await second.ended)[0], 3);
  t.regex(second.words(), /in use/);
  t.like(await host.status(), { ok: true });
});

for (const [what, changes, words] of [
  ['an unknown key', { nbdDri: '/x' }, /unknown key "nbdDri".*did you mean "nbdDir"/],
  ['a GUID that is none', { guid: '12' }, /guid must be 8-4-4-4-12/],
  ['a relative path', { nbdDir: 'nbd' }, /nbdDir must be an absolute path/],
  ['a path too long for sockets', { nbdDir: `/${'x'.repeat(100)}` }, /nbdDir is too long/],
  ['a word that is none', { attach: 'some' }, /attach must be one of \["none","all"\]/],
  ['an option out of range', { options: { ioTimeoutSeconds: -1 } }, /ioTimeoutSeconds/],
  ['no MDM', { mdm: [] }, /mdm/],
] as const)
  test.serial(`${what} in the configuration is refused with 2`, async (t) => {
    const host = new Host(t);
    const { ended, words: said } = host.start(changes);
    t.is((await ended)[0], 2);
    t.regex(said(), words);
    t.false(existsSync(host.control));
  });

test.serial('a configuration that others can read is refused with 2', async (t) => {
  const host = new Host(t);
  chmodSync(join(host.dir, 'secret'), 0o644);
  const { ended, words } = host.start();
  t.is((await ended)[0], 2);
  t.regex(words(), /chmod 600/);
});

test.serial(
  'requests on the control socket are judged, and the next one is answered',
  async (t) => {
    const host = new Host(t);
    host.start();
    await host.status();
    for (const [request, reason] of [
      [{ op: 'frobnicate' }, /op/],
      [{}, /op/],
      [{ op: 'status', volume: '4d53415600000007' }, /unknown key "volume"/],
      [{ op: 'attach' }, /volume/],
      [{ op: 'attach', volume: '../../etc' }, /volume/],
      [{ op: 'attach', volume: '4d53415600000007' }, /not mapped|needs root/],
      [{ op: 'detach', volume: '4d53415600000007', force: 'yes' }, /force/],
    ] as const) {
      const reply = await askControl(host.control, request);
      t.false(reply.ok);
      t.regex(String(reply['error']), reason);
    }
    t.like(await askControl(host.control, { op: 'release' }), { ok: true, kept: [] });
    const raw = await new Promise<string>((done) => {
      let all = '';
      const socket = connect(host.control, () => socket.write('no json\n{"op":"status"}\n'));
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        all += chunk;
        if (all.split('\n').length === 3) {
          socket.destroy();
          done(all);
        }
      });
    });
    t.regex(raw, /^\{"ok":false.*\n\{"ok":true/);
  },
);

test.serial('a request that never ends is cut off', async (t) => {
  const host = new Host(t);
  host.start();
  await host.status();
  const socket = connect(host.control);
  const closed = new Promise<void>((done) => {
    socket.once('close', () => {
      done();
    });
  });
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.write('x'.repeat(8 * 1048576));
  await closed;
  t.like(await host.status(), { ok: true });
});

test.serial(
  'without root volumes are served as NBD, and it says what attaching needs',
  async (t) => {
    const host = new Host(t);
    const { words } = host.start({ attach: 'all' }, process.getuid?.() === 0);
    t.like(await host.status(), { ok: true, volumes: [] });
    await until('it says so', () => (words().includes('sdc.attach-needs-root') ? true : null));
    const reply = await askControl(host.control, { op: 'attach', volume: '4d53415600000007' });
    t.regex(String(reply['error']), /needs root/);
  },
);
