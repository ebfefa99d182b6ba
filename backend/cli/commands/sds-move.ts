// Commands that take an SDS to another protection domain, and the words in which the way of one is told.

import type { DeviceTarget, Sds } from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { formatSize } from '../../core/units.js';
import {
  DOMAIN_REF,
  POOL_REF,
  SDS_REF,
  domainOf,
  faultSetOf,
  needed,
  poolOf,
  sdsOf,
} from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';
import { DEVICE_PATH, listFrom } from './devices.js';

const topicSds = 'SDS';

const MOVE_OPTIONS: readonly Option[] = [
  ...SDS_REF,
  ...DOMAIN_REF,
  ...POOL_REF.filter(({ name }) => name.startsWith('storage_pool')).map((option) => ({
    ...option,
    about: `${option.about}: one for all devices, or one for each of --device_path`,
    required: false,
  })),
  { ...DEVICE_PATH, about: 'devices of the SDS, where they go to several pools' },
  { name: 'fault_set_name', value: 'NAME', about: 'fault set by name', group: 'fault_set' },
  { name: 'fault_set_id', value: 'ID', about: 'fault set by id', group: 'fault_set' },
  {
    name: 'force',
    about: 'although the spare of the pool that it leaves will not cover what is left',
  },
];

/** Pools by device as they are named, the first one for devices that are not. */
async function targetsFrom(
  run: Run,
  sds: Sds,
): Promise<{ readonly poolKey: number; readonly devices: readonly DeviceTarget[] }> {
  const { reader, values } = run;
  const option = values.has('storage_pool_id') ? 'storage_pool_id' : 'storage_pool_name';
  const names = listFrom(run, option);
  const paths = listFrom(run, 'device_path');
  const expected = paths.length === 0 ? 1 : paths.length;
  if (names.length > 1 && names.length !== expected)
    throw new UsageError(
      `--${option} must have one item for each of --device_path, or one for all`,
    );
  const pools: number[] = [];
  for (const name of names)
    pools.push(
      needed(await poolOf(reader, new Map([...values, [option, name]])), 'storage pool').key,
    );
  const own = (await reader.all('device')).filter(({ sdsKey }) => sdsKey === sds.key);
  const devices = paths.map((path, index): DeviceTarget => {
    const device = own.find((one) => one.path === path);
    if (device === undefined) throw new UsageError(`SDS ${sds.name} has no device ${path}`);
    return { deviceKey: device.key, poolKey: pools[index] ?? pools[0] ?? 0 };
  });
  return { poolKey: names.length === 1 ? (pools[0] ?? 0) : 0, devices };
}

async function moveSds(run: Run): Promise<Outcome> {
  const { reader, values } = run;
  const sds = needed(await sdsOf(reader, values), 'SDS');
  const domain = needed(await domainOf(reader, values), 'protection domain');
  const faultSet = await faultSetOf(reader, values);
  await run.cluster.command('MOVE_SDS', run.user, {
    ...{ key: sds.key, domainKey: domain.key, faultSetKey: faultSet?.key ?? 0 },
    ...(await targetsFrom(run, sds)),
    force: values.has('force'),
  });
  return outcome(
    `Moving SDS ${sds.name} to Protection Domain ${domain.name} began: it goes when its data is elsewhere. Object ID ${reader.id(sds.key)}`,
  );
}

async function abortMoveSds(run: Run): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  await run.cluster.command('ABORT_MOVE_SDS', run.user, { key: sds.key });
  return outcome(`Successfully started to put SDS ${sds.name} back`);
}

/** `, Moving to Protection Domain pd2 (Leaving)`; empty where the SDS stays. */
export function moveText({ move }: Pick<Sds, 'move'>, domains: Facts['domains']): string {
  if (move === null) return '';
  const name = domains.find(({ key }) => key === move.domainKey)?.name ?? 'N/A';
  return `, Moving to Protection Domain ${name} (${move.stage === 'leaving' ? 'Leaving' : 'Joining'})`;
}

/** How far the way of an SDS is, a line per device; none where it stays. */
export function moveLines(
  reader: ClusterReader,
  facts: Facts,
  { key, move }: Sds,
): readonly string[] {
  if (move === null) return [];
  const lines = facts.devices
    .filter(({ sdsKey }) => sdsKey === key)
    .map((device) => {
      const { poolKey = 0 } = move.devices.find(({ deviceKey }) => deviceKey === device.key) ?? {};
      const pool = facts.pools.find((one) => one.key === poolKey)?.name ?? 'N/A';
      const usedBytes = facts.deviceStatus.get(device.key)?.usage?.usedBytes ?? 0;
      const left = move.stage === 'leaving' ? `${formatSize(usedBytes)} left` : device.state;
      const why = device.failure === '' ? '' : `, waits: ${device.failure}`;
      return `    Device ${device.path} ID: ${reader.id(device.key)} to Storage Pool ${pool}: ${left}${why}`;
    });
  const from = facts.domains.find((domain) => domain.key === move.fromDomainKey)?.name ?? 'N/A';
  return [`Move from Protection Domain ${from}${moveText({ move }, facts.domains)}:`, ...lines];
}

export const SDS_MOVE_COMMANDS: readonly Command[] = [
  {
    name: 'move_sds',
    topic: topicSds,
    about:
      'move the data of an SDS elsewhere, then take it with its devices into another protection domain, pool or fault set',
    options: MOVE_OPTIONS,
    sure: 'The data of the SDS is moved to the other SDSs of its storage pools, and its devices are formatted.',
    run: moveSds,
  },
  {
    name: 'abort_move_sds',
    topic: topicSds,
    about: 'keep an SDS where it was, or take it back there',
    options: SDS_REF,
    run: abortMoveSds,
  },
];
