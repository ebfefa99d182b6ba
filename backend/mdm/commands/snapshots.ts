// Commands about snapshots and V-trees. Until devices keep layers they are refused: a snapshot that is not one would be worse.

import { refuse } from '../refusal.js';
import type { Handlers } from './context.js';

const notYet = (): never =>
  refuse('INVALID_PARAMETER', 'snapshots are not supported by this release');

export const SNAPSHOT_COMMANDS: Handlers<
  'SNAPSHOT_VOLUMES' | 'REMOVE_GROUP_SNAPSHOTS' | 'OVERWRITE_VOLUME' | 'CONFIRM_VTREE'
> = {
  SNAPSHOT_VOLUMES: notYet,
  REMOVE_GROUP_SNAPSHOTS: notYet,
  OVERWRITE_VOLUME: notYet,
  CONFIRM_VTREE: notYet,
};
