// Recognises what other software left on a device, so that nobody's data is overwritten unasked. It owns the list of
// signatures; it must never write.

/** Bytes at the start of a device that are looked at; also at its end. */
export const PROBE_BYTES = 1 << 20;

/** Reads part of the device; short at its end. */
export type ReadAt = (offsetBytes: number, lengthBytes: number) => Uint8Array;

interface Signature {
  readonly name: string;
  readonly at: number;
  /** Text in which each character is one byte. */
  readonly magic: string;
}

/** Order matters: what is more specific comes first. */
const SIGNATURES: readonly Signature[] = [
  { name: 'a Ceph BlueStore device', at: 0, magic: 'bluestore block device' },
  { name: 'a LUKS encrypted volume', at: 0, magic: 'LUKS\xba\xbe' },
  { name: 'an XFS file system', at: 0, magic: 'XFSB' },
  { name: 'a VDO volume', at: 0, magic: 'dmvdo' },
  { name: 'a squashfs file system', at: 0, magic: 'hsqs' },
  { name: 'an LVM physical volume', at: 0, magic: 'LABELONE' },
  { name: 'an LVM physical volume', at: 512, magic: 'LABELONE' },
  { name: 'an LVM physical volume', at: 1024, magic: 'LABELONE' },
  { name: 'an LVM physical volume', at: 1536, magic: 'LABELONE' },
  { name: 'a Linux RAID member (mdraid 1.1)', at: 0, magic: '\xfc\x4e\x2b\xa9' },
  { name: 'a Linux RAID member (mdraid 1.2)', at: 4096, magic: '\xfc\x4e\x2b\xa9' },
  {
    name: 'a bcache device',
    at: 4120,
    magic: '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81',
  },
  { name: 'swap space', at: 4086, magic: 'SWAPSPACE2' },
  { name: 'swap space', at: 4086, magic: 'SWAP-SPACE' },
  { name: 'a suspended system', at: 4086, magic: 'S1SUSPEND' },
  { name: 'a btrfs file system', at: 65600, magic: '_BHRfS_M' },
  { name: 'an F2FS file system', at: 1024, magic: '\x10\x20\xf5\xf2' },
  { name: 'a GFS2 file system', at: 65536, magic: '\x01\x16\x19\x70' },
  { name: 'a JFS file system', at: 32768, magic: 'JFS1' },
  { name: 'an OCFS2 file system', at: 8192, magic: 'OCFSV2' },
  { name: 'an ISO 9660 file system', at: 32769, magic: 'CD001' },
  { name: 'an NTFS file system', at: 3, magic: 'NTFS    ' },
  { name: 'an exFAT file system', at: 3, magic: 'EXFAT   ' },
  { name: 'a FAT file system', at: 82, magic: 'FAT32' },
  { name: 'a FAT file system', at: 54, magic: 'FAT1' },
  { name: 'a partition table (GPT)', at: 512, magic: 'EFI PART' },
  { name: 'a partition table (GPT)', at: 4096, magic: 'EFI PART' },
];

function holds(bytes: Uint8Array, at: number, magic: string): boolean {
  if (at < 0 || at + magic.length > bytes.length) return false;
  for (let index = 0; index < magic.length; index++)
    if (bytes[at + index] !== magic.charCodeAt(index)) return false;
  return true;
}

/** ext2, ext3 and ext4 share a magic number; the features tell them apart. */
function extFileSystem(bytes: Uint8Array): string | null {
  if (!holds(bytes, 1080, '\x53\xef')) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const compatible = view.getUint32(1024 + 0x5c, true);
  const incompatible = view.getUint32(1024 + 0x60, true);
  const extents = 0x40;
  const bits64 = 0x80;
  const flexible = 0x200;
  if ((incompatible & (extents | bits64 | flexible)) !== 0) return 'an ext4 file system';
  return (compatible & 0x4) !== 0 ? 'an ext3 file system' : 'an ext2 file system';
}

/** A ZFS label holds a ring of uberblocks from its second 128 KiB on. */
function zfsLabel(bytes: Uint8Array): string | null {
  for (let at = 131072; at + 8 <= Math.min(bytes.length, 262144); at += 1024)
    if (holds(bytes, at, '\x0c\xb1\xba\0\0\0\0\0') || holds(bytes, at, '\0\0\0\0\0\xba\xb1\x0c'))
      return 'a ZFS pool member';
  return null;
}

function masterBootRecord(bytes: Uint8Array): string | null {
  return holds(bytes, 510, '\x55\xaa') ? 'a partition table or boot sector (MBR)' : null;
}

/** What lies at the end of a device only. */
function atTheEnd(bytes: Uint8Array, sizeBytes: number): string | null {
  const start = sizeBytes - bytes.length;
  if (holds(bytes, sizeBytes - 512 - start, 'EFI PART')) return 'a partition table (GPT)';
  if (holds(bytes, sizeBytes - 4096 - start, 'EFI PART')) return 'a partition table (GPT)';
  const raid = '\xfc\x4e\x2b\xa9';
  const raid10 = Math.floor((sizeBytes - 8192) / 4096) * 4096;
  if (holds(bytes, raid10 - start, raid)) return 'a Linux RAID member (mdraid 1.0)';
  const raid09 = Math.floor(sizeBytes / 65536) * 65536 - 65536;
  if (holds(bytes, raid09 - start, raid)) return 'a Linux RAID member (mdraid 0.90)';
  const drbd = sizeBytes - 4096 - start;
  if (holds(bytes, drbd + 60, '\x83\x74\x02\x6d')) return 'DRBD metadata';
  return zfsLabel(bytes.subarray(Math.max(0, bytes.length - 262144)));
}

function firstByte(bytes: Uint8Array): number {
  return bytes.findIndex((byte) => byte !== 0);
}

/**
 * Names what is on a device that does not carry our signature.
 *
 * @returns words such as "an ext4 file system", or null when both ends of the device are empty
 */
export function foreignData(readAt: ReadAt, sizeBytes: number): string | null {
  const head = readAt(0, Math.min(PROBE_BYTES, sizeBytes));
  for (const { name, at, magic } of SIGNATURES) if (holds(head, at, magic)) return name;
  const special = extFileSystem(head) ?? zfsLabel(head) ?? masterBootRecord(head);
  if (special !== null) return special;
  const tailBytes = Math.min(PROBE_BYTES, sizeBytes);
  const tail = readAt(sizeBytes - tailBytes, tailBytes);
  const last = atTheEnd(tail, sizeBytes);
  if (last !== null) return last;
  const inHead = firstByte(head);
  if (inHead >= 0) return `data of an unknown kind (byte ${inHead} is not zero)`;
  const inTail = firstByte(tail);
  if (inTail >= 0)
    return `data of an unknown kind (byte ${sizeBytes - tailBytes + inTail} is not zero)`;
  return null;
}
