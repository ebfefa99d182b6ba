// THE table of structures on devices: fixed layouts with one offset per field, from which accessors and documentation
// are generated. Numbers and offsets are never reused; a changed layout is a new format version. It must never hold
// behaviour. How the structures work together is in backend/docs/device-format.md.

import type { FixedRow } from './fields.js';

/** Version of the layout of pages and logs. */
export const DISK_VERSION = 1;

/**
 * Newest format of a device as a whole, as its superblock says it: what may lie on it. A device is formatted as 1 and
 * raised to the cluster version when that is raised, so that older programs can open it until then. 2: memories of combs
 * carry the cluster version as their format version.
 */
export const DISK_FORMAT_MAX = 2;

export const DISK_MAGIC = {
  superblock: 0x44534d01,
  page: 0x44534d02,
  log: 0x44534d03,
} as const;

/** Kinds of pages. */
export const PAGE_KIND = { directory: 1, bitmap: 2, entries: 3, descriptor: 4 } as const;

/** Bits of the superblock's flags. */
export const SUPERBLOCK_FLAGS = { clean: 1, volatile: 2, rolledBack: 4 } as const;

/** Kinds of log records. */
export const RECORD_KIND = {
  write: 1,
  zero: 2,
  freeUnits: 3,
  freeChunk: 4,
  freeVolume: 5,
  entry: 6,
  restamp: 7,
  note: 8,
  mode: 9,
  forget: 10,
  merge: 11,
} as const;

/** Bits of a record's flags. */
export const RECORD_FLAGS = { fresh: 1, discard: 2, volatile: 4, masks: 8 } as const;

