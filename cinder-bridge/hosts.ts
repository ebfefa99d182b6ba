// Which client (SDC) serves a host of OpenStack. It owns the order in which the ways to know are tried, and never guesses:
// a host that nothing names is refused.

import type { MeshSdc } from './gateway/cluster.js';

import { BridgeError } from './bridge-error.js';

/** How a connector describes its host. */
export interface HostFacts {
  /** Name of the host, as nova-compute or cinder-volume has it. */
  readonly host: string;
  /** Address of the host. */
  readonly ip?: string;
  /** GUID of the SDC, where something on the host knows it. */
  readonly sdcGuid?: string;
}

export interface HostRules {
  /** GUIDs of SDCs by name of host, from the configuration. */
  readonly hosts: Readonly<Record<string, string>>;
  /** SDC of every host that nothing else names; null: such hosts are refused. */
  readonly defaultSdcGuid: string | null;
}

const sameGuid = (one: string, other: string): boolean =>
  one.replace(/[{}]/g, '').toUpperCase() === other.replace(/[{}]/g, '').toUpperCase();

const shortName = (name: string): string => (name.split('.')[0] ?? name).toLowerCase();

/** Ways to know, strongest first; the second part is for the refusal. */
function candidates(
  { host, ip, sdcGuid }: HostFacts,
  { hosts, defaultSdcGuid }: HostRules,
  sdcs: readonly MeshSdc[],
): readonly (readonly [string, readonly MeshSdc[] | null])[] {
  const byGuid = (guid: string | undefined | null): readonly MeshSdc[] | null =>
    guid === undefined || guid === null ? null : sdcs.filter((sdc) => sameGuid(sdc.sdcGuid, guid));
  const named = sdcs.filter(({ name }) => name !== null && shortName(name) === shortName(host));
  const addressed = ip === undefined ? [] : sdcs.filter(({ sdcIps }) => sdcIps.includes(ip));
  return [
    ['the GUID that the host names', byGuid(sdcGuid)],
    ['"hosts" in the configuration', byGuid(hosts[host] ?? hosts[shortName(host)])],
    ['its name', named.length === 0 ? null : named],
    ['its address', addressed.length === 0 ? null : addressed],
    ['"defaultSdcGuid" in the configuration', byGuid(defaultSdcGuid)],
  ];
}

/**
 * The SDC of a host.
 *
 * @throws BridgeError notFound when none or several could be meant, or the one that is meant is not approved
 */
export function sdcOfHost(facts: HostFacts, rules: HostRules, sdcs: readonly MeshSdc[]): MeshSdc {
  for (const [way, found] of candidates(facts, rules, sdcs)) {
    if (found === null) continue;
    const [sdc, ...others] = found;
    if (sdc === undefined)
      throw new BridgeError('notFound', `no SDC is known for host ${facts.host} by ${way}`);
    if (others.length > 0)
      throw new BridgeError(
        'notFound',
        `several SDCs are known for host ${facts.host} by ${way}: ${found.map(({ id, name }) => name ?? id).join(', ')}`,
      );
    if (!sdc.sdcApproved)
      throw new BridgeError('notFound', `the SDC of host ${facts.host} is not approved`);
    return sdc;
  }
  const address = facts.ip === undefined ? '' : ` (${facts.ip})`;
  throw new BridgeError(
    'notFound',
    `no SDC is known for host ${facts.host}${address}: name its GUID under "hosts" in the configuration of the bridge, or give the SDC the host's name`,
  );
}
