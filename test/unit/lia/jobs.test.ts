// The machine of an agent's jobs: once each, one after the other, and the truth after every place where the agent or the
// node may have ended.

import test from 'ava';

import { Jobs } from '../../../backend/lia/jobs.js';
import type { JobEffects, JobFacts } from '../../../backend/lia/jobs.js';
import type { WantedPackage } from '../../../backend/lia/install-plan.js';
import type { InstalledPackage, Job, JobRequest } from '../../../backend/protocol/lia.js';
import { LIMITS } from '../../../backend/protocol/tables/limits.js';

/** A node on which nothing happens by itself: what the machine asked for is noted. */
class Node implements JobEffects {
  readonly kept = new Map<string, Job>();
  readonly asked: string[] = [];
  readonly launched: (readonly string[])[] = [];
  readonly looked: string[] = [];
  readonly released: string[] = [];

  save(job: Job): void {
    this.kept.set(job.id, job);
  }
  forget(id: string): void {
    this.kept.delete(id);
  }
  ask(job: Job): void {
    this.asked.push(job.id);
  }
  launch(_: Job, argv: readonly string[]): void {
    this.launched.push(argv);
  }
  look(job: Job): void {
    this.looked.push(job.id);
  }
  release(job: Job): void {
    this.released.push(job.id);
  }
}

const RESTART: JobRequest = { kind: 'service', unit: 'meshsan-sds', action: 'restart' };
const SHA = 'a'.repeat(64);
const INSTALL: JobRequest = { kind: 'install', packages: [SHA], allowDowngrade: false };
const service = (state: string): JobFacts => ({ kind: 'service', state });
const SDS: WantedPackage = {
  ...{ sha256: SHA, name: 'meshsan-sds', version: '2.0', architecture: 'all', bytes: 1 },
  isDowngrade: false,
};
const installed = (...rows: (readonly [string, string])[]): InstalledPackage[] =>
  rows.map(([name, version]) => ({ name, version, state: 'installed' }));
const facts = (version: string): JobFacts => ({
  kind: 'install',
  wanted: [SDS],
  fault: null,
  installed: installed(['meshsan-sds', version]),
});
const ENDED = { state: 'ended', ok: true, why: '', output: 'Setting up' } as const;

function fresh(): { node: Node; jobs: Jobs } {
  const node = new Node();
  const jobs = new Jobs(node, 'boot-1');
  jobs.resume([]);
  return { node, jobs };
}

/** A node that was left at some point of a job, and the agent that comes after. */
function after(node: Node, bootId: string): { node: Node; jobs: Jobs } {
  const next = new Node();
  for (const [id, job] of node.kept) next.kept.set(id, job);
  const jobs = new Jobs(next, bootId);
  jobs.resume([...next.kept.values()]);
  return { node: next, jobs };
}

test('a service is restarted by a unit of its own, and judged by its state afterwards', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', RESTART);
  jobs.facts(2, 'a', service('active'));
  t.deepEqual(node.launched, [['systemctl', 'restart', 'meshsan-sds.service']]);
  t.is(node.kept.get('a')?.state, 'running', 'written down before it runs');
  jobs.looked(3, 'a', { state: 'running' });
  t.deepEqual(node.looked, ['a']);
  jobs.looked(4, 'a', ENDED);
  t.is(jobs.get('a')?.state, 'running', 'its end is not yet its success');
  jobs.facts(5, 'a', service('failed'));
  t.is(jobs.get('a')?.state, 'failed');
  t.is(jobs.get('a')?.message, 'meshsan-sds is failed');
  t.deepEqual(node.released, ['a']);
});

test('the same job twice is one; another one under its id is refused', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', RESTART);
  jobs.submit(2, 'a', RESTART);
  t.deepEqual(node.asked, ['a']);
  const other = jobs.submit(3, 'a', INSTALL);
  t.deepEqual(other, { error: 'JOB_DIFFERS', reason: 'a was restart meshsan-sds' });
  jobs.facts(4, 'a', service('absent'));
  t.is(jobs.get('a')?.message, 'meshsan-sds is not installed on this node');
  t.is((jobs.submit(5, 'a', RESTART) as Job).state, 'failed', 'also after its end');
});

