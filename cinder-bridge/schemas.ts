// Shapes of everything that goes over the bridge's interface, as JSON schemas: requests are checked by them, the API
// document shows them, tests check answers by them. Objects take no keys that are not named.

import type { SchemaObject } from 'ajv';

import { BRIDGE_ERRORS } from './bridge-error.js';
import { FEATURES } from './bridge.js';
import { FINDING_KINDS } from './ledger.js';
import { UUID_PATTERN } from './naming.js';

/** Largest volume that fits into what the driver and Cinder count in: 1 PiB. */
const SIZE_GIB_MAX = 1048576;
const NAME_CHARS_MAX = 31;
const KNOWN_MAX = 100_000;
const STEPS_MAX = 1000;

type Properties = Readonly<Record<string, SchemaObject>>;

function object(properties: Properties, optional: Properties = {}): SchemaObject {
  return {
    type: 'object',
    properties: { ...properties, ...optional },
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

const list = (items: SchemaObject, maxItems: number): SchemaObject => ({
  type: 'array',
  items,
  maxItems,
});
const nullable = (schema: SchemaObject): SchemaObject => ({ anyOf: [schema, { type: 'null' }] });
const about = (schema: SchemaObject, description: string): SchemaObject => ({
  ...schema,
  description,
});

const TEXT: SchemaObject = { type: 'string', maxLength: 1024 };
const FLAG: SchemaObject = { type: 'boolean' };
const COUNT: SchemaObject = { type: 'integer', minimum: 0 };
const GENERATION: SchemaObject = { type: 'integer', minimum: 0, maximum: 0xffffffff };
const ACCESS: SchemaObject = { type: 'string', enum: ['ReadWrite', 'ReadOnly'] };
export const UUID: SchemaObject = { type: 'string', pattern: UUID_PATTERN };
export const NAME: SchemaObject = {
  type: 'string',
  minLength: 1,
  maxLength: NAME_CHARS_MAX,
  pattern: '^\\S+$',
};
export const HOLDER: SchemaObject = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$',
};
const MESHSAN_ID: SchemaObject = { type: 'string', pattern: '^[0-9a-fA-F]{16}$' };
const SIZE_GIB: SchemaObject = { type: 'integer', minimum: 1, maximum: SIZE_GIB_MAX };
const GUID: SchemaObject = {
  type: 'string',
  pattern: '^\\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\\}?$',
};
const REFERENCE: SchemaObject = {
  ...object({}, { id: MESHSAN_ID, name: NAME }),
  minProperties: 1,
  maxProperties: 1,
  description: 'a volume of MeshSAN, by id or by name',
};

const LIMIT_VALUE: SchemaObject = { type: 'integer', minimum: 0, maximum: 0xffffffff };
const LIMITS: SchemaObject = {
  ...object({
    iops: about(LIMIT_VALUE, 'more than 10, or 0'),
    kbps: about({ ...LIMIT_VALUE, multipleOf: 1024 }, 'KiB a second, in steps of 1024'),
    ...{ iopsPerGib: LIMIT_VALUE, kbpsPerGib: LIMIT_VALUE },
  }),
  description: 'of every mapping of the volume, 0: none; the smaller of both kinds counts',
};
/** Volumes of one group; the cluster takes as many as of one moment. */
const GROUP_MAX = 1024;
const SOURCE: SchemaObject = {
  ...object({}, { snapshotId: UUID, volumeId: UUID }),
  minProperties: 1,
  maxProperties: 1,
  description: 'a snapshot or a volume of Cinder',
};

export const NO_BODY = object({});

export const REQUESTS = {
  create: object({
    domain: NAME,
    pool: NAME,
    sizeGib: SIZE_GIB,
    provisioning: { type: 'string', enum: ['thin', 'thick'] },
  }),
  remove: object({
    unmapLeftovers: about(FLAG, 'Cinder knows of no attachment: mappings that are left go first'),
  }),
  extend: object({ sizeGib: SIZE_GIB }),
  manage: object({ domain: NAME, pool: NAME, reference: REFERENCE }),
  inspect: object({ reference: REFERENCE }),
  manageSnapshot: object({ volumeId: UUID, reference: REFERENCE }),
  attach: object(
    { host: { type: 'string', minLength: 1, maxLength: 255 }, accessMode: ACCESS },
    {
      ip: { type: 'string', maxLength: 64 },
      sdcGuid: about(GUID, 'of the SDC, where something on the host knows it'),
      limits: LIMITS,
    },
  ),
  detach: object({
    generation: about(GENERATION, 'of the mapping that the holder was given; 0: not known'),
  }),
  snapshot: object({
    snapshots: {
      ...list(object({ snapshotId: UUID, volumeId: UUID }), GROUP_MAX),
      ...{ minItems: 1, description: 'as of one moment, all or none' },
    },
  }),
  copy: object({
    copies: {
      ...list(
        object({ volumeId: UUID, domain: NAME, pool: NAME, source: SOURCE, sizeGib: SIZE_GIB }),
        GROUP_MAX,
      ),
      ...{ minItems: 1, description: 'as of one moment, all or none' },
    },
  }),
  revert: object({ snapshotId: UUID }),
  limits: object({ limits: LIMITS }),
  findings: object({
    known: object(
      {
        volumes: list(object({ volumeId: UUID, settled: FLAG }), KNOWN_MAX),
        attachments: list(
          object({
            ...{ attachmentId: TEXT, volumeId: UUID, host: TEXT },
            holder: { type: 'string', maxLength: 64 },
            generation: GENERATION,
          }),
          KNOWN_MAX,
        ),
      },
      {
        snapshots: about(
          list(object({ snapshotId: UUID, volumeId: UUID, settled: FLAG }), KNOWN_MAX),
          'without them snapshots are not compared',
        ),
      },
    ),
    minAgeSeconds: about(COUNT, 'what is younger may be under way and is left out'),
  }),
  repair: object({
    steps: list(
      {
        oneOf: [
          object({
            ...{ step: { const: 'release' }, meshsanId: MESHSAN_ID, holder: HOLDER },
            generation: GENERATION,
          }),
          object({
            ...{ step: { const: 'unmap' }, meshsanId: MESHSAN_ID, sdcId: MESHSAN_ID },
            generation: GENERATION,
          }),
        ],
      },
      STEPS_MAX,
    ),
  }),
} as const;

const VOLUME = { volumeId: UUID, meshsanId: MESHSAN_ID, name: NAME, sizeGib: SIZE_GIB };
const MANAGEABLE = object({
  ...{ meshsanId: MESHSAN_ID, name: NAME, sizeGib: SIZE_GIB },
  volumeId: about(nullable(UUID), 'of the volume of Cinder that it is'),
  reason: about(nullable(TEXT), 'why it cannot be managed; null: it can'),
});
const MANAGEABLE_SNAPSHOT = object({
  ...{ meshsanId: MESHSAN_ID, name: NAME, sizeGib: SIZE_GIB },
  snapshotId: about(nullable(UUID), 'of the snapshot of Cinder that it is'),
  volumeId: about(nullable(UUID), 'of the volume of Cinder that it is a snapshot of'),
  reason: about(nullable(TEXT), 'why it cannot be managed; null: it can'),
});
const REPAIR_STEP = REQUESTS.repair['properties'] as { steps: { items: SchemaObject } };

export const ANSWERS = {
  health: object({
    status: { type: 'string', enum: ['up', 'degraded', 'down'] },
    gateways: list(object({ url: TEXT, reachable: FLAG, reason: TEXT }), 64),
    version: TEXT,
  }),
  features: object(
    Object.fromEntries(
      Object.entries(FEATURES).map(([name, value]) => [
        name,
        typeof value === 'boolean' ? FLAG : COUNT,
      ]),
    ),
  ),
  capacity: object({ totalGib: COUNT, freeGib: COUNT, provisionedGib: COUNT, volumes: COUNT }),
  volume: object(VOLUME),
  created: object({ ...VOLUME, created: about(FLAG, 'false: an earlier request made it') }),
  removed: object({ existed: FLAG }),
  snapshots: object({
    snapshots: list(object({ ...VOLUME, snapshotId: UUID }), GROUP_MAX),
  }),
  copies: object({ volumes: list(object(VOLUME), GROUP_MAX) }),
  limited: object({ mappings: about(COUNT, 'that the volume has now') }),
  manageable: MANAGEABLE,
  manageables: object({ volumes: list(MANAGEABLE, KNOWN_MAX) }),
  snapshot: object({ ...VOLUME, snapshotId: UUID }),
  manageableSnapshot: MANAGEABLE_SNAPSHOT,
  manageableSnapshots: object({ snapshots: list(MANAGEABLE_SNAPSHOT, KNOWN_MAX) }),
  unmanaged: object({ name: about(NAME, 'that it has now') }),
  attachment: object({
    ...{ volumeId: UUID, meshsanId: MESHSAN_ID, systemId: MESHSAN_ID, sdcId: MESHSAN_ID },
    ...{ sdcGuid: TEXT, generation: GENERATION, shared: FLAG, devicePath: TEXT, sizeGib: SIZE_GIB },
  }),
  detached: object({ outcome: { type: 'string', enum: ['unmapped', 'kept', 'stale'] } }),
  detachedAll: object({ unmapped: COUNT }),
  ledger: object({
    rows: list(
      object({
        ...{ volumeId: nullable(UUID), meshsanId: MESHSAN_ID, volumeName: NAME },
        ...{ sdcId: MESHSAN_ID, sdcName: nullable(TEXT), sdcGuid: TEXT, connected: FLAG },
        ...{ generation: GENERATION, accessMode: TEXT },
        holders: list(object({ holder: TEXT, sinceSeconds: COUNT }), KNOWN_MAX),
      }),
      KNOWN_MAX,
    ),
  }),
  findings: object({
    findings: list(
      object({
        kind: { type: 'string', enum: [...FINDING_KINDS] },
        ...{ volumeId: nullable(UUID), meshsanId: nullable(MESHSAN_ID), text: TEXT },
        snapshotId: about(nullable(UUID), 'where it is about a snapshot'),
        repair: about(nullable(REPAIR_STEP.steps.items), 'null: a person has to decide'),
      }),
      KNOWN_MAX,
    ),
  }),
  repaired: object({
    outcomes: list({ type: 'string', enum: ['done', 'replaced'] }, STEPS_MAX),
  }),
  document: { type: 'object' },
} as const satisfies Record<string, SchemaObject>;

export const ERROR_ANSWER = object({
  error: object({
    code: { type: 'string', enum: Object.keys(BRIDGE_ERRORS) },
    message: TEXT,
  }),
});
