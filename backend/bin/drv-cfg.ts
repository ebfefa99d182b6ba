// drv_cfg of a host: reads its configuration and asks the client process over its control socket.

import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';

import { EXIT, runDrvCfg } from '../cli/drv-cfg.js';
import type { ClientStatus } from '../cli/drv-cfg.js';
import { quietWhenUnread } from '../cli/terminal.js';
import { ConfigError } from '../runtime/config-file.js';
import { askControl } from '../runtime/control-socket.js';

import { readDrvCfgConfig } from './drv-cfg-config.js';
import type { DrvCfgConfig } from './drv-cfg-config.js';

const CONFIG_FILE = '/etc/meshsan/drv_cfg.json';

interface StatusReply {
  readonly guid: string;
  readonly sdcId: string;
  readonly systemId: string;
  readonly version: string;
  readonly mdm: readonly { readonly host: string }[];
  readonly volumes: readonly { readonly id: string }[];
}

const TEXT = { type: 'string' } as const;

const STATUS_SCHEMA: JSONSchemaType<StatusReply> = {
  type: 'object',
  properties: {
    guid: TEXT,
    sdcId: TEXT,
    systemId: TEXT,
    version: TEXT,
    mdm: {
      type: 'array',
      items: { type: 'object', properties: { host: TEXT }, required: ['host'] },
    },
    volumes: {
      type: 'array',
      items: { type: 'object', properties: { id: TEXT }, required: ['id'] },
    },
  },
  required: ['guid', 'sdcId', 'systemId', 'version', 'mdm', 'volumes'],
};

const isStatus = new Ajv().compile(STATUS_SCHEMA);

async function ask(socket: string, op: 'status' | 'rescan'): Promise<ClientStatus> {
  const reply = await askControl(socket, { op });
  if (!reply.ok) throw new Error(String(reply['error']));
  const status: unknown = reply;
  if (!isStatus(status)) throw new Error(`the answer at ${socket} makes no sense`);
  return {
    ...status,
    mdmHosts: status.mdm.map(({ host }) => host),
    volumeIds: status.volumes.map(({ id }) => id),
  };
}

const readConfig = (): DrvCfgConfig =>
  readDrvCfgConfig(process.env['MESHSAN_DRV_CFG_CONFIG'] ?? CONFIG_FILE);

quietWhenUnread();
runDrvCfg(process.argv.slice(2), {
  guid: () => readConfig().guid,
  ask: (op) => ask(readConfig().controlSocket, op),
  out(line) {
    process.stdout.write(`${line}\n`);
  },
  err(line) {
    process.stderr.write(`${line}\n`);
  },
}).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`Error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof ConfigError ? EXIT.configuration : EXIT.unreachable;
  },
);
