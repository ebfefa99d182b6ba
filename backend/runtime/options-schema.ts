// The options of a process as a part of its configuration's schema, made from the options table, and the relations
// between options that a schema cannot say. It must never hold an option of its own.

import { OPTIONS } from '../protocol/tables/options.js';
import type { OptionName, OptionRow } from '../protocol/tables/options.js';

export type OptionProcess = OptionRow['of'][number];

type Widened<T> = T extends number ? number : T extends boolean ? boolean : string;

/** The values of all options that a process takes. */
export type OptionsOf<P extends OptionProcess> = {
  readonly [N in OptionName as P extends (typeof OPTIONS)[N]['of'][number] ? N : never]: Widened<
    (typeof OPTIONS)[N]['default']
  >;
};

/** One option as a JSON schema with its bounds and default. */
function optionSchema(row: OptionRow): Readonly<Record<string, unknown>> {
  const choices = row.choices === undefined ? {} : { enum: row.choices };
  if (row.type !== 'number') return { type: row.type, ...choices, default: row.default };
  return { type: 'integer', minimum: row.min, maximum: row.max, default: row.default };
}

/**
 * Schema of the `options` key of a configuration: every option that the process takes, none required, nothing else.
 * A checked value is an {@link OptionsOf} of the process.
 */
export function optionsSchema(process: OptionProcess): Readonly<Record<string, unknown>> {
  const rows: readonly (readonly [string, OptionRow])[] = Object.entries(OPTIONS);
  const own = rows.filter(([, row]) => row.of.includes(process));
  return {
    type: 'object',
    properties: Object.fromEntries(own.map(([name, row]) => [name, optionSchema(row)])),
    required: [],
    additionalProperties: false,
    default: {},
  };
}

/** `larger` must be at least `times` as large as `smaller`, and why. */
const RELATIONS: readonly {
  readonly larger: OptionName;
  readonly times: number;
  readonly smaller: OptionName;
  readonly why: string;
}[] = [
  {
    larger: 'pingDeadMs',
    times: 2,
    smaller: 'pingIdleMs',
    why: 'the other end needs time to answer before it is given up',
  },
  {
    larger: 'detectionMs',
    times: 1,
    smaller: 'leaseMs',
    why: 'a device is replaced only after its leases have run out',
  },
];

/**
 * What is wrong between the options of a process, in a sentence, or null.
 *
 * @param values - checked by the schema
 */
export function optionsFault(values: Readonly<Record<string, unknown>>): string | null {
  for (const { larger, times, smaller, why } of RELATIONS) {
    const high = values[larger];
    const low = values[smaller];
    if (typeof high !== 'number' || typeof low !== 'number' || high >= low * times) continue;
    const factor = times === 1 ? '' : `${times} times `;
    return `options.${larger} is ${high} and must be at least ${factor}options.${smaller}, which is ${low}: ${why}`;
  }
  return null;
}
