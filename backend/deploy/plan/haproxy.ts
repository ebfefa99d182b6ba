// The gateways behind HAProxy: its service file, which Fuel's haproxy.cfg includes by itself, and what Debian's HAProxy
// needs to read such files. It must never edit haproxy.cfg.

import { controllersOf } from '../environment/model.js';
import type { Environment } from '../environment/model.js';
import type { Context, Plan, Questions, Step } from './model.js';
import { planned, refused } from './model.js';
import { fileSteps, serviceSteps } from './parts.js';

const SERVICE_FILE = '/etc/haproxy/conf.d/201-meshsan-gateway.cfg';
const DEFAULTS_FILE = '/etc/default/haproxy';
export const HAPROXY_CONF = '/etc/haproxy/haproxy.cfg';
const UNIT = 'haproxy.service';
const CONF_D = '/etc/haproxy/conf.d';
const EXTRA = `-f ${CONF_D}`;

/**
 * Every gateway takes requests: tokens hold for all of them. A dead one is left within two checks, a refused connection
 * goes to another at once. `transparent`: it may listen on a virtual address that another controller holds.
 */
export function serviceText(environment: Environment): string {
  const { managementVip, publicVip, settings } = environment;
  const port = settings.gatewayPort;
  const vips = [...new Set([publicVip, managementVip].filter((vip) => vip !== null))];
  return [
    'listen meshsan-gateway',
    ...vips.map((vip) => `  bind ${vip}:${port} transparent`),
    '  mode tcp',
    '  option tcplog',
    '  balance roundrobin',
    '  option redispatch 1',
    '  retries 3',
    '  timeout connect 5s',
    '  timeout check 3s',
    '  timeout client 180s',
    '  timeout server 180s',
    ...controllersOf(environment).map(
      (node) =>
        `  server ${node.name} ${node.managementAddress}:${port} check inter 2s fastinter 1s downinter 3s rise 2 fall 2`,
    ),
    '',
  ].join('\n');
}

/** Debian's service takes further files from EXTRAOPTS. */
function withConfigurationFolder(text: string): string {
  const lines = text.split('\n');
  const index = lines.findIndex((line) => /^\s*EXTRAOPTS=/.test(line));
  const present =
    index < 0
      ? ''
      : (lines[index] ?? '').replace(/^\s*EXTRAOPTS=/, '').replace(/^["']|["']\s*$/g, '');
  if (present.includes(EXTRA)) return text;
  const line = `EXTRAOPTS="${`${present} ${EXTRA}`.trim()}"`;
  if (index >= 0) return lines.map((old, at) => (at === index ? line : old)).join('\n');
  return `${text.replace(/\n*$/, text === '' ? '' : '\n')}${line}\n`;
}

export const haproxyQuestions: Questions = {
  files: [SERVICE_FILE, DEFAULTS_FILE, HAPROXY_CONF],
  units: [UNIT],
};

export function planHaproxy({ environment, seen }: Context): Plan {
  const main = seen.files.get(HAPROXY_CONF) ?? null;
  if (main === null)
    return refused(
      `HAProxy is not installed here (${HAPROXY_CONF} is missing); it is what spreads requests over the gateways`,
    );
  const service = fileSteps(
    seen,
    'gateways behind HAProxy',
    SERVICE_FILE,
    serviceText(environment),
    0o644,
  );
  // Fuel's HAProxy includes conf.d, runs in a namespace with the virtual addresses, and is pacemaker's.
  if (/^\s*include\s+conf\.d/m.test(main.text))
    return planned([...service, ...(service.length > 0 ? [fuelReload] : [])]);
  const defaults = seen.files.get(DEFAULTS_FILE)?.text ?? '';
  const extended = withConfigurationFolder(defaults);
  const options: Step[] =
    extended === defaults
      ? []
      : [
          {
            kind: 'file',
            about: `HAProxy reads ${CONF_D}`,
            path: DEFAULTS_FILE,
            text: extended,
            mode: 0o644,
            enforceMode: false,
          },
        ];
  const changed = service.length + options.length > 0;
  return planned([...service, ...options, ...serviceSteps(seen, UNIT, changed)]);
}

const fuelReload: Step = {
  kind: 'run',
  about: 'HAProxy reads its files again',
  argv: ['sh', '-c', 'OCF_ROOT=/usr/lib/ocf /usr/lib/ocf/resource.d/fuel/ns_haproxy reload'],
};