test('jobs are done one after the other, and only so many wait', (t) => {
  const { node, jobs } = fresh();
  const most = LIMITS.liaJobsWaitingMax.value;
  for (let i = 0; i < most; i += 1) jobs.submit(i, `job-${i}`, RESTART);
  t.deepEqual(node.asked, ['job-0']);
  t.like(jobs.submit(99, 'one-more', RESTART), { error: 'JOBS_FULL' });
  jobs.facts(100, 'job-0', service('absent'));
  t.deepEqual(node.asked, ['job-0', 'job-1']);
  t.is(jobs.list()[0]?.id, `job-${most - 1}`, 'the newest is listed first');
});

test('what is so already is not done again', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', { ...RESTART, action: 'start' });
  jobs.facts(2, 'a', service('active'));
  jobs.submit(3, 'b', INSTALL);
  jobs.facts(4, 'b', facts('2.0'));
  t.deepEqual(node.launched, []);
  t.is(jobs.get('a')?.message, 'meshsan-sds is active already');
  t.is(jobs.get('b')?.message, 'all of it is installed already');
});

test('an installation is judged by the versions that are there, not by the exit code', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', INSTALL);
  jobs.facts(2, 'a', facts('1.0'));
  t.deepEqual(node.launched, [
    ['dpkg', '--force-confdef', '--force-confold', '--install', `${SHA}.deb`],
  ]);
  jobs.looked(3, 'a', ENDED);
  jobs.facts(4, 'a', facts('1.0'));
  t.is(jobs.get('a')?.state, 'failed');
  t.is(jobs.get('a')?.message, 'meshsan-sds is 1.0 (installed) instead of 2.0');
  t.is(jobs.get('a')?.output, 'Setting up');
});

test('an agent that was replaced by its own job learns how that ended', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', INSTALL);
  jobs.submit(2, 'b', RESTART);
  jobs.facts(3, 'a', facts('1.0'));
  const next = after(node, 'boot-1');
  t.deepEqual(next.node.looked, ['a']);
  t.deepEqual(next.node.asked, [], 'b waits for a');
  next.jobs.looked(101, 'a', ENDED);
  next.jobs.facts(102, 'a', facts('2.0'));
  t.is(next.jobs.get('a')?.state, 'done');
  t.deepEqual(next.node.launched, [], 'nothing is done twice');
  t.deepEqual(next.node.asked, ['a', 'b']);
});

test('an agent that ended before the program began starts it', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', INSTALL);
  jobs.facts(2, 'a', facts('1.0'));
  const next = after(node, 'boot-1');
  next.jobs.looked(101, 'a', { state: 'missing' });
  next.jobs.facts(102, 'a', facts('1.0'));
  t.is(next.node.launched.length, 1);
});

test('a unit that somebody took away ends its job; it is not begun again and again', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', INSTALL);
  jobs.facts(2, 'a', facts('1.0'));
  jobs.looked(3, 'a', { state: 'missing' });
  jobs.facts(4, 'a', facts('1.0'));
  t.is(jobs.get('a')?.state, 'failed');
  t.regex(jobs.get('a')?.message ?? '', /its unit was taken away; meshsan-sds is 1\.0/);
  t.is(node.launched.length, 1);
});

test('a node that was started again in the middle says what it finds', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', INSTALL);
  jobs.facts(2, 'a', facts('1.0'));
  for (const [version, state, words] of [
    ['2.0', 'done', /everything is as it was asked for/],
    ['1.0', 'failed', /interrupted by a start of the node: meshsan-sds is 1\.0/],
  ] as const) {
    const next = after(node, 'boot-2');
    next.jobs.looked(101, 'a', { state: 'missing' });
    next.jobs.facts(102, 'a', facts(version));
    t.is(next.jobs.get('a')?.state, state);
    t.regex(next.jobs.get('a')?.message ?? '', words);
    t.deepEqual(next.node.launched, []);
  }
});

test('an answer to a job that is not under way changes nothing', (t) => {
  const { node, jobs } = fresh();
  jobs.submit(1, 'a', RESTART);
  jobs.looked(2, 'a', ENDED);
  jobs.facts(3, 'b', service('active'));
  jobs.stuck(4, 'b', 'no');
  t.is(jobs.get('a')?.state, 'waiting');
  t.deepEqual(node.launched, []);
});

test('the oldest ended jobs are forgotten, those that wait never', (t) => {
  const { node, jobs } = fresh();
  for (let i = 0; i <= LIMITS.liaJobsMax.value; i += 1) {
    jobs.submit(i, `job-${i}`, RESTART);
    jobs.facts(i, `job-${i}`, service('absent'));
  }
  t.is(jobs.list().length, LIMITS.liaJobsMax.value);
  t.is(jobs.get('job-0'), null);
  t.false(node.kept.has('job-0'));
});
