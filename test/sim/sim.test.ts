// The simulator as a test: kept seeds and a fixed range, each twice, so that a seed decides everything; and that the
// command line says what is wrong with it.

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import test from 'ava';
import { execa } from 'execa';

import { parseScenario } from '../../backend/sim/scenario-file.js';
import { runScenario } from '../../backend/sim/scenario.js';
import { makeSimulationMemory } from '../../backend/sim/simulation.js';
import { drawSwarm } from '../../backend/sim/swarm.js';
import { noTrouble } from '../../backend/sim/trouble-kinds.js';
import { makeBuild, removeBuild } from './broken-build.js';
import { FIXES } from './fixes.js';
import { MUTATIONS } from './mutations.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const MAIN = join(ROOT, 'dist', 'backend', 'sim', 'main.js');
const FIXED_SEEDS = 100;

function keptSeeds(): number[] {
  return readFileSync(join(ROOT, 'test', 'sim', 'seeds.txt'), 'utf8')
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .map((line) => Number(line.split(' ')[0]));
}

test('kept seeds and a fixed range pass, and leave the same trace when they run again', (t) => {
  const memory = makeSimulationMemory();
  const seeds = [...keptSeeds(), ...Array.from({ length: FIXED_SEEDS }, (_, index) => index + 1)];
  for (const seed of seeds) {
    const result = runScenario(seed, memory);
    t.is(result.failure, null, `npm run sim -- --seed ${seed} --verbose`);
    t.is(runScenario(seed, memory).digest, result.digest, `seed ${seed} is not deterministic`);
  }
});

test('kept scenarios pass, and leave the same trace when they run again', (t) => {
  const memory = makeSimulationMemory();
  const folder = join(ROOT, 'test', 'sim', 'scenarios');
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  t.true(files.length > 0);
  for (const file of files) {
    const { seed, swarm } = parseScenario(readFileSync(join(folder, file), 'utf8'));
    const result = runScenario(seed, memory, null, swarm);
    t.is(result.failure, null, `npm run sim -- --scenario test/sim/scenarios/${file} --verbose`);
    t.is(runScenario(seed, memory, null, swarm).digest, result.digest, file);
  }
});

test('a scenario file says what is wrong with it', (t) => {
  const whole = { about: 'why', seed: 1, swarm: drawSwarm(1) };
  const older = Object.entries(whole.swarm).filter(([name]) => name !== 'settleChangesMax');
  t.is(
    parseScenario(JSON.stringify({ ...whole, swarm: Object.fromEntries(older) })).swarm
      .settleChangesMax,
    2048,
  );
  t.deepEqual(parseScenario(JSON.stringify(whole)), whole);
  for (const [changes, expected] of [
    [{ about: '' }, /about must say/],
    [{ seed: 0 }, /seed must be an integer from 1/],
    [{ swarm: { ...whole.swarm, servers: 'three' } }, /swarm.servers must be a number/],
    [{ swarm: { ...whole.swarm, volumeChunks: 4 } }, /swarm.volumeChunks must be a list/],
    [{ swarm: { ...whole.swarm, trouble: { frob: 1 } } }, /swarm.trouble.frob is not known/],
  ] as const)
    t.throws(() => parseScenario(JSON.stringify({ ...whole, ...changes })), { message: expected });
  t.throws(() => parseScenario('{'), { name: 'ScenarioFileError' });
});

test('a run with a trace is the same run', (t) => {
  const memory = makeSimulationMemory();
  const lines: string[] = [];
  const told = runScenario(7, memory, (line) => {
    lines.push(line);
  });
  t.is(told.digest, runScenario(7, memory).digest);
  t.true(lines.some((line) => line.includes('safety phase')));
});

test('without trouble every request is answered well and nothing breaks', (t) => {
  const memory = makeSimulationMemory();
  for (const durability of ['media', 'device', 'memory'] as const) {
    const swarm = { ...drawSwarm(3), durability, trouble: noTrouble(), storeUnknownPermille: 0 };
    const result = runScenario(3, memory, null, swarm);
    t.is(result.failure, null);
    t.true(result.requests > 20);
  }
});

