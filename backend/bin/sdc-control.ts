// Requests on the control socket of the client process: what it is, what it serves, which systems it uses. It owns their
// schema; it must never change a mapping: that is the MDM's.

import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';
import { VERSION } from '../core/version.js';
import { ENDPOINT, FORMATS, describeFault } from '../runtime/config-file.js';
import { ControlRefusal } from '../runtime/control-socket.js';
import { MDMS_MAX, isSameFile } from '../runtime/drv-cfg-file.js';
import type { MdmEndpoint } from '../runtime/drv-cfg-file.js';
import type { Attachments } from './sdc-attachments.js';
import type { HostSystems } from './sdc-systems.js';
import type { SdcSystem } from './sdc-system.js';

/** What requests need of a system, and of all of them. */
type UsedSystem = Pick<SdcSystem, 'systemId' | 'isCurrent' | 'volumes'> & {
  readonly attachments: Pick<Attachments, 'attach' | 'detach' | 'deviceOf' | 'release' | 'settled'>;
};
type UsedSystems = Pick<HostSystems, 'describe' | 'add' | 'modify' | 'remove'> & {
  readonly usable: readonly UsedSystem[];
};

type Request =
  | { readonly op: 'status' | 'rescan' | 'release' }
  | { readonly op: 'attach'; readonly volume: string; readonly system?: string }
  | {
      readonly op: 'detach';
      readonly volume: string;
      readonly system?: string;
      readonly force: boolean;
    }
  | {
      readonly op: 'addMdm';
      readonly mdm: readonly MdmEndpoint[];
      readonly secretFile?: string;
      /** The drv_cfg.txt that the asker means. */
      readonly file?: string;
    }
  | {
      readonly op: 'modMdm';
      readonly mdm: readonly MdmEndpoint[];
      readonly newMdm: readonly MdmEndpoint[];
      readonly file?: string;
    }
  | {
      readonly op: 'rmvMdm';
      readonly mdm: readonly MdmEndpoint[];
      readonly force: boolean;
      readonly file?: string;
    };

const ID = { type: 'string', pattern: '^[0-9a-fA-F]{16}$' } as const;
const MDMS = { type: 'array', minItems: 1, maxItems: MDMS_MAX, items: ENDPOINT } as const;
const PATH = { type: 'string', format: 'absolute-path', maxLength: 1024 } as const;

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
      properties: { op: { const: 'attach' }, volume: ID, system: ID },
      required: ['volume'],
      additionalProperties: false,
    },
    {
      properties: {
        op: { const: 'detach' },
        volume: ID,
        system: ID,
        force: { type: 'boolean', default: false },
      },
      required: ['volume'],
      additionalProperties: false,
    },
    {
      properties: { op: { const: 'addMdm' }, mdm: MDMS, secretFile: PATH, file: PATH },
      required: ['mdm'],
      additionalProperties: false,
    },
    {
      properties: { op: { const: 'modMdm' }, mdm: MDMS, newMdm: MDMS, file: PATH },
      required: ['mdm', 'newMdm'],
      additionalProperties: false,
    },
    {
      properties: {
        op: { const: 'rmvMdm' },
        mdm: MDMS,
        force: { type: 'boolean', default: false },
        file: PATH,
      },
      required: ['mdm'],
      additionalProperties: false,
    },
  ],
} as unknown as JSONSchemaType<Request>;

const RESCAN_MS = 10_000;
/** A system whose MDM is away is waited for so long when another one answers: users of that one must not wait for it. */
const AWAY_MS = 1000;
const POLL_MS = 20;

