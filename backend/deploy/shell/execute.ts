// Does the steps of a plan on this node, one after the other, and says where it stopped. It must never log a secret or
// put one into an argument, and never go on after a step that failed.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ExecaError, execa } from 'execa';
import { syncDirectory, syncFile } from '../../runtime/durable-files.js';
import type { Environment } from '../environment/model.js';
import { mdmAddressesOf } from '../environment/model.js';
import type { ClusterRequest, Secrets, Step } from '../plan/model.js';
import { configPath } from '../plan/parts.js';
import { requestCluster } from './cluster.js';
import { OPENRC } from './observe.js';

const COMMAND_MS = 180_000;
const INSTALL_MS = 900_000;
const START_LOOKS = 4;
const START_LOOK_MS = 400;
const OUTPUT_CHARS_MAX = 2_000;

/** A step that failed: which, and why. */
export class StepError extends Error {
  override readonly name = 'StepError';
  readonly step: Step;

  constructor(step: Step, reason: string) {
    super(`${step.about}: ${reason}`);
    this.step = step;
  }
}

export interface Executor {
  readonly environment: Environment;
  readonly secrets: Secrets;
  /** Told of each step before it begins. */
  readonly progress: (step: Step) => void;
}

async function run(argv: readonly string[], timeout: number): Promise<void> {
  const [program = '', ...args] = argv;
  await execa(program, args, {
    timeout,
    stdin: 'ignore',
    all: true,
    env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
  });
}

/** Numbers of a user and its group; null: there is no such user here. */
async function idsOf(user: string): Promise<{ uid: number; gid: number } | null> {
  const { stdout, failed } = await execa('getent', ['passwd', user], { reject: false });
  const [, , uid, gid] = stdout.split(':');
  return failed ? null : { uid: Number(uid), gid: Number(gid) };
}

/** Writes a file whole or not at all; a present one keeps its owner. */
async function writeWhole(step: Extract<Step, { kind: 'file' }>): Promise<void> {
  const { path, text } = step;
  const owner = step.owner === undefined ? null : await idsOf(step.owner);
  const present = existsSync(path) ? statSync(path) : null;
  const mode = present === null || step.enforceMode ? step.mode : present.mode & 0o777;
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const beside = `${path}.meshsan-new`;
  writeFileSync(beside, text, { mode: 0o600 });
  const { uid, gid } = owner ?? present ?? { uid: 0, gid: 0 };
  chownSync(beside, uid, gid);
  chmodSync(beside, mode);
  syncFile(beside);
  renameSync(beside, path);
  syncDirectory(dirname(path));
}

/** The identity that meshsan-setup made for the client of this node. */
function ownGuid(): string {
  const { guid } = JSON.parse(readFileSync(configPath('sdc'), 'utf8')) as { guid: string };
  return guid;
}

function completed(request: ClusterRequest): ClusterRequest {
  if (request.op !== 'approveSdc' || request.guid !== '') return request;
  return { ...request, guid: ownGuid() };
}

/** A service whose configuration is refused ends a moment after its start. @throws Error with its last words */
async function staysActive(unit: string): Promise<void> {
  for (let look = 0; look < START_LOOKS; look++) {
    await pause(START_LOOK_MS);
    const { stdout } = await execa('systemctl', ['is-failed', unit], { reject: false });
    if (stdout.trim() !== 'failed') continue;
    const journal = ['-u', unit, '-n', '5', '-o', 'cat', '--no-pager'];
    const words = await execa('journalctl', journal, { reject: false });
    throw new Error(`it ended: ${words.stdout.slice(-OUTPUT_CHARS_MAX)}`);
  }
}

async function perform(step: Step, { environment, secrets }: Executor): Promise<void> {
  switch (step.kind) {
    case 'packages':
      await run(
        [
          'apt-get',
          'install',
          '-y',
          '-q',
          '--no-install-recommends',
          '--allow-downgrades',
          ...aptOptions,
          ...step.names,
        ],
        INSTALL_MS,
      );
      return;
    case 'file':
      await writeWhole(step);
      return;
    case 'setup':
      await run(['meshsan-setup', ...step.args], COMMAND_MS);
      return;
    case 'enable':
      await run(['systemctl', 'enable', '--quiet', step.unit], COMMAND_MS);
      return;
    case 'unit':
      // A unit that failed too often in a row would refuse to start once more.
      await execa('systemctl', ['reset-failed', step.unit], { reject: false });
      await run(['systemctl', step.action, step.unit], COMMAND_MS);
      await staysActive(step.unit);
      return;
    case 'run':
      await run(
        step.argv[0] === 'openstack'
          ? ['sh', '-c', `. ${OPENRC} && exec "$@"`, 'sh', ...step.argv]
          : step.argv,
        COMMAND_MS,
      );
      return;
    case 'cluster':
      await requestCluster(mdmAddressesOf(environment), secrets.system, completed(step.request));
  }
}

const aptOptions = [
  '-o',
  'Dpkg::Options::=--force-confdef',
  '-o',
  'Dpkg::Options::=--force-confold',
  '-o',
  'DPkg::Lock::Timeout=600',
];

function reasonOf(error: unknown): string {
  if (error instanceof ExecaError) {
    const all: unknown = error.all;
    const output = typeof all === 'string' ? all.trim().slice(-OUTPUT_CHARS_MAX) : '';
    return output === '' ? error.shortMessage : output;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Does the steps. @returns how many were done @throws StepError at the first that fails */
export async function execute(steps: readonly Step[], executor: Executor): Promise<number> {
  for (const step of steps) {
    executor.progress(step);
    try {
      await perform(step, executor);
    } catch (error) {
      throw new StepError(step, reasonOf(error));
    }
  }
  return steps.length;
}
