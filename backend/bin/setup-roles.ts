// The roles that meshsan-setup configures: which flags each takes, what its file says where nobody said otherwise, and by
// which schema it is checked. It must never start or stop a service.

import { randomUUID } from 'node:crypto';

import { checkBridgeConfig } from '../runtime/bridge-config.js';

import { checkDrvCfgConfig } from './drv-cfg-config.js';
import { checkGatewayConfig } from './gateway-config.js';
import { checkMdmConfig } from './mdm-config.js';
import { checkScliConfig } from './scli-config.js';
import { checkSdcConfig } from './sdc-config.js';
import { checkLiaConfig } from './lia-config.js';
import { checkSdsConfig } from './sds-config.js';
import { checkSentinelConfig } from './sentinel-config.js';
import { addressFrom, agentListenFrom, listenFrom, mdmFrom } from './setup-flags.js';
import type { Json } from './setup-flags.js';

/** A flag that sets a key. */
interface Flag {
  readonly key: string;
  readonly about: string;
  /** Several make a list. */
  readonly list?: (text: string) => unknown;
}

export interface Role {
  /** What it is, in a few words. */
  readonly about: string;
  /** File below the configuration directory without which it cannot run, or null. */
  readonly secret: 'secret' | 'lia-token' | null;
  /** Name of its file, less ".json". */
  readonly file: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** Flags without a value, and what they are about. */
  readonly switches?: Readonly<Record<string, string>>;
  /** Keys without which a new file makes no sense, by their flags. */
  readonly needs: readonly string[];
  /** What a new file says of everything else. */
  readonly fresh: () => Json;
  readonly check: (source: string, value: unknown) => unknown;
}

const NAME: Flag = { key: 'name', about: 'name of this component' };
const ADDRESS: Flag = {
  key: 'addresses',
  about: 'own address, HOST or HOST=ROLE (all, sdsOnly, sdcOnly, management); may be repeated',
  list: addressFrom,
};
const MDM: Flag = {
  key: 'mdm',
  about: 'address of an MDM, HOST or HOST:PORT; may be repeated',
  list: mdmFrom,
};
const asText = (text: string): string => text;

const service = (role: string): Json => ({
  secretFile: `/run/meshsan-${role}/secret`,
  stateDir: `/var/lib/meshsan/${role}`,
});
const byRoot = (role: string): Json => ({
  secretFile: '/etc/meshsan/secret',
  stateDir: `/var/lib/meshsan/${role}`,
});
export const BRIDGE_TOKEN = '/etc/meshsan/cinder-bridge-token';
export const SDC_CONTROL_SOCKET = '/run/meshsan-sdc/control.sock';

