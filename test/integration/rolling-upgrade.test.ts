// Two versions in one cluster: every process is replaced by the next version and by the one before, one at a time, under
// verified load; after the cluster version was raised, there is no way back.

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';
import { VERSION } from '../../backend/core/version.js';
import { bootstrap } from '../../backend/deploy/local/bootstrap.js';
import { mdmTarget, planOf, writeConfigs } from '../../backend/deploy/local/configs.js';
import type { ProcessPlan } from '../../backend/deploy/local/configs.js';
import { openLayout } from '../../backend/deploy/local/layout.js';
import { Supervisor } from '../../backend/deploy/local/supervisor.js';
import type { ProcessRow } from '../../backend/deploy/local/supervisor.js';
import { VERSION_MAX } from '../../backend/protocol/generated/constants.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { RELEASED, releasedFault, releasedPrograms } from '../support/released.js';
import { until } from '../support/until.js';

const OWN = join(import.meta.dirname, '..', '..', 'backend');
const OPTIONS = {
  ...{ sdsCount: 3, deviceBytes: 2 ** 30, gatewayPort: null, detach: false, demo: true },
  ...{ attach: false, cinderBridge: false, scini: false },
} as const;

/** A cluster whose processes run programs of either version, as links say. */
class TwoVersions {
  readonly dir = mkdtempSync(join(tmpdir(), 'meshsan-two-'));
  readonly plans: readonly ProcessPlan[];
  readonly session: MdmSession;
  readonly #released: string;
  readonly #supervisor: Supervisor;
  readonly #opened: ReturnType<typeof openLayout>;
  #rows: readonly ProcessRow[] = [];
  #load: Promise<void> = Promise.resolve();
  #loading = false;
  #socket = '';
  fatal = '';
  refusal = '';

