// Options of a process: bounds and defaults of the table, nothing unknown, and the relations between them.

import { Ajv } from 'ajv';
import test from 'ava';

import { OPTIONS } from '../../../backend/protocol/tables/options.js';
import { optionsFault, optionsSchema } from '../../../backend/runtime/options-schema.js';
import type { OptionsOf } from '../../../backend/runtime/options-schema.js';

/** Checks options where they stand: under a key of a configuration. */
function check(options: object): string | null {
  const schema = { type: 'object', properties: { options: optionsSchema('mdm') } };
  const validate = new Ajv({ useDefaults: true }).compile(schema);
  return validate({ options }) ? null : (validate.errors?.[0]?.message ?? 'wrong');
}

test('defaults are those of the table', (t) => {
  const value = {};
  t.is(check(value), null);
  const options = value as OptionsOf<'mdm'>;
  t.is(options.leaseMs, OPTIONS.leaseMs.default);
  t.is(options.pingDeadMs, OPTIONS.pingDeadMs.default);
  t.is(optionsFault(options), null);
});

test('what is out of bounds, of a wrong type or unknown is refused', (t) => {
  t.is(check({ leaseMs: 49 }), 'must be >= 50');
  t.is(check({ leaseMs: 60001 }), 'must be <= 60000');
  t.is(check({ leaseMs: '1000' }), 'must be integer');
  t.is(check({ leaseMs: 1000.5 }), 'must be integer');
  t.is(check({ leasMs: 1000 }), 'must NOT have additional properties');
});

test('a process takes its own options only', (t) => {
  const names = Object.keys(optionsSchema('gateway')['properties'] as object);
  t.true(names.includes('pingIdleMs'));
  t.false(names.includes('leaseMs'));
});

test('relations are named in words', (t) => {
  t.is(optionsFault({ pingIdleMs: 500, pingDeadMs: 1000, leaseMs: 10, detectionMs: 10 }), null);
  t.is(
    optionsFault({ pingIdleMs: 500, pingDeadMs: 999 }),
    'options.pingDeadMs is 999 and must be at least 2 times options.pingIdleMs, which is 500: the other end needs time to answer before it is given up',
  );
  t.regex(optionsFault({ leaseMs: 1000, detectionMs: 999 }) ?? '', /^options\.detectionMs is 999/);
});
