// The proof of snapshots: of what a volume holds at one moment, volumes made of them and of volumes, reverting, groups, removal in any
// order, and the limit of a V-tree. What volumes hold is written and read beside OpenStack, as a host would, over their NBD sockets.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { textOf } from './command.js';
import { MESHSAN, type Backend } from './backends.js';
import type { ComputeApi } from './compute-api.js';
import { volumeOfSize, type Gateway, type MeshsanVolume } from './meshsan.js';
import { SERVICE_PATH } from './processes.js';
import type { Hold, ProofContext } from './proof.js';
import { RunError, until } from './progress.js';
import { serviceLog } from './services.js';
import { VolumeProof } from './volume-proof.js';

/** What the original allows, and so do we by default. */
const SNAPSHOTS_PER_VTREE = 126;
const OLD = '0x11';
const NEW = '0x22';

class SnapshotProof extends VolumeProof {
  private readonly snapshots: string[] = [];

  async run(): Promise<void> {
    try {
      const size = this.rounded(1);
      const source = await this.make('source', size);
      const snapshot = await this.snapshotOfContent(source);
      const copies = await this.copies(source, snapshot, size);
      await this.revert(source, snapshot, copies.clone);
      await this.removeInAnyOrder(source, snapshot, copies);
      await this.group(size);
      await this.limit(size);
    } finally {
      for (const id of this.snapshots) await this.context.api.deleteSnapshot(id);
      await this.cleanUp();
    }
  }

  private async make(name: string, gib: number, ...words: string[]): Promise<string> {
    const made = await this.cli(
      ...['volume', 'create', '--type', this.backend.name, '--size', String(gib), ...words],
      `${this.prefix}-${name}`,
    );
    const id = textOf(made, 'id');
    this.made.volumes.push(id);
    await this.context.api.volumeStatus(id, 'available', 300);
    await volumeOfSize(this.gateway, this.backend.nameOf(id), gib);
    return id;
  }

  private async onMeshsan(id: string): Promise<MeshsanVolume> {
    const volume = await this.gateway.volume(this.backend.nameOf(id));
    if (volume === undefined) throw new RunError(`MeshSAN has no volume of ${id}`);
    return volume;
  }

  /** Runs a command of qemu-io on a volume, over the socket that the cluster's own client opens for it. */
  private async io(id: string, ...commands: string[]): Promise<void> {
    const volume = await this.onMeshsan(id);
    const { dir } = this.context.cluster;
    const cluster = JSON.parse(readFileSync(path.join(dir, 'cluster.json'), 'utf8')) as {
      readonly sdcGuid: string;
      readonly nbdDir: string;
    };
    const act = (name: string, body: object): Promise<unknown> =>
      this.gateway.act(`instances/Volume::${volume.id}/action/${name}`, body);
    await act('addMappedSdc', { guid: cluster.sdcGuid });
    try {
      const socket = path.join(cluster.nbdDir, `${volume.id}.sock`);
      await until(`volume ${volume.id} has a socket`, 60, () =>
        Promise.resolve(existsSync(socket) ? { done: true } : { not: 'none yet' }),
      );
      const words = commands.flatMap((command) => ['-c', command]);
      const { stdout } = await execa(
        'qemu-io',
        ['-f', 'raw', ...words, `nbd+unix:///?socket=${socket}`],
        { extendEnv: false, env: { PATH: SERVICE_PATH }, stdin: 'ignore', timeout: 60_000 },
      );
      assert.ok(!/fail|error/i.test(stdout), stdout);
    } finally {
      await act('removeMappedSdc', { guid: cluster.sdcGuid });
    }
  }

  private holds(id: string, pattern: string): Promise<void> {
    return this.io(id, `read -P ${pattern} 0 1M`);
  }

  private async takeSnapshot(volume: string): Promise<string> {
    const name = `${this.prefix}-snapshot`;
    const made = await this.cli('volume', 'snapshot', 'create', '--volume', volume, name);
    const id = textOf(made, 'id');
    this.snapshots.push(id);
    return id;
  }

  private async deleteSnapshot(id: string): Promise<void> {
    await this.quiet('volume', 'snapshot', 'delete', id);
    await this.context.api.statusAt('snapshots', 'snapshot', id, 'gone', 120);
    this.snapshots.splice(this.snapshots.indexOf(id), 1);
  }

  private async snapshotOfContent(source: string): Promise<string> {
    return this.step('snapshot: MeshSAN has it below its volume', async () => {
      await this.io(source, `write -P ${OLD} 0 1M`, 'flush');
      const id = await this.takeSnapshot(source);
      await this.context.api.statusAt('snapshots', 'snapshot', id, 'available', 120);
      const { id: volumeId } = await this.onMeshsan(source);
      const below = (await this.gateway.volumes()).filter(
        ({ ancestorVolumeId }) => ancestorVolumeId === volumeId,
      );
      assert.deepEqual(
        below.map(({ volumeType }) => volumeType),
        ['Snapshot'],
      );
      await this.io(source, `write -P ${NEW} 0 1M`, 'flush');
      return id;
    });
  }

