// The systems of this host: which there are, and what drv_cfg changes of them. It owns drv_cfg.txt, written before a change
// counts, and that no two of its systems are the same one; what a system does is its own.

import { mkdirSync } from 'node:fs';
import type { Log } from '../core/ports.js';
import { ConfigError } from '../runtime/config-file.js';
import { ControlRefusal } from '../runtime/control-socket.js';
import {
  SYSTEMS_MAX,
  endpointText,
  freeSlot,
  readDrvCfg,
  sameEndpoint,
  sameList,
  systemsOf,
  writeDrvCfg,
} from '../runtime/drv-cfg-file.js';
import type { HostSystemsList, MdmEndpoint, SystemEntry } from '../runtime/drv-cfg-file.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { socketPathFault } from './sdc-config.js';
import type { SdcConfig } from './sdc-config.js';
import { SdcSystem, foldersOf } from './sdc-system.js';
import type { SystemHost } from './sdc-system.js';

/** A system of the list, whether it can be used or not. */
interface Listed {
  entry: SystemEntry;
  /** Null: it cannot be used. */
  system: SdcSystem | null;
  /** Why not, or empty. */
  fault: string;
}

/** A system as status shows it. */
export interface SystemFacts {
  readonly systemId: string;
  readonly sdcId: string;
  readonly approved: boolean;
  readonly connected: boolean;
  readonly mdm: readonly MdmEndpoint[];
  /** Why it cannot be used, or empty. */
  readonly fault: string;
}

export class HostSystems {
  readonly #config: SdcConfig;
  readonly #log: Log;
  readonly #host: SystemHost;
  readonly #all: Listed[] = [];
  #removed: HostSystemsList['removed'];

  /**
   * Reads which systems there are, and makes what serves them.
   * @param zeroGuid - /dev/scini of this host cannot carry the GUID
   * @throws ConfigError, PrivateFileError: nothing of this host can be used
   */
  constructor(config: SdcConfig, log: Log, zeroGuid: boolean) {
    this.#config = config;
    this.#log = log;
    const isOther = (system: SdcSystem, systemId: string): boolean =>
      this.#all.some((row) => row.system !== system && idOf(row) === systemId);
    const registered = (system: SdcSystem): void => {
      this.#registered(system);
    };
    this.#host = { config, log, zeroGuid, registered, isOther };
    const { drvCfgFile, guid, mdm } = config;
    const list = systemsOf(drvCfgFile, readDrvCfg(drvCfgFile), { guid, mdm });
    this.#removed = list.removed;
    for (const entry of list.systems) this.#all.push(this.#listed(entry, true));
  }

  /** Those that can be used, the first one first. */
  get usable(): readonly SdcSystem[] {
    return this.#all.flatMap(({ system }) => (system === null ? [] : [system]));
  }

