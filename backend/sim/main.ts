// Runs the simulator from the command line: threads, progress, report. It owns what is printed and the exit status.

import { readFileSync, writeFileSync } from 'node:fs';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { HELP, parseSimArguments, UsageError } from './arguments.js';
import type { SimArguments } from './arguments.js';
import { addResult, drawn, emptyResult, runBatch } from './batch.js';
import type { BatchOrder, BatchResult } from './batch.js';
import { note } from './ledger.js';
import { minimise, strikesOf } from './minimise.js';
import { parseScenario } from './scenario-file.js';
import type { KeptScenario } from './scenario-file.js';
import { runScenario } from './scenario.js';
import type { ScenarioResult } from './scenario.js';
import { makeSimulationMemory } from './simulation.js';
import { describeSwarm } from './swarm-text.js';

type FromWorker =
  | { readonly kind: 'failed'; readonly seed: number; readonly failure: string }
  | { readonly kind: 'finished'; readonly count: number }
  | { readonly kind: 'ended'; readonly result: BatchResult };

const PROGRESS_EVERY = 16;
const PROGRESS_MS = 5000;

/** What a thread does. */
function work(order: BatchOrder, tell: (message: FromWorker) => void): void {
  let count = 0;
  const result = runBatch(order, (scenario: ScenarioResult) => {
    count += 1;
    if (scenario.failure !== null)
      tell({ kind: 'failed', seed: scenario.seed, failure: scenario.failure });
    if (count % PROGRESS_EVERY === 0) tell({ kind: 'finished', count: PROGRESS_EVERY });
  });
  tell({ kind: 'ended', result });
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The scenario that the arguments name. */
function wanted({ firstSeed, scenario, snapshots }: SimArguments): KeptScenario {
  if (scenario === '') return { about: '', seed: firstSeed, swarm: drawn(firstSeed, snapshots) };
  try {
    const kept = parseScenario(readFileSync(scenario, 'utf8'));
    const seed = firstSeed === 0 ? kept.seed : firstSeed;
    return { ...kept, seed, swarm: { ...kept.swarm, seed } };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new UsageError(`--scenario ${scenario}: ${error.message}`);
  }
}

/** Makes a scenario that fails as small as it gets. */
function makeSmaller(args: SimArguments): number {
  const { about, seed, swarm } = wanted(args);
  const result = runScenario(seed, makeSimulationMemory(), null, swarm);
  if (result.failure === null) {
    say('passed: there is nothing to minimise');
    return 0;
  }
  say(`FAILED: ${result.failure}`);
  const least = minimise({ swarm, result }, say);
  say(`FAILED: ${least.result.failure ?? ''}`);
  const trouble = Object.entries(least.swarm.trouble).filter(([, weight]) => weight > 0);
  const kept = {
    about: about === '' ? (least.result.failure ?? '') : about,
    seed,
    swarm: { ...least.swarm, trouble: Object.fromEntries(trouble) },
  };
  writeFileSync(args.minimise, `${JSON.stringify(kept, null, 2)}\n`);
  say(
    `${strikesOf(least)} strikes are left; see them: npm run sim -- --scenario ${args.minimise} --verbose`,
  );
  return 1;
}

function replay(args: SimArguments): number {
  const { json } = args;
  const { about, seed, swarm } = wanted(args);
  if (!json && about !== '') say(about);
  if (!json) say(`seed ${seed}: ${describeSwarm(swarm)}`);
  const result = runScenario(seed, makeSimulationMemory(), args.verbose ? say : null, swarm);
  if (json) say(JSON.stringify({ ...result, swarm }));
  else {
    const seconds = (result.virtualUs / 1_000_000).toFixed(1);
    say(
      `${result.events} events, ${result.requests} requests, ${seconds} virtual seconds, trace ${result.digest}`,
    );
    say(result.failure === null ? 'passed' : `FAILED: ${result.failure}`);
  }
  return result.failure === null ? 0 : 1;
}

/** Runs all threads; resolves when the last one has ended. */
async function runAll(args: SimArguments, { seed, swarm }: KeptScenario): Promise<BatchResult> {
  const total = emptyResult();
  const began = Date.now();
  let finished = 0;
  const timer = setInterval(() => {
    const minutes = (Date.now() - began) / 60_000;
    process.stderr.write(
      `${finished} of ${args.seeds} scenarios, ${Math.round(finished / minutes)} a minute\n`,
    );
  }, PROGRESS_MS);
  const workers: Worker[] = [];
  const jobs = Math.min(args.jobs, args.seeds);
  const runs = Array.from({ length: jobs }, (_, job) => {
    const order: BatchOrder = {
      firstSeed: seed + job,
      stride: jobs,
      count: Math.ceil((args.seeds - job) / jobs),
      twicePercent: args.twicePercent,
      swarm: args.scenario === '' ? null : swarm,
      snapshots: args.snapshots,
    };
    return new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: order });
      workers.push(worker);
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'finished') finished += message.count;
        else if (message.kind === 'ended') addResult(total, message.result);
        else {
          if (!args.json) say(`seed ${message.seed} FAILED: ${message.failure}`);
          if (!args.stopAtFailure) return;
          total.failures.push({ seed: message.seed, failure: message.failure });
          for (const other of workers) void other.terminate();
        }
      });
      worker.on('error', reject);
      worker.on('exit', () => {
        resolve();
      });
    });
  });
  try {
    await Promise.all(runs);
  } finally {
    clearInterval(timer);
  }
  return total;
}

function report(args: SimArguments, total: BatchResult, seconds: number): void {
  const perMinute = Math.round((total.scenarios / seconds) * 60);
  const neverHit = Object.entries(total.marks)
    .filter(([, hits]) => hits === 0)
    .map(([name]) => name);
  if (args.json) {
    say(JSON.stringify({ ...total, firstSeed: args.firstSeed, seconds, perMinute, neverHit }));
    return;
  }
  const marks = Object.keys(total.marks).length;
  say(`marks: ${marks - neverHit.length} of ${marks} reached`);
  for (const name of neverHit) say(`  never: ${name}`);
  say(
    `${total.scenarios} scenarios from seed ${args.firstSeed}, ${total.twice} of them twice, ${total.requests} requests, ${total.events} events, ${Math.round(total.virtualSeconds)} virtual seconds`,
  );
  say(`${seconds.toFixed(1)} s, ${perMinute} scenarios a minute with ${args.jobs} threads`);
  say(`${total.failures.length} failed`);
  if (total.failures.length > 0)
    say(
      `replay one: npm run sim -- ${args.scenario === '' ? '' : `--scenario ${args.scenario} `}--seed ${total.failures[0]?.seed ?? 0} --verbose`,
    );
}

async function main(): Promise<number> {
  const drawn = (Math.floor(Date.now() / 1000) % 1_000_000) * 1_000_000 + 1;
  const args = parseSimArguments(process.argv.slice(2), drawn);
  if (args.help) {
    say(HELP);
    return 0;
  }
  if (args.minimise !== '') return makeSmaller(args);
  if (args.seeds === 1) return replay(args);
  const began = Date.now();
  const kept = wanted(args);
  const total = await runAll(args, kept);
  const seconds = (Date.now() - began) / 1000;
  if (args.ledger !== '') note(args.ledger, kept.seed, seconds, total);
  report({ ...args, firstSeed: kept.seed }, total, seconds);
  return total.failures.length === 0 ? 0 : 1;
}

if (isMainThread) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\nTry --help.\n`);
    process.exitCode = 2;
  }
} else work(workerData as BatchOrder, (message) => parentPort?.postMessage(message));