  private async copies(
    source: string,
    snapshot: string,
    size: number,
  ): Promise<{ readonly same: string; readonly larger: string; readonly clone: string }> {
    const same = await this.step('volume from the snapshot: it holds what was there', async () => {
      const id = await this.make('old', size, '--snapshot', snapshot);
      await this.holds(id, OLD);
      return id;
    });
    const larger = await this.step('a larger volume from the snapshot', async () => {
      const id = await this.make('larger', size * 2, '--snapshot', snapshot);
      await this.holds(id, OLD);
      return id;
    });
    const clone = await this.step('clone: it holds what its source holds', async () => {
      const id = await this.make('clone', size, '--source', source);
      await this.holds(id, NEW);
      return id;
    });
    return { same, larger, clone };
  }

  private async revert(source: string, snapshot: string, clone: string): Promise<void> {
    await this.step('revert to the snapshot; the clone stays as it is', async () => {
      await this.context.api.revert(source, snapshot);
      await this.context.api.volumeStatus(source, 'available', 120);
      await this.holds(source, OLD);
      await this.holds(clone, NEW);
    });
  }

  private async removeInAnyOrder(
    source: string,
    snapshot: string,
    { same, larger, clone }: { same: string; larger: string; clone: string },
  ): Promise<void> {
    await this.step('removed in any order: what was made of them stays', async () => {
      await this.deleteSnapshot(snapshot);
      await this.deleteVolume(source);
      await this.holds(same, OLD);
      await this.holds(larger, OLD);
      await this.holds(clone, NEW);
      for (const id of [larger, clone, same]) await this.deleteVolume(id);
    });
  }

  private async group(size: number): Promise<void> {
    const { api } = this.context;
    const isOurs = this.backend.name === MESHSAN.name;
    const name = `${this.prefix}-group`;
    await this.step(
      isOurs ? 'group snapshot: one moment for both volumes' : 'group snapshot',
      async () => {
        const volumes = [await this.make('one', size), await this.make('two', size)];
        await this.quiet('volume', 'group', 'type', 'create', name);
        const consistent = 'consistent_group_snapshot_enabled=<is> True';
        await this.quiet('volume', 'group', 'type', 'set', '--property', consistent, name);
        const groupId = await api.createGroup(name, this.backend.name, volumes);
        const taken = await this.cli('volume', 'group', 'snapshot', 'create', groupId);
        const id = textOf(taken, 'ID');
        await api.statusAt('group_snapshots', 'group_snapshot', id, 'available', 120);
        const sources = await Promise.all(volumes.map((volume) => this.onMeshsan(volume)));
        const below = (await this.gateway.volumes()).filter((one) =>
          sources.some((source) => source.id === one.ancestorVolumeId),
        );
        assert.equal(below.length, 2, `${below.length} snapshots`);
        const groups = new Set(below.map(({ consistencyGroupId }) => consistencyGroupId));
        assert.equal(groups.size, isOurs ? 1 : 2, 'calls of the cluster that made them');
        await this.quiet('volume', 'group', 'snapshot', 'delete', id);
        await api.statusAt('group_snapshots', 'group_snapshot', id, 'gone', 120);
        await this.quiet('volume', 'group', 'delete', '--force', groupId);
        await api.statusAt('groups', 'group', groupId, 'gone', 120);
        for (const volume of volumes) {
          await api.volumeStatus(volume, 'gone', 60);
          this.made.volumes.splice(this.made.volumes.indexOf(volume), 1);
        }
        await this.quiet('volume', 'group', 'type', 'delete', name);
      },
    );
  }

  private async limit(size: number): Promise<void> {
    const { api, state } = this.context;
    await this.step('error 182: Cinder says that the limit of snapshots is reached', async () => {
      const full = await this.make('full', size);
      const { id } = await this.onMeshsan(full);
      for (let taken = 0; taken < SNAPSHOTS_PER_VTREE; taken++)
        await this.gateway.act('instances/System/action/snapshotVolumes', {
          snapshotDefs: [{ volumeId: id }],
        });
      const log = serviceLog(state, 'cinder-volume');
      const before = readFileSync(log, 'utf8').length;
      const snapshot = await this.takeSnapshot(full);
      await api.statusAt('snapshots', 'snapshot', snapshot, 'error', 120);
      const said = readFileSync(log, 'utf8').slice(before);
      assert.ok(said.includes('SnapshotLimitReached'), 'not in the log of cinder-volume');
      await this.deleteSnapshot(snapshot);
      await this.gateway.act(`instances/Volume::${id}/action/removeVolume`, {
        removeMode: 'DESCENDANTS_ONLY',
      });
      await this.deleteVolume(full);
    });
  }
}

/** Proves snapshots of a backend. */
export function proveSnapshots(
  context: ProofContext,
  backend: Backend,
  compute: ComputeApi,
  gateway: Gateway,
  hold: Hold,
): Promise<void> {
  return new SnapshotProof(context, backend, compute, gateway, hold).run();
}
