// The control process of a storage server: registers with the MDM and keeps a data process for each device. It must never
// open a device itself: a slow disk must not stop it from answering.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { guidFromBytes, normalizeGuid, parseId } from '../core/ids.js';
import { VERSION } from '../core/version.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import { ConfigError } from '../runtime/config-file.js';
import { foundDevices } from '../runtime/device-scan.js';
import { writePrivate } from '../runtime/durable-files.js';
import { handshakeRules } from '../runtime/links/authentication.js';
import { TcpLinks } from '../runtime/links/tcp-links.js';
import { openLog } from '../runtime/log-sink.js';
import { Loop } from '../runtime/loop.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { CONTROL_DEFAULTS, SdsControl } from '../sds/control.js';
import type { OwnerRecord } from '../sds/control.js';
import { daemonConfigFile } from './daemon-manuals.js';
import { onStopSignal, runDaemon } from './process-exit.js';
import { readSdsConfig } from './sds-config.js';
import { ChildProcesses } from './sds-processes.js';

const NO_IDENTITY = { key: 0, incarnation: 0, run: 0, systemId: '' } as const;
const STOP_POLL_MS = 50;

/** The identity of this server, made at its first start and on disk before anybody hears of it. */
function ownGuid(stateDir: string): string {
  const file = join(stateDir, 'guid');
  if (existsSync(file)) {
    const guid = normalizeGuid(readFileSync(file, 'utf8').trim());
    if (guid === null) throw new ConfigError(`${file} must hold 8-4-4-4-12 hex digits`);
    return guid;
  }
  const guid = guidFromBytes(randomBytes(16));
  writePrivate(file, `${guid}\n`);
  return guid;
}

/** The system that has taken this server in, on disk before anything of it is done. */
class OwnerFile implements OwnerRecord {
  readonly #path: string;
  #systemId: string;

  /** @throws ConfigError when the file holds something else */
  constructor(path: string) {
    this.#path = path;
    this.#systemId = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
    if (this.#systemId !== '' && parseId(this.#systemId) === null)
      throw new ConfigError(`${path} must hold 16 hex digits, or nothing`);
  }

  get systemId(): string {
    return this.#systemId;
  }

  change(systemId: string): void {
    writePrivate(this.#path, `${systemId}\n`);
    this.#systemId = systemId;
  }
}

async function main(): Promise<void> {
  const file = daemonConfigFile('sds');
  if (file === null) return;
  const config = readSdsConfig(file);
  const { stateDir, addresses, port, dataPortFirst, mdm, name, logLevel, options } = config;
  const secret = readSecretFile(config.secretFile);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const log = openLog({ component: name === '' ? 'sds' : name, level: logLevel });
  const loop = new Loop();
  const rules = handshakeRules('sds', ['admin', 'mdm'], secret);
  const links = new TcpLinks({ loop, rules, identity: NO_IDENTITY, log, ...options });
  const processes = new ChildProcesses(config, loop, log);
  const control = new SdsControl(
    {
      ...{ links, log, processes, owner: new OwnerFile(join(stateDir, 'system')) },
      foundDevices: () => foundDevices(config.deviceSearch),
    },
    { guid: ownGuid(stateDir), addresses, port, version: VERSION },
    {
      mdm: { ...MDM_CLIENT_DEFAULTS, addresses: mdm, seed: process.pid },
      dataPortFirst,
      ...CONTROL_DEFAULTS,
    },
  );
  processes.attach(control);
  links.attach(control);
  loop.attach(control);
  // The port is this server's mark: a second control process on the same address ends here.
  for (const { host } of addresses) await links.listen(host, port);
  loop.begin();
  control.start(loop.nowUs);
  loop.end();
  log.event('info', 'sds.started', { pid: process.pid, version: VERSION });

  const stop = (): void => {
    loop.begin();
    control.stop(loop.nowUs);
    loop.end();
    const poll = setInterval(() => {
      if (!control.isStopped) return;
      clearInterval(poll);
      processes.close();
      links.stop();
      loop.stop();
      void log.close().then(() => process.exit(0));
    }, STOP_POLL_MS);
  };
  onStopSignal(stop);
}

runDaemon('sds', main);
