// What every proof with instances has in common: it makes volumes of one backend and a guest, attaches, detaches, reads the
// guest's console, and takes away what it made, whatever happens.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { Backend } from './backends.js';
import { openstack, run, textOf } from './command.js';
import type { ComputeApi } from './compute-api.js';
import { writeScriptImage } from './guest-image.js';
import { volumeOfSize, type Gateway } from './meshsan.js';
import type { Hold, ProofContext } from './proof.js';
import { until } from './progress.js';

export const GUEST_IMAGE = 'meshsan-guest';
export const FLAVOUR = 'meshsan-guest';
const LINE_SECONDS = 240;

/** What the proof has made so far, to be taken away whatever happens. */
interface Made {
  server: string;
  readonly volumes: string[];
  readonly images: string[];
}

/** A volume proof in the making: what it has, and how it makes, attaches and removes things. */
export abstract class VolumeProof {
  protected readonly context: ProofContext;
  protected readonly backend: Backend;
  protected readonly compute: ComputeApi;
  protected readonly gateway: Gateway;
  protected readonly hold: Hold;
  protected readonly prefix = `proof-${randomBytes(4).toString('hex')}`;
  protected readonly made: Made = { server: '', volumes: [], images: [] };

  constructor(
    context: ProofContext,
    backend: Backend,
    compute: ComputeApi,
    gateway: Gateway,
    hold: Hold,
  ) {
    this.context = context;
    this.backend = backend;
    this.compute = compute;
    this.gateway = gateway;
    this.hold = hold;
  }

  protected step<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.hold(`${this.backend.name}: ${name}`, work);
  }

  protected cli(...words: string[]): Promise<unknown> {
    return openstack(this.context.state, words);
  }

  protected quiet(...words: string[]): Promise<string> {
    return run(this.context.state, words);
  }

  protected rounded(gib: number): number {
    return Math.ceil(gib / this.backend.grainGib) * this.backend.grainGib;
  }

  protected async createVolume(name: string, ...words: string[]): Promise<string> {
    const full = `${this.prefix}-${name}`;
    const made = await this.cli(
      ...['volume', 'create', '--type', this.backend.name, '--size', '1', ...words, full],
    );
    const id = textOf(made, 'id');
    this.made.volumes.push(id);
    await this.context.api.volumeStatus(id, 'available', 300);
    return id;
  }

  protected async volumeFromImage(name: string, image: string): Promise<string> {
    return this.step(`volume from image (${name})`, () =>
      this.createVolume(name, '--image', image),
    );
  }

  /** A volume whose first sector tells the guest what to do each time that it sees the disk. */
  protected async dataVolume(script: readonly string[]): Promise<string> {
    const { state } = this.context;
    const file = path.join(state.root, 'guest', `${this.prefix}.raw`);
    const image = `${this.prefix}-script`;
    writeScriptImage(file, script);
    try {
      const made = await this.cli(
        ...['image', 'create', '--disk-format', 'raw', '--container-format', 'bare'],
        ...['--file', file, image],
      );
      this.made.images.push(textOf(made, 'id'));
    } finally {
      rmSync(file, { force: true });
    }
    return this.volumeFromImage('data', image);
  }

  /** Makes a server with a root volume and waits for its guest. @param where - further words of the command */
  protected async boot(root: string, ...where: string[]): Promise<void> {
    await this.step('an instance boots from a volume', async () => {
      const made = await this.cli(
        ...['server', 'create', '--flavor', FLAVOUR, '--volume', root, '--nic', 'none'],
        ...where,
        this.prefix,
      );
      this.made.server = textOf(made, 'id');
      await this.compute.serverStatus(this.made.server, 'ACTIVE', 300);
      await this.line(/MESHSAN-GUEST-BOOTED/);
    });
  }

  protected line(pattern: RegExp, after = 0): Promise<RegExpExecArray> {
    return this.compute.line(this.made.server, pattern, LINE_SECONDS, after);
  }

  protected async attach(volume: string, pattern: RegExp): Promise<RegExpExecArray> {
    const before = await this.compute.count(this.made.server, pattern);
    await this.quiet('server', 'add', 'volume', this.made.server, volume);
    await this.context.api.volumeStatus(volume, 'in-use', 120);
    const serial = new RegExp(`MESHSAN-DISK vdb .*serial=${volume.slice(0, 20)}`);
    await this.line(serial);
    return this.line(pattern, before);
  }

  protected async detach(volume: string): Promise<void> {
    const gone = /MESHSAN-GONE vdb/;
    const before = await this.compute.count(this.made.server, gone);
    await this.quiet('server', 'remove', 'volume', this.made.server, volume);
    await this.context.api.volumeStatus(volume, 'available', 120);
    await this.line(gone, before);
  }

  /** The guest writes without a pause, and has not been told to stop. */
  protected async streams(): Promise<void> {
    const ended = (await this.compute.console(this.made.server)).filter((line) =>
      /MESHSAN-(STREAMED|GONE|RESIZED|ERROR)/.test(line),
    );
    assert.ok(
      !ended.some((line) => line.includes('STREAMED')),
      `it writes no more: ${ended.join(' | ')}`,
    );
  }

  /** Ends the guest's writing by growing its disk: no write failed, and what it wrote is what it reads. */
  protected async endStream(volume: string, gib: number): Promise<void> {
    await this.quiet('volume', 'set', '--size', String(gib), volume);
    await this.context.api.volumeStatus(volume, 'in-use', 120);
    await volumeOfSize(this.gateway, this.backend.nameOf(volume), gib);
    const [, count, errors, slowest, wrote, read] = await this.line(
      /MESHSAN-STREAMED vdb count=(\d+) errors=(\d+) slowest=(\S+) wrote=([0-9a-f]+) read=([0-9a-f]+)/,
    );
    assert.equal(errors, '0', `${errors} of ${count} writes failed`);
    assert.equal(read, wrote, 'what the guest wrote is not what it read');
    this.context.progress.say(`  the guest wrote ${count} blocks, the slowest took ${slowest}`);
  }

  protected async deleteVolume(id: string): Promise<void> {
    await this.quiet('volume', 'delete', id);
    await this.context.api.volumeStatus(id, 'gone', 120);
    const name = this.backend.nameOf(id);
    await until('MeshSAN has the volume no more', 30, async () => {
      const volume = await this.gateway.volume(name);
      return volume === undefined ? { done: true } : { not: `volume ${volume.id} is there` };
    });
    this.made.volumes.splice(this.made.volumes.indexOf(id), 1);
  }

  protected async cleanUp(): Promise<void> {
    const { server, volumes, images } = this.made;
    const { api } = this.context;
    if (server !== '') {
      await this.compute.deleteServer(server);
      await this.compute.serverStatus(server, 'gone', 60).catch((error: unknown) => {
        this.context.progress.say(`  left behind: ${String(error)}`);
      });
    }
    for (const id of volumes) await api.deleteVolume(id);
    for (const id of images) await this.compute.deleteImage(id);
  }
}
