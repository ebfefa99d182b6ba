// Judges histories with reverts of unknown outcome: either each of them happened as a whole or nothing of it did, and then every
// other rule holds. It tries both; it must never look at the cluster.

import type { CutRecord, Evidence, History, OpRecord } from './history.js';

/** Judges a history in which everything is known; what is wrong, in words, or null. */
type Judge = (evidence: Evidence) => string | null;

/** What is wrong with a history whatever the reverts did that nobody knows of; null: nothing. */
export function checkReverts(history: History, judge: Judge): string | null {
  const { unsureReverts } = history;
  if (unsureReverts.length === 0) return judge(history);
  const faults: string[] = [];
  for (let happened = (1 << unsureReverts.length) - 1; happened >= 0; happened--) {
    if (unsureReverts.some((revert, at) => revert.happened === (((happened >>> at) & 1) === 0)))
      continue;
    const fault = judge(assumed(history, happened));
    if (fault === null) return null;
    const words = unsureReverts.map(({ former }, at) => {
      const did = ((happened >>> at) & 1) === 1;
      return `the revert of volume ${former} ${did ? 'happened' : 'did not happen'}`;
    });
    faults.push(`if ${words.join(', ')}: ${fault}`);
  }
  return faults.join('; ');
}

/** The history if those of the reverts happened whose bit is set. */
function assumed(history: History, happened: number): Evidence {
  const { unsureReverts, ops, cuts, losses } = history;
  /** Contents that there never were, and what the volume held instead. */
  const stayed = new Map<number, number>();
  const made: CutRecord[] = [];
  for (const [at, { startUs, endUs, source, target, former }] of unsureReverts.entries())
    if (((happened >>> at) & 1) === 1) made.push({ startUs, endUs, pairs: [{ source, target }] });
    else stayed.set(target, former);
  const contentOf = (content: number): number => {
    let held = content;
    for (let former = stayed.get(held); former !== undefined; former = stayed.get(held))
      held = former;
    return held;
  };
  const opOf = (op: OpRecord): OpRecord => {
    const volume = contentOf(op.volume);
    const others = new Set(op.alsoIn.map(contentOf));
    others.delete(volume);
    return { ...op, volume, alsoIn: [...others] };
  };
  const cutOf = ({ startUs, endUs, pairs }: CutRecord): CutRecord => ({
    ...{ startUs, endUs },
    pairs: pairs.map(({ source, target }) => ({ source: contentOf(source), target })),
  });
  return {
    ...{ ops: ops.map(opOf), losses, beginnings: new Map(history.beginnings) },
    // In the order of their commands: what one of them shows is used by the next.
    cuts: [...cuts, ...made].map(cutOf).sort((one, other) => one.startUs - other.startUs),
  };
}