export const ROLES = {
  mdm: {
    about: 'metadata manager',
    secret: 'secret',
    file: 'mdm',
    flags: {
      name: NAME,
      address: ADDRESS,
      'system-name': { key: 'systemName', about: 'name of the system, at its first start' },
    },
    switches: { standby: 'makes no system: it waits to be taken in by an MDM that has one' },
    needs: ['address'],
    fresh: () => service('mdm'),
    check: checkMdmConfig,
  },
  sds: {
    about: 'storage server',
    secret: 'secret',
    file: 'sds',
    flags: {
      name: NAME,
      address: ADDRESS,
      mdm: MDM,
      'device-search': {
        key: 'deviceSearch',
        about: 'file or folder that is searched for devices, beside /dev; may be repeated',
        list: asText,
      },
    },
    needs: ['address', 'mdm'],
    fresh: () => ({ ...service('sds'), deviceSearch: ['/var/lib/meshsan/sds'] }),
    check: checkSdsConfig,
  },
  sdc: {
    about: 'client of this host; drv_cfg.json too',
    secret: 'secret',
    file: 'sdc',
    flags: {
      name: NAME,
      address: ADDRESS,
      mdm: MDM,
      guid: { key: 'guid', about: 'identity of this host; made if there is none' },
      attach: { key: 'attach', about: 'which mapped volumes become block devices: none or all' },
      scini: { key: 'scini', about: '/dev/scini for the original: none, auto, cuse or fuse' },
    },
    needs: ['address', 'mdm'],
    fresh: () => ({
      ...byRoot('sdc'),
      guid: randomUUID().toUpperCase(),
      nbdDir: '/run/meshsan-sdc/nbd',
      controlSocket: SDC_CONTROL_SOCKET,
    }),
    check: checkSdcConfig,
  },
  gateway: {
    about: 'REST gateway',
    secret: 'secret',
    file: 'gateway',
    flags: {
      name: NAME,
      mdm: MDM,
      listen: {
        key: 'listen',
        about: 'where it serves, IP:PORT; may be repeated',
        list: listenFrom,
      },
      'dns-name': {
        key: 'names',
        about: 'further name or address for its certificate; may be repeated',
        list: asText,
      },
    },
    needs: ['listen', 'mdm'],
    fresh: () => ({ ...service('gateway'), caFile: '/run/meshsan-gateway/ca.pem' }),
    check: checkGatewayConfig,
  },
  sentinel: {
    about:
      "small steady user of each pool; MDMs and guid are the client's where nothing else is said",
    secret: 'secret',
    file: 'sentinel',
    flags: {
      name: NAME,
      mdm: MDM,
      guid: { key: 'guid', about: 'identity of the client of this host' },
      username: { key: 'username', about: 'user of the system in whose name it makes volumes' },
      pool: {
        key: 'pools',
        about: 'name of a pool that it watches, all where none is named; may be repeated',
        list: asText,
      },
    },
    needs: [],
    fresh: () => ({ secretFile: '/etc/meshsan/secret', nbdDir: '/run/meshsan-sdc/nbd' }),
    check: checkSentinelConfig,
  },
  scli: {
    about: 'command line of administrators',
    secret: 'secret',
    file: 'scli',
    flags: { mdm: MDM },
    needs: ['mdm'],
    fresh: () => byRoot('scli'),
    check: checkScliConfig,
  },
  lia: {
    about: 'agent of this node',
    secret: 'lia-token',
    file: 'lia',
    flags: {
      name: NAME,
      listen: {
        key: 'listen',
        about: 'where it answers, IP or IP:PORT; may be repeated',
        list: agentListenFrom,
      },
      signer: {
        key: 'signerFile',
        about: 'public key of who vouches for package files; lia-signer.pem where that is there',
      },
    },
    needs: ['listen'],
    fresh: () => ({ tokenFile: '/etc/meshsan/lia-token', stateDir: '/var/lib/meshsan/lia' }),
    check: checkLiaConfig,
  },
  'cinder-bridge': {
    about: 'service beside cinder-volume; its token is made if there is none',
    secret: null,
    file: 'cinder-bridge',
    flags: {
      name: NAME,
      gateway: {
        key: 'gateways',
        about: 'https://HOST:PORT of a gateway, the preferred one first; may be repeated',
        list: asText,
      },
      username: { key: 'username', about: 'account of the system that Cinder uses' },
      'password-file': { key: 'passwordFile', about: 'file with its password' },
      'ca-file': { key: 'caFile', about: "certificate of the gateways' authority" },
      'default-guid': { key: 'defaultSdcGuid', about: 'client of hosts that nobody names' },
    },
    needs: ['gateway', 'username'],
    fresh: () => ({
      name: 'cinder-bridge',
      caFile: '/etc/meshsan/ca.pem',
      passwordFile: '/etc/meshsan/cinder-bridge-password',
      tokenFile: BRIDGE_TOKEN,
      listen: { socket: '/run/meshsan-cinder-bridge/bridge.sock' },
    }),
    check: checkBridgeConfig,
  },
} as const satisfies Readonly<Record<string, Role>>;

export type RoleName = keyof typeof ROLES;

export function isRoleName(name: string): name is RoleName {
  return Object.hasOwn(ROLES, name);
}

/** The configuration of drv_cfg that belongs to a client's. */
export function drvCfgOf(sdc: Json): Json {
  const { mdm, guid, controlSocket } = sdc;
  const config = { name: 'drv_cfg', mdm, guid, controlSocket };
  checkDrvCfgConfig('drv_cfg.json', config);
  return config;
}
