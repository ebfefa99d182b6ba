// Where a backup of the metadata is restored: what is on this node, whether anybody uses it, and how something else takes its
// place. What was there always stays beside. It must never start anything, and never touch what is in use.

import {
  chownSync,
  existsSync,
  linkSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { formerReason, isAtWork } from '../mdm/former-mdms.js';
import type { Mdm } from '../protocol/generated/types.js';
import { isInUse, leftRecord } from '../protocol/node-state.js';
import { makePrivateDirectory, syncDirectory } from '../runtime/durable-files.js';
import { openLog } from '../runtime/log-sink.js';
import { NodeCaller, reasonOf } from '../runtime/mdm-node/caller.js';
import { putMembersAside } from '../runtime/mdm-node/member.js';
import { readRecord, writeRecord } from '../runtime/mdm-node/record.js';
import { LmdbStore } from '../runtime/metadata-store.js';

import type { MdmConfig } from './mdm-config.js';

const CONNECT_MS = 2000;
const DATABASE = 'metadata.mdb';
const RECORD = 'cluster.json';

/** Nothing is done; the text says why. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused';
}

/** Whether somebody listens at an address. */
function isTaken(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS });
    const answer = (taken: boolean) => (): void => {
      socket.destroy();
      resolve(taken);
    };
    socket
      .once('connect', answer(true))
      .once('error', answer(false))
      .once('timeout', answer(false));
  });
}

/** Files of the service stay the service's. */
function giveAway(path: string, like: string): void {
  const { uid, gid } = statSync(like);
  chownSync(path, uid, gid);
  if (statSync(path).isDirectory())
    for (const name of readdirSync(path)) chownSync(join(path, name), uid, gid);
}

/** A name beside a path that nothing has. */
function freeName(path: string, what: string): string {
  for (let count = 1; ; count++) {
    const name = `${path}.before-${what}-${count}`;
    if (!existsSync(name)) return name;
  }
}

export class RestorePlace {
  private readonly config: MdmConfig;
  private readonly secret: Uint8Array;

  constructor(config: MdmConfig, secret: Uint8Array) {
    this.config = config;
    this.secret = secret;
  }

  /** @throws RestoreRefused when an MDM runs on this node */
  async checkStopped(): Promise<void> {
    const { port, addresses } = this.config;
    for (const { host } of addresses)
      if (await isTaken(host, port))
        throw new RestoreRefused(
          `an MDM runs here (${host}:${port}); stop it first: systemctl stop meshsan-mdm`,
        );
  }

  /** @throws RestoreRefused when something is here that a restore would replace */
  async checkEmpty(): Promise<void> {
    const { part, token } = readRecord(this.config.stateDir);
    if (part !== 'none')
      throw new RestoreRefused(
        `this MDM takes part in the MDM cluster ${token}; with --force it is restored as the only MDM, and the others must forget that cluster (meshsan-mdm-restore --forget)`,
      );
    const sequence = await this.sequenceInUse();
    if (sequence > 0)
      throw new RestoreRefused(
        `${this.directory} holds metadata (commit ${sequence}); with --force it is kept beside and replaced`,
      );
  }

  /**
   * Looks at the other MDMs that a backup knows.
   *
   * @returns those that did not say what they are, with the reason
   * @throws RestoreRefused when one of them is at work
   */
  async checkOthers(others: readonly Mdm[]): Promise<string[]> {
    const caller = new NodeCaller(this.secret, { event: () => undefined });
    try {
      const seen = await Promise.all(
        others.map(async (mdm) => {
          try {
            return { mdm, report: await caller.report(mdm) };
          } catch (error) {
            return { mdm, report: reasonOf(error) };
          }
        }),
      );
      const working = seen.filter(({ report }) => isAtWork(report));
      if (working.length > 0)
        throw new RestoreRefused(working.map(({ mdm }) => formerReason(mdm)).join('; '));
      return seen.flatMap(({ mdm, report }) =>
        typeof report === 'string' ? [`${mdm.name} (${mdm.host}:${mdm.port}): ${report}`] : [],
      );
    } finally {
      caller.close();
    }
  }

  /** An empty store beside that of the MDM. */
  openFresh(): Promise<LmdbStore> {
    rmSync(this.fresh, { recursive: true, force: true });
    return this.open(this.fresh);
  }

  /** The fresh store takes the place of all that is here. @returns where that is kept */
  async take(): Promise<string[]> {
    const { directory, fresh } = this;
    const { stateDir } = this.config;
    const kept = await this.leaveCluster(0);
    makePrivateDirectory(directory);
    const present = join(directory, DATABASE);
    if (existsSync(present)) {
      const name = freeName(present, 'restore');
      linkSync(present, name);
      kept.push(name);
    }
    renameSync(join(fresh, DATABASE), present);
    for (const name of readdirSync(directory))
      if (name.startsWith(`${DATABASE}-lock`)) rmSync(join(directory, name));
    syncDirectory(directory);
    rmSync(fresh, { recursive: true, force: true });
    giveAway(directory, stateDir);
    return kept;
  }

  /**
   * The MDM of this node has nothing to do with any system any more.
   *
   * @param force - although its own store is in use
   * @returns where what was here is kept
   * @throws RestoreRefused
   */
  async forget(force: boolean): Promise<string[]> {
    const { directory } = this;
    const sequence = await this.sequenceInUse();
    if (sequence > 0 && !force)
      throw new RestoreRefused(
        `${directory} holds metadata (commit ${sequence}) that this MDM uses alone; with --force it is kept beside`,
      );
    // What is forgotten was known once: otherwise the configuration would begin another system.
    const kept = await this.leaveCluster(1);
    if (!existsSync(directory)) return kept;
    const name = freeName(directory, 'forget');
    renameSync(directory, name);
    syncDirectory(this.config.stateDir);
    return [...kept, name];
  }

  private get directory(): string {
    return join(this.config.stateDir, 'store');
  }

  private get fresh(): string {
    return join(this.config.stateDir, 'store.restoring');
  }

  private open(directory: string): Promise<LmdbStore> {
    const log = openLog({ component: this.config.name, level: 'error' });
    return LmdbStore.open(directory, this.secret, log);
  }

  /** Last commit in the store of this node, 0: there is none, or what it held went elsewhere. */
  private async sequenceInUse(): Promise<number> {
    if (!existsSync(join(this.directory, DATABASE))) return 0;
    const store = await this.open(this.directory);
    const { sequence } = store.content;
    const mark = store.mark();
    await store.close();
    return isInUse(mark) || mark?.state === 'restored' ? sequence : 0;
  }

  /** A process that starts before this is done refuses to; a member is there, or the record does not name it any more. */
  private async leaveCluster(term: number): Promise<string[]> {
    const { stateDir, name, cluster } = this.config;
    const record = readRecord(stateDir);
    if (record.part === 'none' && record.term >= term) return [];
    const log = openLog({ component: name, level: 'error' });
    const { program } = cluster;
    const kept = await putMembersAside({ stateDir, program, secret: this.secret, log });
    writeRecord(stateDir, leftRecord(record, term));
    giveAway(join(stateDir, RECORD), stateDir);
    return kept;
  }
}
