// What a command handler works with. It must never send anything: it changes the state, or refuses, and says what its
// answer has to wait for.

import type { Micros } from '../../core/ports.js';
import type { CommandName } from '../../protocol/control.js';
import type {
  CombMember,
  CommandParams,
  CommandResults,
  User,
} from '../../protocol/generated/types.js';
import type { NodeReport } from '../cluster-plan.js';
import type { MdmOptions } from '../options.js';
import type { State } from '../state.js';

/** An SDS process that may be taken in. */
export interface WaitingSds {
  readonly guid: string;
  readonly port: number;
  /** System that it belongs to, as it remembers; may be empty. */
  readonly systemId: string;
}

/** What was seen of components, as far as commands judge by it. */
export interface Seen {
  /** A registered SDS process that no SDS object claims, by an address of its own; port 0: any. */
  waitingSds(host: string, port: number): WaitingSds | null;
  sdsConnected(sdsKey: number): boolean;
  /** Whether a device is alive in the life that an entry names. */
  isGood(member: CombMember): boolean;
  sdcConnected(sdcKey: number): boolean;
  /** Data that thin volumes of a pool hold, one copy counted. */
  poolThinUsedBytes(poolKey: number): number;
  /** Data in one layer of a pool, one copy counted. */
  layerUsedBytes(poolKey: number, layerKey: number): number;
  /** Components that do not speak a protocol version, or of which that is not known, in words; empty: none. */
  componentsBelow(nowUs: Micros, version: number): string;
  /** What an MDM said of itself lately, or why nothing is known. */
  mdm(nowUs: Micros, key: number): NodeReport | string;
}

/** What the answer of a command has to wait for, beside its commit. */
export type Wait =
  /** Every device of the pool has applied the commit, or cannot act on anything older any more (C13). */
  | { readonly kind: 'drain'; readonly poolKey: number; readonly sdcKey: number }
  /** As `drain`, for the last commit that changed a volume of the pool: the command itself changed nothing. */
  | { readonly kind: 'changed'; readonly poolKey: number }
  /** The devices are formatted and up, or all of the addition is taken back. */
  | { readonly kind: 'devices'; readonly sdsKey: number; readonly deviceKeys: readonly number[] }
  /** Every device certified the cut, or it is given up. */
  | { readonly kind: 'cut'; readonly cutKey: number }
  /** Nothing: once it is answered, another MDM is to be the master. */
  | { readonly kind: 'handOver'; readonly heir: string };

export interface CommandContext {
  readonly nowUs: Micros;
  readonly wallMs: number;
  /** By the secure clock. */
  readonly secureNowMs: number;
  /** Until when something is secure that shall be so for as many minutes. */
  readonly secureUntilMs: (minutes: number) => number;
  /** Sequence of the commit that the command takes part in. */
  readonly sequence: number;
  readonly state: State;
  readonly options: MdmOptions;
  readonly actor: User;
  readonly seen: Seen;
  /** Adds a condition to the answer. */
  readonly waitFor: (wait: Wait) => void;
  /** Combs of the pool shall be placed anew, as far as that is allowed, within this commit. */
  readonly replace: (poolKey: number) => void;
  /** What the node that the command names said of itself just now, or why it did not. */
  readonly probed: NodeReport | string;
  /** What the comparison of the metadata found; null: the command does not compare. */
  readonly checked: CommandResults['CHECK_METADATA'] | null;
  /** A part of a backup. @throws Refusal BACKUP_GONE */
  readonly backup: (sequence: number, from: number) => CommandResults['BACKUP_METADATA'];
  /** That node has this key. */
  readonly noteProbed: (key: number) => void;
  /** Of the store that the content is in; empty: this MDM's own. */
  readonly storeToken: string;
}

export type Handler<N extends CommandName> = (
  context: CommandContext,
  params: CommandParams[N],
) => CommandResults[N];

/** Handlers of some commands. */
export type Handlers<N extends CommandName> = { readonly [K in N]: Handler<K> };

export const NOTHING = {} as const;
