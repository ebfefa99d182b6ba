// The ways in which this cloud reaches MeshSAN: each a backend of Cinder with a volume type of the same name.
import { nameOnMeshsan } from './meshsan.js';
import type { Scope } from './state.js';

export interface Backend {
  /** Section of cinder.conf, `volume_backend_name`, and volume type. */
  readonly name: string;
  /** Who speaks to MeshSAN. */
  readonly driver: string;
  /** A volume's size is rounded up to a multiple of it. */
  readonly grainGib: number;
  /** The name on MeshSAN of the volume with an id of Cinder's. */
  readonly nameOf: (id: string) => string;
}

/** Cinder's own PowerFlex driver with os-brick's own ScaleIO connector, both as Debian ships them. */
export const POWERFLEX: Backend = {
  name: 'powerflex',
  driver: 'cinder.volume.drivers.dell_emc.powerflex.driver.PowerFlexDriver',
  grainGib: 8,
  nameOf: nameOnMeshsan,
};

/** MeshSAN's own driver with its bridge, and the package of nova-hooks on the compute host. */
export const MESHSAN: Backend = {
  name: 'meshsan',
  driver: 'meshsan_cinder.driver.MeshSANDriver',
  grainGib: 1,
  nameOf: (id) => `cinder-${Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')}`,
};

/** The backends of a cloud. The first is that of volumes whose type nobody names. */
export function backendsOf(scope: Scope): readonly [Backend, ...Backend[]] {
  return scope === 'core' ? [POWERFLEX] : [MESHSAN, POWERFLEX];
}
