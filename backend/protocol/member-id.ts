// How a node of an MDM cluster is called outside. It must never be stored.

/** The system's id with the node's place from 1 in its lowest bits: a member has no object key of its own. */
export function memberId(systemId: string, index: number): string {
  const id = (BigInt(`0x${systemId}`) & ~0xffffn) | BigInt(0xff00 + index + 1);
  return id.toString(16).padStart(16, '0');
}
