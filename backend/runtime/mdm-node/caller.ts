// Asks other MDM processes what they are, and tells them what to become: one question, one answer, over a link of its own
// per question. It must never repeat a question by itself.

import type { LinkId, Log, Machine, Micros, Peer } from '../../core/ports.js';
import { bodyOf, decodeBody, encodeControl } from '../../protocol/control.js';
import type { ControlCode } from '../../protocol/control.js';
import { errorText } from '../../protocol/error-text.js';
import { MSG, VERSION_MIN } from '../../protocol/generated/constants.js';
import { getCode, getStatus } from '../../protocol/generated/frame-head.js';
import type {
  ControlBodies,
  MdmCreateBody,
  MdmNodeReplyBody,
  MdmNodeTaskBody,
} from '../../protocol/generated/types.js';
import { sendFrame } from '../../protocol/send.js';
import { ClusterError } from '../cluster.js';
import { handshakeRules } from '../links/authentication.js';
import { LINK_TIMING, TcpLinks } from '../links/tcp-links.js';
import { Loop } from '../loop.js';

const TAG = 1;
const REPORT_MS = 1500;
/** Beginning a store includes starting its program. */
const TASK_MS = 20_000;

export interface NodePlace {
  readonly host: string;
  readonly port: number;
}

interface Asked {
  /** The question in the version of its link. */
  readonly encode: (version: number) => Uint8Array;
  readonly answered: (answer: Uint8Array, version: number) => void;
  readonly failed: (error: Error) => void;
  /** Of the link, once it is open. */
  version: number;
}

/** The machine of all questions under way, each on its link. */
class Questions implements Machine {
  readonly asked = new Map<LinkId, Asked>();
  private readonly links: TcpLinks;

  constructor(links: TcpLinks) {
    this.links = links;
  }

  linkUp(_nowUs: Micros, link: LinkId, { version }: Peer): void {
    const asked = this.asked.get(link);
    if (asked === undefined) return;
    asked.version = version;
    sendFrame(this.links, link, asked.encode(version));
  }

  linkDown(_nowUs: Micros, link: LinkId, reason: string): void {
    const asked = this.asked.get(link);
    this.asked.delete(link);
    asked?.failed(new Error(reason));
  }

  frame(_nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    const asked = this.asked.get(link);
    if (asked === undefined) return true;
    const status = getStatus(view, at);
    const body = bodyOf(bytes, view, at);
    const { version } = asked;
    if (status === 0) asked.answered(body.slice(), version);
    else {
      const { details } =
        getCode(view, at) === MSG.ERROR_REPLY
          ? decodeBody(MSG.ERROR_REPLY, body, version)
          : { details: [] };
      asked.failed(ClusterError.ofStatus(status, details));
    }
    return true;
  }

  tick(): void {
    // Questions end by the clock of whoever asked.
  }

  nextDeadlineUs(): Micros {
    return Infinity;
  }
}

export class NodeCaller {
  private readonly loop = new Loop();
  private readonly links: TcpLinks;
  private readonly questions: Questions;

  constructor(secret: Uint8Array, log: Log) {
    this.links = new TcpLinks({
      ...{ loop: this.loop, log, ...LINK_TIMING },
      rules: handshakeRules('admin', [], secret),
      identity: { key: 0, incarnation: 0, run: 0, systemId: '' },
    });
    this.questions = new Questions(this.links);
    this.links.attach(this.questions);
    this.loop.attach(this.questions);
  }

  close(): void {
    this.links.stop();
    this.loop.stop();
  }

  /** @throws Error with the reason, when it does not say within 1.5 s what it is */
  report(place: NodePlace): Promise<MdmNodeReplyBody> {
    return this.ask(place, MSG.MDM_NODE_QUERY, {}, REPORT_MS).then(({ bytes, version }) =>
      decodeBody(MSG.MDM_NODE_REPLY, bytes, version),
    );
  }

  /** @throws Error with the reason; whether it was done is known only by asking what it is */
  async task(place: NodePlace, task: MdmNodeTaskBody): Promise<void> {
    await this.ask(place, MSG.MDM_NODE_TASK, task, TASK_MS);
  }

  /** Makes a system where there is none. @throws ClusterError, Error */
  async create(place: NodePlace, system: MdmCreateBody): Promise<void> {
    await this.ask(place, MSG.MDM_CREATE, system, TASK_MS);
  }

  private ask<C extends ControlCode>(
    { host, port }: NodePlace,
    code: C,
    body: ControlBodies[C],
    withinMs: number,
  ): Promise<{ readonly bytes: Uint8Array; readonly version: number }> {
    const encode = (version: number): Uint8Array => encodeControl(code, TAG, 0, body, version);
    return new Promise((resolve, reject) => {
      const link = this.links.newLink();
      const end = (): void => {
        clearTimeout(timer);
        this.questions.asked.delete(link);
        this.input(() => {
          this.links.close(link);
        });
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`no answer from ${host}:${port} within ${withinMs} ms`));
      }, withinMs);
      this.questions.asked.set(link, {
        ...{ encode, version: VERSION_MIN },
        answered: (bytes, version) => {
          end();
          resolve({ bytes, version });
        },
        failed: (error) => {
          end();
          reject(error);
        },
      });
      const addresses = [{ host, port }];
      this.input(() => {
        this.links.connect(link, { role: 'mdm', key: 0, addresses, link: 0, linkEpoch: 1 });
      });
    });
  }

  private input(run: () => void): void {
    this.loop.begin();
    try {
      run();
    } finally {
      this.loop.end();
    }
  }
}

/** A failure in a few words. */
export function reasonOf(error: unknown): string {
  if (error instanceof ClusterError) return errorText(error.info.code, error.details);
  return error instanceof Error ? error.message : String(error);
}
