// What every kind of trouble is given to work with, and how it is listed. It must never know a kind.

import type { Prng } from '../core/prng.js';

import type { SimCluster } from './cluster.js';
import type { ServerNode } from './server-node.js';
import type { TroubleKind } from './trouble-kinds.js';

export interface TroubleMaker {
  readonly cluster: SimCluster;
  readonly prng: Prng;
  /** All trouble is over. */
  readonly ended: boolean;
  /** What is undone later and was not yet. */
  readonly open: number;
  /** The only server whose disk may fail or lie, unless the scenario is over the limit. */
  readonly weak: ServerNode;
  /** Any server. */
  readonly server: () => ServerNode;
  /** The server whose disk may be hit now; null: a second fault would be one too many. */
  weakDisk(): ServerNode | null;
  /** Whether every comb has all its copies in sync, as far as the clients know, and everything runs. */
  isRedundant(): boolean;
  /** Undoes something after a drawn time, at the latest when all trouble ends. */
  readonly later: (run: () => void) => void;
  /** As `later`, after a time that is as long as a server has to be away before its data is made anew elsewhere. */
  readonly muchLater: (run: () => void) => void;
  /** For the readable trace. */
  readonly say: (what: string) => void;
  /** A disk broke and that will be noticed soon. */
  brokeDisk(server: ServerNode): void;
  /** Something on a disk is not what it should be, and nobody knows until it is read. */
  spoiledDisk(): void;
}

/** Makes one kind of trouble; false: it cannot happen now. */
export type Strike = (maker: TroubleMaker) => boolean;

/** Some kinds of trouble. */
export type Strikes<K extends TroubleKind> = Readonly<Record<K, Strike>>;
