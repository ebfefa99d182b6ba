// Commands on SDSs and their addresses.

import { isIP } from 'node:net';

import type {
  Address,
  AddressRole,
  Maintenance,
  RuntimeStatus,
  Sds,
} from '../../protocol/generated/types.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { cacheOf } from '../../runtime/statistics/cache.js';
import type { CacheSums } from '../../runtime/statistics/cache.js';
import { grouped, readFacts, scopeOfDevices } from '../../runtime/statistics/facts.js';
import { capacityValues, deviceValues } from '../../runtime/statistics/values.js';
import { capacityLines, jobLines, trafficLines } from '../capacity.js';
import { ADDRESS_ROLES, connectionState, sizeText, versionText } from '../format.js';
import { DOMAIN_REF, POOL_REF, SDS_REF, domainOf, faultSetOf, needed, sdsOf } from '../lookup.js';
import { NEW_NAME, outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';
import { DEVICE_PATH, FORCE, deviceLines, devicesFrom, listFrom } from './devices.js';
import { moveLines, moveText } from './sds-move.js';

const PORT_DEFAULT = 7072;

const topicSds = 'SDS';

const ROLES: Readonly<Record<string, AddressRole>> = {
  all: 'all',
  sds_only: 'sdsOnly',
  sdc_only: 'sdcOnly',
};

const IP_LIST: Option = {
  name: 'sds_ip',
  value: 'IP[,IP]',
  about: 'its addresses',
  required: true,
};

const ROLE_LIST: Option = {
  name: 'sds_ip_role',
  value: 'ROLE[,ROLE]',
  about: 'all, sds_only or sdc_only, one per address',
};

/** The address of a text and what it is for. @throws UsageError */
function address(option: string, host: string, role: string): Address {
  if (isIP(host) === 0) throw new UsageError(`--${option}: ${host} is not an IP address`);
  const known = ROLES[role.toLowerCase()];
  if (known === undefined) throw new UsageError(`${role} is not a role: all, sds_only or sdc_only`);
  return { host, role: known };
}

function addressesFrom(run: Run): readonly Address[] {
  const hosts = listFrom(run, 'sds_ip');
  const roles = listFrom(run, 'sds_ip_role');
  if (roles.length > 1 && roles.length !== hosts.length)
    throw new UsageError('--sds_ip_role must have one item for each of --sds_ip, or one for all');
  return hosts.map((host, index) => address('sds_ip', host, roles[index] ?? roles[0] ?? 'all'));
}

function portFrom(run: Run): number {
  const text = run.values.get('sds_port') ?? '0';
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new UsageError('--sds_port must be a whole number up to 65535');
  return port;
}

async function addSds(run: Run): Promise<Outcome> {
  const { values, reader } = run;
  const addresses = addressesFrom(run);
  const domain = needed(await domainOf(reader, values), 'protection domain');
  const faultSet = await faultSetOf(reader, values);
  const { key } = await run.cluster.command('ADD_SDS', run.user, {
    domainKey: domain.key,
    faultSetKey: faultSet?.key ?? 0,
    name: values.get('sds_name') ?? '',
    addresses,
    port: portFrom(run),
    devices: await devicesFrom(run),
    forceClean: values.has(FORCE.name),
    ...{ cacheEnabled: true, cacheMiB: 0 },
  });
  const [made] = await run.cluster.query('sds', [key]);
  const id = reader.id(key);
  return outcome(`Successfully created SDS ${made?.name ?? ''}. Object ID ${id}`, { id });
}

async function removeSds(run: Run): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  const force = run.values.has('force');
  await run.cluster.command('REMOVE_SDS', run.user, { key: sds.key, force });
  const [left] = await run.cluster.query('sds', [sds.key]);
  const id = run.reader.id(sds.key);
  if (left === undefined) return outcome(`Successfully removed SDS ${sds.name}. Object ID ${id}`);
  return outcome(
    `Removing SDS ${sds.name} began: it goes when its data is elsewhere. Object ID ${id}`,
  );
}

