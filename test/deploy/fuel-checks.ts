// What the deployment test looks at on the machines after the plugin's tasks: services, secrets, Cinder's file.

import { readFileSync, statSync } from 'node:fs';
import type { Lab } from './machines.js';
import { expect } from './report.js';

const UNITS: Readonly<Record<string, readonly string[]>> = {
  'node-1': [
    ...['meshsan-mdm', 'meshsan-sds', 'meshsan-sdc', 'meshsan-gateway', 'haproxy'],
    'meshsan-cinder-bridge',
  ],
  'node-4': ['meshsan-sds', 'meshsan-sdc'],
};

/** Every process of ours runs with what the facts say. */
export async function checkServices(lab: Lab): Promise<string> {
  for (const [name, units] of Object.entries(UNITS)) {
    const states = await lab.machine(name).run('systemctl', 'is-active', ...units);
    expect(
      states.split('\n').every((state) => state === 'active'),
      `${name}: ${states}`,
    );
  }
  const sds = JSON.parse(
    readFileSync(lab.machine('node-2').path('/etc/meshsan/sds.json'), 'utf8'),
  ) as {
    addresses: unknown;
  };
  expect(
    JSON.stringify(sds.addresses) ===
      '[{"host":"192.168.1.12","role":"all"},{"host":"192.168.0.12","role":"management"}]',
    `addresses of node-2 are ${JSON.stringify(sds.addresses)}`,
  );
  return 'storage addresses carry the data';
}

/** Secrets are root's only, and nobody sees them in the processes or the journal. */
export async function checkSecrets(lab: Lab): Promise<string> {
  const machine = lab.machine('node-1');
  const paths = ['secret', 'admin-password', 'ca-key.pem', 'mdm.json', 'gateway.json'];
  for (const name of paths) {
    const { mode } = statSync(machine.path(`/etc/meshsan/${name}`));
    expect((mode & 0o077) === 0, `/etc/meshsan/${name} has mode 0${(mode & 0o777).toString(8)}`);
  }
  const secrets = ['secret', 'admin-password'].map((name) =>
    readFileSync(machine.path(`/etc/meshsan/${name}`), 'utf8').trim(),
  );
  const seen = await machine.run(
    'sh',
    '-c',
    'cat /proc/[0-9]*/cmdline | tr "\\0" " "; journalctl --no-pager',
  );
  expect(!secrets.some((secret) => seen.includes(secret)), 'a secret is in an argument or a log');
  return `${paths.length} files are root's or their service's only`;
}

/** The file was extended, not replaced. */
export function checkOpenstack(lab: Lab): Promise<string> {
  const cinder = readFileSync(lab.machine('node-1').path('/etc/cinder/cinder.conf'), 'utf8');
  expect(
    /^enabled_backends = lvm,meshsan,powerflex$/m.test(cinder),
    `enabled_backends:\n${cinder}`,
  );
  expect(cinder.startsWith('# made by hand\n'), 'comments are gone');
  expect(/^default_volume_type = meshsan$/m.test(cinder), 'default_volume_type');
  return Promise.resolve('enabled_backends = lvm,meshsan,powerflex');
}
