// THE command table of scli, put together from the topics.

import { SDS_CACHING_COMMANDS, VOLUME_CACHING_COMMANDS } from './commands/caching.js';
import { CLIENT_COMMANDS } from './commands/clients.js';
import { DEVICE_COMMANDS } from './commands/devices.js';
import { DOMAIN_COMMANDS } from './commands/domains.js';
import { COPYING_COMMANDS } from './commands/copying.js';
import { SCANNER_COMMANDS } from './commands/scanner.js';
import { MDM_COMMANDS } from './commands/mdms.js';
import { METADATA_COMMANDS } from './commands/metadata.js';
import { POOL_COMMANDS } from './commands/pools.js';
import { PROPERTY_COMMANDS } from './commands/properties.js';
import { SDS_COMMANDS } from './commands/servers.js';
import { SDS_MOVE_COMMANDS } from './commands/sds-move.js';
import { SESSION_COMMANDS } from './commands/session.js';
import { SYSTEM_COMMANDS } from './commands/system.js';
import { SNAPSHOT_POLICY_COMMANDS } from './commands/snapshot-policies.js';
import { SNAPSHOT_COMMANDS } from './commands/snapshots.js';
import { VOLUME_QUERY_COMMANDS } from './commands/volume-queries.js';
import { VOLUME_COMMANDS } from './commands/volumes.js';
import { VTREE_COMMANDS } from './commands/vtrees.js';
import type { Command } from './option.js';

export const COMMANDS: readonly Command[] = [
  ...SESSION_COMMANDS,
  ...SYSTEM_COMMANDS,
  ...MDM_COMMANDS,
  ...METADATA_COMMANDS,
  ...PROPERTY_COMMANDS,
  ...DOMAIN_COMMANDS,
  ...POOL_COMMANDS,
  ...COPYING_COMMANDS,
  ...SCANNER_COMMANDS,
  ...SDS_COMMANDS,
  ...SDS_MOVE_COMMANDS,
  ...SDS_CACHING_COMMANDS,
  ...DEVICE_COMMANDS,
  ...CLIENT_COMMANDS,
  ...VOLUME_COMMANDS,
  ...VOLUME_CACHING_COMMANDS,
  ...VOLUME_QUERY_COMMANDS,
  ...SNAPSHOT_COMMANDS,
  ...SNAPSHOT_POLICY_COMMANDS,
  ...VTREE_COMMANDS,
];