test('different seeds are different runs', (t) => {
  const memory = makeSimulationMemory();
  const digests = new Set([11, 12, 13, 14, 15].map((seed) => runScenario(seed, memory).digest));
  t.is(digests.size, 5);
});

test('the command line explains itself and names what is wrong', async (t) => {
  const run = async (...args: string[]): Promise<{ code: unknown; out: string; err: string }> => {
    const done = await execa(process.execPath, [MAIN, ...args], { reject: false });
    return { code: done.exitCode, out: done.stdout, err: done.stderr };
  };
  const help = await run('--help');
  t.is(help.code, 0);
  t.regex(help.out, /--seeds N/);
  for (const [args, expected] of [
    [['--seeds', '0'], /--seeds must be an integer from 1/],
    [['--seed', 'x'], /--seed must be an integer from 1 to .*is "x"/],
    [['--frob'], /--frob/],
    [['--seed', '1', '--seed', '2'], /--seed is given more than once/],
    [['--json', '--json'], /--json is given more than once/],
    [['--scenario', '/nowhere.json', '--seeds', '2'], /--scenario \/nowhere.json: /],
    [['--minimise', 'x', '--seeds', '2'], /--minimise takes one scenario/],
    [['--scenario', 'x', '--ledger', 'y'], /--ledger counts scenarios that seeds draw/],
    [['--scenario', '/nowhere.json'], /--scenario \/nowhere.json: /],
    [['--seed', '1', '--seeds', '2', '--verbose'], /--verbose prints the trace of one seed/],
  ] as const) {
    const wrong = await run(...args);
    t.is(wrong.code, 2);
    t.regex(wrong.err, expected);
  }
});

test('several seeds are run in threads and reported as JSON', async (t) => {
  const done = await execa(process.execPath, [
    ...[MAIN, '--seed', '1', '--seeds', '6', '--jobs', '2', '--twice', '100', '--json'],
  ]);
  const report = JSON.parse(done.stdout) as Record<string, unknown>;
  t.is(report['scenarios'], 6);
  t.is(report['twice'], 6);
  t.deepEqual(report['failures'], []);
  t.is(report['firstSeed'], 1);
});

test('there is a broken build for each rule, and each still fits the code', (t) => {
  const rules = new Set(MUTATIONS.map(({ rule }) => rule));
  for (let number = 1; number <= 14; number++) t.true(rules.has(`C${number}`));
  for (const { rule, replacements } of [...MUTATIONS, ...FIXES])
    for (const { file, from } of replacements) {
      const text = readFileSync(join(ROOT, 'dist', file), 'utf8');
      t.is(text.split(from).length, 2, `${rule}: "${from}" stands once in ${file}`);
    }
});

test('a failing scenario is made smaller, and the file it is written to fails in the same way', async (t) => {
  const mutation = MUTATIONS.find(({ rule }) => rule === 'C3');
  t.truthy(mutation);
  if (mutation === undefined) return;
  const folder = makeBuild(mutation, ['backend']);
  t.teardown(() => {
    removeBuild(folder);
  });
  const file = join(folder, 'least.json');
  const run = async (...args: string[]): Promise<{ code: unknown; out: string }> => {
    const main = join(folder, 'dist', 'backend', 'sim', 'main.js');
    const done = await execa(process.execPath, [main, ...args], { reject: false });
    return { code: done.exitCode, out: done.stdout };
  };
  const whole = await run('--seed', '1');
  t.regex(whole.out, /FAILED: write .* was acknowledged/);
  const smaller = await run('--seed', '1', '--minimise', file);
  t.is(smaller.code, 1);
  const again = await run('--scenario', file);
  t.is(again.code, 1);
  t.regex(again.out, /FAILED: write .* was acknowledged/);
  const requests = (text: string): number => Number(/ (\d+) requests/.exec(text)?.[1]);
  t.true(requests(again.out) < requests(whole.out));
  const { seed, swarm } = parseScenario(readFileSync(file, 'utf8'));
  t.is(runScenario(seed, makeSimulationMemory(), null, swarm).failure, null);
});
