// The table of what instances need beyond block storage: placement, neutron, Nova, and on each compute host a libvirt and
// a nova-compute of its own.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { computeHosts, isKept, type ComputeHost } from './hosts.js';
import { REPOSITORY } from './meshsan.js';
import { pythonPathOf } from './python.js';
import { connects, uwsgi, type Service } from './service.js';
import type { CloudState } from './state.js';

const etc = (state: CloudState, ...words: string[]): string => path.join(state.etc, ...words);

const SDC = path.join(REPOSITORY, 'dist', 'backend', 'bin', 'sdc.js');

const NOVA: readonly Service[] = [
  {
    name: 'placement-api',
    stage: 'cloud',
    user: 'root',
    graceSeconds: 10,
    command: (state) => uwsgi(state.address, state.ports.placement, '/usr/bin/placement-api'),
    env: (state) => ({ OS_PLACEMENT_CONFIG_DIR: etc(state, 'placement') }),
    ports: (state) => [state.ports.placement],
    answers: (state) => connects(state.address, state.ports.placement),
  },
  {
    name: 'neutron-server',
    stage: 'cloud',
    user: 'root',
    graceSeconds: 10,
    command: (state) => [
      'neutron-server',
      ...['--config-file', etc(state, 'neutron', 'neutron.conf')],
      ...['--config-file', etc(state, 'neutron', 'ml2.ini')],
    ],
    ports: (state) => [state.ports.neutron],
    answers: (state) => connects(state.address, state.ports.neutron),
  },
  ...(['nova-conductor', 'nova-api', 'nova-scheduler'] as const).map((name): Service => ({
    name,
    // The scheduler looks for the compute hosts of its cell when it starts.
    stage: name === 'nova-scheduler' ? 'compute' : 'cloud',
    user: 'root',
    graceSeconds: 10,
    command: (state) => [name, '--config-file', etc(state, 'nova', 'nova.conf')],
    ...(name === 'nova-api'
      ? {
          ports: (state: CloudState) => [state.ports.nova],
          answers: (state: CloudState) => connects(state.address, state.ports.nova),
        }
      : {}),
  })),
];

/** The certificate authority of MeshSAN's gateway, as the services find it. */
export const caFileOf = (state: CloudState): string => etc(state, 'meshsan-ca.pem');

export const computeServiceName = (host: string): string => `nova-compute@${host}`;

function servicesOfHost(host: ComputeHost): readonly Service[] {
  const { enter, name, own } = host;
  const libvirt = (daemon: string, socket: string, graceSeconds: number): Service => ({
    name: `${daemon}@${name}`,
    stage: 'cloud',
    user: 'root',
    graceSeconds,
    command: () => [enter, daemon, '--pid-file', `/run/libvirt/${daemon}.pid`],
    answers: () => Promise.resolve(existsSync(path.join(path.dirname(host.libvirtSocket), socket))),
  });
  const sdc: Service[] =
    own === null
      ? []
      : [
          {
            name: `sdc@${name}`,
            stage: 'cloud',
            user: 'root',
            graceSeconds: 10,
            command: () => [enter, process.execPath, SDC, '--config', own.sdcConfig],
            answers: () => Promise.resolve(existsSync(own.sdcSocket)),
          },
        ];
  return [
    {
      name: `keeper@${name}`,
      stage: 'ground',
      user: 'root',
      graceSeconds: 5,
      command: () => [host.keep],
      answers: () => Promise.resolve(isKept(host)),
    },
    ...sdc,
    libvirt('virtlogd', 'virtlogd-sock', 5),
    libvirt('libvirtd', path.basename(host.libvirtSocket), 10),
    {
      name: computeServiceName(name),
      stage: 'compute',
      user: 'root',
      graceSeconds: 20,
      command: (state) => [
        host.enterDevices,
        ...['nova-compute', '--config-file', etc(state, 'nova', 'nova.conf')],
        ...['--config-file', host.novaConfig, '--config-file', host.hooksConfig],
      ],
      // os-brick talks to the gateway and knows no file of its certificate.
      env: (state) => ({
        REQUESTS_CA_BUNDLE: caFileOf(state),
        PYTHONPATH: pythonPathOf(state),
      }),
    },
  ];
}

/** All rows of a cloud. */
export function computeServices(state: CloudState): readonly Service[] {
  return [...NOVA, ...computeHosts(state).flatMap(servicesOfHost)];
}
