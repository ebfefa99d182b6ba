// What the machine's OpenStack does with volumes whose type nobody names: before the deployment they go to its old
// back-end, afterwards to the deployed cluster, through the whole life of a volume with an instance. Witnesses are the guest
// inside, and the deployed gateways' REST interface outside.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CloudApi } from '../../openstack/apis.js';
import { MESHSAN, POWERFLEX } from '../../openstack/backends.js';
import { openstack, run, textOf } from '../../openstack/command.js';
import { ComputeApi } from '../../openstack/compute-api.js';
import { buildGuest } from '../../openstack/guest-image.js';
import { connectGateway, volumeOfSize } from '../../openstack/meshsan.js';
import type { Gateway, MeshsanCluster } from '../../openstack/meshsan.js';
import { openstackCode } from '../../openstack/packages.js';
import { until } from '../../openstack/progress.js';
import type { Progress } from '../../openstack/progress.js';
import { ledgerOf } from '../../openstack/proof.js';
import type { ProofContext } from '../../openstack/proof.js';
import type { CloudState } from '../../openstack/state.js';
import { FLAVOUR, GUEST_IMAGE, VolumeProof } from '../../openstack/volume-proof.js';
import { GATEWAY, KILLED, OLD_BACKEND, STREAMS } from './node-state.js';

const SERVICE_SECONDS = 240;
const SCRIPT = ['write', 'read', 'stream'];
const OLD_VOLUME = 'from-before';

interface Shown {
  readonly id: string;
  readonly type: string;
  readonly status: string;
}

const show = async (state: CloudState, volume: string): Promise<Shown> =>
  (await openstack(state, ['volume', 'show', volume])) as Shown;

/** The deployed cluster as this node knows it: the gateways' virtual address, and the account of Cinder. */
function deployedCluster(): MeshsanCluster {
  const gateway = new URL(GATEWAY);
  return {
    ...{ dir: '', gateway: gateway.origin, gatewayHost: gateway.hostname },
    gatewayPort: Number(gateway.port),
    caFile: '/usr/local/share/ca-certificates/meshsan.crt',
    username: 'openstack',
    password: readFileSync('/etc/meshsan/cinder-bridge-password', 'utf8').trim(),
    ...{ protectionDomain: 'default', storagePool: 'default', sdcGuid: '', systemId: '' },
    ...{ bridge: null, sdcSocket: '' },
  };
}

/** A volume without a type goes to the old back-end. */
export async function proveDefault(state: CloudState, progress: Progress): Promise<void> {
  await progress.step(`a volume without a type is on ${OLD_BACKEND}`, async () => {
    const id = textOf(
      await openstack(state, ['volume', 'create', '--size', '1', OLD_VOLUME]),
      'id',
    );
    await (await CloudApi.login(state)).volumeStatus(id, 'available', SERVICE_SECONDS);
    assert.equal((await show(state, id)).type, OLD_BACKEND);
  });
}

class DeployedProof extends VolumeProof {
  /** MD5 of what the guest wrote. */
  #written = '';

  async run(): Promise<void> {
    try {
      await this.#withoutType();
      const root = await this.volumeFromImage('root', GUEST_IMAGE);
      const data = await this.dataVolume(SCRIPT);
      await this.boot(root);
      await this.#attachAndWrite(data);
      await this.#readBack(data);
      await this.#serverLost(data);
      await this.#deleteAll(root, data);
    } finally {
      await this.cleanUp();
    }
  }

  /** No `--type`: that is what is proved. */
  protected override async createVolume(name: string, ...words: string[]): Promise<string> {
    const full = `${this.prefix}-${name}`;
    const made = await this.cli('volume', 'create', '--size', '1', ...words, full);
    const id = textOf(made, 'id');
    this.made.volumes.push(id);
    await this.context.api.volumeStatus(id, 'available', SERVICE_SECONDS);
    return id;
  }

