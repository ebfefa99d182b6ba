// What restored metadata becomes before anybody may use it: another life of the same system. Whatever the former life gave
// out after the backup (keys, client runs, mapping generations, terms, sequences) must never be given out again, so every
// counter goes up by more than a life uses: those that devices and clients compare with what they saw follow the clock, so that the
// life restored last has the highest, however often one backup was restored before. It must never touch who holds the data of a comb: only the devices know (recovery.ts).

import type { Mdm } from '../protocol/generated/types.js';

import type { MdmContent } from './options.js';
import { State } from './state.js';

/**
 * What a life may use up. Terms and sequences fit into 32 bits where links and generations carry them; how far the former
 * life really was, devices say as well (recovery.ts).
 */
const TERMS = 2 ** 20;
const SEQUENCES = 2 ** 22;
const KEYS = 2 ** 19;
const GENERATIONS = 2 ** 20;
const EPOCHS = 2 ** 16;
/** What follows the clock is at least the seconds since this time, the beginning of 2020. */
const CLOCK_FROM_MS = 1_577_836_800_000;
const SECOND_MS = 1000;
const TERM_MAX = 2 ** 32 - TERMS;
/** Keys stay below this: data processes join two of them in one number. */
const KEYS_MAX = 2 ** 26;

/** The backup cannot become a system again; the text says why. */
export class RenewalError extends Error {
  override readonly name = 'RenewalError';
}

export interface Renewed {
  readonly systemId: { readonly idPrefix: number; readonly key: number };
  readonly systemName: string;
  /** Other MDMs that the backup knows. */
  readonly others: readonly Mdm[];
  readonly content: MdmContent & {
    readonly entries: readonly { key: Uint8Array; value: Uint8Array }[];
  };
}

/**
 * The content of a backup as the beginning of another life.
 *
 * @param nowMs - wall clock: who knows the term of a life follows none of an older one, and a backup may be restored again after
 *   lives that it knows nothing of. So term, cluster epoch, client runs and the numbers of volumes and mappings follow the time; a
 *   life uses fewer than one a second of each.
 * @param draw - random number of [0, 1): two restores of one backup must not give out the same numbers either
 * @param isHere - the MDM on whose disk it is put
 * @throws ContentError when the content cannot be understood, RenewalError when no numbers are left
 */
export function renewed(
  { term, sequence, entries }: MdmContent,
  nowMs: number,
  draw: () => number,
  isHere: (mdm: Mdm) => boolean,
): Renewed {
  const state = new State();
  state.load(entries);
  if (!state.hasSystem()) throw new RenewalError('it holds no system');
  const { system } = state;
  const step = (size: number): number => size + Math.floor(draw() * size);
  const seconds = Math.floor((nowMs - CLOCK_FROM_MS) / SECOND_MS);
  /** How far a number goes up that follows the clock. */
  const ahead = (from: number, size: number): number =>
    seconds > from ? seconds - from : step(size);
  const next = {
    ...system,
    nextKey: system.nextKey + step(KEYS),
    nextRun: system.nextRun + ahead(system.nextRun, KEYS),
    clusterEpoch: system.clusterEpoch + ahead(system.clusterEpoch, EPOCHS),
  };
  const renewedSequence = sequence + step(SEQUENCES);
  const renewedTerm = term + ahead(term, TERMS);
  if (renewedTerm > TERM_MAX)
    throw new RenewalError(
      `its term would be ${renewedTerm}, which is too high: look at the clock of this server`,
    );
  if (
    renewedSequence >= 2 ** 32 - SEQUENCES ||
    next.nextKey >= KEYS_MAX ||
    next.nextRun >= 2 ** 32 - KEYS ||
    next.clusterEpoch >= 2 ** 32 - EPOCHS
  )
    throw new RenewalError(
      'the system was restored too often: no numbers are left that were never used',
    );
  state.systems.put(system.key, next);
  renumberVolumes(state, (from) => ahead(from, GENERATIONS));
  standAlone(state, isHere);
  for (const cluster of [...state.clusters.values()])
    state.clusters.put(cluster.key, { ...cluster, job: null, lastJob: 0, lastReason: '' });
  const { idPrefix, key } = system;
  return {
    ...{ systemId: { idPrefix, key }, systemName: system.name },
    others: state.mdms.filter(({ member }) => !member),
    content: {
      ...{ term: renewedTerm, sequence: renewedSequence },
      entries: state.all(),
    },
  };
}

/**
 * Gives all volumes later epochs, and their mappings later generations.
 *
 * @param ahead - how far a number goes up
 */
function renumberVolumes(state: State, ahead: (from: number) => number): void {
  /** By volume: all generations of one go up alike, so that they stay different. */
  const steps = new Map<number, number>();
  for (const volume of [...state.volumes.values()]) {
    const { key, epoch, lastMappingGeneration } = volume;
    const step = ahead(lastMappingGeneration);
    steps.set(key, step);
    state.volumes.put(key, {
      ...volume,
      epoch: epoch + ahead(epoch),
      lastMappingGeneration: lastMappingGeneration + step,
    });
  }
  for (const volumeKey of [...state.mappings.volumes()])
    for (const mapping of [...state.mappings.ofVolume(volumeKey).values()])
      state.mappings.put({
        ...mapping,
        generation: mapping.generation + (steps.get(volumeKey) ?? 0),
      });
  for (const attachment of [...state.attachments.values()])
    state.attachments.put(attachment.key, {
      ...attachment,
      generation: attachment.generation + (steps.get(attachment.volumeKey) ?? 0),
    });
}

/**
 * It begins as the only MDM. The others are standbys, so that each of them which still takes part in the former cluster is
 * seen, and told to leave it (cluster-plan.ts).
 */
function standAlone(state: State, isHere: (mdm: Mdm) => boolean): void {
  const mdms = [...state.mdms.values()];
  for (const mdm of mdms)
    if (isHere(mdm)) state.mdms.put(mdm.key, { ...mdm, role: 'manager', member: true });
    // The only MDM there was: this one under an address that it had before.
    else if (mdms.length === 1) state.mdms.delete(mdm.key);
    else state.mdms.put(mdm.key, { ...mdm, member: false });
}
