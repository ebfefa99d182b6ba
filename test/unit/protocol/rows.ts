// Every row of the tables as something that can be encoded and decoded, so that tests run over all of them.

import {
  PARAMS_CODECS,
  RESULT_CODECS,
} from '../../../backend/protocol/generated/command-codecs.js';
import { CONTROL_CODECS } from '../../../backend/protocol/generated/message-codecs.js';
import { STRUCT_CODECS } from '../../../backend/protocol/generated/struct-codecs.js';
import { MODEL } from '../../../backend/protocol/generator/model.js';
import type { Field } from '../../../backend/protocol/tables/fields.js';
import { Reader, Writer } from '../../../backend/protocol/wire.js';

interface Codec {
  readonly name: string;
  readonly encode: (w: Writer, value: unknown, version: number) => void;
  readonly decode: (r: Reader, version: number) => unknown;
}

export interface Row {
  readonly name: string;
  /** First version that has it. */
  readonly since: number;
  readonly fields: readonly Field[];
  encode(value: unknown, version?: number): Uint8Array;
  decode(bytes: Uint8Array, version?: number): unknown;
}

function row(name: string, since: number, fields: readonly Field[], codec: Codec | undefined): Row {
  if (codec === undefined) throw new Error(`no codec for ${name}`);
  return {
    name,
    since,
    fields,
    encode: (value, version = MODEL.versionMax) => {
      const writer = new Writer(name);
      codec.encode(writer, value, version);
      return writer.finish();
    },
    decode: (bytes, version = MODEL.versionMax) => {
      const reader = new Reader(name, bytes);
      const value = codec.decode(reader, version);
      reader.end();
      return value;
    },
  };
}

// The generated registries are typed row by row; here all rows are treated alike.
const byCode = CONTROL_CODECS as unknown as Readonly<Record<number, Codec>>;
const params = PARAMS_CODECS as unknown as Readonly<Record<string, Codec>>;
const results = RESULT_CODECS as unknown as Readonly<Record<string, Codec>>;
const structs = STRUCT_CODECS as unknown as Readonly<Record<string, Codec>>;

export const ROWS: readonly Row[] = [
  ...Object.entries(MODEL.structs).map(([name, { fields, since }]) =>
    row(name, since ?? 1, fields, structs[name]),
  ),
  ...Object.entries(MODEL.messages)
    .filter(([, message]) => message.head === 'control')
    .map(([name, { code, since, fields }]) => row(name, since, fields, byCode[code])),
  ...Object.entries(MODEL.commands).flatMap(([name, { since, fields, result }]) => [
    row(name, since, fields, params[name]),
    row(`${name} answer`, since, result, results[name]),
  ]),
];
