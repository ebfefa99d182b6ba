// Power cuts of nodes: disks with a volatile cache under everything that MDM and servers keep, and a boot id for each node. A
// server's device is such a disk itself; what a node's processes keep beside it lies in an ext4 on another one. It owns the
// order of a cut; who is cut off, and when, is the plan's.

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

import { waitForEnd } from '../../backend/runtime/processes.js';
import { loopsOver } from '../../backend/runtime/block-device.js';
import { until } from '../support/until.js';
import type { Keeper } from './keeper.js';
import type { Heal } from './network.js';
import { VolatileDisks } from './volatile-disk.js';
import { BLOCK_BYTES, SECTOR_BYTES } from './volatile-medium.js';
import type { DiskFault } from './volatile-session.js';

const MIB = 2 ** 20;
/** Of the tmpfs that holds the content of all disks. */
const BACKING_MIB = 8192;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const COMMAND_MS = 30_000;
const END_MS = 30_000;

/** A node with disks. */
export interface PowerNode {
  readonly name: string;
  readonly stateDir: string;
  /** Of the disk under that. */
  readonly stateMib: number;
  /** Where its device is, and how large; null: it has none. */
  readonly device: { readonly path: string; readonly sizeBytes: number } | null;
}

interface Node extends PowerNode {
  readonly disks: VolatileDisks;
  /** The disk under its state. */
  readonly stateDisk: string;
  readonly bootFile: string;
}

/** What the cuts met, of all disks together. */
export interface PowerCounts {
  readonly cuts: number;
  readonly unflushed: number;
  readonly torn: number;
}

const run = (command: string, ...args: readonly string[]) =>
  execa(command, args, { stdin: 'ignore', timeout: COMMAND_MS });

/** Why disks that lose what was not flushed cannot be made here, or null. */
export function powerObstacle(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  return existsSync('/dev/fuse') && existsSync('/dev/loop-control')
    ? null
    : 'needs FUSE and loop devices';
}

export class Power {
  readonly #nodes: readonly Node[];
  #cuts = 0;
  /** The cut before: power cannot go while it comes back. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(nodes: readonly Node[]) {
    this.#nodes = nodes;
  }

  /**
   * Makes the disks of nodes; in a mount namespace of this program's own.
   *
   * @param folder - does not exist
   */
  static async make(folder: string, nodes: readonly PowerNode[], seed: number): Promise<Power> {
    // A mount that is taken away here goes in the namespaces of processes too.
    await run('mount', '--make-rshared', '/');
    mkdirSync(folder, { mode: 0o700 });
    const options = `size=${BACKING_MIB}m,mode=700`;
    await run('mount', '-t', 'tmpfs', '-o', options, 'chaos-disks', folder);
    const made: Node[] = [];
    const folders = nodes.map(({ stateDir }) => stateDir);
    for (const stateDir of folders) {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      await run('mount', '--bind', stateDir, stateDir);
    }
    try {
      for (const [index, node] of nodes.entries())
        made.push(await addNode(join(folder, node.name), node, folders, seed + index));
    } catch (error) {
      for (const { disks } of made) disks.end();
      throw error;
    }
    return new Power(made);
  }

  /** How many times the power of some nodes was cut. */
  get cuts(): number {
    return this.#cuts;
  }

