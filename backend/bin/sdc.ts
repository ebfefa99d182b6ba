// The client process of a host: serves all volumes that are mapped to it, of all its systems, as NBD on unix sockets, until
// it is told to end.

import { mkdirSync } from 'node:fs';
import { VERSION } from '../core/version.js';
import { ControlServer } from '../runtime/control-socket.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { Loop } from '../runtime/loop.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { daemonConfigFile } from './daemon-manuals.js';
import { onStopSignal, runDaemon } from './process-exit.js';
import { readSdcConfig } from './sdc-config.js';
import type { SdcConfig } from './sdc-config.js';
import { SdcControl } from './sdc-control.js';
import { SciniDevice, sciniKind } from './sdc-scini.js';
import type { SciniKind } from './sdc-scini.js';
import { HostSystems } from './sdc-systems.js';

/** How this host gets its /dev/scini; null: not at all. */
function sciniOf({ scini }: SdcConfig): SciniKind | null {
  if (scini === 'none' || process.getuid?.() !== 0) return null;
  return scini === 'auto' ? sciniKind() : scini;
}

function sciniFor(
  config: SdcConfig,
  log: ProcessLog,
  rescan: () => Promise<unknown>,
): SciniDevice | null {
  const kind = sciniOf(config);
  const { deviceDir, guid } = config;
  const loop = new Loop();
  if (kind !== null) return new SciniDevice({ kind, deviceDir, guid, loop, log, rescan });
  if (config.scini !== 'none') log.event('warn', 'sdc.scini-needs-root', {});
  return null;
}

/** @throws what makes the host's configuration unusable; nothing listens any more then */
function systemsFor(config: SdcConfig, log: ProcessLog, server: ControlServer): HostSystems {
  try {
    return new HostSystems(config, log, sciniOf(config) === 'fuse');
  } catch (error) {
    server.close();
    throw error;
  }
}

async function main(): Promise<void> {
  const file = daemonConfigFile('sdc');
  if (file === null) return;
  const config = readSdcConfig(file);
  readSecretFile(config.secretFile);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const log = openLog({
    component: config.name === '' ? 'sdc' : config.name,
    level: config.logLevel,
  });
  // The control socket first: it proves that no other client process serves the same folders.
  let control: SdcControl | null = null;
  const server = await ControlServer.listen(config.controlSocket, async (request) => {
    if (control === null) throw new Error('the control socket answers before its owner exists');
    return control.answer(request);
  });
  const systems = systemsFor(config, log, server);
  const answers = new SdcControl(config, systems);
  control = answers;
  systems.start();
  const scini = sciniFor(config, log, () => answers.rescan());
  void scini?.start();
  log.event('info', 'sdc.started', { pid: process.pid, version: VERSION, guid: config.guid });

  const stop = async (): Promise<void> => {
    server.close();
    await scini?.stop();
    systems.stop();
    await systems.endIdleHolders();
    log.event('info', 'sdc.stopped', {});
    await log.close();
    process.exit(0);
  };
  onStopSignal(() => void stop());
}

runDaemon('sdc', main);
