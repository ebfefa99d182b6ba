// What goes into a support bundle, and what of a configuration may be shown. It must never read a file.

import { LIA_SERVICES } from '../protocol/lia.js';

/** Names under which secrets are kept; as the log withholds them. */
const SECRET = /passw|secret|token|authorization|cookie|salt|hash|credential|private|key$/i;
/** Values under these names are paths, whatever they sound like. Numbers are keys of devices and limits. */
const HARMLESS = /(File|Dir|Path)$/;
const WITHHELD = '[withheld]';

/** One file of the bundle: what fills it. */
export type BundlePart = { readonly name: string } & (
  | { readonly kind: 'report' | 'jobs' }
  | { readonly kind: 'configuration' | 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly argv: readonly string[] }
);

const ROLES = [
  ...['mdm', 'sds', 'sdc', 'gateway', 'scli', 'drv_cfg', 'cinder-bridge', 'lia'],
] as const;

/** Parts in the order of their worth: what does not fit any more is left out. @param hours - how far back logs go */
export function bundleParts(hours: number): BundlePart[] {
  const since = ['--no-pager', '--output=short-iso-precise', `--since=-${hours}h`];
  return [
    { name: 'report.json', kind: 'report' },
    { name: 'jobs.json', kind: 'jobs' },
    ...ROLES.map((role) => ({
      name: `configuration/${role}.json`,
      kind: 'configuration' as const,
      path: `/etc/meshsan/${role}.json`,
    })),
    ...LIA_SERVICES.map((unit) => ({
      name: `journal/${unit}.log`,
      kind: 'command' as const,
      argv: ['journalctl', ...since, `--unit=${unit}.service`],
    })),
    ...LIA_SERVICES.map((unit) => ({
      name: `status/${unit}.txt`,
      kind: 'command' as const,
      argv: ['systemctl', 'status', '--no-pager', '--full', '--lines=0', `${unit}.service`],
    })),
    { name: 'sdc-holder.log', kind: 'file', path: '/var/lib/meshsan/sdc/holder.log' },
    { name: 'packages.txt', kind: 'command', argv: ['dpkg', '--list', 'meshsan-*'] },
    { name: 'system/kernel.log', kind: 'command', argv: ['journalctl', ...since, '--dmesg'] },
    ...[
      'version',
      'meminfo',
      'loadavg',
      'mounts',
      'diskstats',
      'pressure/io',
      'pressure/memory',
    ].map((name) => ({
      name: `system/${name.replace('/', '-')}`,
      kind: 'file' as const,
      path: `/proc/${name}`,
    })),
  ];
}

/** A configuration as anybody may see it: values under names that sound like secrets are withheld. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRET.test(name) && !HARMLESS.test(name) && typeof inner !== 'number'
        ? WITHHELD
        : withoutSecrets(inner),
    ]),
  );
}