  async counts(): Promise<PowerCounts> {
    const answers = await Promise.all(this.#nodes.map(({ disks }) => disks.order('count')));
    const all = answers.flatMap(({ counts }) => counts);
    const sum = (of: (one: PowerCounts) => number): number =>
      all.reduce((total, one) => total + of(one), 0);
    return {
      cuts: this.#cuts,
      unflushed: sum(({ unflushed }) => unflushed),
      torn: sum(({ torn }) => torn),
    };
  }

  /** Words before a command of a node: the kernel under it has the boot id of the node. */
  entering(name: string): string[] {
    const node = this.#nodes.find((one) => one.name === name);
    if (node === undefined) return [];
    const script = `mount --bind "$0" ${BOOT_ID} && exec "$@"`;
    const words = ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', script];
    return [...words, node.bootFile];
  }

  /**
   * Cuts the power of nodes, all at the same moment.
   *
   * @returns switches it on again
   */
  cut(names: readonly string[], keeper: Keeper): Promise<Heal> {
    const cut = this.#last.then(() => this.#cut(names, keeper));
    this.#last = cut.catch(() => undefined);
    return cut;
  }

  async #cut(names: readonly string[], keeper: Keeper): Promise<Heal> {
    const nodes = this.#nodes.filter(({ name }) => names.includes(name));
    if (nodes.length < names.length) throw new Error(`not all of ${names.join(', ')} have disks`);
    this.#cuts++;
    const order = (word: 'fail' | 'release' | 'restore') =>
      Promise.all(nodes.map(({ disks }) => disks.order(word)));
    // What no disk has acknowledged from now on, no process acknowledges either.
    await order('fail');
    const held = nodes.map(({ name }) => keeper.hold(name));
    await order('release');
    if (
      !(await waitForEnd(
        held.flatMap(({ ids }) => ids),
        END_MS,
      ))
    )
      throw new Error(`processes of ${names.join(', ')} outlive SIGKILL`);
    await Promise.all(nodes.map(dropState));
    await order('restore');
    await Promise.all(nodes.map(mountState));
    for (const { bootFile } of nodes) writeFileSync(bootFile, `${randomUUID()}\n`);
    return () => {
      for (const { release } of held) release();
      return Promise.resolve();
    };
  }

  /** Makes the disks of a node slower, for good. */
  async slow(name: string, factor: number): Promise<void> {
    await this.#disksOf(name).order('slow', factor);
  }

  /** What is asked of the device of a server from now on is never answered, or (broken) answered with EIO. */
  async stick(name: string, isBroken: boolean): Promise<void> {
    await this.#disksOf(name).order(isBroken ? 'break' : 'hang');
  }

  /**
   * The device of a server takes writes as ever, but a flush of it, or every read, fails.
   *
   * @param fault - null: it is good again
   */
  async spoil(name: string, fault: DiskFault | null): Promise<void> {
    const orders = { flush: 'failFlush', read: 'failReads' } as const;
    await this.#disksOf(name).order(fault === null ? 'mend' : orders[fault]);
  }

  #disksOf(name: string): VolatileDisks {
    const node = this.#nodes.find((one) => one.name === name);
    if (node === undefined) throw new Error(`${name} has no disks`);
    return node.disks;
  }

  /** After all processes have ended. */
  async close(): Promise<void> {
    for (const node of this.#nodes) {
      await dropState(node);
      node.disks.end();
    }
  }
}

async function addNode(
  folder: string,
  node: PowerNode,
  folders: readonly string[],
  seed: number,
): Promise<Node> {
  const stateDisk = join(folder, 'state');
  const device = join(folder, 'device');
  const disk = (file: string, sizeBytes: number, physicalSectorBytes: number) => ({
    ...{ file, sizeBytes, backing: `${file}-content`, physicalSectorBytes },
  });
  mkdirSync(folder, { mode: 0o700 });
  const bootFile = join(folder, 'boot-id');
  writeFileSync(bootFile, `${randomUUID()}\n`);
  const disks = await VolatileDisks.make(
    {
      seed,
      disks: [
        // Ext4 reads its superblock before its journal: one of 1 KiB in two sectors of which one is lost cannot be mounted.
        disk(stateDisk, node.stateMib * MIB, BLOCK_BYTES),
        ...(node.device === null ? [] : [disk(device, node.device.sizeBytes, SECTOR_BYTES)]),
      ],
    },
    folders,
  );
  const made = { ...node, disks, stateDisk, bootFile };
  await run('mkfs.ext4', '-q', '-F', '-b', `${BLOCK_BYTES}`, '-E', 'nodiscard', stateDisk);
  await mountState(made);
  if (node.device !== null) {
    mkdirSync(dirname(node.device.path), { recursive: true, mode: 0o700 });
    symlinkSync(device, node.device.path);
  }
  return made;
}

async function mountState({ stateDisk, stateDir }: Node): Promise<void> {
  await run('mount', '-t', 'ext4', '-o', 'loop,nodiscard', stateDisk, stateDir);
}

/** Nothing that the kernel still keeps of it reaches the disk. */
async function dropState({ stateDisk, stateDir }: Node): Promise<void> {
  await run('umount', '-l', stateDir);
  await until(`the loop device of ${stateDisk} is gone`, () => loopsOver(stateDisk).length === 0);
}
