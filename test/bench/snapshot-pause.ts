// Owns the figure of group snapshots: how long clients wait while one call makes snapshots of many volumes under load. Beside
// each call stands the same length of time just before it, without one.
import { setTimeout as delay } from 'node:timers/promises';

import { ClusterError } from './cluster.js';
import { inMs, most } from './spread.js';
import { PacedLoad } from './paced-load.js';
import type { SnapshotCluster, SnapshotSettings } from './snapshot-cluster.js';

const WRITES_PER_S = 2000;
const VOLUME_GIB = 1;
const WARM_UP_MS = 5000;
const BETWEEN_MS = 3000;
/** Between the time without a call and the call: what was sent in the one is not answered in the other. */
const APART_MS = 500;
/** After a group was removed: layers of all its volumes are merged meanwhile. */
const REMOVED_MS = 10_000;

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

interface Round {
  /** Why there is no snapshot. What clients waited for it counts all the same. */
  readonly refusal: string | null;
  readonly group: string;
  readonly call: Span;
  /** As long as the call. */
  readonly before: Span;
}

interface Removal {
  readonly refusal: string | null;
  readonly call: Span;
  readonly after: Span;
}

/** What the cluster refuses is a result. */
async function refusalOf(call: Promise<void>): Promise<string | null> {
  try {
    await call;
    return null;
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return error.message;
  }
}

const lengthMs = ({ fromMs, toMs }: Span): number => toMs - fromMs;

async function round(cluster: SnapshotCluster, ids: readonly string[]): Promise<Round> {
  // The session is no part of the call.
  const gateway = await cluster.gateway();
  await delay(BETWEEN_MS);
  const fromMs = performance.now();
  let group = '';
  const refusal = await refusalOf(
    gateway.snapshotVolumes(ids).then((made) => {
      group = made;
    }),
  );
  const toMs = performance.now();
  const endMs = fromMs - APART_MS;
  const before = { fromMs: endMs - (toMs - fromMs), toMs: endMs };
  return { refusal, group, call: { fromMs, toMs }, before };
}

/** The first group goes while the others stay; clients go on. */
async function removal(cluster: SnapshotCluster, group: string): Promise<Removal> {
  const gateway = await cluster.gateway();
  const fromMs = performance.now();
  const refusal = await refusalOf(gateway.removeGroup(group));
  const toMs = performance.now();
  await delay(REMOVED_MS);
  const after = { fromMs: toMs, toMs: performance.now() };
  return { refusal, call: { fromMs, toMs }, after };
}

export async function measurePause(
  cluster: SnapshotCluster,
  { volumes: count, runs, signal, say, row }: SnapshotSettings,
): Promise<void> {
  say(`making ${count} volumes`);
  const volumes = await cluster.addVolumes(count, VOLUME_GIB, 'group');
  const load = await PacedLoad.open(volumes, WRITES_PER_S, signal);
  try {
    load.start();
    await delay(WARM_UP_MS, undefined, { signal });
    const ids = volumes.map(({ id }) => id);
    const rounds: Round[] = [];
    // The first one is not counted: until then the code for it is not compiled.
    for (let index = 0; index <= runs; index++) {
      signal.throwIfAborted();
      const one = await round(cluster, ids);
      const gap = most(load.gapsMs(one.call.fromMs, one.call.toMs));
      say(
        `call ${index} of ${runs}: ${one.refusal ?? `${lengthMs(one.call).toFixed(0)} ms`}, longest gap ${gap.toFixed(1)} ms`,
      );
      if (index > 0) rounds.push(one);
    }
    const made = rounds.find(({ group }) => group !== '');
    const removed = made === undefined ? null : await removal(cluster, made.group);
    // Only now everything that was asked has been answered.
    await load.stop();
    cluster.requireUnbroken();
    report(load, rounds, count, row);
    if (removed !== null) reportRemoval(load, removed, row);
  } finally {
    load.abandon();
  }
}

function report(
  load: PacedLoad,
  rounds: readonly Round[],
  count: number,
  row: SnapshotSettings['row'],
): void {
  const fromMs = rounds[0]?.before.fromMs ?? 0;
  const toMs = rounds.at(-1)?.call.toMs ?? 0;
  const perS = (1000 * load.answered(fromMs, toMs)) / (toMs - fromMs);
  row(
    'load',
    `${perS.toFixed(0)} writes of 4 KiB a second over ${count} volumes of ${VOLUME_GIB} GiB, at two clients, one at a time on each`,
  );
  const refused = rounds.filter(({ refusal }) => refusal !== null).length;
  row(
    'the call (REST), until it is answered',
    `${inMs(rounds.map(({ call }) => lengthMs(call)))}, ${refused} refused`,
  );
  for (const [name, of] of [
    ['call', ({ call }: Round) => call],
    ['as long a time before it', ({ before }: Round) => before],
  ] as const) {
    const spans = rounds.map(of);
    const gaps = spans.flatMap((span) => load.gapsMs(span.fromMs, span.toMs));
    row(`longest time without an answer, per client, ${name}`, inMs(gaps));
    const latencies = spans.flatMap((span) => load.latenciesMs(span.fromMs, span.toMs));
    row(`writes that were under way, ${name}`, inMs(latencies));
  }
}

function reportRemoval(
  load: PacedLoad,
  { refusal, call, after }: Removal,
  row: SnapshotSettings['row'],
): void {
  row('removing one of the groups (REST)', refusal ?? `${lengthMs(call).toFixed(0)} ms`);
  row(
    `writes in the ${REMOVED_MS / 1000} s after that`,
    `${inMs(load.latenciesMs(after.fromMs, after.toMs))}; longest time without an answer ${most(load.gapsMs(after.fromMs, after.toMs)).toFixed(1)} ms`,
  );
}
