// One system as this host uses it: machine, links, sockets and block devices of its volumes. Systems of a host share nothing
// but the process: each has its own loop, memory, folders and holder, so that none ever waits for another. It must never
// know of the others.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { formatId, parseId } from '../core/ids.js';
import type { Log } from '../core/ports.js';
import { VERSION } from '../core/version.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import type { MdmEndpoint, SystemEntry } from '../runtime/drv-cfg-file.js';
import { handshakeRules } from '../runtime/links/authentication.js';
import { TcpLinks } from '../runtime/links/tcp-links.js';
import { Loop } from '../runtime/loop.js';
import { CLIENT_DEFAULTS } from '../sdc/options.js';
import { Sdc } from '../sdc/sdc.js';
import { Attachments } from './sdc-attachments.js';
import type { SdcConfig } from './sdc-config.js';
import { NbdExports } from './sdc-exports.js';

const NO_IDENTITY = { key: 0, incarnation: 0, run: 0, systemId: '' } as const;

/** Where the sockets and the state of a system are. The first one has the folders of sdc.json, as it always had. */
export function foldersOf(
  config: Pick<SdcConfig, 'nbdDir' | 'stateDir'>,
  slot: number,
): { readonly nbdDir: string; readonly stateDir: string } {
  const { nbdDir, stateDir } = config;
  if (slot === 0) return { nbdDir, stateDir };
  return {
    nbdDir: join(nbdDir, String(slot)),
    stateDir: join(stateDir, 'systems', String(slot)),
  };
}

/** A volume as status and rescan show it. */
export interface VolumeFacts {
  readonly id: string;
  readonly systemId: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Path of its NBD socket. */
  readonly socket: string;
}

export interface SystemHost {
  readonly config: SdcConfig;
  readonly log: Log;
  /** /dev/scini of this host cannot carry the GUID. */
  readonly zeroGuid: boolean;
  /** The MDM said who it is; called before it tells of any volume. */
  readonly registered: (system: SdcSystem) => void;
  /** Another system of this host has this id. */
  readonly isOther: (system: SdcSystem, systemId: string) => boolean;
}

/** What the MDM said of this client. */
interface Own {
  systemId: string;
  idPrefix: number;
  sdcKey: number;
  approved: boolean;
}

/** Says of which system an event is; those of the first one are as they always were. */
function logOf(log: Log, slot: number): Log {
  if (slot === 0) return log;
  return {
    event: (level, name, fields) => {
      log.event(level, name, { ...fields, slot });
    },
  };
}

export class SdcSystem {
  readonly attachments: Attachments;
  readonly #host: SystemHost;
  readonly #folders: ReturnType<typeof foldersOf>;
  readonly #own: Own = { systemId: '', idPrefix: 0, sdcKey: 0, approved: false };
  readonly #loop = new Loop();
  readonly #exports: NbdExports;
  readonly #sdc: Sdc;
  readonly #links: TcpLinks;
  readonly #entry: SystemEntry;

  /** @param secret - of the system */
  constructor(host: SystemHost, entry: SystemEntry, secret: Uint8Array) {
    this.#host = host;
    this.#entry = entry;
    this.#folders = foldersOf(host.config, entry.slot);
    const log = logOf(host.log, entry.slot);
    this.#exports = this.#newExports(log);
    const { sdc, links } = this.#newMachine(log, secret);
    this.#sdc = sdc;
    this.#links = links;
    this.attachments = this.#newAttachments(log);
  }

  /** Of this system, empty before the first registration. */
  get systemId(): string {
    return this.#own.systemId;
  }

  get sdcId(): string {
    return this.#own.sdcKey === 0 ? '' : this.#idOf(this.#own.sdcKey);
  }

  get approved(): boolean {
    return this.#own.approved;
  }

  /** The MDM knows this client now. */
  get isConnected(): boolean {
    return this.#sdc.isConnected;
  }

