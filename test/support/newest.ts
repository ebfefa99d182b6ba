// Encoders and decoders of the protocol in its newest version, for tests that do not care about versions. The product names
// the version of the link, or of the cluster, at each call. It must never do anything else.

import * as control from '../../backend/protocol/control.js';
import type {
  Command,
  CommandName,
  ControlCode,
  ControlMessage,
  StructName,
} from '../../backend/protocol/control.js';
import { VERSION_MAX } from '../../backend/protocol/generated/constants.js';
import type {
  CommandParams,
  CommandResults,
  ControlBodies,
  ErrorDetail,
  StructTypes,
} from '../../backend/protocol/generated/types.js';
import type { ProtocolError } from '../../backend/protocol/wire.js';

export {
  bodyOf,
  cutText,
  decodeStored,
  isCommandCode,
  isControlCode,
} from '../../backend/protocol/control.js';

export function encodeControl<C extends ControlCode>(
  code: C,
  tag: number,
  status: number,
  body: ControlBodies[C],
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeControl(code, tag, status, body, version);
}

export function decodeBody<C extends ControlCode>(
  code: C,
  bytes: Uint8Array,
  version = VERSION_MAX,
): ControlBodies[C] {
  return control.decodeBody(code, bytes, version);
}

export function decodeControl(
  code: number,
  bytes: Uint8Array,
  version = VERSION_MAX,
): ControlMessage {
  return control.decodeControl(code, bytes, version);
}

export function encodeCommand<N extends CommandName>(
  name: N,
  tag: number,
  actor: string,
  params: CommandParams[N],
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeCommand(name, tag, actor, params, version);
}

export function decodeCommand(code: number, bytes: Uint8Array, version = VERSION_MAX): Command {
  return control.decodeCommand(code, bytes, version);
}

export function encodeCommandAnswer<N extends CommandName>(
  name: N,
  tag: number,
  result: CommandResults[N],
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeCommandAnswer(name, tag, result, version);
}

export function decodeCommandAnswer<N extends CommandName>(
  name: N,
  bytes: Uint8Array,
  version = VERSION_MAX,
): CommandResults[N] {
  return control.decodeCommandAnswer(name, bytes, version);
}

export function encodeRefusal(
  tag: number,
  status: number,
  details: readonly ErrorDetail[] = [],
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeRefusal(tag, status, details, version);
}

export function encodeBadFrame(
  tag: number,
  error: ProtocolError,
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeBadFrame(tag, error, version);
}

export function encodeStruct<N extends StructName>(
  name: N,
  value: StructTypes[N],
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeStruct(name, value, version);
}

export function decodeStruct<N extends StructName>(
  name: N,
  bytes: Uint8Array,
  version = VERSION_MAX,
): StructTypes[N] {
  return control.decodeStruct(name, bytes, version);
}

export function encodeStored<N extends StructName>(
  name: N,
  value: StructTypes[N],
  version = VERSION_MAX,
): Uint8Array {
  return control.encodeStored(name, value, version);
}
