// A holder of block devices with an NBD server in place of the client process, in a folder of its own. It owns what it
// starts, mounts and attaches: nothing of it is left when the test is over, whatever failed.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { DeviceFacts } from '../../backend/bin/holder-attachment.js';
import type { AttachRequest } from '../../backend/bin/holder-carrier.js';
import { HolderState } from '../../backend/bin/holder-state.js';
import { loopsOver } from '../../backend/runtime/block-device.js';
import { askControl } from '../../backend/runtime/control-socket.js';
import { disconnectNbd, nbdOf } from '../../backend/runtime/kernel-nbd.js';
import { until } from '../support/until.js';

const BIN = join(import.meta.dirname, '..', '..', 'backend', 'bin');
export const VOLUME = '4d53415600000007';
export const SYSTEM = '4d53415600000001';

/** Runs a program that may hang on a broken device; it is killed then. */
export function guarded(seconds: number, program: string, ...args: string[]) {
  return execa('timeout', ['-s', 'KILL', String(seconds), program, ...args], {
    stdin: 'ignore',
    all: true,
    env: { LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
}

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

export class Bench {
  readonly dir = mkdtempSync(join(tmpdir(), 'meshsan-attach-'));
  readonly deviceDir = join(this.dir, 'dev');
  readonly stateDir = join(this.dir, 'sdc');
  readonly socket = join(this.dir, 'volume.sock');
  server: ChildProcess | null = null;
  holder: ChildProcess | null = null;
  #mounts: string[] = [];
  #mountCount = 0;

  static async start(sizeBytes: number, ...access: string[]): Promise<Bench> {
    const bench = new Bench();
    mkdirSync(bench.deviceDir);
    try {
      await bench.startServer(sizeBytes, ...access);
      await bench.startHolder();
    } catch (error) {
      await bench.end();
      throw error;
    }
    return bench;
  }

  async startServer(sizeBytes: number, ...access: string[]): Promise<void> {
    const program = join(import.meta.dirname, 'server-process.js');
    const args = [program, this.socket, join(this.dir, 'volume.img'), String(sizeBytes), ...access];
    this.server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await until('the server listens', () => (existsSync(this.socket) ? true : null));
  }

  async killServer(): Promise<void> {
    const { server } = this;
    if (server === null || ended(server)) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
    rmSync(this.socket, { force: true });
  }

  /** How often the server was asked for each kind of I/O. */
  async counts(): Promise<Record<number, number>> {
    const { server } = this;
    if (!server?.stdout) throw new Error('no server runs');
    const answer = once(server.stdout, 'data');
    server.kill('SIGUSR2');
    const [line] = (await answer) as [Buffer];
    return JSON.parse(line.toString('utf8')) as Record<number, number>;
  }

  /** @param under - what the holder is started by, as in setpriv with its flags */
  async startHolder(...under: readonly string[]): Promise<void> {
    const argv = [process.execPath, join(BIN, 'sdc-holder.js'), '--state-dir', this.stateDir];
    const [program = '', ...args] = [...under, ...argv];
    this.holder = spawn(program, args);
    await until('the holder answers', async () => {
      const reply = await this.ask({ op: 'hello' }).catch(() => null);
      return reply?.ok === true ? true : null;
    });
  }

  async killHolder(): Promise<void> {
    const { holder } = this;
    if (holder === null || ended(holder)) return;
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
  }

  ask(request: Record<string, unknown>) {
    return askControl(join(this.stateDir, 'holder.sock'), request);
  }

  async attach(
    sizeBytes: number,
    { readOnly = false, volumeId = VOLUME, method = 'fuse' }: Partial<AttachRequest> = {},
  ): Promise<DeviceFacts> {
    const { socket, deviceDir } = this;
    const reply = await this.ask({
      op: 'attach',
      ...{ volumeId, systemId: SYSTEM, socket, sizeBytes, readOnly, deviceDir, method },
    });
    if (!reply.ok) throw new Error(String(reply['error']));
    return reply['device'] as DeviceFacts;
  }

  detach(revoked = false, force = false, volumeId = VOLUME) {
    return this.ask({ op: 'detach', volumeId, revoked, force });
  }

  async attached(): Promise<readonly DeviceFacts[]> {
    const reply = await this.ask({ op: 'hello' });
    return reply['attached'] as readonly DeviceFacts[];
  }

  /** Makes a folder and mounts a device there. */
  async mount(device: string, ...options: string[]): Promise<string> {
    const point = join(this.dir, `mount${this.#mountCount++}`);
    mkdirSync(point);
    await guarded(30, 'mount', ...options, device, point);
    this.#mounts.push(point);
    return point;
  }

  async unmount(point: string): Promise<void> {
    await guarded(60, 'umount', point);
    this.#mounts = this.#mounts.filter((mounted) => mounted !== point);
  }

  /** Mounts, loop devices and files of this bench that exist. */
  leftovers(): string[] {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.dir));
    const holderDir = join(this.stateDir, 'holder');
    const files = existsSync(holderDir)
      ? readdirSync(holderDir).filter((name) => name !== 'state.json')
      : [];
    const loops = files.flatMap((name) => loopsOver(join(holderDir, name)));
    const links = readdirSync(this.deviceDir, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name !== 'disk' && name !== join('disk', 'by-id'),
    );
    return [...mounts, ...loops, ...files, ...links];
  }

  /** Takes everything away, by force where needed. */
  async end(): Promise<void> {
    // A holder that ends lets every waiting I/O fail, so that nothing below can hang.
    await this.killHolder();
    await this.killServer();
    for (const { nbd } of new HolderState(this.stateDir).waiting()) {
      const index = nbd === undefined ? null : nbdOf(nbd.name);
      if (index !== null) await disconnectNbd(index);
    }
    for (const point of this.#mounts) await guarded(30, 'umount', '-l', point).catch(() => null);
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    for (const line of lines) {
      const point = line.split(' ')[4] ?? '';
      if (!point.startsWith(`${this.dir}/`)) continue;
      for (const name of loopsOver(point))
        await guarded(30, 'losetup', '-d', join('/dev', name)).catch(() => null);
      await guarded(30, 'umount', '-l', point).catch(() => null);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
