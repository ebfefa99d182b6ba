// The session of a component with the MDM: find the master, register, send heartbeats, follow the map, ask and await. It
// owns one link at a time. It must never decide anything about data: its owner acts on what it is told.
//
// The owner forwards to it every link input of a link that it `owns`, its ticks, and nothing else. Everything that was
// true of a lost link is said again on the next one: registration first, then requests whose repetition is harmless.

import type { ClusterMap, MapUpdate } from '../cluster-map/cluster-map.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, LinkTarget, Log, Micros, Peer } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import {
  bodyOf,
  decodeBody,
  decodeControl,
  encodeCommand,
  encodeControl,
  isControlCode,
} from '../protocol/control.js';
import type { CommandName, ControlCode, ControlMessage } from '../protocol/control.js';
import { errorText } from '../protocol/error-text.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import { getCode, getStatus, getTag } from '../protocol/generated/frame-head.js';
import type { CommandParams, ControlBodies, ErrorDetail } from '../protocol/generated/types.js';
import { ProtocolError } from '../protocol/wire.js';
import { MdmAddresses } from './addresses.js';
import { commandAnswered } from './command-answer.js';
import type { CommandAnswered, MdmClientHost } from './host.js';
import { MapView } from './map-view.js';
import type { MdmClientOptions } from './options.js';
import { Requests } from './requests.js';
import type { Answer, Answered, EncodeRequest } from './requests.js';
import { SearchPause } from './search-pause.js';
import { sendFrame } from '../protocol/send.js';

const MARKS = {
  reconnected: mark('mdm-client: registered again after a lost link'),
  staleTerm: mark('mdm-client: ignored a map of an older term'),
  timedOut: mark('mdm-client: the MDM did not answer a registration'),
  silent: mark('mdm-client: left an MDM that did not answer heartbeats'),
};

/** Where there are several MDMs, one that leaves heartbeats unanswered for so long is left: another may be master. */
const SILENT_US = 1_000_000;
/** Tags of the session's own requests; those of its users never reach them in a life of a process. */
const REGISTRATION_TAG = 0xffffffff;
const HEARTBEAT_TAG = 0xfffffffe;

type State = 'stopped' | 'waiting' | 'connecting' | 'registering' | 'registered';

export class MdmClient {
  private readonly links: Links;
  private readonly log: Log;
  private readonly host: MdmClientHost;
  private readonly options: MdmClientOptions;
  private readonly view = new MapView();
  private readonly pause: SearchPause;
  private readonly addresses: MdmAddresses;
  private readonly requests = new Requests();
  private state: State = 'stopped';
  private link: LinkId = -1;
  private version = 1;
  private everRegistered = false;
  /** When the present state ends on its own: the next attempt, or the end of patience with a registration. */
  private stateDeadlineUs: Micros = Infinity;
  private heartbeatDueUs: Micros = Infinity;
  /** When the first heartbeat was sent that has no answer, nor has any later one; Infinity: none. */
  private unheardUs: Micros = Infinity;

  constructor(links: Links, log: Log, host: MdmClientHost, options: MdmClientOptions) {
    this.links = links;
    this.log = log;
    this.host = host;
    this.options = options;
    this.pause = new SearchPause(options);
    this.addresses = new MdmAddresses(options.addresses);
  }

  /** The view as of the last complete update, and newer entries that refusals carried. */
  get map(): ClusterMap {
    return this.view.map;
  }

  /** Begins to look for the master. */
  start(nowUs: Micros): void {
    if (this.state !== 'stopped') return;
    this.connect(nowUs);
  }

  /** Ends the link and every attempt; open requests fail. */
  stop(nowUs: Micros): void {
    if (this.state === 'connecting' || this.isUp()) this.links.close(this.link);
    this.link = -1;
    this.state = 'stopped';
    this.stateDeadlineUs = Infinity;
    this.heartbeatDueUs = Infinity;
    this.unheardUs = Infinity;
    this.requests.linkLost(nowUs);
    this.requests.expire(nowUs, true);
  }

  /** MDMs are elsewhere from now on; the present link goes unless it leads to one of them. */
  lookAt(nowUs: Micros, addresses: LinkTarget['addresses']): void {
    const stays = this.addresses.replace(addresses);
    this.pause.reset();
    if (this.state === 'waiting') this.connect(nowUs);
    else if (this.state !== 'stopped' && !(stays && this.isUp()))
      this.drop(nowUs, 'the addresses of the MDMs were changed');
  }

  /** Whether inputs of this link belong here. */
  owns(link: LinkId): boolean {
    return link === this.link;
  }

