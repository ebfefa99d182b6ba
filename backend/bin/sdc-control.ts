// Requests on the control socket of the client process: what it is, what it serves, and what to do with it. It owns their
// schema; it must never change a mapping: that is the MDM's.

import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';
import { describeFault } from '../runtime/config-file.js';
import { ControlRefusal } from '../runtime/control-socket.js';
import type { Attachments } from './sdc-attachments.js';

/** A volume as status and rescan show it. */
export interface VolumeFacts {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Path of its NBD socket. */
  readonly socket: string;
}

/** What the process knows of itself. */
export interface SdcFacts {
  /** GUID, ids, registration. */
  describe(): Readonly<Record<string, unknown>>;
  /** The MDM's present word on all mappings has been heard. */
  isCurrent(): boolean;
  volumes(): readonly VolumeFacts[];
}

type Request =
  | { readonly op: 'status' | 'rescan' | 'release' }
  | { readonly op: 'attach'; readonly volume: string }
  | { readonly op: 'detach'; readonly volume: string; readonly force: boolean };

const ID = { type: 'string', pattern: '^[0-9a-fA-F]{16}$' } as const;

const SCHEMA = {
  type: 'object',
  required: ['op'],
  discriminator: { propertyName: 'op' },
  oneOf: [
    {
      properties: { op: { enum: ['status', 'rescan', 'release'] } },
      additionalProperties: false,
    },
    {
      properties: { op: { const: 'attach' }, volume: ID },
      required: ['volume'],
      additionalProperties: false,
    },
    {
      properties: {
        op: { const: 'detach' },
        volume: ID,
        force: { type: 'boolean', default: false },
      },
      required: ['volume'],
      additionalProperties: false,
    },
  ],
} as unknown as JSONSchemaType<Request>;

const RESCAN_MS = 10_000;
const POLL_MS = 20;

export class SdcControl {
  readonly #facts: SdcFacts;
  readonly #valid = new Ajv({ verbose: true, discriminator: true, useDefaults: true }).compile(
    SCHEMA,
  );

  readonly #attachments: Attachments;

  constructor(facts: SdcFacts, attachments: Attachments) {
    this.#facts = facts;
    this.#attachments = attachments;
  }

  /** @throws ControlRefusal with what would be right */
  async answer(request: unknown): Promise<Readonly<Record<string, unknown>>> {
    if (!this.#valid(request)) {
      const [first] = this.#valid.errors ?? [];
      const fault = first === undefined ? 'it is wrong' : describeFault(first);
      throw new ControlRefusal(`Request: ${fault.replace('the file', 'the request')}`);
    }
    switch (request.op) {
      case 'attach':
        return { device: await this.#attachments.attach(request.volume.toLowerCase()) };
      case 'detach':
        await this.#attachments.detach(request.volume.toLowerCase(), request.force);
        return {};
      case 'release':
        return this.#attachments.release();
      case 'rescan':
        await this.#rescan();
        return this.#status();
      case 'status':
        return this.#status();
    }
  }

  #status(): Readonly<Record<string, unknown>> {
    const volumes = this.#facts
      .volumes()
      .map((volume) => ({ ...volume, device: this.#attachments.deviceOf(volume.id) }));
    return { ...this.#facts.describe(), volumes };
  }

  /** The MDM pushes every change; so a scan means to wait until its present word has been heard. */
  async #rescan(): Promise<void> {
    const deadline = Date.now() + RESCAN_MS;
    while (!this.#facts.isCurrent()) {
      if (Date.now() > deadline)
        throw new ControlRefusal(`no MDM answered within ${RESCAN_MS / 1000} s`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    await this.#attachments.settled();
  }
}
