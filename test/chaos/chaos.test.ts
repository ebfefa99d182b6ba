// The short form of `npm run chaos`, as a user runs it: one plan with some of everything is survived, an interruption leaves
// nothing behind, and bad usage changes nothing.

import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';

import { until } from '../support/until.js';
import type { Plan, Trouble } from './plan.js';

const MAIN = join(import.meta.dirname, 'main.js');
const NONE = { afterMs: 0, forMs: 0, others: [], direction: 'both', amount: 0 } as const;
const CUT: Trouble = {
  ...NONE,
  kind: 'cut',
  target: 'sds1',
  others: ['sds2', 'sds3'],
  forMs: 4000,
};

const PLAN: Plan = {
  version: 1,
  seed: 1,
  sdsCount: 3,
  mdms: 1,
  steps: [
    {
      pauseMs: 500,
      troubles: [
        { ...NONE, kind: 'kill', target: 'sds2-data1' },
        { ...NONE, kind: 'kill', target: 'mdm', afterMs: 300 },
      ],
    },
    {
      pauseMs: 0,
      troubles: [CUT, { ...NONE, kind: 'away', target: 'sds1', afterMs: 1000, forMs: 4000 }],
    },
    {
      pauseMs: 0,
      troubles: [
        { ...NONE, kind: 'stop', target: 'sds3-data1', forMs: 3000 },
        { ...NONE, kind: 'stall', target: 'sdc2', forMs: 1500 },
        { ...NONE, kind: 'kill', target: 'sdc2', afterMs: 700 },
      ],
    },
    { pauseMs: 0, troubles: [{ ...NONE, kind: 'full', target: 'sds2', forMs: 2000 }] },
  ],
};

/** All at once, the MDM too; then one, of which nobody hears that it went. */
const POWER_PLAN: Plan = {
  ...{ version: 1, seed: 1, sdsCount: 3, mdms: 1 },
  steps: [
    {
      pauseMs: 2000,
      troubles: [{ ...NONE, kind: 'power', target: 'sds1', others: ['sds2', 'sds3', 'mdm'] }],
    },
    {
      pauseMs: 1000,
      troubles: [
        { ...NONE, kind: 'stall', target: 'sds2', forMs: 2000 },
        { ...NONE, kind: 'power', target: 'sds2', afterMs: 200, forMs: 1000 },
      ],
    },
  ],
};

/** Writes go well, but a flush does not, or no read does. */
const DISK_PLAN: Plan = {
  ...{ version: 1, seed: 1, sdsCount: 3, mdms: 1 },
  steps: [
    { pauseMs: 2000, troubles: [{ ...NONE, kind: 'disk', target: 'sds1', forMs: 1000 }] },
    {
      pauseMs: 1000,
      troubles: [{ ...NONE, kind: 'disk', target: 'sds2', forMs: 1000, amount: 1 }],
    },
  ],
};

let folder: string;
test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'meshsan-test-'));
});
test.after.always(() => {
  rmSync(folder, { recursive: true, force: true });
});

const chaos = (...args: readonly string[]) =>
  execa(process.execPath, [MAIN, '--dir', folder, ...args], { reject: false, stdin: 'ignore' });

/** Command lines of running processes that name a directory. */
function processesOf(dir: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch (error) {
        // It ended meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
        return '';
      }
    })
    .filter((command) => command.includes(dir));
}

test.serial(
  'processes are killed and stopped, nodes cut off, a disk is full: nothing is lost',
  async (t) => {
    const file = join(folder, 'plan.json');
    const json = join(folder, 'outcome.json');
    writeFileSync(file, JSON.stringify(PLAN));
    const { exitCode, stdout, stderr } = await chaos('--plan', file, '--json', json);
    t.is(exitCode, 0, `${stdout}\n${stderr}`);
    t.regex(stdout, /^1 passed, 0 failed$/m);
    const { outcomes } = JSON.parse(readFileSync(json, 'utf8')) as {
      outcomes: {
        verdict: {
          failures: string[];
          troubles: number;
          operations: number;
          snapshots: { taken: number; read: number };
        };
      }[];
    };
    t.like(outcomes[0]?.verdict, { failures: [], troubles: 8 });
    t.true((outcomes[0]?.verdict.operations ?? 0) > 500, 'there was load');
    const { taken = 0, read = 0 } = outcomes[0]?.verdict.snapshots ?? {};
    t.true(taken > 0 && read > 0, 'there were snapshots, and they were read');
    t.deepEqual(
      readdirSync(folder).sort(),
      ['outcome.json', 'plan.json'],
      'it leaves nothing else',
    );
  },
);

test.serial(
  'the power of the site and of a server is cut: nothing that was acknowledged is lost',
  async (t) => {
    const file = join(folder, 'power.json');
    const json = join(folder, 'power-outcome.json');
    writeFileSync(file, JSON.stringify(POWER_PLAN));
    const { exitCode, stdout, stderr } = await chaos('--plan', file, '--json', json);
    t.is(exitCode, 0, `${stdout}\n${stderr}`);
    t.regex(stdout, /^2 power cuts with \d+ writes .*, no acknowledged write was lost$/m);
    const { outcomes } = JSON.parse(readFileSync(json, 'utf8')) as {
      outcomes: { verdict: { power: { cuts: number; torn: number } } }[];
    };
    const power = outcomes[0]?.verdict.power;
    t.is(power?.cuts, 2);
    t.true((power?.torn ?? 0) > 0, 'something was lost that nobody had been promised');
  },
);

test.serial(
  'a flush of one disk fails, then all reads of another: both fail for good, and no client notices',
  async (t) => {
    const file = join(folder, 'disk.json');
    writeFileSync(file, JSON.stringify(DISK_PLAN));
    const { exitCode, stdout, stderr } = await chaos('--plan', file);
    t.is(exitCode, 0, `${stdout}\n${stderr}`);
    t.regex(stderr, /the device of sds1 failed: .*EIO/);
    t.regex(stderr, /the device of sds2 failed: /);
    t.regex(stdout, /^1 passed, 0 failed$/m);
  },
);

test.serial('an interruption ends and removes everything that was started', async (t) => {
  const run = chaos('--seed', '1');
  let said = '';
  run.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  await until('the load runs', () => said.includes('load runs'));
  run.kill('SIGINT');
  t.is((await run).exitCode, 130);
  t.deepEqual(processesOf(join(folder, 'meshsan-chaos-')), []);
  t.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('meshsan-chaos-')),
    [],
  );
});

test.serial('what cannot be meant is refused in a sentence', async (t) => {
  const refusals: readonly (readonly [readonly string[], RegExp])[] = [
    [['--sede', '1'], /--sede is not known; is --seed meant\?/],
    [['--seconds', '0'], /--seconds must be a whole number from 1 to 86400, not "0"/],
    [['--only', 'fire'], /--only takes kill, .*; "fire" is none of them/],
    [['--plan', '/nowhere'], /--plan \/nowhere does not exist/],
    [['--plan', MAIN], /is no JSON/],
    [['--plan', 'x', '--seed', '1'], /--plan FILE says everything, and goes without --seed/],
    [['--figures', 'all', '--runs', '2'], /--figures has plans of its own/],
    [['--power-cuts', '0'], /--power-cuts must be a whole number from 1 to 100000, not "0"/],
    [['--power-cuts', '9', '--runs', '2'], /--power-cuts has plans of its own/],
    [['--minutes', '2'], /--minutes belongs to --figures/],
  ];
  for (const [args, words] of refusals) {
    const { exitCode, stderr } = await chaos(...args);
    t.is(exitCode, 2, args.join(' '));
    t.regex(stderr, words);
  }
});
