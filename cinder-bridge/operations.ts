// THE table of the bridge's operations: method, path, shapes, errors, and what is done. The express application and the
// API document are made from it. Every operation is harmless when it arrives twice.

import type { SchemaObject } from 'ajv';

import type { BridgeErrorCode } from './bridge-error.js';
import { FEATURES } from './bridge.js';
import type { Bridge } from './bridge.js';
import type { CopySpec, SnapshotSpec } from './copies.js';
import type { Limits } from './gateway/cluster.js';
import type { HostFacts } from './hosts.js';
import type { Known, Repair } from './ledger.js';
import { ANSWERS, HOLDER, NAME, NO_BODY, REQUESTS, UUID } from './schemas.js';
import type { PoolName, Reference, WantedVolume } from './volumes.js';

export interface Call {
  readonly bridge: Bridge;
  /** Checked by the schemas of the row. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: unknown;
  /** Wall clock. */
  readonly nowMs: number;
}

export interface Operation {
  readonly operationId: string;
  readonly method: 'get' | 'put' | 'post' | 'delete';
  /** With places in braces, as the API document has it. */
  readonly path: string;
  readonly summary: string;
  /** Answers without a signature: nothing in it is secret. */
  readonly open?: true;
  readonly params: Readonly<Record<string, SchemaObject>>;
  readonly body: SchemaObject;
  readonly answer: SchemaObject;
  readonly errors: readonly BridgeErrorCode[];
  handle(call: Call): Promise<object>;
}

/** Errors that any operation may have are not repeated in the rows. */
export const COMMON_ERRORS: readonly BridgeErrorCode[] = [
  'invalid',
  'tooLarge',
  'refused',
  'unavailable',
  'internal',
];

const POOL = { domain: NAME, pool: NAME };
const VOLUME = { volumeId: UUID };

const volumeOf = ({ params }: Call): string => params['volumeId'] ?? '';
const poolOf = ({ params }: Call): PoolName => ({
  domain: params['domain'] ?? '',
  pool: params['pool'] ?? '',
});

const STATE_OPERATIONS: readonly Operation[] = [
  {
    operationId: 'health',
    method: 'get',
    path: '/v1/health',
    summary: 'Whether requests of Cinder would succeed now, and which gateways answer.',
    ...{ open: true, params: {}, body: NO_BODY, answer: ANSWERS.health, errors: [] },
    handle: ({ bridge }) => bridge.health(),
  },
  {
    operationId: 'features',
    method: 'get',
    path: '/v1/features',
    summary: 'What this release can do.',
    ...{ params: {}, body: NO_BODY, answer: ANSWERS.features, errors: [] },
    handle: () => Promise.resolve(FEATURES),
  },
  {
    operationId: 'capacity',
    method: 'get',
    path: '/v1/pools/{domain}/{pool}/capacity',
    summary: 'Capacity of a storage pool, one copy counted.',
    ...{ params: POOL, body: NO_BODY, answer: ANSWERS.capacity, errors: ['notFound'] },
    handle: (call) => call.bridge.capacity(poolOf(call)),
  },
  {
    operationId: 'listManageable',
    method: 'get',
    path: '/v1/pools/{domain}/{pool}/volumes',
    summary: 'Every volume of a pool, with why Cinder cannot take it over.',
    ...{ params: POOL, body: NO_BODY, answer: ANSWERS.manageables, errors: ['notFound'] },
    handle: async (call) => ({ volumes: await call.bridge.volumes.manageable(poolOf(call)) }),
  },
  {
    operationId: 'inspect',
    method: 'post',
    path: '/v1/pools/{domain}/{pool}/inspect',
    summary: 'One volume that Cinder may take over; nothing changes.',
    params: POOL,
    ...{ body: REQUESTS.inspect, answer: ANSWERS.manageable, errors: ['notFound', 'conflict'] },
    handle: (call) => {
      const { reference } = call.body as { reference: Reference };
      return call.bridge.volumes.inspect(reference, poolOf(call));
    },
  },
];

