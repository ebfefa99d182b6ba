// Commands of the bridge's operator. They own what is printed and the exit code; they must never change anything that the
// operator did not ask to have changed.

import { Ajv } from 'ajv';

import { BridgeError } from './bridge-error.js';
import type { Bridge } from './bridge.js';
import type { Finding, Known } from './ledger.js';
import { REQUESTS } from './schemas.js';

/** A command line that cannot be carried out; the text says what would be right. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export interface CommandOptions {
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly minAgeSeconds: number;
  /** What Cinder knows, as read; undefined: not given. */
  readonly known: unknown;
  readonly nowSeconds: number;
  readonly print: (text: string) => void;
}

type Command = (bridge: Bridge, options: CommandOptions) => Promise<number>;

const EXIT_DIFFERENCES = 4;
const isFindingsRequest = new Ajv().compile(REQUESTS.findings);

/** @throws CommandError */
function knownOf({ known, minAgeSeconds }: CommandOptions): Known {
  if (known === undefined)
    throw new CommandError(
      '--known is needed: meshsan-cinder-known prints what Cinder knows, so for example: meshsan-cinder-known | cinder-bridge orphans --known -',
    );
  if (isFindingsRequest({ known, minAgeSeconds })) return known as Known;
  const [fault] = isFindingsRequest.errors ?? [];
  throw new CommandError(
    `--known is not what meshsan-cinder-known prints: ${fault?.instancePath ?? ''} ${fault?.message ?? ''}`,
  );
}

function printed({ json, print }: CommandOptions, value: object, lines: readonly string[]): void {
  if (json) print(`${JSON.stringify(value, null, 2)}\n`);
  else print(lines.length === 0 ? '' : `${lines.join('\n')}\n`);
}

const health: Command = async (bridge, options) => {
  const found = await bridge.health();
  printed(options, found, [
    found.status,
    ...found.gateways.map(
      ({ url, reachable, reason }) => `  ${url} ${reachable ? 'answers' : reason}`,
    ),
  ]);
  return found.status === 'down' ? 1 : 0;
};

const ledger: Command = async (bridge, options) => {
  const rows = await bridge.ledger();
  printed(
    options,
    { rows },
    rows.map(
      (row) =>
        `${row.volumeId ?? row.volumeName} at ${row.sdcName ?? row.sdcId}${row.connected ? '' : ' (not connected)'}, generation ${row.generation}, ${row.accessMode}: ${row.holders.map(({ holder }) => (holder === '' ? '(by hand)' : holder)).join(', ') || '(nobody noted)'}`,
    ),
  );
  return 0;
};

function lineOf({ kind, volumeId, snapshotId, meshsanId, text, repair }: Finding): string {
  const step = repair === null ? 'for a person' : `repair: ${repair.step}`;
  return `${kind} ${snapshotId ?? volumeId ?? meshsanId ?? ''}: ${text} [${step}]`;
}

const orphans: Command = async (bridge, options) => {
  const { nowSeconds, minAgeSeconds } = options;
  const findings = await bridge.findings(knownOf(options), nowSeconds, minAgeSeconds);
  const lines = findings.length === 0 ? ['no differences'] : findings.map(lineOf);
  printed(options, { findings }, lines);
  return findings.length === 0 ? 0 : EXIT_DIFFERENCES;
};

const repair: Command = async (bridge, options) => {
  const { nowSeconds, minAgeSeconds, dryRun } = options;
  const findings = await bridge.findings(knownOf(options), nowSeconds, minAgeSeconds);
  const results: { readonly finding: Finding; readonly outcome: string }[] = [];
  for (const finding of findings) {
    let outcome = 'left';
    if (finding.repair !== null)
      outcome = dryRun ? 'would be done' : ((await bridge.repair([finding.repair]))[0] ?? 'left');
    results.push({ finding, outcome });
  }
  printed(
    options,
    { results },
    results.map(({ finding, outcome }) => `${outcome}: ${lineOf(finding)}`),
  );
  return results.every(({ outcome }) => outcome === 'done') ? 0 : EXIT_DIFFERENCES;
};

const check: Command = (_, { print }) => {
  print('the configuration can be used\n');
  return Promise.resolve(0);
};

/** Runs a command; a cluster that cannot be reached is a plain failure. */
function guarded(command: Command): Command {
  return async (bridge, options) => {
    try {
      return await command(bridge, options);
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      throw new Error(error.message, { cause: error });
    }
  };
}

export const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({ check, health, ledger, orphans, repair }).map(([name, command]) => [
    name,
    guarded(command),
  ]),
);
