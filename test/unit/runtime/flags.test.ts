// Flags as people write them: what is right is read, what is wrong is refused in words that name it.
import test from 'ava';

import {
  UsageError,
  listOf,
  readCommandLine,
  readFlags,
  wholeNumber,
} from '../../../backend/runtime/flags.js';

const FLAGS = {
  file: { type: 'string' },
  host: { type: 'string', multiple: true },
  json: { type: 'boolean' },
} as const;

test('what was not given is null, an empty list, or false', (t) => {
  t.deepEqual(readFlags([], FLAGS), { file: null, host: [], json: false });
});

test('values stand behind a flag or in it, and words between flags', (t) => {
  const args = ['copy', '--file', 'a', '--host=b', 'now', '--host', 'c', '--json'];
  t.deepEqual(readCommandLine(args, FLAGS), {
    values: { file: 'a', host: ['b', 'c'], json: true },
    words: ['copy', 'now'],
  });
});

test('a value may be empty, a dash, or look like a flag when it is written in the flag', (t) => {
  for (const [args, file] of [
    [['--file='], ''],
    [['--file', '-'], '-'],
    [['--file=--json'], '--json'],
  ] as const)
    t.like(readFlags(args, FLAGS), { file, json: false });
});

for (const [args, message] of [
  [['--fiel', 'a'], '--fiel is not known; is --file meant?'],
  [['--constructor'], '--constructor is not known; there are --file, --host, --json'],
  [['-f'], /^-f is not known/],
  [['--file'], '--file needs a value'],
  [['--file', '--json'], '--file needs a value'],
  [['--json=yes'], '--json takes no value'],
  [['--file', 'a', '--file=a'], '--file is given more than once'],
  [['a', 'b'], '"a b" is not a flag'],
] as const)
  test(`refused: ${args.join(' ')}`, (t) => {
    t.throws(() => readFlags(args, FLAGS), { instanceOf: UsageError, message });
  });

test('whole numbers have a range', (t) => {
  t.deepEqual(
    ['1', '64'].map((text) => wholeNumber('--jobs', text, 1, 64)),
    [1, 64],
  );
  for (const text of ['0', '65', '1.5', '-1', '1e1', '', '99999999999999999999'])
    t.throws(() => wholeNumber('--jobs', text, 1, 64), {
      message: `--jobs must be a whole number from 1 to 64, not "${text}"`,
    });
});

test('lists hold known words only', (t) => {
  t.deepEqual(listOf('--only', 'b,a', ['a', 'b']), ['b', 'a']);
  t.throws(() => listOf('--only', 'a,', ['a', 'b']), {
    message: '--only takes a, b; "" is none of them',
  });
});
