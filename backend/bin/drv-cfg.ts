// drv_cfg of a host: reads its configuration and asks the client process over its control socket.

import { resolve } from 'node:path';

import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';

import { DrvCfgRefusal, EXIT, runDrvCfg } from '../cli/drv-cfg.js';
import type { ClientChange, ClientStatus } from '../cli/drv-cfg.js';
import { quietWhenUnread } from '../cli/terminal.js';
import { ConfigError } from '../runtime/config-file.js';
import { askControl } from '../runtime/control-socket.js';
import { mdmListFrom } from '../runtime/drv-cfg-file.js';

import { readDrvCfgConfig } from './drv-cfg-config.js';
import type { DrvCfgConfig } from './drv-cfg-config.js';

const CONFIG_FILE = '/etc/meshsan/drv_cfg.json';
/** The client takes block devices away before it leaves a system. */
const CHANGE_MS = 120_000;

interface Mdm {
  readonly host: string;
}

interface StatusReply {
  readonly guid: string;
  readonly sdcId: string;
  readonly systemId: string;
  readonly version: string;
  readonly mdm: readonly Mdm[];
  /** Absent: of a client that uses one system. */
  readonly systems?: readonly {
    readonly systemId: string;
    readonly sdcId: string;
    readonly mdm: readonly Mdm[];
    readonly fault: string;
  }[];
  readonly volumes: readonly { readonly id: string; readonly systemId?: string }[];
}

const TEXT = { type: 'string' } as const;
const MDMS = {
  type: 'array',
  items: { type: 'object', properties: { host: TEXT }, required: ['host'] },
} as const;

const STATUS_SCHEMA = {
  type: 'object',
  properties: {
    guid: TEXT,
    sdcId: TEXT,
    systemId: TEXT,
    version: TEXT,
    mdm: MDMS,
    systems: {
      type: 'array',
      items: {
        type: 'object',
        properties: { systemId: TEXT, sdcId: TEXT, mdm: MDMS, fault: TEXT },
        required: ['systemId', 'sdcId', 'mdm', 'fault'],
      },
    },
    volumes: {
      type: 'array',
      items: { type: 'object', properties: { id: TEXT, systemId: TEXT }, required: ['id'] },
    },
  },
  required: ['guid', 'sdcId', 'systemId', 'version', 'mdm', 'volumes'],
} as unknown as JSONSchemaType<StatusReply>;

const isStatus = new Ajv().compile(STATUS_SCHEMA);

async function ask(socket: string, op: 'status' | 'rescan'): Promise<ClientStatus> {
  const reply = await askControl(socket, { op });
  if (!reply.ok) throw new Error(String(reply['error']));
  const status: unknown = reply;
  if (!isStatus(status)) throw new Error(`the answer at ${socket} makes no sense`);
  const { guid, version, systemId, sdcId, mdm } = status;
  const systems = status.systems ?? [{ systemId, sdcId, mdm, fault: '' }];
  return {
    guid,
    version,
    systems: systems.map((system) => ({
      ...{ systemId: system.systemId, sdcId: system.sdcId, fault: system.fault },
      mdmHosts: system.mdm.map(({ host }) => host),
    })),
    volumes: status.volumes.map((volume) => ({
      id: volume.id,
      systemId: volume.systemId ?? systemId,
    })),
  };
}

/** What the client process is asked for. @throws DrvCfgRefusal for addresses that are none */
function requestOf(change: ClientChange): Readonly<Record<string, unknown>> {
  try {
    const mdm = mdmListFrom('ip', change.mdm);
    if (change.op === 'add')
      return {
        ...{ op: 'addMdm', mdm },
        ...(change.secretFile === null ? {} : { secretFile: resolve(change.secretFile) }),
      };
    if (change.op === 'modify')
      return { op: 'modMdm', mdm, newMdm: mdmListFrom('new_mdm_ip', change.newMdm) };
    return { op: 'rmvMdm', mdm, force: change.force };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new DrvCfgRefusal(error.message);
  }
}

async function changeSystems(
  socket: string,
  change: ClientChange,
  file: string | null,
): Promise<void> {
  const request = { ...requestOf(change), ...(file === null ? {} : { file: resolve(file) }) };
  const reply = await askControl(socket, request, CHANGE_MS);
  if (!reply.ok) throw new DrvCfgRefusal(String(reply['error']));
}

const readConfig = (): DrvCfgConfig =>
  readDrvCfgConfig(process.env['MESHSAN_DRV_CFG_CONFIG'] ?? CONFIG_FILE);

quietWhenUnread();
runDrvCfg(process.argv.slice(2), {
  guid: () => readConfig().guid,
  ask: (op) => ask(readConfig().controlSocket, op),
  change: (change, file) => changeSystems(readConfig().controlSocket, change, file),
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
