// The vocabulary of the command table: options, commands, and what a handler is given. It must never know a command.

import type { MdmCreateBody } from '../protocol/generated/types.js';
import type { ClusterReader } from '../runtime/cluster-reader.js';
import type { Cluster } from '../runtime/cluster.js';

/** One `--option` of a command. */
export interface Option {
  readonly name: string;
  /** Other spellings that scripts use. */
  readonly aliases?: readonly string[];
  /** What stands behind it in the help; absent: the option is a flag without a value. */
  readonly value?: string;
  readonly about: string;
  readonly required?: boolean;
  /** Options of the same group exclude each other; the group is needed when one of its options is `required`. */
  readonly group?: string;
}

export type Values = ReadonlyMap<string, string>;

/** Where results and questions go. */
export interface Terminal {
  out(line: string): void;
  err(line: string): void;
  /** One line that is not shown; null when there is nobody to ask. */
  secret(prompt: string): Promise<string | null>;
  /** Whether the person says yes; true when there is nobody to ask. */
  confirm(question: string): Promise<boolean>;
}

/** The session of an operating system user. */
export interface Session {
  readonly user: string;
  readonly userKey: number;
  readonly systemId: string;
  readonly passwordMark: string;
  readonly startedAtMs: number;
}

/** What a handler works with. */
export interface Run {
  readonly values: Values;
  readonly cluster: Cluster;
  readonly reader: ClusterReader;
  readonly terminal: Terminal;
  /** Name of the user who is logged in; empty for commands without a session. */
  readonly user: string;
  readonly nowMs: number;
  /** Keeps or, with null, forgets the session. */
  keepSession(session: Session | null): void;
}

/** What a handler works with where there is no system yet. */
export interface BareRun {
  readonly values: Values;
  /**
   * Makes a system on the MDM at this address.
   *
   * @throws ClusterError, ConnectError
   */
  readonly create: (host: string, system: MdmCreateBody) => Promise<void>;
}

/** What a command has to say: lines for people and scripts, and the same as data for `--json`. */
export interface Outcome {
  readonly lines: readonly string[];
  readonly data: unknown;
  /** Something was found that a script has to see: exit code 3. */
  readonly isFinding?: boolean;
}

export interface Command {
  readonly name: string;
  readonly topic: string;
  readonly about: string;
  readonly options: readonly Option[];
  /** Works without a session. */
  readonly open?: boolean;
  /** Asked before it is done, unless `--i_am_sure`; for what cannot be undone. */
  readonly sure?: string;
  run(run: Run): Promise<Outcome>;
  /** Instead of `run`: it needs no system. */
  bare?(run: BareRun): Promise<Outcome>;
}

/** Options that every command takes. */
export const GLOBAL_OPTIONS: readonly Option[] = [
  {
    name: 'mdm_ip',
    value: 'IP[,IP]',
    about: 'addresses of the MDMs, instead of the configured ones',
  },
  { name: 'mdm_port', value: 'PORT', about: 'port of the MDMs given with --mdm_ip (6611)' },
  { name: 'i_am_sure', about: 'do not ask whether to go on' },
  { name: 'json', about: 'print the result as JSON' },
  { name: 'management_system_ip', value: 'IP', about: 'accepted and not needed' },
  { name: 'approve_certificate', about: 'accepted and not needed' },
  { name: 'use_nonsecure_communication', about: 'accepted and not needed' },
];

/** A plain answer: lines, and an object for `--json`. */
export function outcome(lines: string | readonly string[], data: unknown = {}): Outcome {
  return { lines: typeof lines === 'string' ? [lines] : lines, data };
}

/** The new name of whatever is renamed. */
export const NEW_NAME: Option = {
  name: 'new_name',
  value: 'NAME',
  about: 'at most 31 characters',
  required: true,
};
