// The interface of a node's agent (LIA): what it reports, which jobs it takes, and the schemas of both. Agent, command line
// and deployer share it. It must never hold behaviour.

/** Where agents listen. */
export const LIA_PORT = 9099;

/** Debian's etcd, which an MDM needs to take part in a cluster. Agents report it beside our own packages. */
export const STORE_PACKAGE = 'etcd-server';

/** Services of ours that an agent starts, stops and reports. */
export const LIA_SERVICES = [
  'meshsan-mdm',
  'meshsan-sds',
  'meshsan-sdc',
  'meshsan-gateway',
  'meshsan-cinder-bridge',
  'meshsan-sentinel',
  'meshsan-lia',
] as const;
export type LiaService = (typeof LIA_SERVICES)[number];

export const SERVICE_ACTIONS = ['start', 'stop', 'restart'] as const;
export type ServiceAction = (typeof SERVICE_ACTIONS)[number];

export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** Of dpkg: `installed`, `half-configured`, `config-files` and so on. */
  readonly state: string;
}

export interface ServiceState {
  readonly unit: LiaService;
  /** Of systemd: `active`, `inactive`, `failed`, `activating` and so on; `absent`: there is no such unit. */
  readonly state: string;
  readonly startsAtBoot: boolean;
  /** When it came into this state, ms of the epoch; null: never in this life of the node. */
  readonly sinceMs: number | null;
  readonly pid: number | null;
  /** How often it was started again by itself. */
  readonly restarts: number;
}

export interface NodeAddress {
  readonly name: string;
  readonly address: string;
  readonly prefix: number;
}

/** What is on a block device. `ours` names system and device; others say in words what was found. */
export type DeviceContent =
  | { readonly kind: 'empty' }
  | { readonly kind: 'ours'; readonly systemId: string; readonly deviceKey: number }
  | { readonly kind: 'damaged' | 'foreign' | 'unreadable'; readonly what: string };

export interface NodeDevice {
  readonly path: string;
  readonly kind: 'disk' | 'partition';
  readonly sizeBytes: number;
  readonly media: 'HDD' | 'SSD';
  readonly model: string;
  readonly content: DeviceContent;
  /** Who uses it right now, or null. */
  readonly inUse: string | null;
}

export interface NodeReport {
  readonly name: string;
  readonly hostName: string;
  /** Of the agent. */
  readonly version: string;
  readonly kernel: string;
  readonly bootId: string;
  readonly uptimeSeconds: number;
  readonly memoryBytes: number;
  readonly packages: readonly InstalledPackage[];
  readonly services: readonly ServiceState[];
  readonly addresses: readonly NodeAddress[];
  readonly devices: readonly NodeDevice[];
  /** Why devices could not be looked at, or null. */
  readonly devicesFault: string | null;
}

export type JobRequest =
  | { readonly kind: 'service'; readonly unit: LiaService; readonly action: ServiceAction }
  | {
      readonly kind: 'install';
      /** SHA-256 of package files that were handed over, 64 hex digits each. */
      readonly packages: readonly string[];
      readonly allowDowngrade: boolean;
    };

export type JobState = 'waiting' | 'running' | 'done' | 'failed';

export interface Job {
  /** Chosen by whoever asks: the same one twice is one job. */
  readonly id: string;
  /** Order of arrival. */
  readonly number: number;
  readonly request: JobRequest;
  readonly state: JobState;
  readonly createdMs: number;
  readonly startedMs: number | null;
  readonly endedMs: number | null;
  /** Life of the node in which it was started, or empty. */
  readonly bootId: string;
  /** A sentence: what came of it, or where it is. */
  readonly message: string;
  /** The end of what its program printed. */
  readonly output: string;
}

/** The unit in which a job's program runs, as systemd knows it. */
export type UnitFacts =
  | { readonly state: 'running' }
  | { readonly state: 'missing' }
  | {
      readonly state: 'ended';
      readonly ok: boolean;
      readonly why: string;
      readonly output: string;
    };

