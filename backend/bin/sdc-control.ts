// Requests on the control socket of the client process: what it is, what it serves, and what to do with it. It owns their
// schema; it must never change a mapping: that is the MDM's.

import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';
import { describeFault } from '../runtime/config-file.js';
import { ControlRefusal } from '../runtime/control-socket.js';

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

interface Request {
  readonly op: 'status' | 'rescan';
}

const SCHEMA: JSONSchemaType<Request> = {
  type: 'object',
  properties: { op: { type: 'string', enum: ['status', 'rescan'] } },
  required: ['op'],
  additionalProperties: false,
};

const RESCAN_MS = 10_000;
const POLL_MS = 20;

export class SdcControl {
  readonly #facts: SdcFacts;
  readonly #valid = new Ajv({ verbose: true }).compile(SCHEMA);

  constructor(facts: SdcFacts) {
    this.#facts = facts;
  }

  /** @throws ControlRefusal with what would be right */
  async answer(request: unknown): Promise<Readonly<Record<string, unknown>>> {
    if (!this.#valid(request)) {
      const [first] = this.#valid.errors ?? [];
      const fault = first === undefined ? 'it is wrong' : describeFault(first);
      throw new ControlRefusal(`Request: ${fault.replace('the file', 'the request')}`);
    }
    if (request.op === 'rescan') await this.#rescan();
    return this.#status();
  }

  #status(): Readonly<Record<string, unknown>> {
    return { ...this.#facts.describe(), volumes: this.#facts.volumes() };
  }

  /** The MDM pushes every change; so a scan means to wait until its present word has been heard. */
  async #rescan(): Promise<void> {
    const deadline = Date.now() + RESCAN_MS;
    while (!this.#facts.isCurrent()) {
      if (Date.now() > deadline)
        throw new ControlRefusal(`no MDM answered within ${RESCAN_MS / 1000} s`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }
}