const VOLUME_OPERATIONS: readonly Operation[] = [
  {
    operationId: 'createVolume',
    method: 'put',
    path: '/v1/volumes/{volumeId}',
    summary: 'Makes a volume, or answers with the one that the same request made before.',
    params: VOLUME,
    ...{ body: REQUESTS.create, answer: ANSWERS.created, errors: ['notFound', 'conflict'] },
    handle: (call) => call.bridge.volumes.create(volumeOf(call), call.body as WantedVolume),
  },
  {
    operationId: 'showVolume',
    method: 'get',
    path: '/v1/volumes/{volumeId}',
    summary: 'A volume.',
    ...{ params: VOLUME, body: NO_BODY, answer: ANSWERS.volume, errors: ['notFound'] },
    handle: (call) => call.bridge.volumes.show(volumeOf(call)),
  },
  {
    operationId: 'removeVolume',
    method: 'delete',
    path: '/v1/volumes/{volumeId}',
    summary: 'Removes a volume; one that is gone is fine.',
    ...{ params: VOLUME, body: REQUESTS.remove, answer: ANSWERS.removed, errors: ['busy'] },
    handle: (call) => {
      const { unmapLeftovers } = call.body as { unmapLeftovers: boolean };
      return call.bridge.volumes.remove(volumeOf(call), unmapLeftovers);
    },
  },
  {
    operationId: 'extendVolume',
    method: 'post',
    path: '/v1/volumes/{volumeId}/extend',
    summary: 'Grows a volume, also one that is attached, to a size in GiB.',
    params: VOLUME,
    ...{ body: REQUESTS.extend, answer: ANSWERS.volume, errors: ['notFound', 'conflict'] },
    handle: (call) => {
      const { sizeGib } = call.body as { sizeGib: number };
      return call.bridge.volumes.extend(volumeOf(call), sizeGib);
    },
  },
  {
    operationId: 'manageVolume',
    method: 'post',
    path: '/v1/volumes/{volumeId}/manage',
    summary: 'Takes over a volume that exists: it gets the name of the volume of Cinder.',
    params: VOLUME,
    ...{ body: REQUESTS.manage, answer: ANSWERS.volume, errors: ['notFound', 'conflict'] },
    handle: (call) => {
      const { reference, ...at } = call.body as PoolName & { reference: Reference };
      return call.bridge.volumes.manage(volumeOf(call), reference, at);
    },
  },
  {
    operationId: 'unmanageVolume',
    method: 'post',
    path: '/v1/volumes/{volumeId}/unmanage',
    summary: 'Gives a volume up: it stays, under another name.',
    ...{ params: VOLUME, body: NO_BODY, answer: ANSWERS.unmanaged, errors: ['conflict'] },
    handle: (call) => call.bridge.volumes.unmanage(volumeOf(call)),
  },
];

const COPY_OPERATIONS: readonly Operation[] = [
  {
    operationId: 'createSnapshots',
    method: 'post',
    path: '/v1/snapshots',
    summary: 'Makes snapshots of volumes as of one moment, or finds those of the same request.',
    ...{ params: {}, body: REQUESTS.snapshot, answer: ANSWERS.snapshots },
    errors: ['notFound', 'conflict', 'snapshotLimit'],
    handle: async ({ bridge, body }) => {
      const { snapshots } = body as { snapshots: readonly SnapshotSpec[] };
      return { snapshots: await bridge.copies.snapshot(snapshots) };
    },
  },
  {
    operationId: 'removeSnapshot',
    method: 'delete',
    path: '/v1/snapshots/{snapshotId}',
    summary: 'Removes a snapshot; what was made of it stays, and one that is gone is fine.',
    params: { snapshotId: UUID },
    ...{ body: NO_BODY, answer: ANSWERS.removed, errors: ['busy'] },
    handle: ({ bridge, params }) => bridge.copies.removeSnapshot(params['snapshotId'] ?? ''),
  },
  {
    operationId: 'listManageableSnapshots',
    method: 'get',
    path: '/v1/pools/{domain}/{pool}/snapshots',
    summary: 'Every snapshot of a pool, with why Cinder cannot take it over.',
    ...{ params: POOL, body: NO_BODY, answer: ANSWERS.manageableSnapshots, errors: ['notFound'] },
    handle: async (call) => ({
      snapshots: await call.bridge.existingSnapshots.manageable(poolOf(call)),
    }),
  },
  {
    operationId: 'inspectSnapshot',
    method: 'post',
    path: '/v1/volumes/{volumeId}/inspect-snapshot',
    summary: 'One snapshot that Cinder may take over as one of a volume; nothing changes.',
    params: VOLUME,
    ...{ body: REQUESTS.inspect, answer: ANSWERS.manageableSnapshot, errors: ['notFound'] },
    handle: (call) => {
      const { reference } = call.body as { reference: Reference };
      return call.bridge.existingSnapshots.inspect(volumeOf(call), reference);
    },
  },
  {
    operationId: 'manageSnapshot',
    method: 'post',
    path: '/v1/snapshots/{snapshotId}/manage',
    summary: 'Takes over a snapshot of a volume of Cinder: it gets the name of the snapshot.',
    params: { snapshotId: UUID },
    ...{
      body: REQUESTS.manageSnapshot,
      answer: ANSWERS.snapshot,
      errors: ['notFound', 'conflict'],
    },
    handle: ({ bridge, params, body }) => {
      const { volumeId, reference } = body as { volumeId: string; reference: Reference };
      return bridge.existingSnapshots.manage(params['snapshotId'] ?? '', volumeId, reference);
    },
  },
  {
    operationId: 'unmanageSnapshot',
    method: 'post',
    path: '/v1/snapshots/{snapshotId}/unmanage',
    summary: 'Gives a snapshot up: it stays, under another name.',
    params: { snapshotId: UUID },
    ...{ body: NO_BODY, answer: ANSWERS.unmanaged, errors: ['conflict'] },
    handle: ({ bridge, params }) => bridge.existingSnapshots.unmanage(params['snapshotId'] ?? ''),
  },
  {
    operationId: 'createCopies',
    method: 'post',
    path: '/v1/copies',
    summary: 'Makes volumes with the content that others have at one moment, larger where asked.',
    ...{ params: {}, body: REQUESTS.copy, answer: ANSWERS.copies },
    errors: ['notFound', 'conflict', 'snapshotLimit'],
    handle: async ({ bridge, body }) => {
      const { copies } = body as { copies: readonly CopySpec[] };
      return { volumes: await bridge.copies.copy(copies) };
    },
  },
  {
    operationId: 'revertVolume',
    method: 'post',
    path: '/v1/volumes/{volumeId}/revert',
    summary: 'Gives a volume that nobody has attached the content of one of its snapshots.',
    params: VOLUME,
    ...{ body: REQUESTS.revert, answer: ANSWERS.volume, errors: ['notFound', 'busy'] },
    handle: (call) => {
      const { snapshotId } = call.body as { snapshotId: string };
      return call.bridge.copies.revert(volumeOf(call), snapshotId);
    },
  },
];

