// What the generator works on: the tables in one value, and the naming rules of what is made from them. It must never
// emit anything.

import { CHOICES } from '../tables/choices.js';
import { COMMANDS, COMMAND_ANSWER_BIT } from '../tables/commands.js';
import type { CommandRow } from '../tables/commands.js';
import { DISK } from '../tables/disk.js';
import { ERRORS } from '../tables/errors.js';
import type { ErrorRow } from '../tables/errors.js';
import type { FieldKind, FixedRow, StructRow } from '../tables/fields.js';
import { LIMITS } from '../tables/limits.js';
import type { LimitRow } from '../tables/limits.js';
import {
  DATA_FLAGS,
  DATA_HEAD,
  FEATURES,
  FRAME_HEAD,
  FRAME_MAGIC,
  MESSAGES,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from '../tables/messages.js';
import type { MessageRow } from '../tables/messages.js';
import { OPTIONS } from '../tables/options.js';
import type { OptionRow } from '../tables/options.js';
import { STRUCTS } from '../tables/structs.js';

export interface ChoiceRow {
  readonly about: string;
  readonly values: Readonly<Record<string, number>>;
  /** First protocol version of words that came later: never said on a link, or kept, that is older. */
  readonly since?: Readonly<Record<string, number>>;
}

/** All tables. Tests build small ones of their own. */
export interface Model {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly choices: Readonly<Record<string, ChoiceRow>>;
  readonly structs: Readonly<Record<string, StructRow>>;
  readonly messages: Readonly<Record<string, MessageRow>>;
  readonly commands: Readonly<Record<string, CommandRow>>;
  readonly commandAnswerBit: number;
  readonly errors: Readonly<Record<string, ErrorRow>>;
  readonly limits: Readonly<Record<string, LimitRow>>;
  readonly options: Readonly<Record<string, OptionRow>>;
  readonly frameMagic: number;
  readonly frame: FixedRow;
  /** Where the part of the header starts that is zero in control frames. */
  readonly dataHeadAt: number;
  readonly features: Readonly<Record<string, { readonly bit: number; readonly about: string }>>;
  readonly dataFlags: Readonly<Record<string, { readonly bit: number; readonly about: string }>>;
  readonly disk: Readonly<Record<string, FixedRow>>;
}

export const MODEL: Model = {
  versionMin: PROTOCOL_VERSION_MIN,
  versionMax: PROTOCOL_VERSION_MAX,
  choices: CHOICES,
  structs: STRUCTS,
  messages: MESSAGES,
  commands: COMMANDS,
  commandAnswerBit: COMMAND_ANSWER_BIT,
  errors: ERRORS,
  limits: LIMITS,
  options: OPTIONS,
  frameMagic: FRAME_MAGIC,
  dataHeadAt: DATA_HEAD.comb.at,
  frame: {
    about: 'Header of every frame; the second part only in data frames, else zero.',
    sizeBytes: LIMITS.frameHeaderBytes.value,
    fields: { ...FRAME_HEAD, ...DATA_HEAD },
  },
  dataFlags: DATA_FLAGS,
  features: FEATURES,
  disk: DISK,
};

const INTEGER_MAX = { u8: 0xff, u16: 0xffff, u32: 0xffffffff, u53: Number.MAX_SAFE_INTEGER };

/** Bounds of an integer field. */
export function integerBounds(kind: {
  readonly kind: 'u8' | 'u16' | 'u32' | 'u53';
  readonly min?: number;
  readonly max?: number;
}): { readonly min: number; readonly max: number } {
  return { min: kind.min ?? 0, max: kind.max ?? INTEGER_MAX[kind.kind] };
}

/** REGISTER_SDS -> RegisterSds, deviceTask -> DeviceTask. */
export function pascal(name: string): string {
  if (!/^[A-Z0-9_]+$/.test(name)) return name.charAt(0).toUpperCase() + name.slice(1);
  return name
    .split('_')
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join('');
}

/** deviceTask -> DEVICE_TASK. */
export function screaming(name: string): string {
  return name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
}

/** 0x0101 as four digits. */
export function hex4(code: number): string {
  return `0x${code.toString(16).padStart(4, '0')}`;
}

/** A JavaScript string literal. */
export function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`;
}

/** TypeScript type of a field. */
export function typeOf(kind: FieldKind): string {
  switch (kind.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'u53':
      return 'number';
    case 'bool':
      return 'boolean';
    case 'str':
      return 'string';
    case 'bytes':
      return 'Uint8Array';
    case 'choice':
      return pascal(kind.of);
    case 'struct':
      return kind.of;
    case 'list':
      return kind.item.kind === 'optional'
        ? `readonly (${typeOf(kind.item)})[]`
        : `readonly ${typeOf(kind.item)}[]`;
    case 'optional':
      return `${typeOf(kind.item)} | null`;
  }
}

/** Fewest bytes that a field takes on the wire, whatever the version. */
export function bytesMin(model: Model, kind: FieldKind): number {
  switch (kind.kind) {
    case 'u8':
    case 'bool':
    case 'choice':
    case 'optional':
      return 1;
    case 'u16':
      return 2;
    case 'u32':
    case 'str':
    case 'bytes':
    case 'list':
      return 4;
    case 'u53':
      return 8;
    case 'struct':
      return (model.structs[kind.of]?.fields ?? [])
        .filter((field) => field.since <= model.versionMin)
        .reduce((sum, field) => sum + bytesMin(model, field.type), 0);
  }
}
