// The proof: the real `openstack` command creates, lists, shows, extends and deletes a volume, and after every step
// MeshSAN itself is asked, beside Cinder, whether the volume exists with the right size, or is gone.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { POWERFLEX } from './backends.js';
import { openstack, run, textOf } from './command.js';
import type { CloudApi } from './apis.js';
import {
  connectGateway,
  nameOnMeshsan,
  scliVolumes,
  volumeOfSize,
  type Gateway,
  type MeshsanCluster,
} from './meshsan.js';
import { tail } from './processes.js';
import { openstackCode } from './packages.js';
import { RunError, until, type Progress } from './progress.js';
import { serviceLog } from './services.js';
import type { CloudState } from './state.js';

/** The driver asks for 1 GiB, the original rounds up to 8, and Cinder takes over the rounded size. */
const CREATED_GIB = 8;
const EXTENDED_GIB = 16;

/** What services say of being waited for, and now and then by themselves; it would push the rest out of sight. */
const NOISE = /Get console output|console pty|Query stats|Free capacity|(Pool|Domain) id:/;

export interface ProofContext {
  readonly state: CloudState;
  readonly cluster: MeshsanCluster;
  readonly api: CloudApi;
  readonly progress: Progress;
}

/** Proves one step, and remembers that it held. */
export type Hold = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** Steps that held so far; the first that does not is an error with the ends of the logs that tell why. */
export function ledgerOf(
  { state, progress }: ProofContext,
  logs: readonly string[] = ['cinder-volume'],
): { readonly held: string[]; readonly hold: Hold } {
  const held: string[] = [];
  const hold: Hold = async (name, work) => {
    try {
      const result = await progress.step(name, work);
      held.push(name);
      return result;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const ends = logs.map(
        (log) => `\n  end of ${log}'s log:\n${tail(serviceLog(state, log), 12, NOISE)}`,
      );
      throw new RunError(`NOT PROVED: ${name}: ${why}${ends.join('')}`);
    }
  };
  return { held, hold };
}

/** OpenStack's own code is that of Debian's packages. */
export async function proveUnmodified({ state }: ProofContext, hold: Hold): Promise<void> {
  const what = state.scope === 'core' ? 'cinder is' : 'cinder, os-brick and nova are';
  await hold(`${what} unmodified (dpkg --verify)`, async () => {
    const { modified } = await openstackCode(state.scope);
    assert.deepEqual(modified, [], 'files differ from the packages');
  });
}

/** Runs the short proof; returns the names of the steps that held. The first that does not hold ends it. */
export async function prove(context: ProofContext): Promise<string[]> {
  const { state, cluster } = context;
  const gateway = await connectGateway(cluster);
  const { held, hold } = ledgerOf(context);
  await proveUnmodified(context, hold);
  const name = `proof-${randomBytes(4).toString('hex')}`;
  let id = '';
  try {
    await hold('openstack volume create: 8 GiB are on MeshSAN', async () => {
      const made = await openstack(state, [
        'volume',
        'create',
        '--type',
        POWERFLEX.name,
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
  hold: Hold,
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
    assert.equal(textOf(shown, 'type'), POWERFLEX.name);
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
