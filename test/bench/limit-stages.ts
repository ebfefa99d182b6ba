// Owns what the measurement of limits (QoS) sets, and what its seconds say. Pure: it starts nothing.

/** A limit that is set while the load runs; 0: none. */
export interface Stage {
  readonly iops: number;
  readonly kbps: number;
}

/** A load that would do more than any of its stages allows. */
export interface LimitedJob {
  readonly title: string;
  readonly blockBytes: number;
  readonly mix: readonly string[];
  readonly depth: number;
  readonly stages: readonly Stage[];
}

const KIB = 1024;
const MIB_IN_KB = 1024;

/** In this order: each stage begins while the one before still holds requests back. */
export const LIMITED_JOBS: readonly LimitedJob[] = [
  {
    title: '4k random, half writes, depth 16',
    blockBytes: 4 * KIB,
    mix: ['--rw=randrw', '--rwmixwrite=50', '--bs=4k'],
    depth: 16,
    stages: [
      { iops: 100, kbps: 0 },
      { iops: 500, kbps: 0 },
      { iops: 2000, kbps: 0 },
      { iops: 0, kbps: MIB_IN_KB },
      { iops: 0, kbps: 6 * MIB_IN_KB },
      { iops: 500, kbps: MIB_IN_KB },
      { iops: 250, kbps: 26 * MIB_IN_KB },
      { iops: 0, kbps: 0 },
    ],
  },
  {
    title: '64k random, half writes, depth 16',
    blockBytes: 64 * KIB,
    mix: ['--rw=randrw', '--rwmixwrite=50', '--bs=64k'],
    depth: 16,
    stages: [
      { iops: 100, kbps: 0 },
      { iops: 0, kbps: 8 * MIB_IN_KB },
      // What 104 GB get by the rule of 500 requests and a quarter of a megabyte for each GB.
      { iops: 500, kbps: 26 * MIB_IN_KB },
      { iops: 0, kbps: 0 },
    ],
  },
];

/** Requests a second that a stage allows; Infinity: as many as there are. */
export function allowed({ iops, kbps }: Stage, blockBytes: number): number {
  return Math.min(iops || Infinity, kbps === 0 ? Infinity : (kbps * KIB) / blockBytes);
}

/** A stage in words. */
export function stageText({ iops, kbps }: Stage): string {
  const words = [
    ...(iops === 0 ? [] : [`${iops} IOPS`]),
    ...(kbps === 0 ? [] : [`${kbps / MIB_IN_KB} MiB/s`]),
  ];
  return words.length === 0 ? 'unset (0)' : words.join(' and ');
}

/** What the seconds of a stage say. */
export interface StageRow {
  readonly transport: string;
  readonly job: string;
  readonly stage: Stage;
  /** Requests a second; null: no limit. */
  readonly allowed: number | null;
  /** Answered in each second after the first. */
  readonly perSecond: readonly number[];
  /** In percent of what is allowed, of the second that is furthest off; null: no limit. */
  readonly worstPercent: number | null;
  /** The same of all seconds together. */
  readonly meanPercent: number | null;
}

export function rowOf(
  about: Pick<StageRow, 'transport' | 'job' | 'stage'>,
  blockBytes: number,
  perSecond: readonly number[],
): StageRow {
  const most = allowed(about.stage, blockBytes);
  if (most === Infinity)
    return { ...about, allowed: null, perSecond, worstPercent: null, meanPercent: null };
  const errors = perSecond.map((count) => ((count - most) / most) * 100);
  const worst = errors.reduce((one, other) => (Math.abs(other) > Math.abs(one) ? other : one), 0);
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { ...about, allowed: most, perSecond, worstPercent: worst, meanPercent: mean };
}

/** What a limit is to hold to over one second. */
export const GOAL_PERCENT = 5;

const signed = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(1)}`;

/** The rows as markdown, and how many seconds were further off than they may be. */
export function limitsTable(rows: readonly StageRow[]): string {
  const lines = rows.map((row) => {
    const { transport, job, stage, perSecond, worstPercent, meanPercent } = row;
    const error = (value: number | null): string => (value === null ? '-' : signed(value));
    const counts = perSecond.join(' ');
    const most = row.allowed === null ? '-' : String(row.allowed);
    return `| ${transport} | ${job} | ${stageText(stage)} | ${most} | ${counts} | ${error(worstPercent)} | ${error(meanPercent)} |`;
  });
  const limited = rows.flatMap(({ allowed: most, perSecond }) =>
    most === null
      ? []
      : perSecond.map((count) => Math.abs(count - most) * 100 > GOAL_PERCENT * most),
  );
  const off = limited.filter((isOff) => isOff).length;
  return [
    '| transport | job | limit | allowed per s | answered in each second | worst second, % | mean, % |',
    '| --- | --- | --- | ---: | --- | ---: | ---: |',
    ...lines,
    '',
    `${off} of ${limited.length} limited seconds are off by more than ${GOAL_PERCENT} %.`,
    '',
  ].join('\n');
}
