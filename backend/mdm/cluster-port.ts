// The door between the machine and whoever reaches other MDMs and the store's members for it.

import type { Micros, Token } from '../core/ports.js';
import type { Mdm } from '../protocol/generated/types.js';
import type { Observation, Step } from './cluster-plan.js';

/** What the shell does for the cluster; completions are inputs of the machine, with the token. */
export interface ClusterPort {
  /** Of the store that this machine's content is in; empty: a store of its own. */
  readonly token: string;
  /** Asks all these nodes, and the store for its members. Completion: `observed`. */
  observe(token: Token, nodes: readonly Mdm[]): void;
  /** Completion: `performed`. A move that succeeds ends this machine instead. */
  perform(token: Token, step: Step, term: number): void;
}

export interface ClusterInputs {
  observed(nowUs: Micros, token: Token, observation: Observation): void;
  /** `failure` null: done. */
  performed(nowUs: Micros, token: Token, failure: string | null): void;
}
