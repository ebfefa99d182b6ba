// The proof with instances: a volume of each backend is a guest's root disk and its data disk through its whole life, and
// every byte that the guest wrote is asked for again. What the guest says on its console is the witness inside, MeshSAN's
// own REST interface the one outside.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { backendsOf, MESHSAN } from './backends.js';
import { openstack, textOf } from './command.js';
import { ComputeApi } from './compute-api.js';
import { buildGuest } from './guest-image.js';
import { CONTROLLER } from './hosts.js';
import { connectGateway, killAndWait, processesOf, volumeOfSize } from './meshsan.js';
import type { Part } from './options.js';
import { SERVICE_PATH } from './processes.js';
import { ledgerOf, proveUnmodified, type ProofContext } from './proof.js';
import { proveMigration } from './proof-migration.js';
import { proveSnapshots } from './proof-snapshots.js';
import { RunError, until } from './progress.js';
import { computeServiceName } from './services-compute.js';
import { restartService } from './services.js';
import { FLAVOUR, GUEST_IMAGE, VolumeProof } from './volume-proof.js';

/** What the guest does each time that it sees the data disk. */
const SCRIPT = ['write', 'read', 'stream', 'read'];
const SECTORS_PER_GIB = 2 ** 21;
const BY_ID = '/dev/disk/by-id';

class InstanceProof extends VolumeProof {
  /** MD5 of what the guest wrote. */
  private written = '';

  async run(): Promise<void> {
    try {
      await this.volumes();
      const root = await this.volumeFromImage('root', GUEST_IMAGE);
      const data = await this.dataVolume(SCRIPT);
      await this.boot(root);
      await this.attachAndWrite(data);
      await this.detachFirst(data);
      await this.volumeToImage(data);
      await this.step('attach again: the same bytes', () => this.readsTheSame(data));
      await this.extendAttached(data);
      await this.hardRebootAndFailures(data);
      await this.restartComputeAndDetach(data);
      await this.limits();
      await this.deleteAll(root, data);
    } finally {
      await this.cleanUp();
    }
  }

  private async volumes(): Promise<void> {
    const { backend, gateway } = this;
    const before = this.rounded(1);
    const after = before * 2;
    const id = await this.step(`create: ${before} GiB are on MeshSAN`, async () => {
      const made = await this.createVolume('plain');
      await volumeOfSize(gateway, backend.nameOf(made), before);
      return made;
    });
    await this.step('show', async () => {
      const shown = (await this.cli('volume', 'show', id)) as Record<string, unknown>;
      assert.equal(shown['type'], backend.name);
      assert.equal(shown['size'], before);
    });
    await this.step(`extend: ${after} GiB are on MeshSAN`, async () => {
      await this.quiet('volume', 'set', '--size', String(after), id);
      await this.context.api.volumeStatus(id, 'available', 120);
      await volumeOfSize(gateway, backend.nameOf(id), after);
    });
    await this.step('delete', () => this.deleteVolume(id));
  }

  private async attachAndWrite(data: string): Promise<void> {
    await this.step('attach to the running instance, write in the guest', async () => {
      const [, wrote, read] = await this.attach(
        data,
        /MESHSAN-WROTE vdb wrote=([0-9a-f]+) read=([0-9a-f]+)/,
      );
      assert.equal(read, wrote, 'the guest read something else than it wrote');
      this.written = wrote ?? '';
    });
  }

  private async detachFirst(data: string): Promise<void> {
    await this.step('detach: the guest sees it go, MeshSAN has no mapping', async () => {
      await this.detach(data);
      const name = this.backend.nameOf(data);
      await until(`volume ${name} is not mapped`, 30, async () => {
        const mapped = (await this.gateway.volume(name))?.mappedSdcInfo ?? [];
        return mapped.length === 0 ? { done: true } : { not: `${mapped.length} mappings` };
      });
    });
  }

