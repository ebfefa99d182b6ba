// The proof: the real `openstack` command creates, lists, shows, extends and deletes a volume, and after every step
// MeshSAN itself is asked, beside Cinder, whether the volume exists with the right size, or is gone.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { execa } from 'execa';
import { BACKEND, clientEnvironment } from './config.js';
import type { CloudApi } from './apis.js';
import {
  connectGateway,
  nameOnMeshsan,
  scliVolumes,
  volumeOfSize,
  type Gateway,
  type MeshsanCluster,
} from './meshsan.js';
import { SERVICE_PATH, tail } from './processes.js';
import { cinderDriver } from './packages.js';
import { RunError, until, type Progress } from './progress.js';
import { serviceLog } from './services.js';
import type { CloudState } from './state.js';

/** The driver asks for 1 GiB, the original rounds up to 8, and Cinder takes over the rounded size. */
const CREATED_GIB = 8;
const EXTENDED_GIB = 16;

export interface ProofContext {
  readonly state: CloudState;
  readonly cluster: MeshsanCluster;
  readonly api: CloudApi;
  readonly progress: Progress;
}

/** Runs the whole proof; returns the names of the steps that held. The first that does not hold ends it. */
export async function prove(context: ProofContext): Promise<string[]> {
  const { state, cluster, progress } = context;
  const gateway = await connectGateway(cluster);
  const held: string[] = [];
  const hold = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await progress.step(name, work);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new RunError(
        `NOT PROVED: ${name}: ${why}\n  end of cinder-volume's log:\n${tail(serviceLog(state, 'cinder-volume'), 12)}`,
      );
    }
    held.push(name);
  };
  await hold('the PowerFlex driver is unmodified (dpkg --verify python3-cinder)', async () => {
    const driver = await cinderDriver();
    assert.deepEqual(driver.modified, [], 'files of the driver differ from the package');
  });
  const name = `proof-${randomBytes(4).toString('hex')}`;
  let id = '';
  try {
    await hold('openstack volume create: 8 GiB are on MeshSAN', async () => {
      const made = await openstack(state, [
        'volume',
        'create',
        '--type',
        BACKEND,
        '--size',
        '1',
        name,
      ]);
      id = textOf(made, 'id');
      await context.api.volumeStatus(id, 'available', 120);
      await volumeOfSize(gateway, nameOnMeshsan(id), CREATED_GIB);
    });
    await holdReadersAndExtend(context, gateway, hold, id, name);
    await hold('openstack volume delete: gone from MeshSAN', async () => {
      await run(state, ['volume', 'delete', name]);
      await context.api.volumeStatus(id, 'gone', 120);
      await until('MeshSAN has the volume no more', 30, async () => {
        const volume = await gateway.volume(nameOnMeshsan(id));
        return volume === undefined ? { done: true } : { not: `volume ${volume.id} is there` };
      });
      id = '';
    });
  } finally {
    // Whatever failed, the cloud is not left with the proof's volume.
    if (id !== '') await context.api.deleteVolume(id);
  }
  return held;
}

async function holdReadersAndExtend(
  { state, cluster, api }: ProofContext,
  gateway: Gateway,
  hold: (name: string, work: () => Promise<void>) => Promise<void>,
  id: string,
  name: string,
): Promise<void> {
  await hold('openstack volume list, volume show: the volume with its rounded size', async () => {
    const [list, shown] = await Promise.all([
      openstack(state, ['volume', 'list']),
      openstack(state, ['volume', 'show', name]),
    ]);
    assert.ok(
      Array.isArray(list) &&
        list.some((row: Record<string, unknown>) => row['ID'] === id && row['Name'] === name),
      'the volume is not in the list',
    );
    assert.equal(textOf(shown, 'type'), BACKEND);
    assert.equal((shown as Record<string, unknown>)['size'], CREATED_GIB);
  });
  await hold('scli --query_all_volumes shows it too', async () => {
    assert.ok(
      (await scliVolumes(cluster)).includes(nameOnMeshsan(id)),
      'the volume is not in its output',
    );
  });
  await hold('openstack volume set --size: 16 GiB are on MeshSAN', async () => {
    await run(state, ['volume', 'set', '--size', String(EXTENDED_GIB), name]);
    await api.volumeStatus(id, 'available', 120);
    await volumeOfSize(gateway, nameOnMeshsan(id), EXTENDED_GIB);
  });
}

/** Runs the `openstack` command as the administrator. */
async function run(state: CloudState, words: readonly string[]): Promise<string> {
  const result = await execa('openstack', words, {
    extendEnv: false,
    env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8', HOME: state.root, ...clientEnvironment(state) },
    stdin: 'ignore',
    reject: false,
    timeout: 120000,
  });
  if (result.exitCode !== 0)
    throw new RunError(`openstack ${words.join(' ')}: ${result.stderr || result.stdout}`);
  return result.stdout;
}

async function openstack(state: CloudState, words: readonly string[]): Promise<unknown> {
  return JSON.parse(await run(state, [...words, '-f', 'json']));
}

function textOf(answer: unknown, field: string): string {
  const value = (answer as Record<string, unknown>)[field];
  if (typeof value !== 'string')
    throw new RunError(`openstack: field ${field} of its answer is no text`);
  return value;
}
