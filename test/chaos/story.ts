// One run: a cluster, two loads, a plan, and what came of it. It owns the order (safety under trouble, then everything is
// healed and must come back, then every copy is read) and the verdict; it must never repair what it judges.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Prng } from '../../backend/core/prng.js';
import { marks } from '../../backend/core/marks.js';
import { checkCuts } from '../../backend/sim/check-cut.js';
import { checkHistory } from '../../backend/sim/check-linearizable.js';
import { Chains } from './chains.js';
import { SECTORS_PER_BLOCK } from './content.js';
import { FioVerify } from './fio.js';
import { Nemesis } from './nemesis.js';
import { Operator } from './operator.js';
import type { Plan } from './plan.js';
import { SECOND_CLIENT, needsOwnDisks, sdsNames } from './plan.js';
import { Rig } from './rig.js';
import type { PowerCounts } from './power.js';
import { Requests } from './requests.js';
import { SnapshotCommands } from './snapshot-commands.js';
import { SnapshotOperator } from './snapshot-operator.js';
import type { SnapshotCounts } from './snapshot-operator.js';
import type { Verdict } from './verdict.js';
import { Workload } from './workload.js';

const STALL_MS = 30_000;
const LOOK_MS = 250;
/** What went wrong has been noticed by then: detection takes 1.5 s. */
const NOTICED_MS = 2500;
/** Copies are small: what takes longer than this does not come back. */
const WHOLE_MS = 90_000;
/** Requests a second of the workload and of fio; enough to have some under way at any time. */
const RATE = 360;
const FIO_IOPS = 250;
const VOLUME_GIB = 8;
const CHAIN_GIB = 1;
const FIO_VOLUME = 'verify';
/** Pairs of dependent writes a second. */
const CHAIN_RATE = 60;
/** Volumes of the dependent writes, and whose they are. */
const CHAIN_VOLUMES = [
  ['chain1', 'sdc'],
  ['chain2', SECOND_CLIENT],
] as const;
const END_MS = 45_000;
const END_FAILED_MS = 5000;
/** A device that could not write ends its process with this. */
const EXIT_DEVICE_FAILED = 20;

export interface StoryOptions {
  readonly dir: string;
  readonly plan: Plan;
  readonly isolated: boolean;
  readonly say: (text: string) => void;
  /** Ends the run early. */
  readonly broken: AbortSignal;
}

export async function tell(options: StoryOptions): Promise<Verdict> {
  const { dir, plan, isolated, say } = options;
  const began = Date.now();
  const rig = await Rig.start({
    ...{
      dir,
      sdsCount: plan.sdsCount,
      mdms: plan.mdms,
      isolated,
      say,
      smallDisks: true,
      throttle: [],
      mdmOptions: {},
    },
    powerSeed: needsOwnDisks(plan) ? plan.seed : null,
  });
  try {
    return await new Story(rig, options, began).run();
  } finally {
    await rig.stop();
  }
}

class Story {
  readonly #failures: string[] = [];
  readonly #rig: Rig;
  readonly #options: StoryOptions;
  readonly #began: number;
  readonly #nemesis: Nemesis;
  readonly #requests = new Requests();
  /** Ends of processes that were judged. */
  #endsSeen = 0;

  constructor(rig: Rig, options: StoryOptions, began: number) {
    this.#rig = rig;
    this.#options = options;
    this.#began = began;
    this.#nemesis = new Nemesis(rig, options.say);
  }

