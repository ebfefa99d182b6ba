import test from 'ava';
import { readSettings } from '../../../backend/deploy/settings/read.js';
import { SETTINGS } from '../../../backend/deploy/settings/table.js';

const faultsOf = (value: Record<string, unknown>): readonly string[] => readSettings(value).faults;

test('defaults are valid', (t) => {
  const { settings, faults, unknown } = readSettings({});
  t.deepEqual(faults, []);
  t.deepEqual(unknown, []);
  t.is(settings?.gatewayPort, 4443);
  t.deepEqual(settings?.pools, [{ name: 'default', mediaType: 'SSD' }]);
  t.is(settings?.existing, null);
});

test('each setting that has a pattern accepts its default and refuses a tail that does not belong', (t) => {
  for (const [name, row] of Object.entries(SETTINGS)) {
    if (!('pattern' in row)) continue;
    t.deepEqual(faultsOf({ [name]: row.value }), [], name);
    t.is(faultsOf({ [name]: `${row.value}\u0007;$(reboot)` }).length, 1, name);
  }
});

test('wrong values are refused with what would be right', (t) => {
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['gateway_port', '0', /gateway_port must be a port from 1 to 65535, is "0"/],
    ['gateway_port', '65536', /must be a port/],
    ['gateway_port', 4443, /must be a text/],
    ['spare_percent', '91', /must be a whole number from 0 to 90/],
    ['existing_cluster', 'yes', /must be true or false, is "yes"/],
    ['durability', 'none', /must be one of media, device, memory, is "none"/],
    ['storage_pools', 'one:NVMe', /MEDIA one of HDD, SSD, Transitional/],
    ['storage_pools', 'one, one:HDD', /names the pool one twice/],
    ['device_paths', 'sdb', /absolute paths/],
    ['device_paths', '/dev/sdb, /dev/sdb', /\/dev\/sdb of every node is named twice/],
    ['device_paths', '/dev/sdb=gold', /is for pool gold, but storage_pools has only default/],
    ['node_devices', 'node-1 /dev/sdb', /lines such as/],
    ['node_devices', 'node-1: /dev/sdb\nnode-1: /dev/sdc', /names node-1 twice/],
    ['admin_password', 'short', /8 to 31 characters/],
    ['admin_password', 'alllowercase1', /8 to 31 characters/],
    ['capacity_critical_alert_threshold', '80', /must be above capacity_high_alert_threshold/],
  ];
  for (const [name, value, expected] of wrong) {
    const faults = faultsOf({ [name]: value });
    t.is(faults.length, 1, `${name}=${String(value)}: ${faults.join()}`);
    t.regex(faults[0] ?? '', expected);
  }
});

test('device paths by id, with hyphens, dots and colons, are accepted', (t) => {
  const paths = [
    '/dev/disk/by-id/ata-ST4000.NM_0033-9ZM170',
    '/dev/disk/by-path/pci-0000:00:1f.2-ata-1',
    '/dev/mapper/vg+one@x',
  ];
  const { settings } = readSettings({
    device_paths: paths.join(','),
    node_devices: `node-1: ${paths.join(' ')}; node-2: /dev/sdb`,
  });
  t.deepEqual(
    settings?.devices.map(({ path }) => path),
    paths,
  );
  t.deepEqual(
    settings?.nodeDevices.get('node-1')?.map(({ path }) => path),
    paths,
  );
  t.deepEqual(settings?.nodeDevices.get('node-2')?.length, 1);
});

test('a password is never quoted', (t) => {
  for (const name of ['admin_password', 'system_secret', 'environment_key', 'gateway_password']) {
    const [fault = ''] = faultsOf({ [name]: 's3cret\u0001' });
    t.regex(fault, new RegExp(name));
    t.notRegex(fault, /s3cret/);
  }
});

test('an existing cluster needs how to reach it', (t) => {
  t.deepEqual(
    faultsOf({ existing_cluster: true }).map((fault) => fault.split(' ')[1]),
    ['gateway_ip', 'gateway_password', 'mdm_addresses', 'system_secret'],
  );
  const { settings } = readSettings({
    existing_cluster: true,
    gateway_ip: '10.0.0.5',
    gateway_password: 'x',
    mdm_addresses: '10.0.0.6, 10.0.0.7',
    system_secret: 'AB'.repeat(32),
  });
  t.deepEqual(settings?.existing?.mdm, ['10.0.0.6', '10.0.0.7']);
  t.is(settings?.existing?.systemSecret, 'ab'.repeat(32));
});

test('an unknown setting is named with the nearest known one', (t) => {
  t.deepEqual(readSettings({ device_path: '/dev/sdb' }).unknown, [
    'setting device_path is unknown; did you mean device_paths?',
  ]);
});

test('a long list that is wrong at its end is refused at once', (t) => {
  const many = Array.from({ length: 200 }, (_, i) => `/dev/disk/by-id/wwn-0x5000c500${i}`);
  // A pattern that tries every way to split it would not come back from this.
  const list = many.join(', ');
  t.is(faultsOf({ device_paths: `${list}, !`, node_devices: `node-1: ${list} !` }).length, 2);
});
