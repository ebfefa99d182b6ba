// drv_cfg.txt: the systems of this host, in the form of the original's file, which scripts read and write. It owns that form
// and the rules by which the file and sdc.json are made one list; it must never start anything, nor read a secret.
//
//   ini_guid 0B5E7C1A-...            the host
//   mdm 10.0.0.1,10.0.0.2            one line per system, with nothing behind it: scripts look for just that
//   secret_file /etc/meshsan/b       and more about the system of the line above, in lines of our own

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { isAbsolute } from 'node:path';

import { ConfigError, nearest } from './config-file.js';
import { writePrivate } from './durable-files.js';
import { endpointFrom } from './endpoint-text.js';

export interface MdmEndpoint {
  readonly host: string;
  readonly port: number;
}

/** One system that this host uses. */
export interface SystemEntry {
  /** Names the folders of its sockets and of its state; 0: those that sdc.json names. Never changes. */
  readonly slot: number;
  readonly mdm: readonly MdmEndpoint[];
  /** Its secret; null: that of sdc.json. */
  readonly secretFile: string | null;
  /** What its MDM said last; empty: it has not been heard of. */
  readonly systemId: string;
  /** It is the system of sdc.json, which said so of its MDMs; null: it was added. */
  readonly fromConfig: readonly MdmEndpoint[] | null;
}

/** A system as the file has it. */
type WrittenEntry = Omit<SystemEntry, 'slot'> & { readonly slot: number | null };

export interface DrvCfgFile {
  readonly guid: string | null;
  /** What sdc.json says of its system, which was removed here. */
  readonly removed: readonly MdmEndpoint[] | null;
  readonly systems: readonly WrittenEntry[];
}

export interface HostSystemsList {
  readonly removed: readonly MdmEndpoint[] | null;
  readonly systems: readonly SystemEntry[];
}

const MDM_PORT = 6611;
export const SYSTEMS_MAX = 16;
export const MDMS_MAX = 64;
const FILE_CHARS_MAX = 65_536;
const SYSTEM_ID = /^[0-9a-f]{16}$/;
const HEAD =
  '# The systems of this host. Written by the MeshSAN client when drv_cfg changes them; it reads this file when it starts.';

/** HOST, or with a port other than that of MDMs HOST:PORT or [HOST]:PORT. */
export function endpointText({ host, port }: MdmEndpoint): string {
  if (port === MDM_PORT) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const listText = (list: readonly MdmEndpoint[]): string => list.map(endpointText).join(',');

export const sameEndpoint = (one: MdmEndpoint, other: MdmEndpoint): boolean =>
  one.host === other.host && one.port === other.port;

export function sameList(one: readonly MdmEndpoint[], other: readonly MdmEndpoint[]): boolean {
  return listText(one) === listText(other);
}

const overlap = (one: readonly MdmEndpoint[], other: readonly MdmEndpoint[]): boolean =>
  one.some((mdm) => other.some((known) => sameEndpoint(mdm, known)));

/**
 * MDMs of one system, with commas between them, the preferred one first.
 * @param flag - what to call the list in a message
 * @throws ConfigError with what would be right
 */
export function mdmListFrom(flag: string, text: string): MdmEndpoint[] {
  const list = text.split(',').map((part) => endpointFrom(flag, part.trim(), MDM_PORT));
  if (list.length > MDMS_MAX)
    throw new ConfigError(`--${flag} names ${list.length} MDMs, at most ${MDMS_MAX} are allowed`);
  list.forEach((mdm, at) => {
    if (list.slice(0, at).some((other) => sameEndpoint(mdm, other)))
      throw new ConfigError(`--${flag} names ${endpointText(mdm)} twice`);
  });
  return list;
}

const WORDS = [
  'ini_guid',
  'mdm',
  'secret_file',
  'system_id',
  'slot',
  'sdc_json',
  'removed',
] as const;
type Word = (typeof WORDS)[number];
interface Draft {
  guid: string | null;
  removed: readonly MdmEndpoint[] | null;
  systems: WrittenEntry[];
}

function takeWord(draft: Draft, word: Word, value: string): void {
  switch (word) {
    case 'ini_guid':
      draft.guid = value.toUpperCase();
      return;
    case 'removed':
      draft.removed = mdmListFrom('removed', value);
      return;
    case 'mdm':
      draft.systems.push({
        ...{ slot: null, secretFile: null, systemId: '', fromConfig: null },
        mdm: mdmListFrom('mdm', value),
      });
      return;
    default: {
      const last = draft.systems.pop();
      if (last === undefined) throw new ConfigError(`${word} must stand below an mdm line`);
      draft.systems.push({ ...last, ...systemFact(word, value) });
    }
  }
}

function systemFact(word: Word, value: string): Partial<WrittenEntry> {
  if (word === 'sdc_json') return { fromConfig: mdmListFrom('sdc_json', value) };
  if (word === 'secret_file') {
    if (!isAbsolute(value)) throw new ConfigError('secret_file must be an absolute path');
    return { secretFile: value };
  }
  if (word === 'system_id') {
    if (!SYSTEM_ID.test(value)) throw new ConfigError('system_id must be 16 hex digits');
    return { systemId: value };
  }
  const slot = Number(value);
  if (!Number.isInteger(slot) || slot < 0 || slot >= SYSTEMS_MAX)
    throw new ConfigError(`slot must be 0 to ${SYSTEMS_MAX - 1}`);
  return { slot };
}

/** @throws ConfigError with the file, the line and what would be right */
export function parseDrvCfg(source: string, text: string): DrvCfgFile {
  const draft: Draft = { guid: null, removed: null, systems: [] };
  if (text.length > FILE_CHARS_MAX)
    throw new ConfigError(`${source} has more than ${FILE_CHARS_MAX} characters`);
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const [word = '', value = '', ...rest] = line.split(/\s+/);
    const at = `${source}, line ${index + 1}`;
    const known = WORDS.find((name) => name === word);
    if (known === undefined) {
      const near = nearest(word, WORDS);
      const hint = near === null ? `there are ${WORDS.join(', ')}` : `did you mean "${near}"?`;
      throw new ConfigError(`${at}: unknown word "${word}"; ${hint}`);
    }
    if (value === '' || rest.length > 0) throw new ConfigError(`${at}: ${word} takes one value`);
    try {
      takeWord(draft, known, value);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(`${at}: ${error.message.replace(/^--/, '')}`);
    }
  });
  return draft;
}

