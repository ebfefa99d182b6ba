// What V-trees hold, divided between their base volume and their snapshots. It owns the division, every byte counted
// once; it must never invent a number that was not reported.

import type { Volume, VolumeStatus, VtreeStatus } from '../../protocol/generated/types.js';

/** Bytes of a V-tree. */
export interface TreeHeld {
  /** On all devices together: of a thin base volume, with what it shares with its snapshots. */
  readonly baseBytes: number;
  /** What is held beside: also below a thick base volume, which keeps the room to write all of it once more. */
  readonly snapshotBytes: number;
  /** One copy counted: in layers that the base volume reads, and in all others. */
  readonly baseNetBytes: number;
  readonly snapshotNetBytes: number;
}

/** Whether a volume came about as a snapshot; it stays one when what it was made of is removed. */
export function isSnapshot({ key, vtreeKey }: Pick<Volume, 'key' | 'vtreeKey'>): boolean {
  return key !== vtreeKey;
}

/** By V-tree. Where the MDM does not know V-trees yet, each is one volume. */
export function treesHeld(
  volumes: readonly Volume[],
  volumeStatuses: readonly VolumeStatus[],
  treeStatuses: readonly VtreeStatus[],
): ReadonlyMap<number, TreeHeld> {
  const byVolume = new Map(volumeStatuses.map((status) => [status.volumeKey, status]));
  const bases = new Map(volumes.filter((one) => !isSnapshot(one)).map((one) => [one.key, one]));
  const held = new Map<number, TreeHeld>();
  for (const { volumeKey, rawBytes, netBytes } of volumeStatuses)
    held.set(volumeKey, {
      ...{ baseBytes: rawBytes, snapshotBytes: 0 },
      ...{ baseNetBytes: netBytes, snapshotNetBytes: 0 },
    });
  for (const tree of treeStatuses)
    held.set(tree.vtreeKey, divided(tree, bases.get(tree.vtreeKey), byVolume.get(tree.vtreeKey)));
  return held;
}

function divided(
  { rawBytes, netBytes, baseNetBytes, snapshotNetBytes }: VtreeStatus,
  base: Volume | undefined,
  status: VolumeStatus | undefined,
): TreeHeld {
  const net =
    base?.provisioning === 'thick' && status !== undefined
      ? status.netBytes - status.sharedNetBytes
      : baseNetBytes;
  const baseBytes =
    netBytes === 0 ? 0 : Math.min(rawBytes, Math.round((rawBytes * net) / netBytes));
  return { baseBytes, snapshotBytes: rawBytes - baseBytes, baseNetBytes, snapshotNetBytes };
}
