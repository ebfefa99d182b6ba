// Commands on the devices of SDSs.

import { MIB } from '../../core/units.js';
import type { Device, DeviceSpec } from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { readFacts } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { scansOf } from '../../runtime/statistics/scans.js';
import { nameOrNone, wholeGb } from '../format.js';
import { DEVICE_REF, POOL_REF, SDS_REF, deviceOf, needed, poolOf, sdsOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const topicDevices = 'Devices';

const MEDIA: Readonly<Record<string, string>> = { hdd: 'HDD', ssd: 'SSD', as_found: '' };

/** Disks of one SDS. */
export const DEVICE_PATH: Option = {
  name: 'device_path',
  value: 'PATH[,PATH]',
  about: 'on the SDS host',
};

/** Commands take over a disk that carries something else only with this. */
export const FORCE: Option = {
  name: 'force_device_takeover',
  aliases: ['force', 'force_clean'],
  about: 'overwrite foreign data on the device',
};

/** The items of a list in one option; none when it is not given. */
export function listFrom(run: Run, option: string): readonly string[] {
  const text = run.values.get(option);
  if (text === undefined) return [];
  const items = text.split(',').map((item) => item.trim());
  if (items.some((item) => item === '')) throw new UsageError(`--${option} has an empty item`);
  return items;
}

/** Devices of `--device_path`, each in its pool: one pool for all, or one per device. */
export async function devicesFrom(run: Run): Promise<readonly DeviceSpec[]> {
  const { values } = run;
  const paths = listFrom(run, 'device_path');
  const names = listFrom(run, 'device_name');
  if (names.length > 0 && names.length !== paths.length)
    throw new UsageError('--device_name must have one item for each of --device_path');
  const option = values.has('storage_pool_id') ? 'storage_pool_id' : 'storage_pool_name';
  const pools = listFrom(run, option);
  if (paths.length > 0 && pools.length === 0)
    throw new UsageError('--device_path needs --storage_pool_name or --storage_pool_id');
  if (pools.length > 1 && pools.length !== paths.length)
    throw new UsageError(
      `--${option} must have one item for each of --device_path, or one for all`,
    );
  const devices: DeviceSpec[] = [];
  for (const [index, path] of paths.entries()) {
    const wanted = new Map([...values, [option, pools[index] ?? pools[0] ?? '']]);
    const pool = needed(await poolOf(run.reader, wanted), 'storage pool');
    const force = values.has('force_device_takeover');
    devices.push({ poolKey: pool.key, path, name: names[index] ?? '', force });
  }
  return devices;
}

export function deviceState(device: Device): string {
  if (device.removing) return 'Remove-pending';
  if (device.state === 'up') return device.slowStage === 'none' ? 'Normal' : 'Slow';
  return { adding: 'Initial-test', down: 'Error', failed: 'Error', removing: 'Remove-pending' }[
    device.state
  ];
}

function mediaText({ mediaFound, mediaType }: Device): string {
  const media = mediaType === '' ? mediaFound : mediaType;
  return media === '' ? '' : ` Media: ${media}`;
}

export function deviceLines(
  reader: ClusterReader,
  facts: Facts,
  devices: readonly Device[],
): readonly string[] {
  return devices.flatMap((device, index) => {
    const pool = facts.pools.find(({ key }) => key === device.poolKey);
    const failure = device.failure === '' ? [] : [`        Failure: ${device.failure}`];
    const scan = scansOf(facts, [device]);
    return [
      `     ${index + 1}: Name: ${nameOrNone(device.name)}  Path: ${device.path}  Original-path: ${device.path}  ID: ${reader.id(device.key)}`,
      `        Storage Pool: ${pool?.name ?? 'N/A'}, Capacity: ${wholeGb(device.capacityBytes)} Error-fixes: ${scan.fixedReadErrors} scanned ${Math.floor(scan.scannedBytes / MIB)} MB, Compare errors: ${scan.compareErrors} State: ${deviceState(device)}${mediaText(device)}`,
      ...failure,
    ];
  });
}

async function addDevice(run: Run): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  const made: string[] = [];
  for (const device of await devicesFrom(run)) {
    const { key } = await run.cluster.command('ADD_DEVICE', run.user, { sdsKey: sds.key, device });
    made.push(run.reader.id(key));
  }
  if (made.length === 0) throw new UsageError('Option --device_path is missing');
  return outcome(
    made.map((id) => `Successfully added device to SDS ${sds.name}. Object ID ${id}`),
    { ids: made },
  );
}