const ATTACHMENT_OPERATIONS: readonly Operation[] = [
  {
    operationId: 'attach',
    method: 'put',
    path: '/v1/volumes/{volumeId}/attachments/{holder}',
    summary: 'Maps a volume to the SDC of a host and notes who relies on it.',
    params: { ...VOLUME, holder: HOLDER },
    ...{ body: REQUESTS.attach, answer: ANSWERS.attachment, errors: ['notFound'] },
    handle: (call) => {
      const { accessMode, limits, ...facts } = call.body as HostFacts & {
        accessMode: 'ReadWrite' | 'ReadOnly';
        limits?: Limits;
      };
      const holder = call.params['holder'] ?? '';
      const { attachments } = call.bridge;
      return attachments.attach(volumeOf(call), holder, facts, accessMode, limits ?? null);
    },
  },
  {
    operationId: 'limit',
    method: 'post',
    path: '/v1/volumes/{volumeId}/limits',
    summary: 'Limits what each host may do that has a volume attached now.',
    ...{ params: VOLUME, body: REQUESTS.limits, answer: ANSWERS.limited, errors: ['notFound'] },
    handle: async (call) => {
      const { limits } = call.body as { limits: Limits };
      return { mappings: await call.bridge.attachments.setLimits(volumeOf(call), limits) };
    },
  },
  {
    operationId: 'detach',
    method: 'delete',
    path: '/v1/volumes/{volumeId}/attachments/{holder}',
    summary: 'Strikes a holder out; unmaps when nobody else on that host relies on the mapping.',
    params: { ...VOLUME, holder: HOLDER },
    ...{ body: REQUESTS.detach, answer: ANSWERS.detached, errors: [] },
    handle: async (call) => {
      const { generation } = call.body as { generation: number };
      const holder = call.params['holder'] ?? '';
      const { attachments } = call.bridge;
      return { outcome: await attachments.detach(volumeOf(call), holder, generation) };
    },
  },
  {
    operationId: 'detachAll',
    method: 'delete',
    path: '/v1/volumes/{volumeId}/attachments',
    summary: 'Takes every mapping of a volume away: what an administrator forces.',
    ...{ params: VOLUME, body: NO_BODY, answer: ANSWERS.detachedAll, errors: ['notFound'] },
    handle: async (call) => ({
      unmapped: await call.bridge.attachments.detachAll(volumeOf(call)),
    }),
  },
];

const LEDGER_OPERATIONS: readonly Operation[] = [
  {
    operationId: 'ledger',
    method: 'get',
    path: '/v1/ledger',
    summary: 'Who has which volume mapped, by which generation, and who relies on it.',
    ...{ params: {}, body: NO_BODY, answer: ANSWERS.ledger, errors: [] },
    handle: async ({ bridge }) => ({ rows: await bridge.ledger() }),
  },
  {
    operationId: 'findings',
    method: 'post',
    path: '/v1/ledger/findings',
    summary: 'What differs between the cluster and what Cinder knows, each with its repair.',
    ...{ params: {}, body: REQUESTS.findings, answer: ANSWERS.findings, errors: [] },
    handle: async ({ bridge, body, nowMs }) => {
      const { known, minAgeSeconds } = body as { known: Known; minAgeSeconds: number };
      return { findings: await bridge.findings(known, Math.floor(nowMs / 1000), minAgeSeconds) };
    },
  },
  {
    operationId: 'repair',
    method: 'post',
    path: '/v1/ledger/repair',
    summary: 'Takes steps of a report; one whose generation was replaced does nothing.',
    ...{ params: {}, body: REQUESTS.repair, answer: ANSWERS.repaired, errors: [] },
    handle: async ({ bridge, body }) => {
      const { steps } = body as { steps: readonly Repair[] };
      return { outcomes: await bridge.repair(steps) };
    },
  },
];

export const OPERATIONS: readonly Operation[] = [
  ...STATE_OPERATIONS,
  ...VOLUME_OPERATIONS,
  ...COPY_OPERATIONS,
  ...ATTACHMENT_OPERATIONS,
  ...LEDGER_OPERATIONS,
];