  /** @param released - folder of the programs of the last release */
  constructor(released: string) {
    this.#released = released;
    this.#opened = openLayout({ ...OPTIONS, dir: join(this.dir, 'c') });
    const { paths, layout } = this.#opened;
    mkdirSync(join(this.dir, 'bin'));
    this.plans = planOf(paths, layout, false).map((plan) => ({
      ...plan,
      program: join(this.dir, 'bin', `${plan.name}.js`),
    }));
    this.#supervisor = new Supervisor(
      paths,
      this.plans,
      (rows) => {
        this.#rows = rows;
      },
      (reason) => {
        this.fatal = reason;
      },
    );
    this.session = new MdmSession({
      addresses: [mdmTarget(layout)],
      secret: readSecretFile(paths.secret),
      log: { event: () => undefined },
    });
  }

  async start(): Promise<void> {
    const { paths, layout } = this.#opened;
    for (const plan of this.plans) this.#link(plan, this.#released);
    await writeConfigs(paths, layout, this.plans, OPTIONS);
    const { demoVolumeId } = await bootstrap(paths, layout, this.#supervisor, {
      ...{ demo: true, cinderBridge: false, say: () => undefined },
      cancelled: new AbortController().signal,
    });
    this.#socket = join(paths.nbd, `${demoVolumeId ?? ''}.sock`);
    await this.settled();
  }

  async remove(): Promise<void> {
    this.#loading = false;
    await this.#load.catch(() => undefined);
    this.session.close();
    await this.#supervisor.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #link({ name, role, program }: ProcessPlan, backend: string): void {
    symlinkSync(join(backend, 'bin', `${role}.js`), `${program}.new`);
    renameSync(`${program}.new`, join(this.dir, 'bin', `${name}.js`));
  }

  /** Ends a process in order; the supervisor starts it in that version. @returns its process id */
  restart(plan: ProcessPlan, version: 'released' | 'own'): number {
    this.#link(plan, version === 'own' ? OWN : this.#released);
    const row = this.#rows.find(({ name }) => name === plan.name);
    if (row === undefined) throw new Error(`${plan.name} does not run`);
    process.kill(row.pid, 'SIGTERM');
    return row.pid;
  }

  /** As restart(), and waits until it has its place again. */
  async replace(plan: ProcessPlan, version: 'released' | 'own'): Promise<void> {
    const before = this.restart(plan, version);
    await until(`${plan.name} runs again`, () =>
      this.#rows.some(({ name, pid }) => name === plan.name && pid !== before),
    );
    await until(`${plan.name} is announced as ${version}`, async () => {
      if (plan.role === 'gateway') return true;
      if (plan.role === 'mdm') return this.#mdmIs(version);
      return (await this.#announced(plan)) === (version === 'own' ? VERSION : RELEASED.version);
    });
    await this.settled();
  }

  /** The one of the release does not know the command that ends an upgrade. */
  async #mdmIs(version: 'released' | 'own'): Promise<boolean> {
    const outcome = await this.raise();
    return (outcome === 'VERSION_UNSUPPORTED') === (version === 'released');
  }

  /** What an SDS or the SDC said of itself; empty: it is not connected. */
  async #announced({ role, name }: ProcessPlan): Promise<string> {
    const kind = role === 'sds' ? 'sds' : 'sdc';
    const objects = await this.session.query(kind);
    const key = objects.find((found) => kind === 'sdc' || found.name === name)?.key;
    const { statuses } = await this.session.status(kind);
    const row = statuses.find((status) => status.key === key);
    return row?.liveness === 'connected' ? row.version : '';
  }

  /** Tries to end the upgrade. @returns 'done', or the name of the refusal; its text is kept */
  async raise(): Promise<string> {
    try {
      await this.session.command('RAISE_CLUSTER_VERSION', 'admin', { version: VERSION_MAX });
      return 'done';
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.refusal = error.message;
      return error.info.name;
    }
  }

  /** Every device is up and every copy in sync. */
  async settled(): Promise<void> {
    await until('all copies are in sync', async () => {
      const { statuses } = await this.session.status('device');
      const up = statuses.filter(({ liveness }) => liveness === 'connected').length;
      const { degradedCombs, unavailableCombs } = await this.session.clusterState();
      return up === OPTIONS.sdsCount && degradedCombs + unavailableCombs === 0;
    });
  }

  async clusterVersion(): Promise<number | undefined> {
    return (await this.session.query('system'))[0]?.clusterVersion;
  }

  /** fio writes and verifies, again and again. */
  beginLoad(): void {
    this.#loading = true;
    this.#load = this.#verify();
    this.#load.catch(() => undefined);
  }

  async endLoad(): Promise<void> {
    this.#loading = false;
    await this.#load;
  }

  async #verify(): Promise<void> {
    const job = ['--name=up', '--ioengine=nbd', `--uri=nbd+unix:///?socket=${this.#socket}`];
    const what = ['--rw=randwrite', '--bs=16k', '--iodepth=4', '--size=64m', '--io_size=8m'];
    const verify = [
      '--verify=crc32c',
      '--verify_fatal=1',
      '--randrepeat=0',
      '--verify_state_save=0',
    ];
    while (this.#loading)
      await execa('timeout', ['-s', 'KILL', '300', 'fio', ...job, ...what, ...verify]);
  }

  log(name: string): string {
    return readFileSync(join(this.#opened.paths.log, `${name}.log`), 'utf8');
  }
}

test('every process goes to the next version and back, one at a time, under load; a raised cluster only onwards', async (t) => {
  t.timeout(600_000);
  const fault = await releasedFault();
  if (fault !== null) {
    t.log(`not tried: ${fault}`);
    t.pass();
    return;
  }
  const cluster = new TwoVersions(await releasedPrograms());
  t.teardown(() => cluster.remove());
  await cluster.start();
  t.is(await cluster.clusterVersion(), RELEASED.protocolVersion);
  t.is(await cluster.raise(), 'VERSION_UNSUPPORTED');
  for (const version of ['own', 'released', 'own'] as const) {
    for (const plan of cluster.plans) {
      // A restart of the client takes the socket away from fio.
      if (plan.role !== 'sdc') cluster.beginLoad();
      await cluster.replace(plan, version);
      if (plan.role === 'mdm' && version === 'own') {
        t.is(await cluster.raise(), 'COMPONENTS_OLD');
        t.regex(
          cluster.refusal,
          /version 2: SDS sds1 .*device0 of SDS sds1 \(0\.1\.0\), device device0 of SDS sds2 \(0\.1\.0\)/,
        );
      }
      await cluster.endLoad();
      t.is(await cluster.clusterVersion(), RELEASED.protocolVersion);
    }
  }
  t.is(await cluster.raise(), 'done');
  t.is(await cluster.clusterVersion(), VERSION_MAX);
  cluster.beginLoad();
  await cluster.endLoad();
  t.is(cluster.fatal, '');
  await onlyOnwards(t, cluster);
});

/** What a raised cluster does with the older version, and that it goes on with the newer one. */
async function onlyOnwards(t: ExecutionContext, cluster: TwoVersions): Promise<void> {
  const sds = cluster.plans.find(({ role }) => role === 'sds');
  if (sds === undefined) throw new Error('a server');
  // At its end in order a device is written once more: from then on it is of the newer format.
  cluster.restart(sds, 'released');
  await until('the older server is refused, and the MDM says why', () =>
    /component-too-old.*"sds".*"cluster":2,"offered":1/.test(cluster.log('mdm')),
  );
  cluster.restart(sds, 'own');
  await cluster.settled();
  t.pass();
}