  /** The MDM's present word on all mappings has been heard. */
  get isCurrent(): boolean {
    return this.#sdc.isConnected && this.#sdc.hasMap;
  }

  volumes(): readonly VolumeFacts[] {
    return [...this.#exports.volumes()].map((volume) => ({
      id: this.#idOf(volume.key),
      systemId: this.systemId,
      name: volume.name,
      sizeBytes: volume.sizeBytes,
      readOnly: volume.readOnly,
      socket: this.#exports.socketOf(volume.key),
    }));
  }

  start(): void {
    this.attachments.changed();
    this.#loop.begin();
    this.#sdc.start(this.#loop.nowUs);
    this.#loop.end();
  }

  /** Its MDMs are elsewhere from now on. */
  lookAt(mdm: readonly MdmEndpoint[]): void {
    this.#loop.begin();
    this.#sdc.lookAt(this.#loop.nowUs, mdm);
    this.#loop.end();
  }

  /** Its volumes are not served any more; block devices wait in their holder. */
  stop(): void {
    this.attachments.stop();
    this.#exports.close();
    this.#links.stop();
    this.#loop.stop();
  }

  /** After `stop`: leaves no folder behind, except those that sdc.json names. */
  removeFolders(): void {
    if (this.#entry.slot === 0) return;
    this.#exports.removeFolder();
    rmSync(this.#folders.stateDir, { recursive: true, force: true });
  }

  #idOf(key: number): string {
    return formatId(this.#own.idPrefix, key);
  }

  #newExports(log: Log): NbdExports {
    const { attach } = this.#host.config;
    return new NbdExports({
      nbdDir: this.#folders.nbdDir,
      loop: this.#loop,
      log,
      idOf: (key) => this.#idOf(key),
      changed: (key, volume) => {
        if (volume === null) this.attachments.unmapped(this.#idOf(key));
        this.attachments.changed();
      },
      isReady: () => attach !== 'all' || !this.attachments.isBusy,
    });
  }

  #newMachine(log: Log, secret: Uint8Array): { readonly sdc: Sdc; readonly links: TcpLinks } {
    const { config, zeroGuid } = this.#host;
    const { options, addresses, name, guid } = config;
    const { mdm, slot } = this.#entry;
    const loop = this.#loop;
    const rules = handshakeRules('sdc', [], secret);
    const links = new TcpLinks({ loop, rules, identity: NO_IDENTITY, log, ...options });
    const sdc = new Sdc(
      {
        links,
        log,
        front: this.#exports.front,
        registered: (sdcKey, _run, systemId, approved) => {
          // Volumes are told of only after this, so their ids are never made of an unknown prefix.
          const idPrefix = parseId(systemId)?.idPrefix ?? 0;
          Object.assign(this.#own, { sdcKey, systemId, approved, idPrefix });
          this.#host.registered(this);
        },
      },
      { guid, name, addresses, version: VERSION, zeroGuid },
      {
        ...CLIENT_DEFAULTS,
        ioTimeoutUs: options.ioTimeoutSeconds === 0 ? Infinity : options.ioTimeoutSeconds * 1e6,
        mdm: { ...MDM_CLIENT_DEFAULTS, addresses: mdm, seed: process.pid + slot },
      },
    );
    this.#exports.front.attach(sdc);
    links.attach(sdc);
    loop.attach(sdc);
    return { sdc, links };
  }

  #newAttachments(log: Log): Attachments {
    const { config, isOther } = this.#host;
    const { deviceDir, attach, options } = config;
    return new Attachments({
      stateDir: this.#folders.stateDir,
      deviceDir,
      mode: attach,
      method: options.attachMethod,
      log,
      systemId: () => this.systemId,
      mapped: () => this.volumes(),
      isCurrent: () => this.isCurrent,
      isOther: (systemId) => isOther(this, systemId),
      settled: () => {
        this.#loop.begin();
        this.#sdc.frontReady(this.#loop.nowUs);
        this.#loop.end();
      },
    });
  }
}