  private async readsTheSame(data: string): Promise<void> {
    const [, read] = await this.attach(data, /MESHSAN-READ vdb read=([0-9a-f]+)/);
    assert.equal(read, this.written, 'the guest read something else than it had written');
  }

  private async extendAttached(data: string): Promise<void> {
    const size = this.rounded(1) * 2;
    await this.step(`extend while attached: the guest sees ${size} GiB`, async () => {
      await this.quiet('volume', 'set', '--size', String(size), data);
      await this.context.api.volumeStatus(data, 'in-use', 120);
      await this.line(new RegExp(`MESHSAN-RESIZED vdb sectors=${size * SECTORS_PER_GIB}$`));
    });
  }

  private async hardRebootAndFailures(data: string): Promise<void> {
    const { cluster } = this.context;
    const server = this.made.server;
    await this.step('hard reboot: the guest comes back with its disks and writes', async () => {
      await this.quiet('server', 'reboot', '--hard', server);
      await this.compute.serverStatus(server, 'ACTIVE', 300);
      await this.line(/MESHSAN-STREAM vdb at=/);
    });
    await this.step(
      'an SDS data process and the SDC killed -9: the guest sees nothing',
      async () => {
        for (const role of ['sds-data', 'sdc']) {
          const [victim] = processesOf(cluster, role);
          if (victim === undefined) throw new RunError(`no ${role} process runs`);
          await killAndWait(cluster, victim);
        }
        await this.streams();
        await this.endStream(data, this.rounded(1) * 3);
      },
    );
  }

  private async restartComputeAndDetach(data: string): Promise<void> {
    const { state } = this.context;
    await this.step('nova-compute restarted: detach, attach again, the same bytes', async () => {
      await restartService(state, computeServiceName(CONTROLLER));
      await this.compute.servicesUp([CONTROLLER], 120);
      await this.detach(data);
      await this.readsTheSame(data);
      await this.detach(data);
    });
  }

  private async volumeToImage(data: string): Promise<void> {
    const { state } = this.context;
    await this.step('volume to image: the bytes of the guest are in it', async () => {
      const name = `${this.prefix}-back`;
      await this.quiet('image', 'create', '--volume', data, '--disk-format', 'qcow2', name);
      const id = await until(`image ${name} is known`, 30, async () => {
        const found = await this.compute.imageId(name);
        return found === undefined ? { not: 'no such image' } : { done: found };
      });
      this.made.images.push(id);
      await this.compute.imageActive(id, 300);
      await this.context.api.volumeStatus(data, 'available', 120);
      const file = path.join(state.root, 'guest', `${name}.qcow2`);
      try {
        await this.quiet('image', 'save', '--file', file, id);
        assert.equal(await md5Of(file), this.written, 'the image holds something else');
      } finally {
        rmSync(file, { force: true });
      }
    });
  }

  /** CROC's rule: 500 operations and a quarter of a megabyte a second for each GB. */
  private async limits(): Promise<void> {
    const { api } = this.context;
    const gib = this.rounded(1);
    const name = `${this.prefix}-limited`;
    const limited = async (id: string, times: number): Promise<void> => {
      const wanted = `${500 * times} IOPS, ${256 * times} KiB/s`;
      await until(`the mapping is limited to ${wanted}`, 30, async () => {
        const [mapping] = (await this.gateway.volume(this.backend.nameOf(id)))?.mappedSdcInfo ?? [];
        const now = `${mapping?.limitIops ?? 0} IOPS, ${mapping?.limitBwInKbps ?? 0} KiB/s`;
        return now === wanted ? { done: true } : { not: now };
      });
    };
    await this.step('limits by openstack volume qos: on the mapping of an instance', async () => {
      const rules = ['--property', 'maxIOPSperGB=500', '--property', 'maxBWSperGB=256'];
      await this.quiet('volume', 'qos', 'create', '--consumer', 'back-end', ...rules, name);
      const backend = `volume_backend_name=${this.backend.name}`;
      await this.quiet('volume', 'type', 'create', '--property', backend, name);
      await this.quiet('volume', 'qos', 'associate', name, name);
      const made = await this.cli('volume', 'create', '--type', name, '--size', '1', name);
      const id = textOf(made, 'id');
      this.made.volumes.push(id);
      await api.volumeStatus(id, 'available', 120);
      await this.quiet('server', 'add', 'volume', this.made.server, id);
      await api.volumeStatus(id, 'in-use', 120);
      await limited(id, gib);
      if (this.backend.name === MESHSAN.name) {
        // They grow with the volume while it is attached, which the stock driver does at the next attachment.
        await this.quiet('volume', 'set', '--size', String(gib * 2), id);
        await api.volumeStatus(id, 'in-use', 120);
        await limited(id, gib * 2);
      }
      await this.quiet('server', 'remove', 'volume', this.made.server, id);
      await api.volumeStatus(id, 'available', 120);
      await this.deleteVolume(id);
      await this.quiet('volume', 'qos', 'disassociate', '--volume-type', name, name);
      await this.quiet('volume', 'qos', 'delete', name);
      await this.quiet('volume', 'type', 'delete', name);
    });
  }