async function abortRemoveSds(run: Run): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  await run.cluster.command('ABORT_REMOVE_SDS', run.user, { key: sds.key });
  return outcome(`Successfully aborted the removal of SDS ${sds.name}`);
}

const EXIT_OPTIONS: readonly Option[] = [
  ...SDS_REF,
  { name: 'force', about: 'although it is not connected: what it holds is made anew elsewhere' },
];

async function enterMaintenance(run: Run, maintenance: Maintenance): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  await run.cluster.command('ENTER_MAINTENANCE', run.user, { key: sds.key, maintenance });
  return outcome(
    `Successfully started to put SDS ${sds.name} into ${maintenance} maintenance mode`,
  );
}

async function exitMaintenance(run: Run, abort: boolean): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  const params = { key: sds.key, abort, force: run.values.has('force') };
  await run.cluster.command('EXIT_MAINTENANCE', run.user, params);
  return outcome(`Successfully started to take SDS ${sds.name} out of maintenance mode`);
}

/** `, In instant maintenance`, and what it is on the way to; empty where the SDS works. */
function maintenanceText({ maintenance, maintenanceStage }: Sds): string {
  if (maintenance === 'none') return '';
  const word = { none: '', entering: 'Entering', active: 'In', exiting: 'Exiting' };
  return `, ${word[maintenanceStage]} ${maintenance} maintenance`;
}

function sdsState(sds: Sds): string {
  if (sds.removing) return 'Remove-pending';
  return sds.maintenance === 'none' ? 'Normal' : maintenanceText(sds).slice(2);
}

function sdsStates(status: RuntimeStatus | undefined): { connection: string; membership: string } {
  const connection = connectionState(status?.liveness);
  return { connection, membership: connection === 'Connected' ? 'Joined' : 'Decoupled' };
}

function sdsData(reader: ClusterReader, sds: Sds, status: RuntimeStatus | undefined): object {
  const { connection, membership } = sdsStates(status);
  return {
    id: reader.id(sds.key),
    name: sds.name,
    protectionDomainId: reader.id(sds.domainKey),
    ips: sds.addresses.map(({ host }) => host),
    port: sds.port,
    connectionState: connection,
    membershipState: membership,
    removing: sds.removing,
    maintenance: sds.maintenance,
    maintenanceStage: sds.maintenanceStage,
    moveStage: sds.move?.stage ?? 'none',
    moveProtectionDomainId: sds.move === null ? null : reader.id(sds.move.domainKey),
  };
}

async function queryAllSds(run: Run): Promise<Outcome> {
  const { reader } = run;
  const [domains, list, statuses] = await Promise.all([
    reader.all('protectionDomain'),
    reader.all('sds'),
    reader.statusByKey('sds'),
  ]);
  const byDomain = grouped(list, ({ domainKey }) => domainKey);
  const lines = domains.flatMap((domain) => {
    const own = byDomain.get(domain.key) ?? [];
    if (own.length === 0) return [];
    return [
      '',
      `Protection Domain ${reader.id(domain.key)} Name: ${domain.name}`,
      ...own.map((sds) => {
        const status = statuses.get(sds.key);
        const { connection, membership } = sdsStates(status);
        const hosts = sds.addresses.map(({ host }) => host).join(',');
        return `SDS ID: ${reader.id(sds.key)} Name: ${sds.name} State: ${connection}, ${membership}${sds.removing ? ', Remove-pending' : ''}${maintenanceText(sds)}${moveText(sds, domains)} IP: ${hosts} Port: ${sds.port} Version: ${versionText(status?.version ?? '')}`;
      }),
    ];
  });
  return outcome(
    [`Query-all-SDS returned ${list.length} SDS nodes.`, ...lines],
    list.map((sds) => sdsData(reader, sds, statuses.get(sds.key))),
  );
}