  async #withoutType(): Promise<void> {
    await this.step('openstack volume create --size 1: it is on the deployed cluster', async () => {
      const id = await this.createVolume('first');
      const { id: meshsanId } = await volumeOfSize(this.gateway, this.backend.nameOf(id), 1);
      assert.equal((await show(this.context.state, id)).type, this.backend.name);
      this.context.progress.say(`  the gateway shows volume ${meshsanId}`);
      await this.deleteVolume(id);
    });
  }

  async #attachAndWrite(data: string): Promise<void> {
    await this.step('openstack server add volume, written in the guest', async () => {
      const [, wrote, read] = await this.attach(
        data,
        /^MESHSAN-WROTE vdb wrote=([0-9a-f]+) read=([0-9a-f]+)/,
      );
      assert.equal(read, wrote, 'the guest read something else than it wrote');
      this.#written = wrote ?? '';
      const volume = await this.gateway.volume(this.backend.nameOf(data));
      assert.equal(volume?.mappedSdcInfo?.length, 1, 'the gateway shows no mapping');
    });
  }

  async #readBack(data: string): Promise<void> {
    await this.step('detached and attached again: the same bytes', async () => {
      await this.detach(data);
      const [, read] = await this.attach(data, /^MESHSAN-READ vdb read=([0-9a-f]+)/);
      assert.equal(read, this.#written, 'the guest read something else than it had written');
      await this.detach(data);
    });
  }

  async #serverLost(data: string): Promise<void> {
    const { state, progress } = this.context;
    await this.step(
      'a storage server killed -9 under a writing guest: it sees nothing',
      async () => {
        await this.attach(data, /^MESHSAN-STREAM vdb at=/);
        progress.say(STREAMS);
        await until('a storage server was killed', SERVICE_SECONDS, () =>
          Promise.resolve(
            existsSync(join(state.root, KILLED)) ? { done: true } : { not: 'not yet' },
          ),
        );
        await this.streams();
        await this.endStream(data, 2);
      },
    );
  }

  async #deleteAll(root: string, data: string): Promise<void> {
    await this.step('the instance and its volumes are deleted: nothing is left', async () => {
      await this.quiet('server', 'delete', this.made.server);
      await this.compute.serverStatus(this.made.server, 'gone', SERVICE_SECONDS);
      this.made.server = '';
      for (const id of [root, data]) {
        await this.context.api.volumeStatus(id, 'available', SERVICE_SECONDS);
        await this.deleteVolume(id);
      }
    });
  }
}

/** The type of Cinder's own PowerFlex driver makes volumes on the same cluster, in its own sizes. */
async function proveStock(context: ProofContext, gateway: Gateway): Promise<void> {
  const { state, api } = context;
  const words = ['volume', 'create', '--type', POWERFLEX.name, '--size', '1', 'stock'];
  const id = textOf(await openstack(state, words), 'id');
  await api.volumeStatus(id, 'available', SERVICE_SECONDS);
  await volumeOfSize(gateway, POWERFLEX.nameOf(id), POWERFLEX.grainGib);
  assert.equal((await show(state, id)).type, POWERFLEX.name);
  await run(state, ['volume', 'delete', id]);
  await api.volumeStatus(id, 'gone', SERVICE_SECONDS);
  assert.equal(await gateway.volume(POWERFLEX.nameOf(id)), undefined, 'the gateway still has it');
}

/** The old back-end serves as before; volumes without a type go to the deployed cluster. */
export async function proveDeployed(state: CloudState, progress: Progress): Promise<void> {
  const api = await CloudApi.login(state);
  const compute = new ComputeApi(state, api);
  const cluster = deployedCluster();
  const context: ProofContext = { state, cluster, api, progress };
  const { hold } = ledgerOf(context, ['cinder-volume', 'nova-compute']);
  await hold("cinder, os-brick and nova are Debian's own (dpkg --verify)", async () => {
    assert.deepEqual((await openstackCode('full')).modified, [], 'files differ');
  });
  await hold('all three back-ends are up', async () => {
    const hosts = [`${hostname()}@${OLD_BACKEND}`, 'meshsan@meshsan', `meshsan@${POWERFLEX.name}`];
    await api.cinderReady(hosts, SERVICE_SECONDS, '/var/log/cinder/cinder-volume.log');
    await compute.servicesUp([hostname()], SERVICE_SECONDS);
  });
  await hold(`${OLD_BACKEND} serves as before`, async () => {
    const old = await show(state, OLD_VOLUME);
    assert.deepEqual([old.type, old.status], [OLD_BACKEND, 'available']);
    await run(state, ['volume', 'delete', old.id]);
    await api.volumeStatus(old.id, 'gone', SERVICE_SECONDS);
    const words = ['volume', 'create', '--type', OLD_BACKEND, '--size', '1', 'by-type'];
    const id = textOf(await openstack(state, words), 'id');
    await api.volumeStatus(id, 'available', SERVICE_SECONDS);
    await run(state, ['volume', 'delete', id]);
  });
  await hold('the guest of the proofs is an image', async () => {
    const file = await buildGuest(join(state.root, 'guest'));
    await compute.ensureFlavour(FLAVOUR);
    await openstack(state, [
      ...['image', 'create', '--disk-format', 'qcow2', '--container-format', 'bare', '--public'],
      ...['--file', file, GUEST_IMAGE],
    ]);
  });
  const gateway = await connectGateway(cluster);
  await hold(`${POWERFLEX.name}: a volume by its type, made, shown and deleted`, () =>
    proveStock(context, gateway),
  );
  await new DeployedProof(context, MESHSAN, compute, gateway, hold).run();
}