  private async deleteAll(root: string, data: string): Promise<void> {
    await this.step('delete the instance and its volumes: nothing is left', async () => {
      await this.quiet('server', 'delete', this.made.server);
      await this.compute.serverStatus(this.made.server, 'gone', 120);
      this.made.server = '';
      await this.context.api.volumeStatus(root, 'available', 60);
      const ids = await Promise.all(
        [root, data].map((id) => this.gateway.volume(this.backend.nameOf(id))),
      );
      for (const id of [root, data]) await this.deleteVolume(id);
      const left = readdirSync(BY_ID).filter((name) =>
        ids.some((volume) => volume !== undefined && name.endsWith(volume.id)),
      );
      assert.deepEqual(left, [], 'block devices are left on this machine');
    });
  }
}

/** MD5 of the place that the guest writes to, in an image. */
async function md5Of(image: string): Promise<string> {
  const raw = `${image}.part`;
  try {
    await execa(
      'qemu-img',
      [
        'dd',
        '-f',
        'qcow2',
        '-O',
        'raw',
        'bs=65536',
        'skip=16',
        'count=32',
        `if=${image}`,
        `of=${raw}`,
      ],
      { extendEnv: false, env: { PATH: SERVICE_PATH }, stdin: 'ignore' },
    );
    const { stdout } = await execa('head', ['-c', '1048576', raw], { encoding: 'buffer' });
    return createHash('md5').update(stdout).digest('hex');
  } finally {
    rmSync(raw, { force: true });
  }
}

/** Proves the whole life of volumes with instances, in these parts; returns the names of the steps that held. */
export async function proveInstances(
  context: ProofContext,
  parts: readonly Part[],
): Promise<string[]> {
  const { state, api, cluster } = context;
  const compute = new ComputeApi(state, api);
  const { held, hold } = ledgerOf(context, ['cinder-volume', computeServiceName(CONTROLLER)]);
  await proveUnmodified(context, hold);
  await hold('the guest of the proofs is an image', async () => {
    const file = await buildGuest(path.join(state.root, 'guest'));
    await compute.ensureFlavour(FLAVOUR);
    if ((await compute.imageId(GUEST_IMAGE)) !== undefined) return;
    await openstack(state, [
      ...['image', 'create', '--disk-format', 'qcow2', '--container-format', 'bare', '--public'],
      ...['--file', file, GUEST_IMAGE],
    ]);
  });
  const gateway = await connectGateway(cluster);
  for (const backend of backendsOf(state.scope).filter(({ name }) =>
    parts.includes(name as Part),
  )) {
    await proveSnapshots(context, backend, compute, gateway, hold);
    await new InstanceProof(context, backend, compute, gateway, hold).run();
  }
  if (parts.includes('migration')) await proveMigration(context, compute, gateway, hold);
  return held;
}