function cacheLines({ cacheEnabled, cacheMiB }: Sds, cache: CacheSums): readonly string[] {
  if (!cacheEnabled) return ['    Cache is disabled'];
  const { sizeBytes, usedEntries, hits, misses, failed } = cache;
  return [
    `    Total size is ${cacheMiB}.0 MB`,
    '    Cache is enabled',
    `    RAM Read Cache memory allocation state is ${failed > 0 ? 'FAILED' : 'SUCCESSFUL'}`,
    `    Allocated: ${sizeText(sizeBytes)}; in use: ${sizeText(usedEntries * LIMIT.blockBytes)}; hits: ${hits}; misses: ${misses}`,
  ];
}

async function querySds(run: Run): Promise<Outcome> {
  const { reader } = run;
  const sds = needed(await sdsOf(reader, run.values), 'SDS');
  const [facts, statuses] = await Promise.all([readFacts(reader), reader.statusByKey('sds')]);
  const status = statuses.get(sds.key);
  const { connection, membership } = sdsStates(status);
  const devices = facts.devices.filter(({ sdsKey }) => sdsKey === sds.key);
  const broken = devices.filter(({ state }) => state === 'failed').length;
  const domain = facts.domains.find(({ key }) => key === sds.domainKey);
  const values = {
    ...capacityValues(facts, scopeOfDevices(facts, devices)),
    ...deviceValues(facts, devices),
  };
  return outcome(
    [
      `SDS ${reader.id(sds.key)} Name: ${sds.name} Version: ${versionText(status?.version ?? '')}`,
      `Protection Domain: ${reader.id(sds.domainKey)}, Name: ${domain?.name ?? 'N/A'}`,
      'DRL mode: Volatile',
      'Authentication error: None',
      `IP information (total ${sds.addresses.length} IPs):`,
      ...sds.addresses.map(
        ({ host, role }, index) => `     ${index + 1}: ${host}     Role: ${ADDRESS_ROLES[role]}`,
      ),
      `    Port: ${sds.port === 0 ? PORT_DEFAULT : sds.port}`,
      'RAM Read Cache information:',
      ...cacheLines(sds, cacheOf(facts, devices)),
      'Rfcache disabled',
      `Device information (total ${devices.length} devices):`,
      ...deviceLines(reader, facts, devices),
      ...moveLines(reader, facts, sds),
      `Membership-state: ${membership}; Connection-state: ${connection}; SDS-state: ${sdsState(sds)}; ${broken} devices with error; 0 Rfcache devices with errors`,
      ...capacityLines(values, '    '),
      ...jobLines(values, '    '),
      ...trafficLines(values, '    '),
    ],
    { ...sdsData(reader, sds, status), deviceIds: devices.map(({ key }) => reader.id(key)) },
  );
}

/** A command on one address of an SDS. */
function addressCommand(
  name: string,
  about: string,
  options: readonly Option[],
  change: (run: Run, sds: Sds) => Promise<unknown>,
): Command {
  return {
    name,
    topic: topicSds,
    about,
    options: [...SDS_REF, ...options],
    run: async (run) => {
      const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
      await change(run, sds);
      return outcome(`Successfully modified SDS ${sds.name}`);
    },
  };
}

