// Numbers of the NBD protocol, from its public specification (doc/proto.md of the NetworkBlockDevice project). All
// integers on the wire are big-endian. It must never hold a number of our own.

export const NBD = {
  magic: [0x4e42444d, 0x41474943], // "NBDMAGIC"
  optionMagic: [0x49484156, 0x454f5054], // "IHAVEOPT"
  optionReplyMagic: [0x0003e889, 0x045565a9],
  requestMagic: 0x25609513,
  simpleReplyMagic: 0x67446698,
  structuredReplyMagic: 0x668e33ef,
} as const;

export const HANDSHAKE_FLAG = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errorUnsupported: 0x80000001,
  errorInvalid: 0x80000003,
  errorUnknown: 0x80000006,
  errorTooBig: 0x80000009,
} as const;

export const INFO = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const TRANSMISSION_FLAG = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
} as const;

export const COMMAND = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const COMMAND_FLAG = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16 } as const;

export const CHUNK = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
} as const;
export const CHUNK_FLAG = { done: 1 } as const;

export const META_CONTEXT = 'base:allocation';
/** Id that this server gives to the one context it knows. */
export const META_CONTEXT_ID = 1;

export const NBD_ERROR = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

export const BLOCK_SIZE_MIN = 512;
export const BLOCK_SIZE_PREFERRED = 4096;
export const REQUEST_BYTES = 28;
export const OPTION_HEADER_BYTES = 16;
/** An option that carries more is answered with "too big" and skipped; the longest legal one is a name of 4 KiB and lists. */
export const OPTION_BYTES_MAX = 8192;
