// What the operator does with backups of the metadata: takes one now and then, and restores it when he believes the metadata to
// be lost. It owns the backup and what it must still agree with; only who waits for what is known from the MDM's answers.

import type { Micros } from '../core/ports.js';
import type { MdmContent } from '../mdm/options.js';
import { renewed } from '../mdm/renewal.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { CommandResults } from '../protocol/generated/types.js';

import type { Admin } from './admin.js';
import type { ServerNode } from './server-node.js';

const LOOK_US = 400_000;

type StoredPair = CommandResults['BACKUP_METADATA']['pairs'][number];

/** The operator, as far as this work needs him. */
interface Operator {
  readonly admin: Admin;
  readonly servers: readonly ServerNode[];
  /** Nothing that an older backup would not know is under way; what it must agree with, in words; null: not now. */
  facts(): string | null;
  /** Runs something after a while. */
  soon(inUs: number, run: (nowUs: number) => void): void;
  /** Pause before a command is asked again whose outcome is this status. */
  pauseUs(status: number): number;
  /** MDMs that run in a cluster which is no more forget it. */
  forgetFormer(): void;
  /** Restored metadata is in use. */
  restored(): void;
  /** A number below `below`, drawn for this scenario. */
  draw(below: number): number;
}

interface Backup {
  readonly content: MdmContent;
  readonly facts: string;
}

const DRAWS = 2 ** 32;
/** The clock of the operator: a day of 2026, and how long restoring takes. */
const CLOCK_MS = 1_785_000_000_000;
const RESTORE_MS = 60_000;

export class BackupWork {
  private readonly operator: Operator;
  private changes = 0;
  private kept: Backup | null = null;
  private clockMs = CLOCK_MS;

  constructor(operator: Operator) {
    this.operator = operator;
  }

  /** A backup is being taken, or the devices are waited for. */
  get isChanging(): boolean {
    return this.changes > 0;
  }

  /**
   * Takes a backup, which takes the place of an older one; false: something is under way.
   */
  take(): boolean {
    const { operator } = this;
    const facts = operator.facts();
    if (this.changes > 0 || facts === null) return false;
    this.changes += 1;
    operator.soon(0, (nowUs) => {
      this.part(nowUs, facts, 0, []);
    });
    return true;
  }

  private part(nowUs: Micros, facts: string, from: number, pairs: StoredPair[]): void {
    const { operator } = this;
    const sequence = from === 0 ? 0 : this.sequence;
    operator.admin.ask(nowUs, 'BACKUP_METADATA', { sequence, from }, (status, result) => {
      if (status !== 0 || result === null) {
        this.changes -= 1;
        return;
      }
      this.sequence = result.sequence;
      pairs.push(...result.pairs);
      if (pairs.length < result.total && result.pairs.length > 0) {
        operator.soon(1, (atUs) => {
          this.part(atUs, facts, pairs.length, pairs);
        });
        return;
      }
      this.changes -= 1;
      const { term } = result;
      // What others did meanwhile may be in it or not.
      if (operator.facts() !== facts) return;
      this.kept = { content: { term, sequence: result.sequence, entries: pairs }, facts };
    });
  }

  private sequence = 0;

  /**
   * The backup as the beginning of another life, on the MDM of an address. Whoever asks has it restored, and then lets the operator `follow`.
   *
   * @returns null: there is none, or it would not know what was made since
   */
  toRestore(address: string): MdmContent | null {
    const { operator, kept } = this;
    if (this.changes > 0 || kept === null) return null;
    if (operator.facts() !== kept.facts) return null;
    // It takes the operator longer than a second.
    this.clockMs += RESTORE_MS;
    const draw = (): number => operator.draw(DRAWS) / DRAWS;
    return renewed(kept.content, this.clockMs, draw, ({ host }) => host === address).content;
  }

  /** Waits until the restored metadata is in use, and gives up devices that will not come back. */
  follow(): void {
    this.changes += 1;
    this.look();
  }

  private look(): void {
    const { operator } = this;
    operator.soon(LOOK_US, (nowUs) => {
      operator.admin.ask(nowUs, 'CHECK_METADATA', {}, (status, result) => {
        if (status !== 0 || result === null) {
          operator.soon(operator.pauseUs(status), () => {
            this.look();
          });
          return;
        }
        if (!result.restoring) {
          this.changes -= 1;
          operator.restored();
          return;
        }
        if (result.findings.some(({ deviceKey }) => deviceKey === 0)) operator.forgetFormer();
        this.giveUp(result.findings.map(({ deviceKey }) => deviceKey));
      });
    });
  }

  private giveUp(awaited: readonly number[]): void {
    const { operator } = this;
    const lost = awaited.filter((deviceKey) =>
      operator.servers.some((server) => server.failed && server.deviceKey === deviceKey),
    );
    if (lost.length === 0) {
      this.look();
      return;
    }
    const deviceKeys = lost.slice(0, LIMIT.queryItemsMax);
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'CONFIRM_RESTORE', { deviceKeys }, () => {
        this.look();
      });
    });
  }
}