export const SDS_COMMANDS: readonly Command[] = [
  {
    name: 'add_sds',
    topic: topicSds,
    about: 'take an SDS into a protection domain, with devices',
    options: [
      IP_LIST,
      ROLE_LIST,
      { name: 'sds_port', value: 'PORT', about: `control port (${PORT_DEFAULT})` },
      ...DOMAIN_REF,
      ...POOL_REF.filter(({ name }) => name.startsWith('storage_pool')).map((option) => ({
        ...option,
        required: false,
      })),
      DEVICE_PATH,
      { name: 'device_name', value: 'NAME[,NAME]', about: 'names for the devices' },
      { name: 'sds_name', value: 'NAME', about: 'at most 31 characters' },
      { name: 'fault_set_name', value: 'NAME', about: 'fault set by name', group: 'fault_set' },
      { name: 'fault_set_id', value: 'ID', about: 'fault set by id', group: 'fault_set' },
      { ...FORCE, about: 'take it from another system, and overwrite foreign data on its devices' },
    ],
    run: addSds,
  },
  {
    name: 'remove_sds',
    topic: topicSds,
    about: 'move the data of an SDS elsewhere, then take it and its devices out',
    options: [...SDS_REF, { name: 'force', about: 'although it is not connected' }],
    sure: 'The SDS and its devices will be removed.',
    run: removeSds,
  },
  {
    name: 'abort_remove_sds',
    topic: topicSds,
    about: 'keep an SDS that is being removed',
    options: SDS_REF,
    run: abortRemoveSds,
  },
  {
    name: 'enter_maintenance_mode',
    topic: topicSds,
    about: 'begin instant maintenance: its data is left as it is, the other copies serve alone',
    options: SDS_REF,
    sure: 'What it holds will have one copy only until it is back.',
    run: (run) => enterMaintenance(run, 'instant'),
  },
  {
    name: 'exit_maintenance_mode',
    topic: topicSds,
    about: 'end maintenance: what changed meanwhile is copied back',
    options: EXIT_OPTIONS,
    run: (run) => exitMaintenance(run, false),
  },
  {
    name: 'enter_protected_maintenance_mode',
    topic: topicSds,
    about: 'begin protected maintenance: its data is copied elsewhere first',
    options: SDS_REF,
    run: (run) => enterMaintenance(run, 'protected'),
  },
  {
    name: 'exit_protected_maintenance_mode',
    topic: topicSds,
    about: 'the same as exit_maintenance_mode',
    options: EXIT_OPTIONS,
    run: (run) => exitMaintenance(run, false),
  },
  {
    name: 'abort_enter_protected_maintenance_mode',
    topic: topicSds,
    about: 'call off a maintenance that is being entered',
    options: SDS_REF,
    run: (run) => exitMaintenance(run, true),
  },
  {
    name: 'rename_sds',
    topic: topicSds,
    about: 'rename an SDS',
    options: [...SDS_REF, NEW_NAME],
    run: async (run) => {
      const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
      const name = run.values.get('new_name') ?? '';
      await run.cluster.command('RENAME_SDS', run.user, { key: sds.key, name });
      return outcome(`Successfully renamed SDS to ${name}`);
    },
  },
  addressCommand(
    'add_sds_ip',
    'one more address',
    [{ name: 'new_sds_ip', value: 'IP', about: 'the address', required: true }, ROLE_LIST],
    (run, { key }) =>
      run.cluster.command('ADD_SDS_ADDRESS', run.user, {
        key,
        address: address(
          'new_sds_ip',
          run.values.get('new_sds_ip') ?? '',
          run.values.get('sds_ip_role') ?? 'all',
        ),
      }),
  ),
  addressCommand(
    'remove_sds_ip',
    'take an address away',
    [{ name: 'sds_ip_to_remove', value: 'IP', about: 'the address', required: true }],
    (run, { key }) =>
      run.cluster.command('REMOVE_SDS_ADDRESS', run.user, {
        key,
        host: run.values.get('sds_ip_to_remove') ?? '',
      }),
  ),
  addressCommand(
    'modify_sds_ip_role',
    'change what an address is for',
    [
      { name: 'sds_ip_to_modify', value: 'IP', about: 'the address', required: true },
      { name: 'new_sds_ip_role', value: 'ROLE', about: 'all, sds_only, sdc_only', required: true },
    ],
    (run, { key }) =>
      run.cluster.command('SET_SDS_ADDRESS_ROLE', run.user, {
        key,
        address: address(
          'sds_ip_to_modify',
          run.values.get('sds_ip_to_modify') ?? '',
          run.values.get('new_sds_ip_role') ?? '',
        ),
      }),
  ),
  { name: 'query_sds', topic: topicSds, about: 'one SDS', options: SDS_REF, run: querySds },
  { name: 'query_all_sds', topic: topicSds, about: 'all SDSs', options: [], run: queryAllSds },
];
