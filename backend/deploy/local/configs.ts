// The configuration file of each process of a local cluster (keys: backend/docs/configuration.md), and the wrappers in
// DIR/bin. Written anew at every start, so that they follow the directory and the release. It must never start anything.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writePrivate } from '../../runtime/durable-files.js';
import { hashPassword } from '../../runtime/passwords.js';
import { ADMIN_NAME, gatewayAddress, mdmAddress, sdcAddress, sdsAddress } from './layout.js';
import type { Layout, Paths } from './layout.js';
import type { StartOptions } from './options.js';
import { shellWord } from './shell-words.js';

const MDM_PORT = 6611;
const SDS_PORT = 7072;
const SDS_DATA_PORT_FIRST = 7073;
const BIN = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin');

/** The bridge is a program beside the backend, known by its place only. */
const BRIDGE = join('..', '..', 'cinder-bridge', 'bin', 'cinder-bridge.js');

export type ProcessRole = 'mdm' | 'sds' | 'sds-data' | 'sdc' | 'gateway' | 'cinder-bridge';

/** A process that the supervisor keeps running. */
export interface ProcessPlan {
  readonly name: string;
  readonly role: ProcessRole;
  readonly program: string;
  readonly configFile: string;
  readonly address: string;
  readonly port: number;
  readonly stateDir: string;
}

/** The processes of a cluster in the order in which they start. */
export function planOf(paths: Paths, layout: Layout, cinderBridge: boolean): ProcessPlan[] {
  const plan = (
    name: string,
    role: ProcessRole,
    program: string,
    address: string,
    port: number,
  ) => ({
    name,
    role,
    program: join(BIN, program),
    configFile: join(paths.config, `${name}.json`),
    address,
    port,
    stateDir: join(paths.dir, name),
  });
  return [
    plan('mdm', 'mdm', 'mdm.js', mdmAddress(layout), MDM_PORT),
    ...Array.from({ length: layout.sdsCount }, (_, i) =>
      plan(`sds${i + 1}`, 'sds', 'sds.js', sdsAddress(layout, i), SDS_PORT),
    ),
    plan('sdc', 'sdc', 'sdc.js', sdcAddress(layout), 0),
    plan('gateway', 'gateway', 'gateway.js', gatewayAddress(layout), layout.gatewayPort),
    ...(cinderBridge ? [plan('cinder-bridge', 'cinder-bridge', BRIDGE, '', 0)] : []),
  ];
}

export const mdmTarget = (layout: Layout): { host: string; port: number } => ({
  host: mdmAddress(layout),
  port: MDM_PORT,
});

/** What the client process makes on this host. */
type ClientWishes = Pick<StartOptions, 'attach' | 'scini'>;

/** Writes every configuration file and the wrappers in DIR/bin. */
export async function writeConfigs(
  paths: Paths,
  layout: Layout,
  plans: readonly ProcessPlan[],
  client: ClientWishes,
): Promise<void> {
  for (const plan of plans) {
    if (plan.role === 'cinder-bridge') {
      writePrivate(plan.configFile, JSON.stringify(bridgeConfig(paths, layout), null, 2));
      continue;
    }
    mkdirSync(plan.stateDir, { recursive: true, mode: 0o700 });
    const config = {
      ...common(paths, layout, plan),
      ...(await further(paths, layout, plan, client)),
    };
    writePrivate(plan.configFile, JSON.stringify(config, null, 2));
  }
  writeTools(paths, layout);
}

function common(paths: Paths, layout: Layout, plan: ProcessPlan): Record<string, unknown> {
  return {
    name: plan.name,
    ...(plan.role === 'gateway' ? {} : { addresses: [{ host: plan.address, role: 'all' }] }),
    ...(plan.role === 'mdm' ? {} : { mdm: [mdmTarget(layout)] }),
    secretFile: paths.secret,
    stateDir: plan.stateDir,
  };
}

async function further(
  paths: Paths,
  layout: Layout,
  plan: ProcessPlan,
  client: ClientWishes,
): Promise<Record<string, unknown>> {
  switch (plan.role) {
    case 'mdm':
      return {
        port: plan.port,
        systemName: 'local',
        initialAdmin: await initialAdmin(paths, plan),
      };
    case 'sds':
      return { port: plan.port, dataPortFirst: SDS_DATA_PORT_FIRST, deviceSearch: [plan.stateDir] };
    case 'sdc':
      return {
        guid: layout.sdcGuid,
        nbdDir: paths.nbd,
        controlSocket: paths.sdcControl,
        attach: client.attach ? 'all' : 'none',
        scini: client.scini ? 'auto' : 'none',
      };
    case 'gateway':
      return {
        listen: [{ host: plan.address, port: plan.port }],
        names: ['localhost'],
        caFile: paths.caFile,
      };
    case 'sds-data':
    case 'cinder-bridge':
      return {};
  }
}

/** Every host is this machine, which has one client. */
function bridgeConfig(paths: Paths, layout: Layout): Record<string, unknown> {
  if (!existsSync(paths.bridgeToken))
    writePrivate(paths.bridgeToken, `${randomBytes(32).toString('hex')}\n`);
  return {
    name: 'cinder-bridge',
    gateways: [`https://${gatewayAddress(layout)}:${layout.gatewayPort}`],
    caFile: paths.caFile,
    username: ADMIN_NAME,
    passwordFile: paths.password,
    tokenFile: paths.bridgeToken,
    listen: { socket: paths.bridgeSocket },
    defaultSdcGuid: layout.sdcGuid,
  };
}

/** The hash is made once: the file is read at the MDM's first start only, but should not change under its feet. */
async function initialAdmin(paths: Paths, plan: ProcessPlan): Promise<unknown> {
  if (existsSync(plan.configFile)) {
    const before = JSON.parse(readFileSync(plan.configFile, 'utf8')) as { initialAdmin?: unknown };
    if (before.initialAdmin !== undefined) return before.initialAdmin;
  }
  const { salt, hash } = await hashPassword(readFileSync(paths.password, 'utf8').trim());
  return {
    name: ADMIN_NAME,
    saltHex: Buffer.from(salt).toString('hex'),
    hashHex: Buffer.from(hash).toString('hex'),
  };
}

function writeTools(paths: Paths, layout: Layout): void {
  const scliConfig = join(paths.config, 'scli.json');
  const drvConfig = join(paths.config, 'drv_cfg.json');
  writePrivate(
    scliConfig,
    JSON.stringify({
      name: 'scli',
      mdm: [mdmTarget(layout)],
      secretFile: paths.secret,
      stateDir: join(paths.dir, 'scli'),
    }),
  );
  writePrivate(
    drvConfig,
    JSON.stringify({
      name: 'drv_cfg',
      mdm: [mdmTarget(layout)],
      guid: layout.sdcGuid,
      controlSocket: paths.sdcControl,
    }),
  );
  writeWrapper(join(paths.bin, 'scli'), 'scli.js', 'MESHSAN_SCLI_CONFIG', scliConfig);
  writeWrapper(join(paths.bin, 'drv_cfg'), 'drv-cfg.js', 'MESHSAN_DRV_CFG_CONFIG', drvConfig);
}

function writeWrapper(path: string, program: string, variable: string, config: string): void {
  const script = `#!/bin/sh\n${variable}=${shellWord(config)} exec ${shellWord(process.execPath)} ${shellWord(join(BIN, program))} "$@"\n`;
  writePrivate(path, script, 0o700);
}
