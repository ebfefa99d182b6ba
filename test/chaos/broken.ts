// `--self-test`: plans that a build with one rule broken cannot survive. A run that goes well with such a build proves
// nothing about good ones. It owns which rule is tried with which plan; the broken builds are the simulator's.

import type { Mutation } from '../sim/mutations.js';
import { MUTATIONS } from '../sim/mutations.js';
import { NONE } from './plan.js';
import type { Plan, Trouble } from './plan.js';

interface Trial {
  readonly mutation: Mutation;
  readonly plan: Plan;
}

const SDS_COUNT = 3;

/** The same trouble to one server after the other. */
function eachServer(troubles: (node: string, others: readonly string[]) => Trouble[]): Plan {
  const names = ['sds1', 'sds2', 'sds3'];
  const steps = names.map((node) => ({
    pauseMs: 2000,
    troubles: troubles(
      node,
      names.filter((other) => other !== node),
    ),
  }));
  return { version: 1, seed: 1, sdsCount: SDS_COUNT, mdms: 1, steps };
}

const PLANS: Readonly<Record<string, Plan>> = {
  // Cut off from the other copies it acknowledges alone, and is gone before anybody has noticed.
  C3: eachServer((node, others) => [
    { ...NONE, kind: 'cut', target: node, others, forMs: 5000 },
    { ...NONE, kind: 'away', target: node, afterMs: 1000, forMs: 6000 },
  ]),
  // Cut off from everybody but the clients, it goes on.
  C4: eachServer((node, others) => [
    { ...NONE, kind: 'cut', target: node, others: [...others, 'mdm'], forMs: 6000 },
  ]),
  // What it missed while it was away is never told to it.
  C6: eachServer((node) => [{ ...NONE, kind: 'away', target: node, forMs: 4000 }]),
  // It comes back without what the other alone has, and that one is away.
  C8: eachServer((node, others) => [
    { ...NONE, kind: 'away', target: node, forMs: 4000 },
    ...others.map(
      (one) => ({ ...NONE, kind: 'away', target: one, afterMs: 3500, forMs: 4000 }) as const,
    ),
  ]),
};

/** Everybody loses the power at once, and one server after the other. */
const POWER_PLAN: Plan = {
  ...{ version: 1, seed: 1, sdsCount: SDS_COUNT, mdms: 1 },
  steps: [
    ['sds1', 'sds2', 'sds3', 'mdm'],
    ['sds1', 'sds2', 'sds3', 'mdm'],
    ['sds1', 'sds2', 'sds3'],
    ['sds1'],
    ['sds2'],
    ['sds3'],
  ].map(([target = '', ...others]) => ({
    pauseMs: 4000,
    troubles: [{ ...NONE, kind: 'power', target, others, forMs: 500 }],
  })),
};

const DISK_FILE = 'backend/runtime/disk-file.js';

/** Builds that flush less than they must: nobody but a power cut finds them. */
const FLUSHLESS: readonly Mutation[] = [
  {
    rule: 'flush',
    about: 'a device does not wait for what it wrote to be on the medium',
    replacements: [
      {
        file: DISK_FILE,
        from: 'fdatasync(this.fd, operation.finished);',
        to: 'setImmediate(operation.finished, null);',
      },
      { file: DISK_FILE, from: 'constants.O_RDWR | constants.O_DSYNC |', to: 'constants.O_RDWR |' },
    ],
  },
  {
    rule: 'durable write',
    about: 'the log of a device is written, but not through to the medium',
    replacements: [
      { file: DISK_FILE, from: 'constants.O_RDWR | constants.O_DSYNC |', to: 'constants.O_RDWR |' },
    ],
  },
  {
    rule: 'acknowledgement',
    about: 'a write is acknowledged when both copies have written it, flushed or not',
    replacements: [
      {
        file: 'backend/sds/stability.js',
        from: 'const { durableLsn, writtenLsn } = store;',
        to: 'const { writtenLsn } = store; const durableLsn = writtenLsn;',
      },
      {
        file: 'backend/sds/stability.js',
        from: 'this.media.push(handle, lsn);\n            this.shared.store.wantDurable(lsn);',
        to: 'this.media.push(handle, lsn);',
      },
      {
        file: 'backend/sds/member-io.js',
        from: 'const { writtenLsn, durableLsn } = this.shared.store;',
        to: 'const { writtenLsn } = this.shared.store; const durableLsn = writtenLsn;',
      },
      {
        file: 'backend/sds/member-io.js',
        from: 'if (media)\n            this.shared.store.wantDurable(lsn);',
        to: 'if (media)\n            lsn.valueOf();',
      },
    ],
  },
];

const MDM_CUTS = 'backend/mdm/cuts.js';

/** Builds whose snapshots are of several moments: each of their guards alone is there for that, so all of them go. */
const MOMENTLESS: readonly Mutation[] = [
  {
    rule: 'one moment',
    about: 'a snapshot is there once one device held, and devices serve clients of any epoch',
    replacements: [
      { file: MDM_CUTS, from: 'cut.held.size === cut.holders.size', to: 'cut.held.size > 0' },
      { file: MDM_CUTS, from: 'certified.size < holders.size', to: 'false' },
      { file: MDM_CUTS, from: 'if (!certified) {', to: 'if (false) {' },
      {
        file: 'backend/sds/volumes.js',
        from: 'return epoch < volume.epoch ? ERR.STALE_VOLUME_EPOCH : ERR.NOT_READY;',
        to: 'return 0;',
      },
      {
        file: 'backend/sds/member-io.js',
        from: 'if (named && comb.part === PART.inSync && volumes.isFrozen(volumeKey)) {',
        to: 'if (false) {',
      },
    ],
  },
];

/** Each server's data process sleeps again and again, for less than the time after which it counts as lost. */
const SLEEP_PLAN = eachServer((node) =>
  [0, 2000, 4000, 6000, 8000].map(
    (afterMs) =>
      ({ ...NONE, kind: 'stop', target: `${node}-data1`, afterMs, forMs: 1100 }) as const,
  ),
);

export const POWER_TRIALS: readonly Trial[] = FLUSHLESS.map((mutation) => ({
  mutation,
  plan: POWER_PLAN,
}));

/** A rule, its broken build and the plan for it. */
export const TRIALS: readonly Trial[] = [
  ...Object.entries(PLANS).flatMap(([rule, plan]) => {
    const mutation = MUTATIONS.find((one) => one.rule === rule);
    return mutation === undefined ? [] : [{ mutation, plan }];
  }),
  ...MOMENTLESS.map((mutation) => ({ mutation, plan: SLEEP_PLAN })),
];
