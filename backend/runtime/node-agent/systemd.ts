// Units of this host as systemd knows them: states of services, and programs run as units of their own, which outlive
// whoever started them. It must never decide what to run.

import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { execa } from 'execa';
import { MICROS_PER_MS } from '../../core/units.js';
import type { ServiceState, UnitFacts } from '../../protocol/lia.js';

const COMMAND_MS = 30_000;

async function systemctl(...args: readonly string[]): Promise<string> {
  const { stdout } = await execa('systemctl', args, {
    timeout: COMMAND_MS,
    stdin: 'ignore',
    env: { LC_ALL: 'C' },
  });
  return stdout;
}

/** Properties of several units, in the order of the units. */
async function show(
  units: readonly string[],
  properties: readonly string[],
): Promise<ReadonlyMap<string, string>[]> {
  const stdout = await systemctl('show', ...properties.map((name) => `-p${name}`), '--', ...units);
  return stdout.split('\n\n').map(
    (block) =>
      new Map(
        block.split('\n').map((line) => {
          const cut = line.indexOf('=');
          return [line.slice(0, cut), line.slice(cut + 1)] as const;
        }),
      ),
  );
}

/** @param bootMs - when this life of the node began, ms of the epoch */
export async function serviceStates(
  units: readonly ServiceState['unit'][],
  bootMs: number,
): Promise<ServiceState[]> {
  const names = units.map((unit) => `${unit}.service`);
  const rows = await show(names, [
    ...['LoadState', 'ActiveState', 'UnitFileState', 'StateChangeTimestampMonotonic'],
    ...['MainPID', 'NRestarts'],
  ]);
  return units.map((unit, index) => {
    const row = rows[index] ?? new Map<string, string>();
    const number = (name: string): number => Number(row.get(name) ?? 0) || 0;
    const since = number('StateChangeTimestampMonotonic');
    return {
      unit,
      state: row.get('LoadState') === 'loaded' ? (row.get('ActiveState') ?? '') : 'absent',
      startsAtBoot: row.get('UnitFileState') === 'enabled',
      sinceMs: since === 0 ? null : Math.round(bootMs + since / MICROS_PER_MS),
      pid: number('MainPID') === 0 ? null : number('MainPID'),
      restarts: number('NRestarts'),
    };
  });
}

/** The last bytes of a file as text; empty when there is none. */
function tailOf(path: string, bytesMax: number): string {
  if (!existsSync(path)) return '';
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, bytesMax));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    closeSync(file);
  }
}

export interface Transient {
  /** Name, less ".service". */
  readonly unit: string;
  /** Where its output goes; replaced. */
  readonly outputFile: string;
}

/** Runs a program as a unit that stays known after its end, until it is released. */
export async function startTransient(
  { unit, outputFile }: Transient,
  folder: string,
  timeoutSeconds: number,
  argv: readonly string[],
): Promise<void> {
  await execa(
    'systemd-run',
    [
      ...['--quiet', '--no-block', `--unit=${unit}`, '--service-type=oneshot'],
      ...['--remain-after-exit', `--working-directory=${folder}`],
      `--property=TimeoutStartSec=${timeoutSeconds}`,
      `--property=StandardOutput=truncate:${outputFile}`,
      `--property=StandardError=truncate:${outputFile}`,
      ...['--setenv=DEBIAN_FRONTEND=noninteractive', '--setenv=LC_ALL=C.UTF-8'],
      ...['--', ...argv],
    ],
    { timeout: COMMAND_MS, stdin: 'ignore' },
  );
}

const ENDED_BADLY: Readonly<Record<string, string>> = {
  timeout: 'it took too long and was ended',
  signal: 'it was killed',
  'oom-kill': 'it was killed: the memory was full',
};

/** What became of such a unit. */
export async function lookAtTransient(
  { unit, outputFile }: Transient,
  outputBytesMax: number,
): Promise<UnitFacts> {
  const [row] = await show(
    [`${unit}.service`],
    ['LoadState', 'ActiveState', 'SubState', 'Result', 'ExecMainStatus', 'Job'],
  );
  if (row?.get('LoadState') !== 'loaded') return { state: 'missing' };
  const isOver = ['failed', 'active'].includes(row.get('ActiveState') ?? '');
  if (!isOver) return { state: 'running' };
  const result = row.get('Result') ?? '';
  const status = row.get('ExecMainStatus') ?? '';
  return {
    state: 'ended',
    ok: result === 'success',
    why: ENDED_BADLY[result] ?? `it ended with exit code ${status}`,
    output: tailOf(outputFile, outputBytesMax),
  };
}

/** Forgets such a unit; one that still runs is left alone. */
export async function releaseTransient(unit: string): Promise<void> {
  const name = `${unit}.service`;
  const [row] = await show([name], ['LoadState', 'ActiveState']);
  if (row?.get('ActiveState') === 'active') await systemctl('stop', '--', name);
  else if (row?.get('ActiveState') === 'failed') await systemctl('reset-failed', '--', name);
}

/** Units that `startTransient` made and nobody released, by a prefix of their names; less ".service". */
export async function leftTransients(prefix: string): Promise<string[]> {
  const stdout = await systemctl(
    ...['list-units', '--all', '--no-legend', '--plain', '--type=service', `${prefix}*`],
  );
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.replace(/\.service$/, ''));
}
