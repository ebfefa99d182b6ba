// `npm run openstack`: reads the flags, holds the lock, runs one verb, prints the result, sets the exit code.

import axios from 'axios';
import { announce, bringUp, purge, takeDown, type Cloud } from './cloud.js';
import { openstackCode, requireDebian12AsRoot } from './packages.js';
import { HELP, parseOptions, type Options } from './options.js';
import { clearInterruption, EXIT, interrupt, Progress, RunError } from './progress.js';
import { prove } from './proof.js';
import { proveInstances } from './proof-instances.js';
import { serviceProcesses } from './services.js';
import { describeState, lockState, stateExists, type CloudState } from './state.js';

type Result = Record<string, unknown>;

async function up(state: CloudState, options: Options, progress: Progress): Promise<Result> {
  await announce(state, options.cluster, true, progress);
  const cloud = await bringUp(state, options.cluster, progress);
  const proved = await proveInstances({ ...cloud, progress }, options.only);
  const { versions } = await openstackCode(state.scope);
  progress.print(
    [
      '',
      `OpenStack is ready: ${proved.length} steps proved in ${progress.elapsedSeconds()} s, volumes on MeshSAN system ` +
        `${cloud.cluster.systemId}, with ${Object.entries(versions).flat().join(' ')}.`,
      'To use it:',
      '',
      `  source ${state.openrc}`,
      `  openstack volume create --size 1 first`,
      '  openstack volume list',
      '  openstack volume delete first',
      '  openstack server create --flavor meshsan-guest --image meshsan-guest --boot-from-volume 8 --nic none guest',
      '  openstack console log show guest',
    ].join('\n'),
  );
  return { ...describeCloud(cloud), proved, versions, openrc: state.openrc };
}

/** The short proof: leaves nothing running and nothing behind, except the packages; after a failure the logs stay. */
async function core(state: CloudState, options: Options, progress: Progress): Promise<Result> {
  await announce(state, options.cluster, false, progress);
  if (stateExists(state))
    await progress.step('leftovers are removed', () => purge(state, progress));
  let result: Result;
  try {
    const cloud = await bringUp(state, options.cluster, progress);
    result = {
      ...describeCloud(cloud),
      proved: await prove({ ...cloud, progress }),
      ...(await openstackCode(state.scope)),
    };
  } catch (error) {
    clearInterruption();
    await takeDown(state, progress);
    progress.say(
      `logs are in ${state.log}; the next --core or --purge --state ${state.root} removes them`,
    );
    throw error;
  }
  await purge(state, progress);
  progress.print(
    `PROVED: ${(result['proved'] as string[]).length} steps in ${progress.elapsedSeconds()} s`,
  );
  return result;
}

function describeCloud({ state, cluster, pools }: Cloud): Result {
  return {
    state: state.root,
    address: state.address,
    gateway: cluster.gateway,
    systemId: cluster.systemId,
    pools,
    services: serviceProcesses(state),
  };
}

async function perform(options: Options, progress: Progress): Promise<Result> {
  requireDebian12AsRoot();
  const state = describeState(options.state, options.verb === 'core' ? 'core' : 'full');
  const unlock = lockState(state);
  try {
    switch (options.verb) {
      case 'up':
        return await up(state, options, progress);
      case 'core':
        return await core(state, options, progress);
      case 'down':
        await takeDown(state, progress);
        return {};
      case 'purge':
        await purge(state, progress);
        return {};
      case 'help':
        return {};
    }
  } finally {
    unlock();
  }
}

async function main(): Promise<number> {
  let json = process.argv.includes('--json');
  let progress = new Progress(json ? process.stderr : process.stdout);
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options.verb === 'help') {
      process.stdout.write(`${HELP}\n`);
      return EXIT.ok;
    }
    json = options.json;
    progress = new Progress(json ? process.stderr : process.stdout);
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        progress.say(`${signal}: ending at the next step`);
        interrupt(signal);
      });
    const result = await perform(options, progress);
    if (json)
      print({
        ok: true,
        verb: options.verb,
        seconds: progress.elapsedSeconds(),
        ...result,
        steps: progress.steps,
      });
    return EXIT.ok;
  } catch (caught) {
    const error = withoutRequest(caught);
    if (!(error instanceof RunError)) throw error;
    process.stderr.write(`ERROR: ${error.message}\n`);
    if (json)
      print({ ok: false, error: error.message, exitCode: error.exitCode, steps: progress.steps });
    return error.exitCode;
  }
}

/** A request that failed without an answer: what is thrown holds all of it, passwords too. */
function withoutRequest(error: unknown): unknown {
  if (!axios.isAxiosError(error)) return error;
  const { config, message, response } = error;
  const answer =
    response === undefined ? '' : ` ${JSON.stringify(response.data ?? '').slice(0, 500)}`;
  return new RunError(`${config?.method ?? ''} ${config?.url ?? ''}: ${message}${answer}`);
}

function print(document: Result): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}

process.exitCode = await main();