  async run(): Promise<Verdict> {
    const { plan, dir, say } = this.#options;
    const [first = '', second = ''] = await this.#rig.addVolume('history', VOLUME_GIB, [
      'sdc',
      SECOND_CLIENT,
    ]);
    const [fioSocket = ''] = await this.#rig.addVolume(FIO_VOLUME, VOLUME_GIB, ['sdc']);
    for (const [name, client] of CHAIN_VOLUMES)
      await this.#rig.addVolume(name, CHAIN_GIB, [client]);
    const endpoints = [
      { socket: first, connections: 2, readers: 1 },
      { socket: second, connections: 2, readers: 1 },
    ];
    const requests = this.#requests;
    const workload = new Workload(requests, endpoints, new Prng(plan.seed, 1), RATE);
    workload.start();
    const operator = new Operator(
      ...([this.#rig.mdm, requests.history, new Prng(plan.seed, 2), FIO_VOLUME] as const),
    );
    await operator.start();
    const snapshots = new SnapshotOperator(
      new SnapshotCommands(this.#rig),
      requests,
      new Chains(requests, new Prng(plan.seed, 3), CHAIN_RATE),
      new Prng(plan.seed, 4),
    );
    await snapshots.start([CHAIN_VOLUMES[0][0], CHAIN_VOLUMES[1][0]]);
    const fio = new FioVerify(fioSocket, dir, FIO_IOPS);
    say('load runs');
    const given = await this.#underTrouble(fio);
    await this.#end(workload, fio);
    await operator.stop();
    say(`the operator was answered ${operator.answered} times`);
    await this.#endOf(snapshots);
    if (given)
      await this.#everyCopy(async () => {
        await workload.readAll();
        await snapshots.readAll();
      });
    this.#judge();
    this.#judgeLogs();
    return this.#verdict(snapshots.counts, (await this.#rig.power?.counts()) ?? null);
  }

  #fail(what: string): void {
    if (this.#failures.includes(what)) return;
    this.#failures.push(what);
    this.#options.say(`FAILED: ${what}`);
  }

  /** Of a run that has failed nothing more is expected. */
  get #patienceMs(): number {
    return this.#failures.length > 0 ? END_FAILED_MS : END_MS;
  }

  /** @returns whether the plan was carried out to its end */
  async #underTrouble(fio: FioVerify): Promise<boolean> {
    const { plan, broken } = this.#options;
    const stop = new AbortController();
    const ends = AbortSignal.any([broken, stop.signal]);
    const watch = setInterval(() => {
      this.#watch();
      if (this.#failures.length > 0 || fio.hasFailed) stop.abort();
    }, LOOK_MS);
    try {
      for (const step of plan.steps) {
        await this.#nemesis.step(step, ends);
        if (ends.aborted) return false;
        await pause(NOTICED_MS);
        if (!(await this.#isWhole(ends))) return false;
      }
      return true;
    } finally {
      clearInterval(watch);
      await this.#nemesis.heal();
    }
  }

  /** What must never be, at any time. */
  #watch(): void {
    const stalled = this.#requests.stalled(STALL_MS);
    if (stalled !== null) this.#fail(stalled);
    for (const fault of this.#requests.faults.slice(0, 5)) this.#fail(fault);
    this.#judgeEnds();
  }

  /** Processes of the product end when they are told to, or when their device has failed. */
  #judgeEnds(): void {
    const { ended } = this.#rig.keeper;
    for (const { name, code, signal } of ended.slice(this.#endsSeen)) {
      const how = signal ?? `exit code ${String(code)}`;
      if (this.#mayEnd(name, code)) this.#options.say(`${name} ended by itself (${how})`);
      else this.#fail(`${name} ended by itself (${how}), see log/${name}.log`);
    }
    this.#endsSeen = ended.length;
  }

  /** With a full disk the MDM cannot commit, and ends; so does a server that cannot note its processes. */
  #mayEnd(name: string, code: number | null): boolean {
    const hasFullDisk = this.#options.plan.steps.some(({ troubles }) =>
      troubles.some(({ kind, target }) => kind === 'full' && target === name),
    );
    return code === EXIT_DEVICE_FAILED || (hasFullDisk && code !== null);
  }

  async #isWhole(ends: AbortSignal): Promise<boolean> {
    const deadline = Date.now() + WHOLE_MS;
    for (;;) {
      if ((await this.#rig.isWhole()) === true) return true;
      if (ends.aborted) return false;
      if (Date.now() > deadline) {
        this.#fail(`the copies are not in sync ${WHOLE_MS / 1000} s after the last trouble`);
        return false;
      }
      await pause(LOOK_MS);
    }
  }

  async #end(workload: Workload, fio: FioVerify): Promise<void> {
    const { say, dir } = this.#options;
    say('load ends');
    const stuck = setTimeout(() => {
      this.#fail(this.#requests.stalled(0) ?? 'the load does not end');
      workload.abandon();
    }, this.#patienceMs);
    await workload.stop();
    clearTimeout(stuck);
    const { fault, text } = await fio.stop(this.#patienceMs);
    writeFileSync(join(dir, 'fio.txt'), text);
    if (fault !== null) this.#fail(`${fault}, see fio.txt`);
    for (const error of this.#requests.faults.slice(0, 5)) this.#fail(error);
    this.#judgeEnds();
  }

  /** It brings to its end what it began; nobody troubles it any more. */
  async #endOf(snapshots: SnapshotOperator): Promise<void> {
    const stuck = new AbortController();
    const ended = snapshots.stop().then(() => true);
    const late = pause(this.#patienceMs, false, { signal: stuck.signal }).catch(() => false);
    if (!(await Promise.race([ended, late]))) this.#fail('the operator of snapshots does not end');
    stuck.abort();
    const { taken, refused, read, reverted, removed } = snapshots.counts;
    this.#options.say(
      `${taken} group snapshots (${refused} refused), ${read} snapshots read, ${reverted} volumes reverted, ${removed} groups removed`,
    );
    this.#watch();
  }

  /** Reads all with everybody there, then with each server away in turn, so that every copy is asked. */
  async #everyCopy(readAll: () => Promise<void>): Promise<void> {
    const { plan, broken, say } = this.#options;
    const within = async (what: string): Promise<boolean> => {
      const ends = AbortSignal.any([broken, AbortSignal.timeout(STALL_MS)]);
      const aborted = new Promise<boolean>((done) => {
        ends.addEventListener('abort', () => {
          done(false);
        });
      });
      const isRead = await Promise.race([readAll().then(() => true), aborted]);
      if (!isRead) this.#fail(`not everything is read within ${STALL_MS / 1000} s ${what}`);
      return isRead;
    };
    if (!(await within('after the plan'))) return;
    for (const name of sdsNames(plan.sdsCount)) {
      if (broken.aborted || !(await this.#isWhole(broken))) return;
      say(`reading without ${name}`);
      const { release } = this.#rig.keeper.hold(name);
      const isRead = await within(`while ${name} is away`);
      release();
      if (!isRead) return;
    }
  }

  #judge(): void {
    const { dir, say } = this.#options;
    const { history } = this.#requests;
    say(`judging ${history.ops.length} requests and ${history.cuts.length} moments`);
    // What a later one shows of its source belongs to what that began with.
    history.cuts.sort((one, other) => one.startUs - other.startUs);
    const fault =
      checkCuts(history, { mayLose: false }) ??
      checkHistory(history, { sectorsPerBlock: SECTORS_PER_BLOCK, isVolatile: false });
    if (fault === null) return;
    this.#fail(fault);
    const { ops, cuts } = history;
    writeFileSync(join(dir, 'history.json'), JSON.stringify({ ops, cuts }));
  }

  /** Data processes are kept by their servers: an assertion that failed is found in the logs. */
  #judgeLogs(): void {
    const folder = this.#rig.paths.log;
    for (const name of readdirSync(folder)) {
      const line = readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .find((text) => /AssertionError|[Uu]ncaught/.test(text));
      if (line !== undefined) this.#fail(`log/${name}: ${line.slice(0, 200)}`);
    }
  }

  #verdict(snapshots: SnapshotCounts, power: PowerCounts | null): Verdict {
    const { history, unanswered, longestMs, longest } = this.#requests;
    return {
      failures: this.#failures,
      troubles: this.#nemesis.done,
      operations: history.ops.length,
      unanswered,
      longestMs,
      longest,
      sectorsGivenUp: marks().find(({ name }) => name.includes('orders of a sector'))?.hits ?? 0,
      seconds: Math.round((Date.now() - this.#began) / 1000),
      snapshots,
      power,
    };
  }
}