export const DISK = {
  superblock: {
    about:
      'First and last blocks of a device: whose it is, where everything lies, where the log starts. The copy with the higher sequence counts.',
    sizeBytes: 256,
    fields: {
      magic: { at: 0, type: 'u32', about: 'DISK_MAGIC.superblock' },
      version: { at: 4, type: 'u16', about: 'format of the device, up to DISK_FORMAT_MAX' },
      flags: { at: 6, type: 'u16', about: 'SUPERBLOCK_FLAGS' },
      crc: { at: 8, type: 'u32', about: 'CRC-32 of the structure with this field zero' },
      tablesDigest: {
        at: 12,
        type: 'u32',
        about: 'over kind, number and sequence of every page of the tables that counts',
      },
      offsetBytes: { at: 16, type: 'u53', about: 'where this copy lies: a misplaced one is seen' },
      sequence: { at: 24, type: 'u53', about: 'goes up with each update' },
      formatLow: {
        at: 32,
        type: 'u32',
        about: 'random at format; carried by all other structures',
      },
      formatHigh: { at: 36, type: 'u32', about: 'random at format' },
      systemId: { at: 40, type: 'bytes', length: 16, about: '16 hex digits' },
      deviceKey: { at: 56, type: 'u32', about: 'device' },
      poolKey: { at: 60, type: 'u32', about: 'storage pool' },
      incarnation: { at: 64, type: 'u32', about: 'raised by each open' },
      dataIncarnation: {
        at: 68,
        type: 'u32',
        about: 'incarnation before this one, 0 after format',
      },
      bootId: { at: 72, type: 'bytes', length: 48, about: 'boot of the host at the last open' },
      sectorBytes: { at: 120, type: 'u32', about: 'logical sector of volumes' },
      blockBytes: { at: 124, type: 'u32', about: 'unit of checksum' },
      chunkBlocks: { at: 128, type: 'u32', about: 'blocks of a chunk' },
      unitBlocks: { at: 132, type: 'u32', about: 'blocks of an allocation unit' },
      sizeBytes: { at: 136, type: 'u53', about: 'of the device at format' },
      logAt: { at: 144, type: 'u53', about: 'first block of the log' },
      segments: { at: 152, type: 'u32', about: 'segments of the log' },
      segmentBlocks: { at: 156, type: 'u32', about: 'blocks of a segment' },
      directoryAt: { at: 160, type: 'u53', about: 'first block of the directory' },
      chunks: { at: 168, type: 'u32', about: 'rows of the directory, descriptors' },
      entryRows: { at: 172, type: 'u32', about: 'rows of the table of entries' },
      bitmapAt: { at: 176, type: 'u53', about: 'first block of the bitmap of units' },
      entriesAt: { at: 184, type: 'u53', about: 'first block of the table of entries' },
      descriptorsAt: { at: 192, type: 'u53', about: 'first block of the descriptors' },
      dataAt: { at: 200, type: 'u53', about: 'first block of the units' },
      units: { at: 208, type: 'u32', about: 'number of units' },
      tailChain: { at: 212, type: 'u32', about: 'chain value of the batch at the tail' },
      tailPosition: { at: 216, type: 'u53', about: 'position of the oldest batch that is needed' },
      tailLsn: { at: 224, type: 'u53', about: 'LSN of the first record at the tail' },
      durableLsn: { at: 232, type: 'u53', about: 'everything up to it was flushed' },
      settledLsn: { at: 240, type: 'u53', about: 'everything up to it was settled' },
      tablesSequence: {
        at: 248,
        type: 'u53',
        about: 'pages with a higher sequence are of a checkpoint that did not end',
      },
    },
  },
  pageHead: {
    about:
      'Start of every page. A page has two slots. Of a table the valid one counts that has the highest sequence up to tablesSequence, of a descriptor the one that the directory names.',
    sizeBytes: 40,
    fields: {
      magic: { at: 0, type: 'u32', about: 'DISK_MAGIC.page' },
      version: { at: 4, type: 'u16', about: 'DISK_VERSION' },
      kind: { at: 6, type: 'u16', about: 'PAGE_KIND' },
      crc: { at: 8, type: 'u32', about: 'CRC-32 of the page with this field zero' },
      index: { at: 12, type: 'u32', about: 'number of the page among those of its kind' },
      slot: { at: 16, type: 'u32', about: '0 or 1' },
      formatLow: { at: 20, type: 'u32', about: 'as in the superblock' },
      formatHigh: { at: 24, type: 'u32', about: 'as in the superblock' },
      sequence: {
        at: 32,
        type: 'u53',
        about: 'of the superblock that ends the checkpoint which wrote the page; 0: at format',
      },
    },
  },
  directoryRow: {
    about: 'A chunk of a layer that has a descriptor. volumeKey 0: free row.',
    sizeBytes: 32,
    fields: {
      volumeKey: {
        at: 0,
        type: 'u32',
        about: 'layer; the first one of a volume has its key. 0: free',
      },
      vtreeKey: { at: 4, type: 'u32', about: 'V-tree of the volume' },
      chunkIndex: { at: 8, type: 'u32', about: 'chunk of the volume' },
      comb: { at: 12, type: 'u32', about: 'comb of the chunk' },
      stampEpoch: { at: 16, type: 'u32', about: 'generation of the last write (C6)' },
      stampNumber: { at: 20, type: 'u32', about: 'generation of the last write (C6)' },
      unitMask: { at: 24, type: 'u32', about: 'bit i: unit i of the chunk is allocated' },
      descriptorSequence: {
        at: 28,
        type: 'u32',
        about: "low 32 bits of the sequence of the chunk's descriptor, 0: never written",
      },
    },
  },
  descriptor: {
    about:
      'Head of a descriptor behind the page head; then u32 per unit (1 + unit number, 0: none), u32 CRC per block, 2 bits of state per block (0 absent, 1 data, 2 zero, 3 lost).',
    sizeBytes: 12,
    fields: {
      volumeKey: { at: 0, type: 'u32', about: 'as in the directory' },
      vtreeKey: { at: 4, type: 'u32', about: 'as in the directory' },
      chunkIndex: { at: 8, type: 'u32', about: 'as in the directory' },
    },
  },
  entryRow: {
    about: 'Entry of a comb as this device knows it.',
    sizeBytes: 104,
    fields: {
      comb: { at: 0, type: 'u32', about: 'comb number' },
      lengthBytes: { at: 4, type: 'u32', about: 'length of the entry, 0: free row' },
      entry: { at: 8, type: 'bytes', length: 96, about: 'encoded CombEntry' },
    },
  },
  logHead: {
    about:
      'Start of a batch in the log: this head and the records fill the header, the payload blocks of the records follow in order.',
    sizeBytes: 72,
    fields: {
      magic: { at: 0, type: 'u32', about: 'DISK_MAGIC.log' },
      version: { at: 4, type: 'u16', about: 'DISK_VERSION' },
      recordCount: { at: 6, type: 'u16', about: 'records in the header' },
      crc: { at: 8, type: 'u32', about: 'CRC-32 of usedBytes with this field zero' },
      chain: { at: 12, type: 'u32', about: 'crc of the batch before it' },
      formatLow: { at: 16, type: 'u32', about: 'as in the superblock' },
      formatHigh: { at: 20, type: 'u32', about: 'as in the superblock' },
      incarnation: { at: 24, type: 'u32', about: 'of the open that wrote it' },
      usedBytes: { at: 28, type: 'u32', about: 'this head and the records' },
      payloadBlocks: { at: 32, type: 'u32', about: 'blocks behind the header' },
      position: { at: 40, type: 'u53', about: 'blocks since the first batch ever' },
      firstLsn: { at: 48, type: 'u53', about: 'LSN of the first record' },
      durableLsn: { at: 56, type: 'u53', about: 'everything up to it had been flushed' },
      settledLsn: { at: 64, type: 'u53', about: 'everything up to it was settled' },
    },
  },
  record: {
    about:
      'Head of a log record. Behind it: addresses of new units, of freed units, CRCs of blocks; or what the kind says. merge: both addresses, then 2 bits per block of the chunk that is taken (as in a descriptor, 0: not taken) in whole u32, then the CRC of each taken block that holds data.',
    sizeBytes: 68,
    fields: {
      kind: { at: 0, type: 'u8', about: 'RECORD_KIND' },
      flags: { at: 1, type: 'u8', about: 'RECORD_FLAGS' },
      recordBytes: { at: 2, type: 'u16', about: 'length with this head, a multiple of 4' },
      comb: { at: 4, type: 'u32', about: 'comb' },
      generationEpoch: { at: 8, type: 'u32', about: 'generation of the change' },
      generationNumber: { at: 12, type: 'u32', about: 'generation of the change' },
      volumeKey: { at: 16, type: 'u32', about: 'layer' },
      vtreeKey: { at: 20, type: 'u32', about: 'V-tree' },
      volumeEpoch: { at: 24, type: 'u32', about: 'volume epoch; merge: layer that goes' },
      chunkIndex: { at: 28, type: 'u32', about: 'chunk' },
      firstBlock: { at: 32, type: 'u16', about: 'first block in the chunk' },
      blockCount: { at: 34, type: 'u16', about: 'blocks; entry: bytes; restamp: rows' },
      run: { at: 36, type: 'u32', about: 'client run, 0: no client operation' },
      opLow: { at: 40, type: 'u32', about: 'operation, low 32 bits' },
      opHigh: { at: 44, type: 'u16', about: 'operation, high 16 bits' },
      row: { at: 48, type: 'u32', about: 'row of the directory, 0xffffffff: none' },
      newMask: { at: 52, type: 'u32', about: 'units that were allocated; their addresses follow' },
      freeMask: { at: 56, type: 'u32', about: 'units that were freed; their old addresses follow' },
      directMask: { at: 60, type: 'u32', about: 'units whose data is at home, not in the payload' },
      extra: { at: 64, type: 'u32', about: 'merge: row of the layer that goes' },
    },
  },
} as const satisfies Record<string, FixedRow>;
