// What goes wrong, and when: drawn from a seed, or read from a file. The same seed gives the same plan. It owns the kinds
// of trouble and which of them may come together; doing them is nemesis.ts. It must never look at a running cluster.

import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';

import { Prng } from '../../backend/core/prng.js';
import { UsageError } from '../../backend/runtime/flags.js';

export type Kind =
  | 'kill'
  | 'restart'
  | 'stop'
  | 'away'
  | 'cut'
  | 'stall'
  | 'loss'
  | 'slow'
  | 'full'
  | 'device'
  | 'maintenance'
  | 'power'
  | 'disk';
/** What plans are drawn of. */
export const USUAL_KINDS: readonly Kind[] = [
  ...(['kill', 'restart', 'stop', 'away', 'cut', 'stall', 'loss', 'slow', 'full'] as const),
  ...(['device', 'maintenance'] as const),
];
/** These need other disks under the whole cluster, so a plan has some only when that is asked for. */
const ON_OWN_DISKS: readonly Kind[] = ['power', 'disk'];
export const KINDS: readonly Kind[] = [...USUAL_KINDS, ...ON_OWN_DISKS];

/** Kinds that need a network of every node's own, or a disk of its own. */
export const NEEDS_NAMESPACES: readonly Kind[] = [
  ...(['cut', 'stall', 'loss', 'slow', 'full'] as const),
  ...ON_OWN_DISKS,
];

export interface Trouble {
  readonly kind: Kind;
  /** A process (kill, restart, stop), otherwise a node. */
  readonly target: string;
  /** From the begin of its step. */
  readonly afterMs: number;
  /** Until it is undone; 0 for what undoes itself. */
  readonly forMs: number;
  /** Of a cut: from whom; of a power cut: who goes down at the same moment. */
  readonly others: readonly string[];
  readonly direction: 'both' | 'in' | 'out';
  /** Of a loss: percent of the packets; of a slow link: kbit/s; of maintenance 1: what it holds is copied first; of a disk 0: a flush fails, 1: every read; otherwise 0. */
  readonly amount: number;
}

/** Troubles that overlap; the next step waits until all copies are in sync again. */
export interface Step {
  readonly pauseMs: number;
  readonly troubles: readonly Trouble[];
}

export interface Plan {
  readonly version: 1;
  readonly seed: number;
  readonly sdsCount: number;
  /** One, or a cluster of three on etcd, of which the last is the tie-breaker. */
  readonly mdms: number;
  readonly steps: readonly Step[];
}

/** The client process whose end may be lost: fio cannot live without the other. */
export const SECOND_CLIENT = 'sdc2';
/** Members of an MDM cluster here. */
export const MDM_CLUSTER = 3;
const FOR_MS_MAX = 8000;
/** What a step costs beside its own time: detection, return of the copies. */
const RECOVERY_MS = 5000;
export const NONE = { afterMs: 0, forMs: 0, others: [], direction: 'both', amount: 0 } as const;

export const sdsNames = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `sds${index + 1}`);

export const mdmNames = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => (index === 0 ? 'mdm' : `mdm${index + 1}`));
/** The member of etcd of an MDM, a process of its own. */
export const MEMBER = '-etcd';

/** Troubles of the management and of clients: they take no copy away. */
function harmless(random: Prng, kinds: readonly Kind[], mdms: number): Trouble[] {
  const mdm = random.pick(mdmNames(mdms));
  const otherMdms = mdmNames(mdms).filter((name) => name !== mdm);
  const kill = random.pick([mdm, SECOND_CLIENT, 'gateway']);
  const stop = random.pick([mdm, 'sdc', SECOND_CLIENT]);
  const forMs = random.between(300, 6000);
  const direction = random.pick(['both', 'in', 'out'] as const);
  const stall: Trouble = { ...NONE, kind: 'stall', target: SECOND_CLIENT, forMs };
  const choices: readonly (readonly Trouble[])[] = [
    [{ ...NONE, kind: 'kill', target: kill }],
    [{ ...NONE, kind: 'restart', target: random.pick([mdm, SECOND_CLIENT]) }],
    [{ ...NONE, kind: 'stop', target: stop, forMs }],
    [{ ...NONE, kind: 'away', target: mdm, forMs }],
    [{ ...NONE, kind: 'cut', target: mdm, others: ['sdc', SECOND_CLIENT], forMs, direction }],
    [{ ...stall, target: random.pick([mdm, 'sdc', SECOND_CLIENT]) }],
    [{ ...NONE, kind: 'loss', target: 'sdc', forMs, amount: random.pick([2, 10, 30]) }],
    [{ ...NONE, kind: 'slow', target: 'sdc', forMs, amount: random.pick([2000, 20_000]) }],
    [{ ...NONE, kind: 'full', target: mdm, forMs }],
    [{ ...NONE, kind: 'power', target: mdm, forMs }],
    // A client that dies while what it sent is still on its way: that may arrive after its next life has begun.
    [stall, { ...NONE, kind: 'kill', target: SECOND_CLIENT, afterMs: random.below(forMs) }],
  ];
  // Members of a cluster: cut off from each other, and etcd itself.
  const clustered: readonly (readonly Trouble[])[] = [
    [{ ...NONE, kind: 'cut', target: mdm, others: otherMdms, forMs, direction }],
    [{ ...NONE, kind: 'kill', target: mdm + MEMBER }],
    [{ ...NONE, kind: 'stop', target: mdm + MEMBER, forMs }],
    [{ ...NONE, kind: 'stop', target: mdm, forMs }],
    [{ ...NONE, kind: 'away', target: mdm, forMs }],
  ];
  return drawn(random, mdms > 1 ? [...choices, ...clustered] : choices, kinds);
}