/** A package file that was handed over and verified. */
export interface KeptPackage {
  readonly sha256: string;
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly bytes: number;
}

export const SHA256_PATTERN = '^[0-9a-f]{64}$';
/** Letters, digits, dot and dash: it becomes part of file names and of a unit's name. */
export const JOB_ID_PATTERN = '^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$';

const TEXT = { type: 'string' } as const;
const WHOLE = { type: 'integer', minimum: 0 } as const;
const TIME = { type: ['integer', 'null'], minimum: 0 } as const;

export const JOB_REQUEST_SCHEMA = {
  type: 'object',
  discriminator: { propertyName: 'kind' },
  required: ['kind'],
  oneOf: [
    {
      properties: {
        kind: { const: 'service' },
        unit: { enum: LIA_SERVICES },
        action: { enum: SERVICE_ACTIONS },
      },
      required: ['kind', 'unit', 'action'],
      additionalProperties: false,
    },
    {
      properties: {
        kind: { const: 'install' },
        packages: {
          type: 'array',
          minItems: 1,
          maxItems: 32,
          uniqueItems: true,
          items: { type: 'string', pattern: SHA256_PATTERN },
        },
        allowDowngrade: { type: 'boolean', default: false },
      },
      required: ['kind', 'packages'],
      additionalProperties: false,
    },
  ],
} as const;

export const JOB_SCHEMA = {
  type: 'object',
  properties: {
    id: { type: 'string', pattern: JOB_ID_PATTERN },
    number: WHOLE,
    request: JOB_REQUEST_SCHEMA,
    state: { enum: ['waiting', 'running', 'done', 'failed'] },
    ...{ createdMs: WHOLE, startedMs: TIME, endedMs: TIME },
    ...{ bootId: TEXT, message: TEXT, output: TEXT },
  },
  required: [
    ...['id', 'number', 'request', 'state', 'createdMs', 'startedMs', 'endedMs', 'bootId'],
    ...['message', 'output'],
  ],
} as const;

const rows = (
  properties: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> => ({
  type: 'array',
  maxItems: 4096,
  items: { type: 'object', properties, required: Object.keys(properties) },
});

/** Fields that came later may follow: what is needed is there. */
export const REPORT_SCHEMA = {
  type: 'object',
  properties: {
    ...{ name: TEXT, hostName: TEXT, version: TEXT, kernel: TEXT, bootId: TEXT },
    ...{ uptimeSeconds: { type: 'number' }, memoryBytes: WHOLE },
    packages: rows({ name: TEXT, version: TEXT, state: TEXT }),
    services: rows({
      ...{ unit: TEXT, state: TEXT, startsAtBoot: { type: 'boolean' } },
      ...{ sinceMs: TIME, pid: TIME, restarts: WHOLE },
    }),
    addresses: rows({ name: TEXT, address: TEXT, prefix: WHOLE }),
    devices: rows({
      ...{ path: TEXT, kind: TEXT, sizeBytes: WHOLE, media: TEXT, model: TEXT },
      content: { type: 'object', properties: { kind: TEXT }, required: ['kind'] },
      inUse: { type: ['string', 'null'] },
    }),
    devicesFault: { type: ['string', 'null'] },
  },
  required: [
    ...['name', 'hostName', 'version', 'kernel', 'bootId', 'uptimeSeconds', 'memoryBytes'],
    ...['packages', 'services', 'addresses', 'devices', 'devicesFault'],
  ],
} as const;

export const KEPT_SCHEMA = {
  type: 'object',
  properties: {
    sha256: { type: 'string', pattern: SHA256_PATTERN },
    ...{ name: TEXT, version: TEXT, architecture: TEXT, bytes: WHOLE },
  },
  required: ['sha256', 'name', 'version', 'architecture', 'bytes'],
} as const;

/** What a signer signs to vouch for a package file. */
export const packageStatement = (sha256: string): string => `meshsan package ${sha256}\n`;
