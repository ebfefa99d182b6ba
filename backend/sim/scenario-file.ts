// Scenarios that are kept with all their options, so that a change of what seeds draw leaves them as they are. It owns the
// shape of such a file; it must never run anything.

import { DATA_DEFAULTS } from '../sds/options.js';

import { drawSwarm } from './swarm.js';
import { LATER_OPTIONS_OFF, NOBODY_SLOW, NO_MOVES } from './swarm-options.js';
import { noTrouble } from './trouble-kinds.js';
import type { Swarm } from './swarm-options.js';
import type { TroubleWeights } from './trouble-kinds.js';

export interface KeptScenario {
  /** What it found, or why it is kept. */
  readonly about: string;
  readonly seed: number;
  readonly swarm: Swarm;
}

/** A file that holds no scenario; the message says why. */
export class ScenarioFileError extends Error {
  override readonly name = 'ScenarioFileError';
}

/** Options that came after files were written: what a file without them means. */
const LATER_OPTIONS = { settleChangesMax: DATA_DEFAULTS.settleChangesMax, skipStrikes: [] };
const LATER_WORKLOAD = { readers: 0, together: false };

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ScenarioFileError(`${where} must be an object`);
  return value as Fields;
}

/** Every field of the pattern, each of the pattern's type, and no other. */
function checkLike(value: unknown, pattern: Fields, where: string): void {
  const fields = fieldsOf(value, where);
  for (const name of Object.keys(fields))
    if (!(name in pattern)) throw new ScenarioFileError(`${where}.${name} is not known`);
  for (const [name, expected] of Object.entries(pattern)) {
    const given = fields[name];
    const place = `${where}.${name}`;
    if (Array.isArray(expected)) {
      if (!Array.isArray(given) || !given.every((item) => typeof item === 'number'))
        throw new ScenarioFileError(`${place} must be a list of numbers`);
    } else if (typeof expected === 'object') checkLike(given, fieldsOf(expected, place), place);
    else if (typeof given !== typeof expected)
      throw new ScenarioFileError(`${place} must be a ${typeof expected}`);
  }
}

/**
 * Reads the text of a file: `{ "about", "seed", "swarm" }`, as `npm run sim -- --seed S --json` prints them. Kinds of trouble
 * that are not listed never happen, without `moves` data stays where it is, and without `slow` no device is found slow.
 *
 * @throws ScenarioFileError
 */
export function parseScenario(text: string): KeptScenario {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ScenarioFileError(error instanceof Error ? error.message : String(error));
  }
  const { about, seed, swarm } = fieldsOf(parsed, 'the file');
  if (typeof about !== 'string' || about === '')
    throw new ScenarioFileError('about must say why the scenario is kept');
  if (typeof seed !== 'number' || !Number.isSafeInteger(seed) || seed < 1)
    throw new ScenarioFileError('seed must be an integer from 1');
  const fields = fieldsOf(swarm, 'swarm');
  const listed = fieldsOf(fields['trouble'], 'swarm.trouble');
  const trouble: TroubleWeights = { ...noTrouble(), ...listed };
  const workload = { ...LATER_WORKLOAD, ...fieldsOf(fields['workload'], 'swarm.workload') };
  const moves = { ...NO_MOVES, ...fieldsOf(fields['moves'] ?? {}, 'swarm.moves') };
  const slow = { ...NOBODY_SLOW, ...fieldsOf(fields['slow'] ?? {}, 'swarm.slow') };
  const later = { ...LATER_OPTIONS_OFF, ...LATER_OPTIONS };
  const complete = { ...later, ...fields, workload, trouble, moves, slow };
  checkLike(complete, fieldsOf(drawSwarm(1), 'swarm'), 'swarm');
  return { about, seed, swarm: complete as unknown as Swarm };
}
