// HAProxy as Fuel 7.0 and later have it on controllers: in a network namespace of its own that holds the virtual addresses,
// with `include conf.d/*.cfg` in its file, controlled by the agent ns_haproxy and not by systemd. The HAProxy is real; the
// agent here knows only what the plugin asks of it (reload), and does what Fuel's patched HAProxy does with `include`.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { MANAGEMENT_VIP, PUBLIC_VIP } from './environment.js';
import type { Lab, Machine } from './machines.js';

const NAMESPACE = 'haproxy';
const LINK = 'vip';
const AGENT = '/usr/lib/ocf/resource.d/fuel/ns_haproxy';
const CONFIG = '/etc/haproxy/haproxy.cfg';
const CONFIG_TEXT = `global
  daemon
  pidfile /var/run/haproxy.pid
  maxconn 2000
include conf.d/*.cfg
`;
const AGENT_TEXT = `#!/bin/sh
# Reloads HAProxy in its namespace, or starts it.
[ "$1" = reload ] || exit 3
[ "$OCF_ROOT" = /usr/lib/ocf ] || exit 6
grep -v '^include' ${CONFIG} >/run/haproxy-main.cfg
old=$(cat /run/haproxy.pid 2>/dev/null)
exec ip netns exec ${NAMESPACE} /usr/sbin/haproxy -D -f /run/haproxy-main.cfg -f /etc/haproxy/conf.d \${old:+-sf $old}
`;

/** Gives a machine that runs such an HAProxy; the virtual addresses move into its namespace. */
export async function layFuelHaproxy(lab: Lab, machine: Machine): Promise<void> {
  for (const [path, text, mode] of [
    [CONFIG, CONFIG_TEXT, 0o644],
    [AGENT, AGENT_TEXT, 0o755],
  ] as const) {
    mkdirSync(dirname(machine.path(path)), { recursive: true });
    writeFileSync(machine.path(path), text, { mode });
  }
  await machine.run('ip', 'netns', 'add', NAMESPACE);
  await lab.plug(machine.name, LINK);
  await machine.run('ip', 'link', 'set', LINK, 'netns', NAMESPACE);
  for (const vip of [MANAGEMENT_VIP, PUBLIC_VIP]) {
    await machine.run('ip', 'address', 'del', `${vip}/24`, 'dev', 'mgmt');
    await machine.run('ip', '-n', NAMESPACE, 'address', 'add', `${vip}/24`, 'dev', LINK);
  }
  for (const link of ['lo', LINK])
    await machine.run('ip', '-n', NAMESPACE, 'link', 'set', link, 'up');
}

/** What listens in the namespace. */
export const listeners = (machine: Machine): Promise<string> =>
  machine.run('ip', 'netns', 'exec', NAMESPACE, 'ss', '-Hltn');
