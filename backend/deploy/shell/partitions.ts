// Finds the partitions that Fuel made for us on this node, by the type that the plugin gives them. It must never touch them.

import { execa } from 'execa';

/** GPT type of partitions that belong to us. */
export const PARTITION_GUID = '6d657368-7361-6e00-8000-000000000001';
const COMMAND_MS = 30_000;

/** Paths of block devices with our partition type; none where there is no lsblk. */
export async function ownPartitions(): Promise<string[]> {
  const result = await execa('lsblk', ['--raw', '--noheadings', '--output', 'PATH,PARTTYPE'], {
    reject: false,
    stdin: 'ignore',
    timeout: COMMAND_MS,
  });
  if (result.failed) return [];
  return partitionsIn(result.stdout);
}

/** Reads what lsblk printed. */
export function partitionsIn(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, type]) => type?.toLowerCase() === PARTITION_GUID)
    .map(([path = '']) => path);
}