async function queryDevices(run: Run): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  const facts = await readFacts(run.reader);
  const devices = facts.devices.filter(({ sdsKey }) => sdsKey === sds.key);
  return outcome(
    [
      `Device information (total ${devices.length} devices):`,
      ...deviceLines(run.reader, facts, devices),
    ],
    devices.map((device) => ({
      id: run.reader.id(device.key),
      name: device.name,
      path: device.path,
      state: deviceState(device),
      storagePoolId: run.reader.id(device.poolKey),
    })),
  );
}

export const DEVICE_COMMANDS: readonly Command[] = [
  {
    name: 'add_sds_device',
    topic: topicDevices,
    about: 'format a device of an SDS and take it into a pool',
    options: [
      ...SDS_REF,
      { ...DEVICE_PATH, required: true },
      { name: 'device_name', value: 'NAME[,NAME]', about: 'names for the devices' },
      ...POOL_REF,
      FORCE,
      { name: 'test_time', value: 'SECONDS', about: 'accepted' },
    ],
    run: addDevice,
  },
  {
    name: 'remove_sds_device',
    topic: topicDevices,
    about: 'move the data of a device elsewhere, then take it out of its pool',
    options: [...DEVICE_REF, { name: 'force', about: 'although its SDS is not connected' }],
    sure: 'The device will be removed.',
    run: async (run) => {
      const device = needed(await deviceOf(run.reader, run.values), 'device');
      const force = run.values.has('force');
      await run.cluster.command('REMOVE_DEVICE', run.user, { key: device.key, force });
      const [left] = await run.cluster.query('device', [device.key]);
      const id = run.reader.id(device.key);
      if (left === undefined) return outcome(`Successfully removed device. Object ID ${id}`);
      return outcome(
        `Removing the device began: it goes when its data is elsewhere. Object ID ${id}`,
      );
    },
  },
  {
    name: 'abort_remove_sds_device',
    topic: topicDevices,
    about: 'keep a device that is being removed',
    options: DEVICE_REF,
    run: async (run) => {
      const device = needed(await deviceOf(run.reader, run.values), 'device');
      await run.cluster.command('ABORT_REMOVE_DEVICE', run.user, { key: device.key });
      return outcome(`Successfully aborted the removal of device ${run.reader.id(device.key)}`);
    },
  },
  {
    name: 'clear_sds_device_error',
    topic: topicDevices,
    about: 'try a device again that failed, or was found slow',
    options: DEVICE_REF,
    run: async (run) => {
      const device = needed(await deviceOf(run.reader, run.values), 'device');
      await run.cluster.command('CLEAR_DEVICE_ERROR', run.user, { key: device.key });
      return outcome(`Successfully cleared the error of device ${run.reader.id(device.key)}`);
    },
  },
  {
    name: 'set_device_media_type',
    topic: topicDevices,
    about: 'say of what kind a device is, where its SDS finds out nothing or something wrong',
    options: [
      ...DEVICE_REF,
      { name: 'media_type', value: 'TYPE', about: 'HDD, SSD, or as_found', required: true },
    ],
    run: async (run) => {
      const device = needed(await deviceOf(run.reader, run.values), 'device');
      const text = run.values.get('media_type') ?? '';
      const mediaType = MEDIA[text.toLowerCase()];
      if (mediaType === undefined)
        throw new UsageError(`--media_type must be HDD, SSD or as_found, is "${text}"`);
      await run.cluster.command('SET_DEVICE_MEDIA', run.user, { key: device.key, mediaType });
      return outcome(`Successfully modified device ${run.reader.id(device.key)}`);
    },
  },
  {
    name: 'query_sds_device_info',
    topic: topicDevices,
    about: 'the devices of an SDS',
    options: [...SDS_REF, { name: 'all_devices', about: 'accepted' }],
    run: queryDevices,
  },
];
