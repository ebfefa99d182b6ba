// Owns the contract between the runner and the systems that it measures.
import type { ProcessRef } from './accounting.js';
import type { Engine } from './fio.js';
import type { Job } from './jobs.js';

/** Names of the targets that others are compared with. */
export const PLAIN_FLOOR = 'nbdkit';
export const FLUSHED_FLOOR = 'nbdkit-fua';
export const CEPH = 'ceph';

/** How long an acknowledged write lasts; it decides which floor is the fair one. */
export type Acknowledgement = 'flushed' | 'handed-to-device' | 'cached';

/** What a result says about a target, so that nobody has to guess what was measured. */
export interface TargetDescription {
  readonly name: string;
  readonly version: string;
  readonly copies: number;
  readonly acknowledgement: Acknowledgement;
  /** In words: where a write is when it is acknowledged. */
  readonly durable: string;
  /** In words: where reads come from. */
  readonly cached: string;
}

/** One thing that fio can measure. */
export interface Target {
  readonly description: TargetDescription;
  readonly engine: Engine;
  takes(job: Job): boolean;
  /** Brings the system into the state that this target means; called before each of its runs. */
  prepare(): Promise<void>;
  /** The processes whose CPU time counts, as they are now. */
  processes(): Promise<readonly ProcessRef[]>;
}

/** A started system with one or more targets on the same data. */
export interface System {
  readonly targets: readonly Target[];
  /** Resident MiB of each process before the first I/O, by process name. */
  readonly idleResidentMib: Readonly<Record<string, number>>;
  /** Ends every process and removes every file that the harness made for it. */
  stop(): Promise<void>;
}

/** What every system is started with. */
export interface SystemSettings {
  readonly sizeBytes: number;
  /** An existing directory of this run. */
  readonly workDir: string;
  readonly signal: AbortSignal;
  /** Prints one line of progress. */
  readonly say: (line: string) => void;
}
