// Which snapshots of a policy are retained. A level keeps the latest so many of those that are older than what the level
// before it keeps; it takes one of so many runs as all levels before it retain together, multiplied. It must never know a
// volume or a clock: runs are counted by cadence, whether they made a snapshot or not.

/** Runs from one snapshot of each level to the next. */
function periodsOf(retained: readonly number[]): readonly number[] {
  const periods: number[] = [];
  let period = 1;
  for (const count of retained) {
    periods.push(period);
    period *= count;
  }
  return periods;
}

/**
 * Of the runs whose snapshots exist those whose snapshots stay. Where the run failed that a level would have taken, it takes
 * the next one that did not.
 */
export function retainedRuns(
  runs: Iterable<number>,
  retained: readonly number[],
): ReadonlySet<number> {
  let rest = [...new Set(runs)].sort((one, other) => other - one);
  const periods = periodsOf(retained);
  const kept = new Set<number>();
  for (const [level, count] of retained.entries()) {
    const period = periods[level] ?? 1;
    // The oldest of each period comes last.
    const firsts = new Map<number, number>();
    for (const run of rest) firsts.set(Math.floor(run / period), run);
    const latest = [...firsts.values()].slice(0, count);
    for (const run of latest) kept.add(run);
    const oldest = latest.at(-1) ?? 0;
    rest = rest.filter((run) => run < oldest);
  }
  return kept;
}

/**
 * So many cadences after it a run's snapshot is removed, if all runs between make theirs.
 *
 * @param previous - the last run before it that made snapshots; null: none did
 */
export function cadencesKept(
  run: number,
  previous: number | null,
  retained: readonly number[],
): number {
  const periods = periodsOf(retained);
  let kept = 0;
  for (const [level, count] of retained.entries()) {
    const period = periods[level] ?? 1;
    const isFirst = previous === null || Math.floor(run / period) !== Math.floor(previous / period);
    if (!isFirst) break;
    kept += count * period;
  }
  return kept;
}
