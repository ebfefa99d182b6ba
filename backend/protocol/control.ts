// Whole control frames and their bodies, typed: what everybody but the data path uses to speak. It owns the framing of
// requests, commands and refusals; it must never know what they mean.

import {
  COMMAND_ANSWER_BIT,
  COMMAND_BY_CODE,
  ERR,
  FRAME,
  LIMIT,
  MSG,
  VERSION_MAX,
  VERSION_MIN,
} from './generated/constants.js';
import { PARAMS_CODECS, RESULT_CODECS } from './generated/command-codecs.js';
import {
  getBodyBytes,
  setBodyBytes,
  setCode,
  setMagic,
  setStatus,
  setTag,
  setVersion,
} from './generated/frame-head.js';
import { CONTROL_CODECS } from './generated/message-codecs.js';
import { STRUCT_CODECS } from './generated/struct-codecs.js';
import type {
  CommandParams,
  CommandResults,
  ControlBodies,
  ErrorDetail,
  StructTypes,
} from './generated/types.js';
import { HEADER_BYTES, sealFrame } from './frames.js';
import { ProtocolError, Reader, Writer } from './wire.js';

/** Entries of combs are kept encoded, and go out on links of every version: their layout never changes. */
export const ENTRY_VERSION = VERSION_MIN;

export type ControlCode = keyof ControlBodies;
export type CommandName = keyof CommandParams;
export type StructName = keyof StructTypes;

/** A control message with its decoded body; switch on `code`. */
export type ControlMessage = {
  readonly [C in ControlCode]: { readonly code: C; readonly body: ControlBodies[C] };
}[ControlCode];

/** A command with its decoded parameters; switch on `name`. */
export type Command = {
  readonly [N in CommandName]: {
    readonly name: N;
    /** User on whose behalf it is asked. */
    readonly actor: string;
    readonly params: CommandParams[N];
  };
}[CommandName];

/**
 * A control frame, header and body, sealed.
 *
 * @param tag - u32; of the request in an answer
 * @param status - 0 or an error code
 * @param version - of the link
 * @throws ProtocolError when the body breaks a bound
 */
export function encodeControl<C extends ControlCode>(
  code: C,
  tag: number,
  status: number,
  body: ControlBodies[C],
  version: number,
): Uint8Array {
  const codec = CONTROL_CODECS[code];
  const writer = new Writer(codec.name, HEADER_BYTES);
  codec.encode(writer, body, version);
  return seal(writer, code, tag, status, version);
}

/**
 * The body of a control frame whose code the caller expects.
 *
 * @param bytes - the body alone
 * @throws ProtocolError naming the field when the body breaks a bound
 */
export function decodeBody<C extends ControlCode>(
  code: C,
  bytes: Uint8Array,
  version: number,
): ControlBodies[C] {
  const codec = CONTROL_CODECS[code];
  const reader = new Reader(codec.name, bytes);
  const body = codec.decode(reader, version);
  reader.end();
  return body;
}

/** Whether `code` is a control message: not a command, not a data frame. */
export function isControlCode(code: number): code is ControlCode {
  return Object.hasOwn(CONTROL_CODECS, code);
}

/**
 * The body of any control frame.
 *
 * @throws ProtocolError when the code is no control message or the body breaks a bound
 */
export function decodeControl(code: number, bytes: Uint8Array, version: number): ControlMessage {
  if (!isControlCode(code))
    throw new ProtocolError('code', `must be a control message, is ${code}`);
  return { code, body: decodeBody(code, bytes, version) } as ControlMessage;
}

/**
 * The frame of a command.
 *
 * @param actor - user on whose behalf it is asked
 * @throws ProtocolError when a parameter breaks a bound
 */
export function encodeCommand<N extends CommandName>(
  name: N,
  tag: number,
  actor: string,
  params: CommandParams[N],
  version: number,
): Uint8Array {
  const codec = PARAMS_CODECS[name];
  const writer = new Writer(name, HEADER_BYTES);
  writer.str('actor', actor, LIMIT.nameBytesMax);
  codec.encode(writer, params, version);
  return seal(writer, COMMAND_CODES[name], tag, 0, version);
}

/** Whether `code` is a command, asked. */
export function isCommandCode(code: number): boolean {
  return COMMAND_BY_CODE.has(code);
}

/**
 * A command from the body of its frame.
 *
 * @throws ProtocolError when the code is no command or a parameter breaks a bound
 */
export function decodeCommand(code: number, bytes: Uint8Array, version: number): Command {
  const name = COMMAND_BY_CODE.get(code);
  if (name === undefined) throw new ProtocolError('code', `must be a command, is ${code}`);
  const reader = new Reader(name, bytes);
  const actor = reader.str('actor', LIMIT.nameBytesMax);
  const params = PARAMS_CODECS[name].decode(reader, version);
  reader.end();
  return { name, actor, params } as Command;
}