/** Troubles of one storage server. */
function harmful(
  random: Prng,
  kinds: readonly Kind[],
  node: string,
  others: readonly string[],
): Trouble[] {
  const process = random.pick([node, `${node}-data1`]);
  const forMs = random.between(300, FOR_MS_MAX);
  const direction = random.pick(['both', 'in', 'out'] as const);
  const peers = random.pick([others, others.slice(0, 1), [...others, 'mdm'], ['mdm'], ['sdc']]);
  const cut: Trouble = { ...NONE, kind: 'cut', target: node, others: peers, forMs, direction };
  const amount = random.below(2);
  const maintenance: Trouble = { ...NONE, kind: 'maintenance', target: node, forMs, amount };
  const choices: readonly (readonly Trouble[])[] = [
    [{ ...NONE, kind: 'kill', target: process }],
    [{ ...NONE, kind: 'kill', target: `${node}-data1` }],
    [{ ...NONE, kind: 'restart', target: node }],
    [{ ...NONE, kind: 'stop', target: process, forMs }],
    [{ ...NONE, kind: 'away', target: node, forMs }],
    [cut],
    [{ ...cut, others }],
    [{ ...NONE, kind: 'stall', target: node, forMs }],
    [{ ...NONE, kind: 'loss', target: node, forMs, amount: random.pick([1, 5, 20, 50]) }],
    [{ ...NONE, kind: 'slow', target: node, forMs, amount: random.pick([500, 4000, 40_000]) }],
    [{ ...NONE, kind: 'full', target: node, forMs }],
    [{ ...NONE, kind: 'power', target: node, forMs }],
    [{ ...NONE, kind: 'disk', target: node, forMs, amount }],
    // Another device comes and goes, and so does data.
    [{ ...NONE, kind: 'device', target: node, forMs }],
    [
      { ...NONE, kind: 'device', target: node, forMs },
      { ...NONE, kind: 'kill', target: `${node}-data1`, afterMs: random.below(forMs) },
    ],
    [maintenance],
    [maintenance, { ...NONE, kind: 'kill', target: node, afterMs: random.below(forMs) }],
    // A switch that dies, and the server behind it before anybody has noticed: what it alone acknowledged would be lost.
    [
      { ...cut, others, direction: 'both', forMs: 5000 },
      { ...NONE, kind: 'away', target: node, afterMs: random.between(100, 1300), forMs: 4000 },
    ],
  ];
  return drawn(random, choices, kinds);
}

/** One of those choices of which every trouble is allowed. */
function drawn(
  random: Prng,
  choices: readonly (readonly Trouble[])[],
  kinds: readonly Kind[],
): Trouble[] {
  const allowed = choices.filter((list) => list.every(({ kind }) => kinds.includes(kind)));
  return allowed.length === 0 ? [] : [...random.pick(allowed)];
}

export const cutsPower = ({ steps }: Plan): boolean =>
  steps.some(({ troubles }) => troubles.some(({ kind }) => kind === 'power'));

/** Whether the nodes must have disks that fail when they are told to. */
export const needsOwnDisks = ({ steps }: Plan): boolean =>
  steps.some(({ troubles }) => troubles.some(({ kind }) => ON_OWN_DISKS.includes(kind)));

const lengthMs = ({ pauseMs, troubles }: Step): number =>
  pauseMs + RECOVERY_MS + Math.max(0, ...troubles.map(({ afterMs, forMs }) => afterMs + forMs));

/**
 * Draws a plan.
 *
 * @param seconds - how long it takes, about
 * @param kinds - what may go wrong
 */
