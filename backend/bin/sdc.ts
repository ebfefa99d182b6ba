// The client process of a host: serves all volumes that are mapped to it as NBD on unix sockets, until it is told to end.

import { mkdirSync } from 'node:fs';
import { formatId, parseId } from '../core/ids.js';
import { VERSION } from '../core/version.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import { ControlServer } from '../runtime/control-socket.js';
import { handshakeRules } from '../runtime/links/authentication.js';
import { TcpLinks } from '../runtime/links/tcp-links.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { Loop } from '../runtime/loop.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { CLIENT_DEFAULTS } from '../sdc/options.js';
import { Sdc } from '../sdc/sdc.js';
import { daemonConfigFile } from './daemon-manuals.js';
import { onStopSignal, runDaemon } from './process-exit.js';
import { Attachments } from './sdc-attachments.js';
import { readSdcConfig } from './sdc-config.js';
import type { SdcConfig } from './sdc-config.js';
import { SdcControl } from './sdc-control.js';
import type { SdcFacts } from './sdc-control.js';
import { NbdExports } from './sdc-exports.js';
import { SciniDevice, sciniKind } from './sdc-scini.js';
import type { SciniKind } from './sdc-scini.js';

const NO_IDENTITY = { key: 0, incarnation: 0, run: 0, systemId: '' } as const;

interface Client {
  readonly facts: SdcFacts;
  readonly attachments: Attachments;
  readonly loop: Loop;
  start(): void;
  stop(): void;
}

/** What the MDM said of this client. */
interface Own {
  systemId: string;
  idPrefix: number;
  sdcKey: number;
  approved: boolean;
}

/** How this host gets its /dev/scini; null: not at all. */
function sciniOf({ scini }: SdcConfig): SciniKind | null {
  if (scini === 'none' || process.getuid?.() !== 0) return null;
  return scini === 'auto' ? sciniKind() : scini;
}

const idOf = (own: Own, key: number): string => formatId(own.idPrefix, key);

/** Machine and links of one client. */
function buildMachine(
  config: SdcConfig,
  secret: Uint8Array,
  log: ProcessLog,
  loop: Loop,
  own: Own,
  exports: NbdExports,
): { readonly sdc: Sdc; readonly links: TcpLinks } {
  const { options, addresses, name, guid, mdm } = config;
  const zeroGuid = sciniOf(config) === 'fuse';
  const rules = handshakeRules('sdc', [], secret);
  const links = new TcpLinks({ loop, rules, identity: NO_IDENTITY, log, ...options });
  const sdc = new Sdc(
    {
      links,
      log,
      front: exports.front,
      registered: (sdcKey, _run, systemId, approved) => {
        // Volumes are told of only after this, so their ids are never made of an unknown prefix.
        const idPrefix = parseId(systemId)?.idPrefix ?? 0;
        Object.assign(own, { sdcKey, systemId, approved, idPrefix });
      },
    },
    { guid, name, addresses, version: VERSION, zeroGuid },
    {
      ...CLIENT_DEFAULTS,
      ioTimeoutUs: options.ioTimeoutSeconds === 0 ? Infinity : options.ioTimeoutSeconds * 1e6,
      mdm: { ...MDM_CLIENT_DEFAULTS, addresses: mdm, seed: process.pid },
    },
  );
  exports.front.attach(sdc);
  links.attach(sdc);
  loop.attach(sdc);
  return { sdc, links };
}

function factsOf(config: SdcConfig, own: Own, sdc: Sdc, exports: NbdExports): SdcFacts {
  const { guid, mdm } = config;
  return {
    describe: () => ({
      guid,
      sdcId: own.sdcKey === 0 ? '' : idOf(own, own.sdcKey),
      systemId: own.systemId,
      approved: own.approved,
      connected: sdc.isConnected,
      version: VERSION,
      mdm,
    }),
    isCurrent: () => sdc.isConnected && sdc.hasMap,
    volumes: () =>
      [...exports.volumes()].map((volume) => ({
        id: idOf(own, volume.key),
        name: volume.name,
        sizeBytes: volume.sizeBytes,
        readOnly: volume.readOnly,
        socket: exports.socketOf(volume.key),
      })),
  };
}

/** Everything of one client, and how its parts hear of each other. */
function buildClient(config: SdcConfig, secret: Uint8Array, log: ProcessLog): Client {
  const { nbdDir, stateDir, deviceDir, attach } = config;
  const loop = new Loop();
  const own: Own = { systemId: '', idPrefix: 0, sdcKey: 0, approved: false };
  const exports = new NbdExports({
    nbdDir,
    loop,
    log,
    idOf: (key) => idOf(own, key),
    changed: (key, volume) => {
      if (volume === null) attachments.unmapped(idOf(own, key));
      attachments.changed();
    },
    isReady: () => attach !== 'all' || !attachments.isBusy,
  });
  const { sdc, links } = buildMachine(config, secret, log, loop, own, exports);
  const facts = factsOf(config, own, sdc, exports);
  const attachments = new Attachments({
    stateDir,
    deviceDir,
    mode: attach,
    method: config.options.attachMethod,
    log,
    systemId: () => own.systemId,
    mapped: () => facts.volumes(),
    isCurrent: () => facts.isCurrent(),
    settled: () => {
      loop.begin();
      sdc.frontReady(loop.nowUs);
      loop.end();
    },
  });
  return {
    facts,
    attachments,
    loop,
    start: () => {
      attachments.changed();
      loop.begin();
      sdc.start(loop.nowUs);
      loop.end();
    },
    stop: () => {
      attachments.stop();
      exports.close();
      links.stop();
      loop.stop();
    },
  };
}

function sciniFor(
  config: SdcConfig,
  loop: Loop,
  log: ProcessLog,
  rescan: () => Promise<unknown>,
): SciniDevice | null {
  const kind = sciniOf(config);
  const { deviceDir, guid } = config;
  if (kind !== null) return new SciniDevice({ kind, deviceDir, guid, loop, log, rescan });
  if (config.scini !== 'none') log.event('warn', 'sdc.scini-needs-root', {});
  return null;
}

async function main(): Promise<void> {
  const file = daemonConfigFile('sdc');
  if (file === null) return;
  const config = readSdcConfig(file);
  const secret = readSecretFile(config.secretFile);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const log = openLog({
    component: config.name === '' ? 'sdc' : config.name,
    level: config.logLevel,
  });
  // The control socket first: it proves that no other client process serves the same folder.
  let control: SdcControl | null = null;
  const server = await ControlServer.listen(config.controlSocket, async (request) => {
    if (control === null) throw new Error('the control socket answers before its owner exists');
    return control.answer(request);
  });
  const client = buildClient(config, secret, log);
  const answers = new SdcControl(client.facts, client.attachments);
  control = answers;
  client.start();
  const scini = sciniFor(config, client.loop, log, () => answers.answer({ op: 'rescan' }));
  void scini?.start();
  log.event('info', 'sdc.started', { pid: process.pid, version: VERSION, guid: config.guid });

  const stop = async (): Promise<void> => {
    server.close();
    await scini?.stop();
    client.stop();
    await client.attachments.endIdleHolder();
    log.event('info', 'sdc.stopped', {});
    await log.close();
    process.exit(0);
  };
  onStopSignal(() => void stop());
}

runDaemon('sdc', main);
