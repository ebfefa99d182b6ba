// The ways in which this cloud reaches MeshSAN: each a backend of Cinder with a volume type of the same name.
import { nameOnMeshsan } from './meshsan.js';

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