export function drawPlan(
  seed: number,
  sdsCount: number,
  seconds: number,
  kinds: readonly Kind[],
): Plan {
  const random = new Prng(seed);
  const servers = sdsNames(sdsCount);
  const steps: Step[] = [];
  // A device of a server that has disks of its own has no place that survives.
  const possible = kinds.some((kind) => ON_OWN_DISKS.includes(kind))
    ? kinds.filter((kind) => kind !== 'device')
    : kinds;
  const mdms = random.chance(1, 3) ? MDM_CLUSTER : 1;
  for (let restMs = seconds * 1000; restMs > 0;) {
    const node = random.pick(servers);
    const others = servers.filter((name) => name !== node);
    random.shuffle(others);
    const troubles = random.chance(3, 4) ? harmful(random, possible, node, others) : [];
    const beside =
      troubles.length === 0 || random.chance(1, 3) ? harmless(random, possible, mdms) : [];
    const laterMs = random.below(1500);
    troubles.push(...beside.map((one) => ({ ...one, afterMs: one.afterMs + laterMs })));
    // Both copies of some combs at once: they wait for each other, and nothing is lost.
    if (random.chance(1, 6)) {
      const target = others[0] ?? node;
      const second = { ...NONE, kind: 'kill', target: `${target}-data1` } as const;
      if (kinds.includes('kill')) troubles.push({ ...second, afterMs: random.below(2500) });
    }
    if (troubles.length === 0) throw new UsageError('nothing of what --only names can be drawn');
    const step = { pauseMs: random.between(500, 2500), troubles };
    steps.push(step);
    restMs -= lengthMs(step);
  }
  return { version: 1, seed, sdsCount, mdms, steps };
}

const TROUBLE: JSONSchemaType<Trouble> = {
  type: 'object',
  properties: {
    kind: { type: 'string', enum: KINDS },
    target: { type: 'string', maxLength: 31 },
    afterMs: { type: 'integer', minimum: 0, maximum: 600_000, default: 0 },
    forMs: { type: 'integer', minimum: 0, maximum: 600_000, default: 0 },
    others: { type: 'array', items: { type: 'string', maxLength: 31 }, default: [] },
    direction: { type: 'string', enum: ['both', 'in', 'out'], default: 'both' },
    amount: { type: 'integer', minimum: 0, maximum: 10_000_000, default: 0 },
  },
  required: ['kind', 'target'],
  additionalProperties: false,
};

const SCHEMA: JSONSchemaType<Plan> = {
  type: 'object',
  properties: {
    version: { type: 'integer', const: 1 },
    seed: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    sdsCount: { type: 'integer', minimum: 2, maximum: 16 },
    mdms: { type: 'integer', enum: [1, MDM_CLUSTER], default: 1 },
    steps: {
      type: 'array',
      minItems: 1,
      maxItems: 10_000,
      items: {
        type: 'object',
        properties: {
          pauseMs: { type: 'integer', minimum: 0, maximum: 600_000 },
          troubles: { type: 'array', items: TROUBLE, maxItems: 16 },
        },
        required: ['pauseMs', 'troubles'],
        additionalProperties: false,
      },
    },
  },
  required: ['version', 'seed', 'sdsCount', 'steps'],
  additionalProperties: false,
};

/** Names of which a trouble may be. */
function targets({ sdsCount, mdms }: Plan): readonly string[] {
  const servers = sdsNames(sdsCount);
  const data = servers.map((name) => `${name}-data1`);
  const members = mdms > 1 ? mdmNames(mdms).map((name) => name + MEMBER) : [];
  return [...mdmNames(mdms), ...members, 'gateway', 'sdc', SECOND_CLIENT, ...servers, ...data];
}

/** @throws UsageError for what is no plan, with the place */
export function parsePlan(source: string, text: string): Plan {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--plan ${source} is no JSON: ${(error as Error).message}`);
  }
  const ajv = new Ajv({ useDefaults: true });
  const isPlan = ajv.compile(SCHEMA);
  if (!isPlan(value))
    throw new UsageError(`--plan ${source}: ${ajv.errorsText(isPlan.errors, { dataVar: 'plan' })}`);
  const known = targets(value);
  for (const { target, others } of value.steps.flatMap(({ troubles }) => troubles)) {
    const unknown = [target, ...others].find((name) => !known.includes(name));
    if (unknown !== undefined)
      throw new UsageError(`--plan ${source}: "${unknown}" is none of ${known.join(', ')}`);
  }
  return value;
}

function amountInWords(kind: Kind, amount: number): string {
  if (kind === 'disk') return amount === 0 ? ', a flush fails' : ', reads fail';
  if (kind === 'maintenance') return ', protected';
  return kind === 'loss' ? ` ${amount} %` : ` ${amount} kbit/s`;
}

/** A trouble for people. */
export function inWords({
  kind,
  target,
  afterMs,
  forMs,
  others,
  direction,
  amount,
}: Trouble): string {
  const from = others.length === 0 ? '' : ` from ${others.join(', ')} (${direction})`;
  const together = others.length === 0 ? '' : ` with ${others.join(', ')}`;
  const how = kind === 'disk' || amount !== 0 ? amountInWords(kind, amount) : '';
  const lasts = forMs === 0 ? '' : ` for ${forMs} ms`;
  return `${kind} ${target}${kind === 'power' ? together : from}${how}${lasts}${afterMs === 0 ? '' : ` after ${afterMs} ms`}`;
}
