// Owns the JSON schema of the result file, for `--table FILE`: a file of an older version, of
// another program or cut short is refused with the place that is wrong.

const text = { type: 'string' } as const;
const number = { type: 'number' } as const;
const amount = { type: 'number', minimum: 0 } as const;
const count = { type: 'integer', minimum: 0 } as const;

function record(properties: Readonly<Record<string, object>>): object {
  return { type: 'object', required: Object.keys(properties), properties };
}

function mapOf(value: object): object {
  return { type: 'object', additionalProperties: value };
}

function listOf(items: object): object {
  return { type: 'array', items };
}

const TARGET = record({
  name: { type: 'string', pattern: '^[a-z0-9-]+$' },
  version: text,
  copies: count,
  acknowledgement: { enum: ['flushed', 'handed-to-device', 'cached'] },
  durable: text,
  cached: text,
});

const RUN = record({
  job: text,
  target: text,
  repetition: count,
  at: text,
  ios: { type: 'integer', minimum: 1 },
  iops: amount,
  mbPerS: amount,
  p50Us: amount,
  p99Us: amount,
  p999Us: amount,
  cpuUsPerIo: amount,
  cpuByRole: mapOf(record({ userUs: number, systemUs: number })),
  fioCpuUsPerIo: amount,
  otherCpuPercent: amount,
  stealPercent: number,
  loadBefore: amount,
  quiet: { type: ['boolean', 'null'] },
});

const MACHINE = record({
  cpuModel: text,
  cores: count,
  memoryGib: amount,
  kernel: text,
  nodeVersion: text,
  fioVersion: text,
  filesystem: record({ type: text, device: text, mountPoint: text }),
  load: listOf(amount),
  commit: { type: ['string', 'null'] },
});

export const REPORT_SCHEMA = record({
  format: { const: 'meshsan-bench' },
  version: { const: 1 },
  startedAt: text,
  finishedAt: { type: ['string', 'null'] },
  command: listOf(text),
  machine: MACHINE,
  sizeBytes: count,
  runtimeS: count,
  targets: listOf(TARGET),
  idleResidentMib: mapOf(amount),
  runs: listOf(RUN),
  failures: listOf(record({ job: text, target: text, repetition: count, error: text })),
});