/** The frame of a command's answer: its code plus COMMAND_ANSWER_BIT, status 0. */
export function encodeCommandAnswer<N extends CommandName>(
  name: N,
  tag: number,
  result: CommandResults[N],
  version: number,
): Uint8Array {
  const writer = new Writer(`${name} answer`, HEADER_BYTES);
  RESULT_CODECS[name].encode(writer, result, version);
  return seal(writer, COMMAND_CODES[name] | COMMAND_ANSWER_BIT, tag, 0, version);
}

/**
 * The result of a command from the body of its answer (status 0).
 *
 * @throws ProtocolError when the result breaks a bound
 */
export function decodeCommandAnswer<N extends CommandName>(
  name: N,
  bytes: Uint8Array,
  version: number,
): CommandResults[N] {
  const reader = new Reader(`${name} answer`, bytes);
  const result = RESULT_CODECS[name].decode(reader, version);
  reader.end();
  return result;
}

/**
 * The refusal of any control request: an ERROR_REPLY.
 *
 * @param status - an error code, not 0
 * @param details - fill the `{name}` places of the error's text; cut to their bound
 */
export function encodeRefusal(
  tag: number,
  status: number,
  details: readonly ErrorDetail[],
  version: number,
): Uint8Array {
  const cut = details.map(({ name, value }) => ({ name, value: cutText(value) }));
  return encodeControl(MSG.ERROR_REPLY, tag, status, { details: cut }, version);
}

/** The answer to a frame whose body cannot be decoded. */
export function encodeBadFrame(tag: number, error: ProtocolError, version: number): Uint8Array {
  return encodeRefusal(tag, ERR.BAD_FRAME, [{ name: 'reason', value: error.message }], version);
}

/**
 * The bytes of a structure without anything in front.
 *
 * @throws ProtocolError when it breaks a bound
 */
export function encodeStruct<N extends StructName>(
  name: N,
  value: StructTypes[N],
  version: number,
): Uint8Array {
  const writer = new Writer(name);
  STRUCT_CODECS[name].encode(writer, value, version);
  return writer.finish();
}

/**
 * A structure from its bytes.
 *
 * @throws ProtocolError when it breaks a bound or bytes are left over
 */
export function decodeStruct<N extends StructName>(
  name: N,
  bytes: Uint8Array,
  version: number,
): StructTypes[N] {
  const reader = new Reader(name, bytes);
  const value = STRUCT_CODECS[name].decode(reader, version);
  reader.end();
  return value;
}

/**
 * A structure as the metadata store keeps it: one format version byte, then its bytes.
 *
 * @param version - the committed cluster version
 */
export function encodeStored<N extends StructName>(
  name: N,
  value: StructTypes[N],
  version: number,
): Uint8Array {
  const writer = new Writer(name, 1);
  STRUCT_CODECS[name].encode(writer, value, version);
  const bytes = writer.finish();
  bytes[0] = version;
  return bytes;
}

/**
 * A structure from the metadata store.
 *
 * @throws ProtocolError when its format version is unknown or it breaks a bound
 */
export function decodeStored<N extends StructName>(name: N, bytes: Uint8Array): StructTypes[N] {
  const version = bytes[0] ?? 0;
  if (version < 1 || version > VERSION_MAX)
    throw new ProtocolError(
      name,
      `must have a format version from 1 to ${VERSION_MAX}, has ${version}: the cluster was raised by a newer version of MeshSAN`,
    );
  return decodeStruct(name, bytes.subarray(1), version);
}

/** The body of a received frame, valid as long as the frame is. */
export function bodyOf(bytes: Uint8Array, view: DataView, at: number): Uint8Array {
  const start = at + HEADER_BYTES;
  return bytes.subarray(start, start + getBodyBytes(view, at));
}

/** Text cut to what a reason may be long, at a character. */
export function cutText(text: string): string {
  if (text.length * 3 <= LIMIT.reasonBytesMax) return text;
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= LIMIT.reasonBytesMax) return text;
  let end = LIMIT.reasonBytesMax;
  // Bytes of the form 10xxxxxx continue a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}

const COMMAND_CODES = Object.fromEntries(
  [...COMMAND_BY_CODE].map(([code, name]) => [name, code]),
) as Readonly<Record<CommandName, number>>;

function seal(
  writer: Writer,
  code: number,
  tag: number,
  status: number,
  version: number,
): Uint8Array {
  return writer.finish((bytes, view, lengthBytes) => {
    setMagic(view, 0, FRAME.magic);
    setVersion(view, 0, version);
    setCode(view, 0, code);
    setStatus(view, 0, status);
    setBodyBytes(view, 0, lengthBytes - HEADER_BYTES);
    setTag(view, 0, tag);
    sealFrame(bytes, view, 0);
  });
}
