// Command line of the scale measurements. It owns the flags and what is wrong with them; it must never run anything.

import { parseArgs } from 'node:util';
import { UsageError } from '../arguments.js';

export const PARTS = ['failure', 'rebuild', 'growth'] as const;
export type Part = (typeof PARTS)[number];

export interface ScaleArguments {
  readonly parts: readonly Part[];
  readonly servers: number;
  readonly combCountLog2: number;
  readonly clients: number;
  /** File for the figures; null: none. */
  readonly json: string | null;
}

export const HELP = `Usage: npm run scale -- [--parts LIST] [--sds N] [--combs N] [--sdcs N] [--json FILE]

Measures the real MDM machine with servers and clients in virtual time: they send and get its real messages, their disks are
models. The MDM has one core of this machine: what it computes takes as long as it really takes here.

  --parts LIST  failure,rebuild,growth (default: all)
                failure: N servers, one dies: changes of combs, time, the MDM's CPU and memory; what a node costs at rest
                rebuild: time until all copies of a dead server are made anew, with 3 to 128 servers
                growth:  what one server more adds to the ceiling of a cluster, with 3 to 128 servers
  --sds N       servers of part failure (default 1024)
  --combs N     combs of part failure, a power of two (default 131072)
  --sdcs N      clients of part failure, each with a volume of its own (default 64)
  --json FILE   writes the figures there, too
  --help        print this

Takes minutes and about 2 GB of memory with the defaults; say how far it is on standard error. Ends with status 1 when a goal is
missed: one change of each comb, within 5 s, less than one core; a rebuild at 90 % of the speed that 1/N says; 95 % of proportional.`;

function whole(
  name: string,
  text: string | undefined,
  min: number,
  max: number,
  or: number,
): number {
  if (text === undefined) return or;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, is "${text}"`);
  return value;
}

function partsFrom(text: string | undefined): readonly Part[] {
  if (text === undefined) return PARTS;
  const words = text.split(',');
  const wrong = words.find((word) => !PARTS.some((part) => part === word));
  if (wrong !== undefined)
    throw new UsageError(`--parts "${wrong}" is not known; there are ${PARTS.join(', ')}`);
  return PARTS.filter((part) => words.includes(part));
}

type Name = 'parts' | 'sds' | 'combs' | 'sdcs' | 'json';

function flagsOf(args: readonly string[]): Partial<Record<Name, string>> {
  const text = { type: 'string' } as const;
  const options = { parts: text, sds: text, combs: text, sdcs: text, json: text };
  try {
    return parseArgs({ args: [...args], strict: true, options }).values;
  } catch (error) {
    // The parser's own errors name the flag.
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** @throws UsageError */
export function parseScaleArguments(args: readonly string[]): ScaleArguments {
  const flags = flagsOf(args);
  const combs = whole('combs', flags.combs, 16, 2 ** 20, 2 ** 17);
  const combCountLog2 = Math.log2(combs);
  if (!Number.isInteger(combCountLog2))
    throw new UsageError(`--combs must be a power of two, is ${combs}`);
  return {
    parts: partsFrom(flags.parts),
    servers: whole('sds', flags.sds, 3, 1024, 1024),
    combCountLog2,
    clients: whole('sdcs', flags.sdcs, 0, 1024, 64),
    json: flags.json ?? null,
  };
}
