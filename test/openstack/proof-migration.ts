// Live migration: a guest that writes to a volume without a pause moves from one compute host to another, each with its own
// nova-compute, libvirtd, SDC and /dev. Afterwards only the SDC of the new host is mapped, and every byte is compared.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { MESHSAN } from './backends.js';
import type { ComputeApi } from './compute-api.js';
import { computeHosts, CONTROLLER, onHost, SECOND } from './hosts.js';
import type { Gateway } from './meshsan.js';
import type { Hold, ProofContext } from './proof.js';
import { RunError, until } from './progress.js';
import { GUEST_IMAGE, VolumeProof } from './volume-proof.js';

const MIGRATION_SECONDS = 300;
const BY_ID = '/dev/disk/by-id';

class MigrationProof extends VolumeProof {
  async run(): Promise<void> {
    try {
      const root = await this.volumeFromImage('moving root', GUEST_IMAGE);
      const data = await this.dataVolume(['stream']);
      await this.boot(root, '--host', CONTROLLER);
      await this.step('the guest writes without a pause', async () => {
        await this.attach(data, /MESHSAN-STREAM vdb at=/);
      });
      await this.step(`live migration to ${SECOND} while it writes`, () => this.migrate());
      await this.step('only the new host is mapped', () => this.handedOver([root, data]));
      await this.step('no write failed, all bytes are what the guest wrote', () =>
        this.endStream(data, 2),
      );
      await this.step('the instance and its volumes are deleted from there', async () => {
        await this.quiet('server', 'delete', this.made.server);
        await this.compute.serverStatus(this.made.server, 'gone', 120);
        this.made.server = '';
        for (const id of [root, data]) {
          await this.context.api.volumeStatus(id, 'available', 60);
          await this.deleteVolume(id);
        }
      });
    } finally {
      await this.cleanUp();
    }
  }

  private async migrate(): Promise<void> {
    const { server } = this.made;
    assert.equal(await this.compute.hostOf(server), CONTROLLER);
    await this.quiet('server', 'migrate', '--live-migration', '--host', SECOND, server);
    await until(`the server is on ${SECOND}`, MIGRATION_SECONDS, async () => {
      const refused = await this.compute.failedMigration(server);
      if (refused) throw new RunError(`Nova gave the migration up`);
      const host = await this.compute.hostOf(server);
      return host === SECOND ? { done: true } : { not: `it is on ${host}` };
    });
    await this.compute.serverStatus(server, 'ACTIVE', 120);
    await this.streams();
  }

  /** The old host can neither read nor write any more: it has no mapping, and no device. */
  private async handedOver(ids: readonly string[]): Promise<void> {
    const [, second] = computeHosts(this.context.state);
    const guid = (await this.gateway.sdcs()).find(({ name }) => name === SECOND);
    if (guid === undefined) throw new RunError(`the cluster knows no SDC ${SECOND}`);
    for (const id of ids) {
      const name = this.backend.nameOf(id);
      const volume = await until(`volume ${name} has one mapping`, 60, async () => {
        const found = await this.gateway.volume(name);
        const mapped = found?.mappedSdcInfo?.length ?? 0;
        return found !== undefined && mapped === 1
          ? { done: found }
          : { not: `${mapped} mappings` };
      });
      assert.equal(volume.mappedSdcInfo?.[0]?.sdcId, guid.id, 'another host is mapped');
      const link = `${BY_ID}/emc-vol-${this.context.cluster.systemId}-${volume.id}`;
      assert.equal(existsSync(link), false, `${link} is still on ${CONTROLLER}`);
      assert.match(await onHost(second, 'readlink', link), /^\/dev\//);
    }
  }
}

/** Proves it with MeshSAN's own driver: the other one cannot tell two hosts of this machine apart without CUSE. */
export async function proveMigration(
  context: ProofContext,
  compute: ComputeApi,
  gateway: Gateway,
  hold: Hold,
): Promise<void> {
  await new MigrationProof(context, MESHSAN, compute, gateway, hold).run();
}
