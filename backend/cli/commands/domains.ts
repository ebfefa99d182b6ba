// Commands on protection domains and fault sets.

import type { ProtectionDomain } from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { readFacts, scopeOfDevices, scopeOfPools } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { capacityValues } from '../../runtime/statistics/values.js';
import { capacityLines, numberIn } from '../capacity.js';
import { connectionState, counted, kbText } from '../format.js';
import {
  DOMAIN_REF,
  DOMAIN_REF_OPTIONAL,
  FAULT_SET_REF,
  domainOf,
  faultSetOf,
  needed,
} from '../lookup.js';
import { NEW_NAME, outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { poolLines } from './pools.js';

const topicDomains = 'Protection domains and fault sets';

/** `Protection Domain <n> (Id: <id>) has ...`. */
export function domainLines(
  reader: ClusterReader,
  facts: Facts,
  domain: ProtectionDomain,
): readonly string[] {
  const pools = facts.pools.filter(({ domainKey }) => domainKey === domain.key);
  const sets = facts.faultSets.filter(({ domainKey }) => domainKey === domain.key);
  const sds = facts.sds.filter(({ domainKey }) => domainKey === domain.key);
  const scope = scopeOfPools(facts, pools);
  const free = numberIn(capacityValues(facts, scope), 'capacityAvailableForVolumeAllocationInKb');
  return [
    `Protection Domain ${domain.name} (Id: ${reader.id(domain.key)}) has ${pools.length} storage pools, ${sets.length} Fault Sets, ${sds.length} SDS nodes, ${scope.volumes.length} volumes and ${kbText(free)} available for volume allocation`,
    `Operational state is ${domain.active ? 'Active' : 'Inactive'}`,
    'Rfcache disabled',
  ];
}

async function queryDomain(run: Run): Promise<Outcome> {
  const domain = needed(await domainOf(run.reader, run.values), 'protection domain');
  const facts = await readFacts(run.reader);
  const pools = facts.pools.filter(({ domainKey }) => domainKey === domain.key);
  return outcome(
    [
      ...domainLines(run.reader, facts, domain),
      '',
      ...pools.flatMap((pool) => [...poolLines(run.reader, facts, pool), '']),
    ],
    { id: run.reader.id(domain.key), name: domain.name, active: domain.active },
  );
}

async function queryFaultSet({ reader, values }: Run): Promise<Outcome> {
  const set = needed(await faultSetOf(reader, values), 'fault set');
  const [facts, statuses] = await Promise.all([readFacts(reader), reader.statusByKey('sds')]);
  const domain = facts.domains.find(({ key }) => key === set.domainKey);
  const servers = facts.sds.filter(({ faultSetKey }) => faultSetKey === set.key);
  const keys = new Set(servers.map(({ key }) => key));
  const devices = facts.devices.filter(({ sdsKey }) => keys.has(sdsKey));
  const capacity = capacityValues(facts, scopeOfDevices(facts, devices));
  return outcome(
    [
      `Fault Set ${reader.id(set.key)} Name: ${set.name}`,
      `Protection Domain: ${reader.id(set.domainKey)}, Name: ${domain?.name ?? 'N/A'}`,
      `Fault Set has ${counted(servers.length, 'SDS node')}`,
      ...servers.map(
        ({ key, name }) =>
          `    SDS ID: ${reader.id(key)} Name: ${name} State: ${connectionState(statuses.get(key)?.liveness)}`,
      ),
      ...capacityLines(capacity, '    '),
    ],
    {
      id: reader.id(set.key),
      name: set.name,
      protectionDomainId: reader.id(set.domainKey),
      sdsIds: servers.map(({ key }) => reader.id(key)),
      ...capacity,
    },
  );
}

const STOP_OPTIONS: readonly Option[] = [
  { name: 'disconnect_clients', about: 'although clients that are connected use its volumes' },
  { name: 'force', about: 'the same' },
];

function isForced({ values }: Run): boolean {
  return values.has('force') || values.has('disconnect_clients');
}

/** `--activate_protection_domain` and its opposite. */
function setActive(name: string, active: boolean): Command {
  return {
    name,
    topic: topicDomains,
    about: active ? 'allow I/O' : 'stop I/O on purpose',
    options: [...DOMAIN_REF, ...(active ? [{ name: 'force', about: 'accepted' }] : STOP_OPTIONS)],
    ...(active ? {} : { sure: 'I/O to all volumes of the protection domain will stop.' }),
    run: async (run) => {
      const domain = needed(await domainOf(run.reader, run.values), 'protection domain');
      const params = { key: domain.key, active, force: isForced(run) };
      await run.cluster.command('SET_PROTECTION_DOMAIN_ACTIVE', run.user, params);
      return outcome(
        `Successfully ${active ? '' : 'in'}activated protection domain ${domain.name}`,
      );
    },
  };
}

export const DOMAIN_COMMANDS: readonly Command[] = [
  {
    name: 'add_protection_domain',
    topic: topicDomains,
    about: 'create a protection domain',
    options: [
      {
        name: 'protection_domain_name',
        value: 'NAME',
        about: 'at most 31 characters',
        required: true,
      },
    ],
    run: async (run) => {
      const name = run.values.get('protection_domain_name') ?? '';
      const { key } = await run.cluster.command('ADD_PROTECTION_DOMAIN', run.user, { name });
      const id = run.reader.id(key);
      return outcome(`Successfully created protection domain. Object ID ${id}`, { id });
    },
  },
  {
    name: 'remove_protection_domain',
    topic: topicDomains,
    about: 'remove an empty protection domain',
    options: DOMAIN_REF,
    sure: 'The protection domain will be removed.',
    run: async (run) => {
      const domain = needed(await domainOf(run.reader, run.values), 'protection domain');
      await run.cluster.command('REMOVE_PROTECTION_DOMAIN', run.user, { key: domain.key });
      return outcome(`Successfully removed protection domain ${domain.name}`);
    },
  },
  {
    name: 'rename_protection_domain',
    topic: topicDomains,
    about: 'rename a protection domain',
    options: [...DOMAIN_REF, NEW_NAME],
    run: async (run) => {
      const domain = needed(await domainOf(run.reader, run.values), 'protection domain');
      const name = run.values.get('new_name') ?? '';
      await run.cluster.command('RENAME_PROTECTION_DOMAIN', run.user, { key: domain.key, name });
      return outcome(`Successfully renamed protection domain to ${name}`);
    },
  },
  setActive('activate_protection_domain', true),
  setActive('inactivate_protection_domain', false),
  {
    name: 'query_protection_domain',
    topic: topicDomains,
    about: 'one protection domain with its pools',
    options: DOMAIN_REF,
    run: queryDomain,
  },
  {
    name: 'query_all_protection_domains',
    topic: topicDomains,
    about: 'all protection domains',
    options: [],
    run: async (run) => {
      const facts = await readFacts(run.reader);
      return outcome(
        [
          `Query all returned ${counted(facts.domains.length, 'Protection Domain')}:`,
          ...facts.domains.flatMap((domain) => [...domainLines(run.reader, facts, domain), '']),
        ],
        facts.domains.map(({ key, name, active }) => ({ id: run.reader.id(key), name, active })),
      );
    },
  },
  {
    name: 'add_fault_set',
    topic: topicDomains,
    about: 'create a fault set',
    options: [
      ...DOMAIN_REF,
      {
        name: 'fault_set_name',
        value: 'NAME',
        about: 'at most 31 characters',
        required: true,
      },
    ],
    run: async (run) => {
      const domain = needed(await domainOf(run.reader, run.values), 'protection domain');
      const name = run.values.get('fault_set_name') ?? '';
      const params = { domainKey: domain.key, name };
      const { key } = await run.cluster.command('ADD_FAULT_SET', run.user, params);
      const id = run.reader.id(key);
      return outcome(`Successfully created fault set. Object ID ${id}`, { id });
    },
  },
  {
    name: 'remove_fault_set',
    topic: topicDomains,
    about: 'remove an empty fault set',
    options: FAULT_SET_REF,
    run: async (run) => {
      const set = needed(await faultSetOf(run.reader, run.values), 'fault set');
      await run.cluster.command('REMOVE_FAULT_SET', run.user, { key: set.key });
      return outcome(`Successfully removed fault set ${set.name}`);
    },
  },
  {
    name: 'clear_fault_set',
    topic: topicDomains,
    about: 'take all SDSs out of a fault set: each is a unit of its own then',
    options: FAULT_SET_REF,
    run: async (run) => {
      const set = needed(await faultSetOf(run.reader, run.values), 'fault set');
      await run.cluster.command('CLEAR_FAULT_SET', run.user, { key: set.key });
      return outcome(`Successfully cleared fault set ${set.name}`);
    },
  },
  {
    name: 'rename_fault_set',
    topic: topicDomains,
    about: 'rename a fault set',
    options: [...FAULT_SET_REF, NEW_NAME],
    run: async (run) => {
      const set = needed(await faultSetOf(run.reader, run.values), 'fault set');
      const name = run.values.get('new_name') ?? '';
      await run.cluster.command('RENAME_FAULT_SET', run.user, { key: set.key, name });
      return outcome(`Successfully renamed fault set to ${name}`);
    },
  },
  {
    name: 'query_fault_set',
    topic: topicDomains,
    about: 'one fault set with its SDSs and their capacity',
    options: FAULT_SET_REF,
    run: queryFaultSet,
  },
  {
    name: 'query_all_fault_sets',
    topic: topicDomains,
    about: 'the fault sets of a protection domain, or all',
    options: DOMAIN_REF_OPTIONAL,
    run: async (run) => {
      const domain = await domainOf(run.reader, run.values);
      const sets = (await run.reader.all('faultSet')).filter(
        ({ domainKey }) => domain === null || domain.key === domainKey,
      );
      const all = await run.reader.all('sds');
      const countIn = (key: number): number =>
        all.filter(({ faultSetKey }) => faultSetKey === key).length;
      return outcome(
        [
          `Query all returned ${counted(sets.length, 'Fault Set')}:`,
          ...sets.map(
            (set) =>
              `Fault Set ID: ${run.reader.id(set.key)} Name: ${set.name} has ${counted(countIn(set.key), 'SDS node')}`,
          ),
        ],
        sets.map(({ key, name }) => ({ id: run.reader.id(key), name, sdsNodes: countIn(key) })),
      );
    },
  },
];