  /** Whether the master knows us on the present link. */
  isRegistered(): boolean {
    return this.state === 'registered';
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    if (link !== this.link || this.state !== 'connecting') return;
    this.version = peer.version;
    this.addresses.reached(peer.host);
    this.state = 'registering';
    this.register(nowUs);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    if (link !== this.link) return;
    // Whoever was there may have been stopped: it would accept a connection and say nothing.
    if (this.isUp() && this.addresses.several) this.addresses.avoid();
    this.lost(nowUs, reason);
  }

  /** Always takes the frame. */
  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    if (link !== this.link) return true;
    try {
      this.received(nowUs, getCode(view, at), getStatus(view, at), getTag(view, at), () =>
        bodyOf(bytes, view, at),
      );
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.log.event('error', 'mdm-client.bad-frame', { reason: error.message });
      this.drop(nowUs, error.message);
    }
    return true;
  }

  tick(nowUs: Micros): void {
    this.requests.expire(nowUs);
    if (nowUs >= this.stateDeadlineUs) {
      if (this.state === 'waiting') this.connect(nowUs);
      else {
        MARKS.timedOut.hits++;
        this.drop(nowUs, 'the MDM does not answer');
      }
    }
    if (nowUs >= this.unheardUs + SILENT_US && this.state === 'registered') {
      MARKS.silent.hits++;
      this.addresses.avoid();
      this.drop(nowUs, 'the MDM does not answer heartbeats');
    }
    if (nowUs >= this.heartbeatDueUs) this.beat(nowUs);
  }

  nextDeadlineUs(): Micros {
    // Asked after every batch of inputs: no list is made for it.
    const ownUs = Math.min(this.stateDeadlineUs, this.heartbeatDueUs, this.unheardUs + SILENT_US);
    return Math.min(ownUs, this.requests.nextDeadlineUs());
  }

  /** Sends a heartbeat now, for news that others wait for, such as an applied sequence. */
  beatNow(nowUs: Micros): void {
    if (this.state === 'registered' && this.options.heartbeatMs > 0) this.beat(nowUs);
  }

  /**
   * Asks a control request.
   *
   * @param repeatable - asking twice is harmless: it is asked again when the link goes before the answer
   * @param answered - gets the answer, or NOT_READY (never sent) or TIMED_OUT (outcome unknown)
   */
  ask<C extends ControlCode>(
    nowUs: Micros,
    code: C,
    body: ControlBodies[C],
    answered: Answered,
    repeatable = true,
    timeoutMs = this.options.requestTimeoutMs,
  ): void {
    const encode: EncodeRequest = (version) => encodeControl(code, 0, 0, body, version);
    this.submit(nowUs, encode, repeatable, timeoutMs, answered);
  }

  /**
   * Asks a command on behalf of a user. A link that goes before the answer makes its outcome unknown: TIMED_OUT.
   *
   * @throws ProtocolError when a parameter breaks a bound of the table
   */
  command<N extends CommandName>(
    nowUs: Micros,
    name: N,
    actor: string,
    params: CommandParams[N],
    answered: CommandAnswered<N>,
    timeoutMs = this.options.requestTimeoutMs,
  ): void {
    const encode: EncodeRequest = (version) => encodeCommand(name, 0, actor, params, version);
    this.submit(nowUs, encode, false, timeoutMs, commandAnswered(name, answered));
  }

  /** Says something that is not answered, such as DEVICE_RESULT; false: there is no master to hear it now. */
  tell<C extends ControlCode>(code: C, body: ControlBodies[C]): boolean {
    if (this.state !== 'registered') return false;
    sendFrame(this.links, this.link, encodeControl(code, 0, 0, body, this.version));
    return true;
  }

  /** Takes a newer comb entry that a refusal carried. */
  learn(poolKey: number, entry: Parameters<ClusterMap['withEntry']>[1]): boolean {
    return this.view.learn(poolKey, entry);
  }

  private isUp(): boolean {
    return this.state === 'registering' || this.state === 'registered';
  }

  private connect(nowUs: Micros): void {
    this.state = 'connecting';
    // The shell bounds connecting and the handshake, and says linkDown.
    this.stateDeadlineUs = Infinity;
    this.link = this.links.newLink();
    this.links.connect(this.link, {
      role: 'mdm',
      key: 0,
      addresses: this.addresses.inOrder(),
      link: 0,
      linkEpoch: Math.floor(nowUs / MICROS_PER_MS) >>> 0,
    });
  }

  private register(nowUs: Micros): void {
    this.view.forgetParts();
    const registration = this.host.registration();
    if (registration === null) {
      this.enter(nowUs, null);
      return;
    }
    this.stateDeadlineUs = nowUs + this.options.requestTimeoutMs * MICROS_PER_MS;
    const frame = encodeControl(
      registration.code,
      REGISTRATION_TAG,
      0,
      registration.body,
      this.version,
    );
    sendFrame(this.links, this.link, frame);
  }

  private enter(nowUs: Micros, reply: ControlMessage | null): void {
    if (this.everRegistered) MARKS.reconnected.hits++;
    this.everRegistered = true;
    this.state = 'registered';
    this.stateDeadlineUs = Infinity;
    // Of several, nobody has said without a registration that it is the master.
    if (reply !== null || !this.addresses.several) this.pause.reset();
    if (this.options.heartbeatMs > 0) this.heartbeatDueUs = nowUs;
    this.host.registered(nowUs, reply);
    this.flush(nowUs);
  }

  private flush(nowUs: Micros): void {
    if (this.state !== 'registered') return;
    this.requests.refuseLater(nowUs, this.version);
    for (const frame of this.requests.unsent(this.version)) sendFrame(this.links, this.link, frame);
  }

  private submit(
    nowUs: Micros,
    encode: EncodeRequest,
    repeatable: boolean,
    timeoutMs: number,
    answered: Answered,
  ): void {
    const deadlineUs = nowUs + timeoutMs * MICROS_PER_MS;
    this.requests.add(encode, this.version, repeatable, deadlineUs, answered);
    this.flush(nowUs);
  }

  private beat(nowUs: Micros): void {
    this.heartbeatDueUs = nowUs + this.options.heartbeatMs * MICROS_PER_MS;
    const body = this.host.heartbeat(nowUs);
    if (body === null) return;
    // With one MDM there is nobody to turn to: its link ends when the shell finds it dead.
    if (this.addresses.several) this.unheardUs = Math.min(this.unheardUs, nowUs);
    const frame = encodeControl(MSG.HEARTBEAT, HEARTBEAT_TAG, 0, body, this.version);
    sendFrame(this.links, this.link, frame);
  }

  private received(
    nowUs: Micros,
    code: number,
    status: number,
    tag: number,
    body: () => Uint8Array,
  ): void {
    if (this.state === 'registering' && tag === REGISTRATION_TAG) {
      this.registrationAnswered(nowUs, code, status, body());
      return;
    }
    if (tag === HEARTBEAT_TAG) {
      this.unheardUs = Infinity;
      if (status !== 0) this.drop(nowUs, `heartbeat refused: ${errorText(status)}`);
      return;
    }
    if (tag !== 0) {
      this.answered(nowUs, code, status, tag, body());
      return;
    }
    if (!isControlCode(code)) return;
    const message = decodeControl(code, body(), this.version);
    if (message.code === MSG.MAP_UPDATE) this.mapPart(nowUs, message.body);
    else this.host.pushed(nowUs, message);
  }

  private registrationAnswered(
    nowUs: Micros,
    code: number,
    status: number,
    body: Uint8Array,
  ): void {
    const message = decodeControl(code, body, this.version);
    if (status === 0) {
      this.enter(nowUs, message);
      return;
    }
    const details = message.code === MSG.ERROR_REPLY ? message.body.details : [];
    if (status === ERR.NOT_MASTER) {
      this.redirect(details);
    } else this.host.refused(nowUs, status, details);
    this.drop(nowUs, `registration refused: ${errorText(status, details)}`);
  }

  private answered(
    nowUs: Micros,
    code: number,
    status: number,
    tag: number,
    body: Uint8Array,
  ): void {
    const details =
      code === MSG.ERROR_REPLY ? decodeBody(MSG.ERROR_REPLY, body, this.version).details : [];
    const answer: Answer = { status, details, code, body, version: this.version };
    this.requests.settle(nowUs, tag, answer);
    if (status !== ERR.NOT_MASTER) {
      this.pause.reset();
      return;
    }
    this.redirect(details);
    this.drop(nowUs, 'the MDM is not the master');
  }

  private redirect(details: readonly ErrorDetail[]): void {
    this.pause.shorten();
    this.addresses.redirect(details);
  }

  private mapPart(nowUs: Micros, part: MapUpdate): void {
    if (this.view.isStale(part)) {
      MARKS.staleTerm.hits++;
      this.drop(nowUs, 'the MDM has an older term than one heard before');
      return;
    }
    const parts = this.view.take(part);
    if (parts !== null) this.host.mapChanged(nowUs, this.map, parts);
  }

  /** Ends the link on our own account. */
  private drop(nowUs: Micros, reason: string): void {
    if (this.state === 'stopped' || this.state === 'waiting') return;
    this.links.close(this.link);
    this.lost(nowUs, reason);
  }

  private lost(nowUs: Micros, reason: string): void {
    const wasRegistered = this.state === 'registered';
    this.link = -1;
    this.view.forgetParts();
    this.state = 'waiting';
    this.heartbeatDueUs = Infinity;
    this.unheardUs = Infinity;
    this.stateDeadlineUs = nowUs + this.pause.nextUs();
    this.requests.linkLost(nowUs);
    if (wasRegistered) this.host.disconnected(nowUs, reason);
    this.log.event(wasRegistered ? 'warn' : 'debug', 'mdm-client.lost', { reason });
  }
}
