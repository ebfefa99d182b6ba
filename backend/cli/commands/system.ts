// Commands on the system as a whole and on its MDM cluster.

import { VERSION_MAX } from '../../protocol/generated/constants.js';
import type { Approval, ClusterQueryReplyBody } from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { currentAlerts } from '../../runtime/alerts.js';
import type { Alert } from '../../runtime/alert.js';
import { KEEP_POOL_SETTINGS } from '../../runtime/pool-settings.js';
import { readFacts, scopeOfPools } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { capacityValues, clientValues, volumeCounts } from '../../runtime/statistics/values.js';
import { capacityLines, numberIn, trafficLines } from '../capacity.js';
import { counted, kbText, restrictedMode } from '../format.js';
import { POOL_REF, poolOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

import { domainLines } from './domains.js';
import { poolLines } from './pools.js';

const DAY_MS = 86_400_000;
const topic = 'System';

const APPROVALS: Readonly<Record<string, Approval>> = {
  disabled: 'none',
  enabled: 'guid',
  none: 'none',
  guid: 'guid',
  approved_ip: 'ip',
};

function headLines(
  reader: ClusterReader,
  state: ClusterQueryReplyBody,
  nowMs: number,
): readonly string[] {
  const { system } = reader;
  const days = Math.max(0, Math.floor((nowMs - system.createdAtMs) / DAY_MS));
  return [
    'System Info:',
    `\tProduct:  MeshSAN Version: R3_5.${state.version}`,
    `\tID:      ${reader.systemId}`,
    '\tManager ID:      0000000000000000',
    '',
    'License info:',
    `\tInstallation ID: ${system.installId}`,
    '\tSWID: ',
    '\tMaximum capacity: Unlimited',
    '\tUsage time left: Unlimited',
    '\tEnterprise features: Enabled',
    `\tThe system was activated ${days} days ago`,
    '',
    'System settings:',
    `\tCapacity alert thresholds: High: ${system.capacityAlertHighPercent}, Critical: ${system.capacityAlertCriticalPercent}`,
    '\tThick volume reservation percent: 0',
    `\tMDM restricted SDC mode: ${restrictedMode(system.approval)}`,
    '\tManagement Clients secure communication: enabled',
    '\tTLS version: TLSv1.2',
    '\tUser authentication method: Native',
    '\tSDS connection authentication: Enabled',
    '',
  ];
}

const SEVERITIES = { high: 'Critical', medium: 'Error', low: 'Warning' };

/** What is wrong now, the heaviest first. */
function alertLines(reader: ClusterReader, alerts: readonly Alert[]): readonly string[] {
  return [
    `System has ${counted(alerts.length, 'alert')}${alerts.length > 0 ? ':' : ''}`,
    ...alerts.map(({ severity, type, objectType, objectKey, values }) => {
      const facts = Object.entries(values).map(([name, value]) => `${name}: ${value}`);
      return `\t${SEVERITIES[severity]}: ${type} ${objectType} ${reader.id(objectKey)}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`;
    }),
  ];
}

/** `1 thick-provisioned volume. Total size: ...`, and the same of thin ones. */
function volumeSummary(facts: Facts): readonly string[] {
  const scope = scopeOfPools(facts, facts.pools);
  const values = capacityValues(facts, scope);
  const counts = volumeCounts(facts, scope.volumes);
  const thick = numberIn(counts, 'numOfThickBaseVolumes');
  const thin = numberIn(counts, 'numOfThinBaseVolumes');
  const thickKb = numberIn(values, 'thickCapacityInUseInKb') / 2;
  const thinKb = Math.floor(numberIn(values, 'thinCapacityInUseInKb') / 2);
  return [
    'Volumes summary:',
    `\t${counted(thick, 'thick-provisioned volume')}. Total size: ${kbText(thickKb)}`,
    `\t${counted(thin, 'thin-provisioned volume')}. Total used size: ${kbText(thinKb)}`,
  ];
}

async function queryAll(run: Run): Promise<Outcome> {
  const { reader } = run;
  const state = await reader.clusterState();
  const [facts, sdsStatus, alerts] = await Promise.all([
    readFacts(reader),
    reader.statusByKey('sds'),
    currentAlerts(reader, run.nowMs),
  ]);
  const connected = facts.sds.filter(
    ({ key }) => sdsStatus.get(key)?.liveness === 'connected',
  ).length;
  const scope = scopeOfPools(facts, facts.pools);
  const values = {
    ...capacityValues(facts, scope),
    ...clientValues([...facts.ratesByVolume.values()].flat()),
  };
  const summary =
    facts.sds.length === connected
      ? []
      : [`\t${facts.sds.length - connected} SDS nodes have connection state 'Disconnected'`];
  return outcome(
    [
      ...headLines(reader, state, run.nowMs),
      `Query all returned ${counted(facts.domains.length, 'Protection Domain')}:`,
      ...facts.domains.flatMap((domain) => [
        ...domainLines(reader, facts, domain),
        '',
        ...facts.pools
          .filter(({ domainKey }) => domainKey === domain.key)
          .flatMap((pool) => [...poolLines(reader, facts, pool), '']),
      ]),
      'SDS Summary:',
      `\tTotal ${facts.sds.length} SDS Nodes`,
      `\t${connected} SDS nodes have membership state 'Joined'`,
      `\t${connected} SDS nodes have connection state 'Connected'`,
      ...summary,
      ...capacityLines(values, '\t'),
      '',
      ...trafficLines(values, '\t'),
      '',
      ...volumeSummary(facts),
      '',
      ...alertLines(reader, alerts),
    ],
    {
      alerts: alerts.map(({ type, severity, objectType, objectKey, values: details }) => ({
        ...{ type, severity, objectType, id: reader.id(objectKey), values: details },
      })),
      systemId: reader.systemId,
      name: reader.system.name,
      version: state.version,
      sdsNodes: facts.sds.length,
      sdsConnected: connected,
      volumes: facts.volumes.length,
      ...values,
    },
  );
}

/** Ends an upgrade, once every component is of the new version. */
async function raiseVersion(run: Run): Promise<Outcome> {
  const text = run.values.get('cluster_version') ?? String(VERSION_MAX);
  if (!/^\d{1,2}$/.test(text))
    throw new UsageError(`--cluster_version must be a whole number up to ${VERSION_MAX}`);
  await run.cluster.command('RAISE_CLUSTER_VERSION', run.user, { version: Number(text) });
  return outcome(`Successfully raised the cluster version to ${text}`, { version: Number(text) });
}

async function setApproval(run: Run): Promise<Outcome> {
  const approval = APPROVALS[(run.values.get('restricted_sdc_mode') ?? '').toLowerCase()];
  if (approval === undefined)
    throw new UsageError(
      `--restricted_sdc_mode must be one of ${Object.keys(APPROVALS).join(', ')}`,
    );
  await run.cluster.command('SET_APPROVAL', run.user, { approval });
  return outcome('Successfully modified the restricted SDC mode');
}

/** A percentage of an option, or null. @throws UsageError */
function percent(run: Run, option: string): number | null {
  const text = run.values.get(option);
  if (text === undefined) return null;
  if (!/^\d{1,3}$/.test(text) || Number(text) > 100)
    throw new UsageError(`--${option} must be a whole number from 0 to 100`);
  return Number(text);
}

/**
 * Thresholds of the pools that are named, of all of them, or of the system: what new pools get, and what counts where a
 * pool has none of its own.
 */
async function setThresholds(run: Run): Promise<Outcome> {
  const { reader, values, cluster, user } = run;
  const high = percent(run, 'capacity_high_threshold');
  const critical = percent(run, 'capacity_critical_threshold');
  if (high === null && critical === null)
    throw new UsageError('--capacity_high_threshold or --capacity_critical_threshold is needed');
  const named = await poolOf(reader, values);
  const isOfAll = values.has('all_storage_pools');
  const pools = isOfAll ? await reader.all('storagePool') : named === null ? [] : [named];
  if (values.has('system_default') || (named === null && !isOfAll))
    await setSystem(run, { high, critical });
  for (const { key } of pools)
    await cluster.command('SET_STORAGE_POOL', user, {
      ...KEEP_POOL_SETTINGS,
      key,
      capacityAlertHighPercent: high,
      capacityAlertCriticalPercent: critical,
    });
  return outcome('Successfully modified the capacity alert thresholds');
}

async function setSystem(
  run: Run,
  change: { name?: string; high?: number | null; critical?: number | null },
): Promise<void> {
  await run.cluster.command('SET_SYSTEM', run.user, {
    name: change.name ?? null,
    capacityAlertHighPercent: change.high ?? null,
    capacityAlertCriticalPercent: change.critical ?? null,
  });
}

export const SYSTEM_COMMANDS: readonly Command[] = [
  {
    name: 'query_all',
    topic,
    about: 'everything in short',
    options: [{ name: 'show_all', value: '1', about: 'accepted' }],
    run: queryAll,
  },
  {
    name: 'rename_system',
    topic,
    about: 'rename the system',
    options: [{ name: 'new_name', value: 'NAME', about: 'at most 31 characters', required: true }],
    run: async (run) => {
      const name = run.values.get('new_name') ?? '';
      await setSystem(run, { name });
      return outcome(`Successfully renamed system to ${name}`);
    },
  },
  {
    name: 'raise_cluster_version',
    topic,
    about:
      'end an upgrade: what came with the new version can be used, older components are refused',
    options: [
      { name: 'cluster_version', value: 'NUMBER', about: 'the newest that this program knows' },
    ],
    sure: 'There will be no way back to the version before.',
    run: raiseVersion,
  },
  {
    name: 'set_restricted_sdc_mode',
    topic,
    about: 'which SDCs may register',
    options: [
      {
        name: 'restricted_sdc_mode',
        value: 'MODE',
        about: Object.keys(APPROVALS).join(', '),
        required: true,
      },
    ],
    run: setApproval,
  },
  {
    name: 'query_restricted_sdc_mode',
    topic,
    about: 'which SDCs may register',
    options: [],
    run: ({ reader }) =>
      Promise.resolve(
        outcome(`MDM restricted SDC mode: ${restrictedMode(reader.system.approval)}`, {
          approval: reader.system.approval,
        }),
      ),
  },
  {
    name: 'set_capacity_alerts_threshold',
    topic,
    about: 'when the system warns of little space',
    options: [
      { name: 'capacity_high_threshold', value: 'PERCENT', about: 'high' },
      { name: 'capacity_critical_threshold', value: 'PERCENT', about: 'critical' },
      ...POOL_REF.map((option) => ({ ...option, required: false })),
      { name: 'all_storage_pools', about: 'of every storage pool', group: 'storage_pool' },
      { name: 'system_default', about: 'of the system, which new pools get (without a pool)' },
    ],
    run: setThresholds,
  },
  {
    name: 'version',
    topic,
    about: 'the version of the MDM',
    open: true,
    options: [],
    run: async ({ reader }) => {
      const { version } = await reader.clusterState();
      return outcome(`MeshSAN Version: R3_5.${version}`, { version });
    },
  },
];