export class SdcControl {
  readonly #host: { readonly guid: string; readonly drvCfgFile: string };
  readonly #systems: UsedSystems;
  readonly #valid = new Ajv({
    ...{ verbose: true, discriminator: true, useDefaults: true, formats: FORMATS },
  }).compile(SCHEMA);

  constructor(host: { readonly guid: string; readonly drvCfgFile: string }, systems: UsedSystems) {
    this.#host = host;
    this.#systems = systems;
  }

  /** @throws ControlRefusal with what would be right */
  async answer(request: unknown): Promise<Readonly<Record<string, unknown>>> {
    if (!this.#valid(request)) {
      const [first] = this.#valid.errors ?? [];
      const fault = first === undefined ? 'it is wrong' : describeFault(first);
      throw new ControlRefusal(`Request: ${fault.replace('the file', 'the request')}`);
    }
    if ('file' in request) this.#checkFile(request.file);
    switch (request.op) {
      case 'attach': {
        const { attachments } = this.#mappedBy(request.volume, request.system);
        return { device: await attachments.attach(request.volume.toLowerCase()) };
      }
      case 'detach':
        await this.#detach(request.volume.toLowerCase(), request.system, request.force);
        return {};
      case 'addMdm':
        this.#systems.add(request.mdm, request.secretFile ?? null);
        return this.#status();
      case 'modMdm':
        this.#systems.modify(request.mdm, request.newMdm);
        return this.#status();
      case 'rmvMdm':
        await this.#systems.remove(request.mdm, request.force);
        return this.#status();
      case 'release':
        return this.#release();
      case 'rescan':
        await this.rescan();
        return this.#status();
      case 'status':
        return this.#status();
    }
  }

  /**
   * The MDM pushes every change; so a scan means to wait until its present word has been heard.
   * @throws ControlRefusal when no MDM is heard at all
   */
  async rescan(): Promise<void> {
    const systems = this.#systems.usable;
    const started = Date.now();
    for (;;) {
      const away = systems.filter(({ isCurrent }) => !isCurrent);
      if (away.length === 0) break;
      const waited = Date.now() - started;
      if (away.length < systems.length && waited > AWAY_MS) break;
      if (waited > RESCAN_MS)
        throw new ControlRefusal(`no MDM answered within ${RESCAN_MS / 1000} s`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    // Nobody waits for devices of a system that is away: its servers may be, too.
    const heard = systems.filter(({ isCurrent }) => isCurrent);
    await Promise.all(heard.map(async ({ attachments }) => attachments.settled()));
  }

  #status(): Readonly<Record<string, unknown>> {
    const systems = this.#systems.describe();
    const nothing = { systemId: '', sdcId: '', approved: false, connected: false, mdm: [] };
    const { systemId, sdcId, approved, connected, mdm } = systems[0] ?? nothing;
    const volumes = this.#systems.usable.flatMap((system) =>
      system
        .volumes()
        .map((volume) => ({ ...volume, device: system.attachments.deviceOf(volume.id) })),
    );
    const { guid } = this.#host;
    return {
      ...{ guid, sdcId, systemId, approved, connected, version: VERSION, mdm },
      ...{ systems, volumes },
    };
  }

  /** @throws ControlRefusal if it is another file than the one that is written */
  #checkFile(file: string | undefined): void {
    const { drvCfgFile } = this.#host;
    if (file !== undefined && !isSameFile(file, drvCfgFile))
      throw new ControlRefusal(
        `the systems of this host are written to ${drvCfgFile}, not to ${file}; drvCfgFile in sdc.json names the file`,
      );
  }

  #named(systemId: string | undefined): readonly UsedSystem[] {
    return this.#systems.usable.filter(
      (system) => systemId === undefined || system.systemId === systemId.toLowerCase(),
    );
  }

  /** The system whose volume it is. @throws ControlRefusal when two have one of that id */
  #mappedBy(volume: string, systemId: string | undefined): UsedSystem {
    const id = volume.toLowerCase();
    const named = this.#named(systemId);
    const holding = named.filter(
      (system) =>
        system.attachments.deviceOf(id) !== null ||
        system.volumes().some((mapped) => mapped.id === id),
    );
    const [one, other] = holding;
    if (one !== undefined && other !== undefined)
      throw new ControlRefusal(
        `volume ${id} is mapped from systems ${holding.map((system) => system.systemId).join(' and ')}: "system" must say which`,
      );
    const found = one ?? named[0];
    if (found === undefined)
      throw new ControlRefusal(
        `volume ${id} is not mapped to this host${systemId === undefined ? '' : ` from system ${systemId}`}`,
      );
    return found;
  }

  /** A device that is not there is fine. */
  async #detach(volume: string, systemId: string | undefined, force: boolean): Promise<void> {
    if (this.#named(systemId).length === 0) return;
    await this.#mappedBy(volume, systemId).attachments.detach(volume, force);
  }

  async #release(): Promise<Readonly<Record<string, unknown>>> {
    const all = await Promise.all(
      this.#systems.usable.map(async ({ attachments }) => attachments.release()),
    );
    return { kept: all.flatMap(({ kept }) => kept) };
  }
}