  describe(): readonly SystemFacts[] {
    return this.#all.map((row) => ({
      systemId: idOf(row),
      sdcId: row.system?.sdcId ?? '',
      approved: row.system?.approved ?? false,
      connected: row.system?.isConnected ?? false,
      mdm: row.entry.mdm,
      fault: row.fault,
    }));
  }

  start(): void {
    for (const system of this.usable) system.start();
  }

  stop(): void {
    for (const system of this.usable) system.stop();
  }

  async endIdleHolders(): Promise<void> {
    await Promise.all(this.usable.map(({ attachments }) => attachments.endIdleHolder()));
  }

  /**
   * Uses one more system. The same MDMs again are no change.
   * @param secretFile - of that system; null: the host's own
   * @throws ControlRefusal
   */
  add(mdm: readonly MdmEndpoint[], secretFile: string | null): void {
    const same = this.#all.find(({ entry }) => sameList(entry.mdm, mdm));
    if (same?.entry.secretFile === secretFile) return;
    this.#checkFree(mdm, null);
    if (this.#all.length >= SYSTEMS_MAX)
      throw new ControlRefusal(`this host has ${SYSTEMS_MAX} systems, as many as it can have`);
    const slot = freeSlot(this.#all.map(({ entry }) => entry));
    // What was removed and comes again is the system of sdc.json once more.
    const fromConfig = sameList(mdm, this.#config.mdm) && secretFile === null ? mdm : null;
    const row = this.#listed({ slot, mdm, secretFile, systemId: '', fromConfig }, false);
    if (row.system === null) throw new ControlRefusal(row.fault);
    this.#save([...this.#all, row], fromConfig === null ? this.#removed : null);
    row.system.start();
    this.#log.event('info', 'sdc.system-added', { slot, mdm: mdm.map(endpointText).join(',') });
  }

  /**
   * The MDMs of a system are elsewhere from now on; its volumes stay in use.
   * @param old - any of its present MDMs
   * @throws ControlRefusal
   */
  modify(old: readonly MdmEndpoint[], mdm: readonly MdmEndpoint[]): void {
    const row = this.#find(old);
    this.#checkFree(mdm, row);
    if (sameList(row.entry.mdm, mdm)) return;
    const before = row.entry;
    row.entry = { ...before, mdm };
    try {
      this.#save(this.#all, this.#removed);
    } catch (error) {
      row.entry = before;
      throw error;
    }
    row.system?.lookAt(mdm);
    this.#log.event('info', 'sdc.system-moved', {
      slot: before.slot,
      mdm: mdm.map(endpointText).join(','),
    });
  }

  /**
   * Uses a system no more.
   * @param force - also if volumes of it are mapped or in use: their I/O fails
   * @throws ControlRefusal
   */
  async remove(old: readonly MdmEndpoint[], force: boolean): Promise<void> {
    const row = this.#find(old);
    const { system } = row;
    const volumes = system?.volumes() ?? [];
    if (volumes.length > 0 && !force)
      throw new ControlRefusal(
        `${volumes.length} volume(s) of system ${idOf(row)} are mapped to this host: unmap them first`,
      );
    if (system !== null) {
      const { kept } = await system.attachments.release(force);
      const [first] = kept;
      if (first !== undefined) {
        system.attachments.resume();
        throw new ControlRefusal(first);
      }
    }
    const others = this.#all.filter((other) => other !== row);
    this.#save(others, row.entry.fromConfig ?? this.#removed);
    system?.stop();
    system?.removeFolders();
    this.#log.event('info', 'sdc.system-removed', { slot: row.entry.slot, systemId: idOf(row) });
  }

  #find(mdm: readonly MdmEndpoint[]): Listed {
    const found = this.#all.filter(({ entry }) =>
      entry.mdm.some((known) => mdm.some((one) => sameEndpoint(known, one))),
    );
    const [row] = found;
    if (row !== undefined && found.length === 1) return row;
    const words = mdm.map(endpointText).join(', ');
    const known = this.#all.map(({ entry }) => entry.mdm.map(endpointText).join(',')).join('; ');
    throw new ControlRefusal(
      row === undefined
        ? `no system of this host has an MDM at ${words}; there is ${known === '' ? 'none' : known}`
        : `${words} are MDMs of several systems`,
    );
  }

  /** @throws ControlRefusal if another system has one of these MDMs */
  #checkFree(mdm: readonly MdmEndpoint[], self: Listed | null): void {
    for (const row of this.#all) {
      const both = row.entry.mdm.find((known) => mdm.some((one) => sameEndpoint(known, one)));
      if (row !== self && both !== undefined)
        throw new ControlRefusal(
          `${endpointText(both)} is an MDM of a system that this host has already${idOf(row) === '' ? '' : ` (${idOf(row)})`}; drv_cfg --mod_mdm_ip changes its addresses`,
        );
    }
  }

  /**
   * Makes what serves a system; one that cannot be used must not take the others with it.
   * @param isStart - throw what sdc.json itself is wrong about
   */
  #listed(entry: SystemEntry, isStart: boolean): Listed {
    const { nbdDir, stateDir } = foldersOf(this.#config, entry.slot);
    try {
      const fault = socketPathFault({ nbdDir, stateDir });
      if (fault !== null) throw new ConfigError(fault);
      const secret = readSecretFile(entry.secretFile ?? this.#config.secretFile);
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      return { entry, system: new SdcSystem(this.#host, entry, secret), fault: '' };
    } catch (error) {
      const isOwn = entry.fromConfig !== null || entry.secretFile === null;
      if (isStart && isOwn) throw error;
      const { message: fault } = error as Error;
      this.#log.event('error', 'sdc.system-unusable', { slot: entry.slot, reason: fault });
      return { entry, system: null, fault };
    }
  }

  /** Writes the list down; it counts from then on. @throws ControlRefusal */
  #save(all: readonly Listed[], removed: HostSystemsList['removed']): void {
    const { drvCfgFile, guid } = this.#config;
    try {
      writeDrvCfg(drvCfgFile, guid, { removed, systems: all.map(({ entry }) => entry) });
    } catch (error) {
      throw new ControlRefusal(`${drvCfgFile} cannot be written: ${(error as Error).message}`);
    }
    this.#all.splice(0, this.#all.length, ...all);
    this.#removed = removed;
  }

  /** A system said its id: the second one with the same id is not served. */
  #registered(system: SdcSystem): void {
    const row = this.#all.find((other) => other.system === system);
    if (row === undefined) return;
    const { systemId } = system;
    const twin = this.#all.find((other) => other !== row && idOf(other) === systemId);
    if (twin !== undefined && twin.system !== null) {
      this.#giveUp(row, twin);
      return;
    }
    const { entry } = row;
    if (entry.systemId === systemId) return;
    if (entry.systemId !== '')
      this.#log.event('warn', 'sdc.system-replaced', { before: entry.systemId, now: systemId });
    row.entry = { ...entry, systemId };
    try {
      this.#save(this.#all, this.#removed);
    } catch (error) {
      // It is learned again at the next start.
      this.#log.event('warn', 'sdc.systems-not-saved', { reason: (error as Error).message });
    }
  }

  #giveUp(row: Listed, twin: Listed): void {
    const { system } = row;
    row.fault = `it is the same system (${idOf(twin)}) as the one at ${twin.entry.mdm.map(endpointText).join(',')}`;
    row.system = null;
    this.#log.event('error', 'sdc.system-twice', { slot: row.entry.slot, reason: row.fault });
    // Not in the middle of its own registration.
    setImmediate(() => system?.stop());
  }
}

/** What is known of a system's id; empty: nothing. */
function idOf({ system, entry }: Listed): string {
  const said = system?.systemId ?? '';
  return said === '' ? entry.systemId : said;
}
