// The sentinel as its package brings it: configured from the client beside it, sandboxed as root's service without root's
// rights, and heard when the servers answer nobody. Part of the stories, in their machine.

import assert from 'node:assert/strict';

import { until } from '../support/until.js';
import { pidsOf } from './cluster.js';
import type { Machine } from './machine.js';

/** Metrics, asked with the password of the administrator. */
const METRICS =
  'curl -s --cacert /etc/meshsan/ca.pem -u "admin:$(cat /etc/meshsan/admin-password)" https://127.0.0.1:4443/metrics';
const STARVED = /^meshsan_alert\{alert="SENTINEL_STARVED".*\} 1$/m;
/** It reads and writes its volume. */
const BUSY =
  /^meshsan_volume_write_operations_total\{volume_id="\w+",volume="sentinel\.[^"]*".*\} [1-9]/m;

export async function sentinelStory({
  machine,
}: {
  readonly machine: Machine;
}): Promise<readonly string[]> {
  const setUp = ['meshsan-setup', 'sentinel', '--pool', 'sp1', '--set', 'clearMs=1000'] as const;
  assert.match(await machine.run(...setUp), /"changed":true/);
  assert.match(await machine.run(...setUp), /"changed":false/);
  await machine.run('systemctl', 'start', 'meshsan-sentinel');
  await until('it reads and writes', async () => BUSY.test(await machine.shell(METRICS)));
  const servers = (await pidsOf(machine, /\/sds-data\.js/)).map(String);
  assert.ok(servers.length >= 2);
  await machine.run('kill', '-STOP', ...servers);
  try {
    await until('the alert', async () => STARVED.test(await machine.shell(METRICS)));
  } finally {
    await machine.run('kill', '-CONT', ...servers);
  }
  await until('it ends', async () => !STARVED.test(await machine.shell(METRICS)));
  await machine.run('systemctl', 'stop', 'meshsan-sentinel');
  const volumes = await machine.run('scli', '--query_all_volumes');
  const [, name = ''] = /Name: (sentinel\.\S+) .* Unmapped/.exec(volumes) ?? [];
  assert.notEqual(name, '', volumes);
  await machine.run('scli', '--remove_volume', '--volume_name', name, '--i_am_sure');
  return [`SENTINEL_STARVED while ${servers.length} servers stood still, and no longer`];
}
