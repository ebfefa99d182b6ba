// The vocabulary in which the protocol tables are written. It owns the kinds of field and their bounds; it must never
// know a message, a structure on disk, or how a codec is generated from a table.
//
// All integers are little-endian. A structure has no implicit padding. A list or a string carries its length in front,
// and that length is checked against the table's bound before anything is allocated.

/** What a field holds. Sizes: u8 1, u16 2, u32 4, u53 8 (0 .. 2^53-1), bool 1, choice 1, str/bytes/list 4 + content. */
export type FieldKind =
  | { readonly kind: 'u8' | 'u16' | 'u32' | 'u53'; readonly min?: number; readonly max?: number }
  | { readonly kind: 'bool' }
  | { readonly kind: 'str'; readonly maxBytes: number }
  | { readonly kind: 'bytes'; readonly maxBytes: number }
  | { readonly kind: 'choice'; readonly of: ChoiceName }
  | { readonly kind: 'struct'; readonly of: string }
  | { readonly kind: 'list'; readonly item: FieldKind; readonly maxItems: number }
  | { readonly kind: 'optional'; readonly item: FieldKind };

/** Name of a row of the choices table: a closed set of words, each with a number that is never reused. */
export type ChoiceName = string;

export interface Field {
  readonly name: string;
  readonly type: FieldKind;
  /** What it means, with its unit; goes into the generated documentation. */
  readonly about: string;
  /** First protocol version that carries the field. A peer of an older version gets the frame without it. */
  readonly since: number;
  /** What a reader of an older sender's frame fills in; required when `since` is above the first version. */
  readonly absent?: number | boolean | string | null | readonly [];
}

/** A structure: the value type of messages, stored objects and lists. */
export interface StructRow {
  readonly about: string;
  /** First protocol version that has it; left out: the first. */
  readonly since?: number;
  readonly fields: readonly Field[];
}

interface FieldOptions {
  readonly since?: number;
  readonly absent?: number | boolean | string | null | readonly [];
}

function field(name: string, type: FieldKind, about: string, options: FieldOptions = {}): Field {
  const { since = 1, absent } = options;
  return absent === undefined ? { name, type, about, since } : { name, type, about, since, absent };
}

interface NumberOptions extends FieldOptions {
  readonly min?: number;
  readonly max?: number;
}

function bounds(options: NumberOptions): { min?: number; max?: number } {
  return {
    ...(options.min === undefined ? {} : { min: options.min }),
    ...(options.max === undefined ? {} : { max: options.max }),
  };
}

export const u8 = (name: string, about: string, options: NumberOptions = {}): Field =>
  field(name, { kind: 'u8', ...bounds(options) }, about, options);
export const u16 = (name: string, about: string, options: NumberOptions = {}): Field =>
  field(name, { kind: 'u16', ...bounds(options) }, about, options);
export const u32 = (name: string, about: string, options: NumberOptions = {}): Field =>
  field(name, { kind: 'u32', ...bounds(options) }, about, options);
export const u53 = (name: string, about: string, options: NumberOptions = {}): Field =>
  field(name, { kind: 'u53', ...bounds(options) }, about, options);
export const bool = (name: string, about: string, options: FieldOptions = {}): Field =>
  field(name, { kind: 'bool' }, about, options);
export const str = (
  name: string,
  maxBytes: number,
  about: string,
  options: FieldOptions = {},
): Field => field(name, { kind: 'str', maxBytes }, about, options);
export const bytes = (
  name: string,
  maxBytes: number,
  about: string,
  options: FieldOptions = {},
): Field => field(name, { kind: 'bytes', maxBytes }, about, options);
export const choice = (
  name: string,
  of: ChoiceName,
  about: string,
  options: FieldOptions = {},
): Field => field(name, { kind: 'choice', of }, about, options);
export const struct = (
  name: string,
  of: string,
  about: string,
  options: FieldOptions = {},
): Field => field(name, { kind: 'struct', of }, about, options);

/** A list of what `item` describes (the item's own name is not used). */
export const list = (
  name: string,
  item: Field,
  maxItems: number,
  about: string,
  options: FieldOptions = {},
): Field => field(name, { kind: 'list', item: item.type, maxItems }, about, options);

/** `null` or what `item` describes, one byte in front. */
export const optional = (item: Field): Field => ({
  ...item,
  type: { kind: 'optional', item: item.type },
});

/** A field of a fixed layout: at a known offset, without a length in front. */
export interface FixedField {
  /** Offset in bytes from the start of the structure. */
  readonly at: number;
  readonly type: 'u8' | 'u16' | 'u32' | 'u53' | 'bytes';
  /** Length of `bytes` fields. */
  readonly length?: number;
  readonly about: string;
}

/** A fixed layout, for structures that are read and written without decoding them as a whole. */
export interface FixedRow {
  readonly about: string;
  readonly sizeBytes: number;
  readonly fields: Readonly<Record<string, FixedField>>;
}
