// Names of Cinder's volumes on MeshSAN. A name is made of the volume's uuid alone, so that every bridge and every retry
// finds the same volume, and the uuid can be read back. It must never depend on what users call their volumes.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const CODED = /^([A-Za-z0-9_-]{22})$/;
/** Before the 22 characters of a uuid's 16 bytes; with them far below the 31 characters that a name may have. */
const MANAGED = 'cinder-';
const RELEASED = 'former-';
const SNAPSHOT = 'snapshot-';

export const UUID_PATTERN = UUID.source;

function coded(prefix: string, cinderId: string): string {
  if (!UUID.test(cinderId)) throw new Error(`${cinderId} is not a uuid in lower case`);
  return prefix + Buffer.from(cinderId.replaceAll('-', ''), 'hex').toString('base64url');
}

/** The name on MeshSAN of a volume of Cinder. @param cinderId - uuid in lower case */
export function volumeName(cinderId: string): string {
  return coded(MANAGED, cinderId);
}

/** The name on MeshSAN of a snapshot of Cinder. @param cinderId - uuid in lower case */
export function snapshotName(cinderId: string): string {
  return coded(SNAPSHOT, cinderId);
}

/** The name that a volume or snapshot gets when Cinder does not manage it any more. */
export function releasedName(cinderId: string): string {
  return coded(RELEASED, cinderId);
}

/** The uuid that a name was made of; null for a name that Cinder's volumes do not have. */
export function cinderIdOf(name: string): string | null {
  return decoded(MANAGED, name);
}

/** The same for names of Cinder's snapshots. */
export function snapshotIdOf(name: string): string | null {
  return decoded(SNAPSHOT, name);
}

function decoded(prefix: string, name: string): string | null {
  if (!name.startsWith(prefix)) return null;
  const [, code] = CODED.exec(name.slice(prefix.length)) ?? [];
  if (code === undefined) return null;
  const hex = Buffer.from(code, 'base64url').toString('hex');
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  // Other texts of the same length may decode to the same bytes: only the one that is made here counts.
  return UUID.test(uuid) && coded(prefix, uuid) === name ? uuid : null;
}
