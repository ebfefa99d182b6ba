// Numbers of the FUSE protocol between the kernel and a file system in user space, version 7, from the kernel's public
// header <linux/fuse.h>. All integers are of the host's byte order, which is little-endian on every machine that this
// software runs on. It must never hold a number of our own.

export const FUSE_MAJOR = 7;
/** What this software was written against; the kernel may know more or less. */
export const FUSE_MINOR = 38;
/** Kernels before this one know replies of other shapes (2014 and earlier). */
export const FUSE_MINOR_MIN = 23;

export const OPCODE = {
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  batchForget: 42,
  fallocate: 43,
  cuseInit: 4096,
} as const;

export const INIT_FLAG = {
  asyncRead: 1,
  bigWrites: 1 << 5,
  asyncDio: 1 << 15,
  maxPages: 1 << 22,
} as const;

export const OPEN_FLAG = { directIo: 1, parallelDirectWrites: 1 << 6 } as const;
export const FALLOCATE_MODE = { keepSize: 1, punchHole: 2, zeroRange: 16 } as const;

/** Offsets in a request: its header, then what belongs to the operation. */
export const IN = {
  opcode: 4,
  unique: 8,
  body: 40,
  initMajor: 40,
  initMinor: 44,
  initFlags: 52,
  /** read, write: after the file handle. */
  ioOffset: 48,
  ioSize: 56,
  writeData: 80,
  fallocateOffset: 48,
  fallocateLength: 56,
  fallocateMode: 64,
  ioctlFlags: 48,
  ioctlCommand: 52,
  ioctlArgument: 56,
  ioctlOutBytes: 68,
  ioctlEnd: 72,
} as const;

export const OUT = {
  header: 16,
  /** From the start of the reply. */
  body: 16,
  init: 64,
  attr: 104,
  open: 16,
  write: 8,
  statfs: 80,
  ioctl: 16,
  cuseInit: 72,
} as const;

/** Flag of an ioctl: its answer may name the memory of whoever asks. */
export const IOCTL_UNRESTRICTED = 1 << 1;
/** Flag of an ioctl's reply: the kernel shall ask again with the memory that the reply names. */
export const IOCTL_RETRY = 1 << 2;
/** The program of a character device says itself which memory an ioctl reads and writes. */
export const CUSE_UNRESTRICTED_IOCTL = 1;

export const FUSE_ERRNO = {
  ENOENT: 2,
  EIO: 5,
  EINVAL: 22,
  ENOTTY: 25,
  EROFS: 30,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
  EPROTO: 71,
} as const;

export const S_IFREG = 0o100000;
export const PAGE_BYTES = 4096;
