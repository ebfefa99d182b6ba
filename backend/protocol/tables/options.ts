// THE table of options: what an operator may set, with bounds and defaults. Hard limits are in limits.ts. Parsers of
// the command line and of configuration files, and the documentation, are made from it. It must never hold behaviour.

export interface OptionRow {
  /** Processes that take it; on the command line as `--kebab-case`. */
  readonly of: readonly ('mdm' | 'sds' | 'sdsData' | 'sdc' | 'gateway')[];
  readonly type: 'number' | 'string' | 'boolean';
  readonly default: number | string | boolean;
  readonly min?: number;
  readonly max?: number;
  /** Whether a running process takes a new value. */
  readonly live: boolean;
  readonly about: string;
}

export const OPTIONS = {
  connectTimeoutMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 2000,
    min: 50,
    max: 60000,
    live: false,
    about: 'How long one address may take to accept a connection before the next is tried.',
  },
  handshakeTimeoutMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 2000,
    min: 50,
    max: 60000,
    live: false,
    about: 'How long the other end may take to authenticate.',
  },
  pingIdleMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 500,
    min: 50,
    max: 60000,
    live: false,
    about:
      'After this long without a byte from the other end of a link, it is asked whether it lives.',
  },
  pingDeadMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 2000,
    min: 100,
    max: 120000,
    live: false,
    about: 'After this long without a byte from the other end, the link counts as broken.',
  },
} as const satisfies Record<string, OptionRow>;

export type OptionName = keyof typeof OPTIONS;