/** As `parseDrvCfg`; a file that is not there names no system. @throws ConfigError */
export function readDrvCfg(path: string): DrvCfgFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { guid: null, removed: null, systems: [] };
    throw new ConfigError(`${path} cannot be read: ${(error as Error).message}`);
  }
  return parseDrvCfg(path, text);
}

/** The text of a file that says the same when it is read. */
export function printDrvCfg(guid: string, { removed, systems }: HostSystemsList): string {
  const lines = [HEAD, `ini_guid ${guid}`];
  if (removed !== null) lines.push(`removed ${listText(removed)}`);
  for (const { mdm, slot, secretFile, systemId, fromConfig } of systems) {
    lines.push(`mdm ${listText(mdm)}`, `slot ${slot}`);
    if (systemId !== '') lines.push(`system_id ${systemId}`);
    if (secretFile !== null) lines.push(`secret_file ${secretFile}`);
    if (fromConfig !== null) lines.push(`sdc_json ${listText(fromConfig)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Writes the file, whole or not at all. @throws Error of the system */
export function writeDrvCfg(path: string, guid: string, list: HostSystemsList): void {
  writePrivate(realPath(path), printDrvCfg(guid, list), 0o644);
}

/** Where a file is, or would be made: the original's path may be a link to ours. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** Whether two paths name one file. */
export function isSameFile(one: string, other: string): boolean {
  return one === other || realPath(one) === realPath(other);
}

/**
 * The systems of this host: those of the file, with the one of sdc.json first.
 *
 * The file remembers what sdc.json said. As long as that is so, drv_cfg's later word about that system counts; when
 * sdc.json says something new, that counts.
 *
 * @param own - the MDMs that sdc.json names; empty: none
 * @throws ConfigError when the two contradict each other
 */
export function systemsOf(
  source: string,
  { guid, removed, systems }: DrvCfgFile,
  host: { readonly guid: string; readonly mdm: readonly MdmEndpoint[] },
): HostSystemsList {
  if (guid !== null && guid !== host.guid)
    throw new ConfigError(
      `${source} is the file of another host: ini_guid is ${guid}, sdc.json has ${host.guid}; make them equal, or remove the line`,
    );
  const staysRemoved = removed !== null && sameList(removed, host.mdm);
  const all = staysRemoved || host.mdm.length === 0 ? [...systems] : withOwn(systems, host.mdm);
  checkList(source, all);
  return { removed: staysRemoved ? removed : null, systems: withSlots(all) };
}

function withOwn(systems: readonly WrittenEntry[], own: readonly MdmEndpoint[]): WrittenEntry[] {
  const known =
    systems.find(({ fromConfig }) => fromConfig !== null) ??
    systems.find(({ mdm }) => overlap(mdm, own));
  const others = systems.filter((entry) => entry !== known);
  if (known === undefined) {
    const fresh = { slot: null, mdm: own, secretFile: null, systemId: '', fromConfig: own };
    return [fresh, ...others];
  }
  const isNews = known.fromConfig !== null && !sameList(known.fromConfig, own);
  return [{ ...known, mdm: isNews ? own : known.mdm, fromConfig: own }, ...others];
}

function checkList(source: string, systems: readonly WrittenEntry[]): void {
  if (systems.length > SYSTEMS_MAX)
    throw new ConfigError(
      `${source} names ${systems.length} systems, a host has at most ${SYSTEMS_MAX}`,
    );
  systems.forEach((entry, at) => {
    for (const other of systems.slice(0, at)) {
      const both = entry.mdm.find((mdm) => other.mdm.some((known) => sameEndpoint(mdm, known)));
      if (both !== undefined)
        throw new ConfigError(`${source}: ${endpointText(both)} stands in two systems`);
      if (entry.slot !== null && entry.slot === other.slot)
        throw new ConfigError(
          `${source}: slot ${entry.slot} stands twice; remove one of the lines`,
        );
    }
  });
}

/** The lowest slot that none of these systems has. */
export function freeSlot(systems: readonly { readonly slot: number | null }[]): number {
  let slot = 0;
  while (systems.some((entry) => entry.slot === slot)) slot++;
  return slot;
}

function withSlots(systems: readonly WrittenEntry[]): SystemEntry[] {
  const placed: SystemEntry[] = [];
  for (const entry of systems) {
    const slot = entry.slot ?? freeSlot([...systems, ...placed]);
    placed.push({ ...entry, slot });
  }
  return placed;
}
