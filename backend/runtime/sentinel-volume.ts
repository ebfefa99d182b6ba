// Volumes of sentinels, as everybody finds them: a name says whose it is, and what the sentinel has to say of the pool. So
// every gateway and scli read the same from the MDM, and an alert lasts as long as the name. It owns these names and alerts.

import type { Volume } from '../protocol/generated/types.js';
import type { Facts } from './statistics/facts.js';

type Verdict = 'well' | 'starved' | 'wrong';

/** What a name of a sentinel's volume says. */
export interface SentinelVolume {
  readonly verdict: Verdict;
  readonly sdcKey: number;
  readonly poolKey: number;
}

/** All of a length: with two keys of eight digits a name has 26 of the 31 characters that it may have. */
const WORDS: Readonly<Record<Verdict, string>> = {
  well: 'sentinel',
  starved: 'starving',
  wrong: 'mismatch',
};
const FORM = new RegExp(
  `^(${Object.values(WORDS).join('|')})\\.([0-9a-f]{1,8})\\.([0-9a-f]{1,8})$`,
);

export function sentinelName({ verdict, sdcKey, poolKey }: SentinelVolume): string {
  return `${WORDS[verdict]}.${sdcKey.toString(16)}.${poolKey.toString(16)}`;
}

/** What a volume's name says; null: it is no sentinel's. */
export function sentinelOf({
  name,
  poolKey,
}: Pick<Volume, 'name' | 'poolKey'>): SentinelVolume | null {
  const [, word, sdc = '', pool = ''] = FORM.exec(name) ?? [];
  const verdict = (Object.keys(WORDS) as Verdict[]).find((known) => WORDS[known] === word);
  if (verdict === undefined || parseInt(pool, 16) !== poolKey) return null;
  return { verdict, sdcKey: parseInt(sdc, 16), poolKey };
}

/** What sentinels say of one pool. */
interface Said {
  readonly type: 'SENTINEL_STARVED' | 'SENTINEL_MISMATCH' | 'SENTINEL_SILENT';
  readonly poolKey: number;
  /** Where they run. */
  readonly hosts: readonly string[];
}

const TYPES = { starved: 'SENTINEL_STARVED', wrong: 'SENTINEL_MISMATCH' } as const;

/** What all sentinels have to say; a volume that is mapped and has no I/O lost its sentinel. */
export function sentinelFindings(
  facts: Facts,
  isConnected: (sdcKey: number) => boolean,
): readonly Said[] {
  const said = new Map<string, Said & { readonly hosts: string[] }>();
  for (const volume of facts.volumes) {
    const found = sentinelOf(volume);
    if (found === null) continue;
    const { verdict, sdcKey, poolKey } = found;
    const mappings = facts.mappingsByVolume.get(volume.key) ?? [];
    const isMapped = mappings.some((mapping) => mapping.sdcKey === sdcKey);
    const rates = facts.ratesByVolume.get(volume.key) ?? [];
    const isIdle = rates.every(({ readOps, writeOps }) => readOps + writeOps === 0);
    const isSilent = isMapped && isIdle && isConnected(sdcKey);
    const type = verdict === 'well' ? (isSilent ? 'SENTINEL_SILENT' : null) : TYPES[verdict];
    if (type === null) continue;
    const host = hostName(facts, sdcKey);
    const before = said.get(`${type} ${poolKey}`);
    if (before === undefined) said.set(`${type} ${poolKey}`, { type, poolKey, hosts: [host] });
    else before.hosts.push(host);
  }
  return [...said.values()];
}

/** As people know it. */
function hostName(facts: Facts, sdcKey: number): string {
  const sdc = facts.sdcs.find(({ key }) => key === sdcKey);
  if (sdc === undefined) return String(sdcKey);
  return sdc.name === '' ? (sdc.addresses[0]?.host ?? sdc.guid) : sdc.name;
}
