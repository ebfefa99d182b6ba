// Opening a link: HELLO, CHALLENGE, PROOF, WELCOME. It owns the order of these frames, what each side proves, and the
// reasons to refuse; it must never send or receive anything itself, read a clock, or let any other frame through
// before both sides have proved that they hold the system's secret.
//
// Each side proves it by an HMAC under the secret over a label of its own, the HELLO and the CHALLENGE. Both nonces are
// in there, so no proof can be used twice; the labels differ, so no proof can be sent back to its maker. What a side
// claims to be (role, key, system) is covered too. Nothing but the protocol version is judged before the proof, so
// that a stranger learns nothing. The bodies of these four frames keep the layout of version 1 for ever.

import { assert } from '../core/assert.js';
import type { OwnIdentity, Peer, Role } from '../core/ports.js';
import { bodyOf, cutText, decodeBody, encodeControl } from './control.js';
import { errorText } from './error-text.js';
import { CHECK, CHECK_REASONS, checkBody, checkHeader } from './frames.js';
import { ERR, MSG, VERSION_MAX, VERSION_MIN } from './generated/constants.js';
import { getBodyBytes, getCode, getStatus } from './generated/frame-head.js';
import type { ChallengeBody, HelloBody } from './generated/types.js';
import { ProtocolError } from './wire.js';

/** Version in which the frames of a handshake are written. */
const HANDSHAKE_VERSION = 1;
/** No frame of a handshake has a longer body; nothing longer is buffered before the proof. */
export const HANDSHAKE_BODY_BYTES_MAX = 1024;
export const NONCE_BYTES = 32;
export const PROOF_BYTES = 32;

/** What a process brings to every handshake. */
export interface HandshakeRules {
  readonly role: Role;
  readonly versionMin: number;
  readonly versionMax: number;
  readonly features: number;
  /** Roles whose links this process accepts. */
  readonly accepts: readonly Role[];
  /** HMAC-SHA-256 under the system secret over all parts, one after the other: 32 bytes. */
  readonly hmac: (parts: readonly Uint8Array[]) => Uint8Array;
  /** Compares two byte strings of equal length in a time that does not depend on where they differ. */
  readonly equal: (left: Uint8Array, right: Uint8Array) => boolean;
}

/** Whom the initiator wants. */
export interface HandshakeTarget {
  readonly role: Role;
  readonly key: number;
  readonly link: number;
  readonly linkEpoch: number;
}

/** What the shell has to do now. `send` first, then: wait for a frame, use the link, or close it. */
export type HandshakeStep =
  | { readonly state: 'wait'; readonly send: Uint8Array | null }
  | {
      readonly state: 'open';
      readonly send: Uint8Array | null;
      readonly peer: Peer;
      /** System that the other side belongs to, or empty. */
      readonly systemId: string;
    }
  | {
      readonly state: 'refused';
      readonly send: Uint8Array | null;
      /** An error code. */
      readonly status: number;
      readonly reason: string;
    };

/** Versions that this program speaks, for {@link HandshakeRules}. */
export const OWN_VERSIONS = { versionMin: VERSION_MIN, versionMax: VERSION_MAX } as const;

const NO_BYTES = new Uint8Array(0);
const INITIATOR_LABEL = new TextEncoder().encode('MeshSAN link: initiator');
const ACCEPTOR_LABEL = new TextEncoder().encode('MeshSAN link: acceptor\0');

function proofOf(
  rules: HandshakeRules,
  label: Uint8Array,
  hello: Uint8Array,
  challenge: Uint8Array,
): Uint8Array {
  const lengths = new Uint8Array(8);
  const view = new DataView(lengths.buffer);
  view.setUint32(0, hello.length, true);
  view.setUint32(4, challenge.length, true);
  const proof = rules.hmac([label, lengths, hello, challenge]);
  assert(proof.length === PROOF_BYTES, 'an HMAC-SHA-256 has 32 bytes');
  return proof;
}

function proves(rules: HandshakeRules, given: Uint8Array, right: Uint8Array): boolean {
  return given.length === PROOF_BYTES && rules.equal(given, right);
}

function refuse(status: number, reason: string, send: Uint8Array | null = null): HandshakeStep {
  return { state: 'refused', send, status, reason };
}

function bodyOfFrame(frame: Uint8Array): Uint8Array {
  return bodyOf(frame, new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0);
}

/**
 * What is wrong with a frame of a handshake as a whole, or null. The shell asks as soon as the header is there, before
 * it waits for or buffers the body.
 */
export function handshakeHeaderFault(view: DataView, at: number): string | null {
  const check = checkHeader(view, at);
  if (check !== CHECK.OK) return `the frame ${CHECK_REASONS[check] ?? 'is wrong'}`;
  const code = getCode(view, at);
  if (code < MSG.HELLO || code > MSG.WELCOME)
    return `the link is not open yet, but the frame has the code ${code}`;
  const body = getBodyBytes(view, at);
  if (body > HANDSHAKE_BODY_BYTES_MAX)
    return `the frame has ${body} bytes, ${HANDSHAKE_BODY_BYTES_MAX} are allowed before the link is open`;
  return null;
}

/** The part that both sides share: frames are judged as a whole before a side looks into them. */
abstract class Handshake {
  protected readonly rules: HandshakeRules;
  protected readonly own: OwnIdentity;
  private ended = false;

  constructor(rules: HandshakeRules, own: OwnIdentity) {
    this.rules = rules;
    this.own = own;
  }

  /** Takes a whole frame, header and body. After 'open' or 'refused' nothing more may be given. */
  receive(bytes: Uint8Array, view: DataView, at: number): HandshakeStep {
    assert(!this.ended, 'a handshake that ended takes no frame');
    const step = this.judge(bytes, view, at);
    this.ended = step.state !== 'wait';
    return step;
  }

  protected abstract take(code: number, status: number, body: Uint8Array): HandshakeStep;

  private judge(bytes: Uint8Array, view: DataView, at: number): HandshakeStep {
    const fault = handshakeHeaderFault(view, at);
    if (fault !== null) return refuse(ERR.BAD_FRAME, fault);
    const check = checkBody(bytes, view, at);
    if (check !== CHECK.OK)
      return refuse(ERR.BAD_FRAME, `the frame ${CHECK_REASONS[check] ?? 'is wrong'}`);
    try {
      return this.take(getCode(view, at), getStatus(view, at), bodyOf(bytes, view, at));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return refuse(ERR.BAD_FRAME, error.message);
    }
  }
}

/** The side that connected. */
export class InitiatorHandshake extends Handshake {
  private readonly target: HandshakeTarget;
  private readonly nonce: Uint8Array;
  private hello: Uint8Array = NO_BYTES;
  private challenge: ChallengeBody | null = null;

  /**
   * @param own - what this process says of itself
   * @param nonce - 32 random bytes, used for this link alone
   */
  constructor(rules: HandshakeRules, own: OwnIdentity, target: HandshakeTarget, nonce: Uint8Array) {
    super(rules, own);
    assert(nonce.length === NONCE_BYTES, 'a nonce has 32 bytes');
    this.target = target;
    this.nonce = nonce;
  }

  /** The HELLO, to be sent first. */
  start(): Uint8Array {
    const { rules, own, target } = this;
    const frame = encodeControl(
      MSG.HELLO,
      0,
      0,
      {
        versionMin: rules.versionMin,
        versionMax: rules.versionMax,
        features: rules.features,
        role: rules.role,
        key: own.key,
        incarnation: own.incarnation,
        run: own.run,
        link: target.link,
        linkEpoch: target.linkEpoch,
        systemId: own.systemId,
        targetRole: target.role,
        targetKey: target.key,
        nonce: this.nonce,
      },
      HANDSHAKE_VERSION,
    );
    this.hello = bodyOfFrame(frame);
    return frame;
  }

  protected override take(code: number, status: number, body: Uint8Array): HandshakeStep {
    if (code === MSG.WELCOME) return this.takeWelcome(status, body);
    if (code === MSG.CHALLENGE && this.challenge === null) return this.takeChallenge(body);
    return refuse(ERR.BAD_FRAME, `the code ${code} is out of order in a handshake`);
  }

  private takeChallenge(body: Uint8Array): HandshakeStep {
    const { rules, own, target } = this;
    const challenge = decodeBody(MSG.CHALLENGE, body, HANDSHAKE_VERSION);
    const right = proofOf(rules, ACCEPTOR_LABEL, this.hello, challengeWithoutProof(challenge));
    if (!proves(rules, challenge.proof, right))
      return refuse(
        ERR.AUTHENTICATION_FAILED,
        'the other end does not hold the secret of this system',
      );
    if (challenge.nonce.length !== NONCE_BYTES)
      return refuse(ERR.BAD_FRAME, 'the nonce is not 32 bytes');
    if (challenge.version < rules.versionMin || challenge.version > rules.versionMax)
      return refuse(ERR.VERSION_UNSUPPORTED, `the other end chose version ${challenge.version}`);
    if ((challenge.features & ~rules.features) !== 0)
      return refuse(ERR.BAD_FRAME, 'the other end chose features that were not offered');
    if (own.systemId !== '' && challenge.systemId !== '' && own.systemId !== challenge.systemId)
      return refuse(
        ERR.WRONG_SYSTEM,
        `the other end belongs to system ${challenge.systemId}, this one to ${own.systemId}`,
      );
    if (challenge.role !== target.role || (target.key !== 0 && challenge.key !== target.key))
      return refuse(
        ERR.WRONG_TARGET,
        `${challenge.role} ${challenge.key} answers, ${target.role} ${target.key} was wanted`,
      );
    this.challenge = challenge;
    const proof = proofOf(rules, INITIATOR_LABEL, this.hello, body);
    return { state: 'wait', send: encodeControl(MSG.PROOF, 0, 0, { proof }, HANDSHAKE_VERSION) };
  }

  private takeWelcome(status: number, body: Uint8Array): HandshakeStep {
    const { reason } = decodeBody(MSG.WELCOME, body, HANDSHAKE_VERSION);
    if (status !== 0)
      return refuse(status, `the other end refuses: ${reason === '' ? errorText(status) : reason}`);
    const { challenge, target } = this;
    if (challenge === null)
      return refuse(ERR.BAD_FRAME, 'the other end welcomes before it proved anything');
    const peer: Peer = {
      role: challenge.role,
      key: challenge.key,
      incarnation: challenge.incarnation,
      run: 0,
      link: target.link,
      linkEpoch: target.linkEpoch,
      version: challenge.version,
      features: challenge.features,
    };
    return { state: 'open', send: null, peer, systemId: challenge.systemId };
  }
}

/** What the proof of the acceptor covers: its CHALLENGE with an empty proof. */
function challengeWithoutProof(challenge: ChallengeBody): Uint8Array {
  return bodyOfFrame(
    encodeControl(MSG.CHALLENGE, 0, 0, { ...challenge, proof: NO_BYTES }, HANDSHAKE_VERSION),
  );
}

/** The side that was connected to. */
export class AcceptorHandshake extends Handshake {
  private readonly nonce: Uint8Array;
  private hello: HelloBody | null = null;
  private helloBytes: Uint8Array = NO_BYTES;
  private challengeBytes: Uint8Array = NO_BYTES;
  private version = 0;

  /**
   * @param own - what this process says of itself
   * @param nonce - 32 random bytes, used for this link alone
   */
  constructor(rules: HandshakeRules, own: OwnIdentity, nonce: Uint8Array) {
    super(rules, own);
    assert(nonce.length === NONCE_BYTES, 'a nonce has 32 bytes');
    this.nonce = nonce;
  }

  protected override take(code: number, status: number, body: Uint8Array): HandshakeStep {
    if (status !== 0) return refuse(ERR.BAD_FRAME, 'a request carries no status');
    if (code === MSG.HELLO && this.hello === null) return this.takeHello(body);
    if (code === MSG.PROOF && this.hello !== null) return this.takeProof(this.hello, body);
    return refuse(ERR.BAD_FRAME, `the code ${code} is out of order in a handshake`);
  }

  private takeHello(body: Uint8Array): HandshakeStep {
    const { rules, own } = this;
    const hello = decodeBody(MSG.HELLO, body, HANDSHAKE_VERSION);
    if (hello.nonce.length !== NONCE_BYTES)
      return refuse(ERR.BAD_FRAME, 'the nonce is not 32 bytes');
    const version = Math.min(rules.versionMax, hello.versionMax);
    if (version < rules.versionMin || version < hello.versionMin) {
      const details = [
        { name: 'offered', value: `${hello.versionMin} to ${hello.versionMax}` },
        { name: 'served', value: `${rules.versionMin} to ${rules.versionMax}` },
      ];
      return unwelcome(ERR.VERSION_UNSUPPORTED, errorText(ERR.VERSION_UNSUPPORTED, details));
    }
    const challenge: ChallengeBody = {
      version,
      features: (rules.features & hello.features) >>> 0,
      role: rules.role,
      key: own.key,
      incarnation: own.incarnation,
      systemId: own.systemId,
      nonce: this.nonce,
      proof: NO_BYTES,
    };
    // The frame's memory is the shell's: what is kept is copied.
    this.helloBytes = new Uint8Array(body);
    const proof = proofOf(rules, ACCEPTOR_LABEL, this.helloBytes, challengeWithoutProof(challenge));
    const frame = encodeControl(MSG.CHALLENGE, 0, 0, { ...challenge, proof }, HANDSHAKE_VERSION);
    this.hello = hello;
    this.version = version;
    this.challengeBytes = bodyOfFrame(frame);
    return { state: 'wait', send: frame };
  }

  private takeProof(hello: HelloBody, body: Uint8Array): HandshakeStep {
    const { rules, own } = this;
    const { proof } = decodeBody(MSG.PROOF, body, HANDSHAKE_VERSION);
    const right = proofOf(rules, INITIATOR_LABEL, this.helloBytes, this.challengeBytes);
    if (!proves(rules, proof, right))
      return unwelcome(
        ERR.AUTHENTICATION_FAILED,
        'the proof does not fit the secret of this system',
      );
    if (own.systemId !== '' && hello.systemId !== '' && own.systemId !== hello.systemId)
      return unwelcome(
        ERR.WRONG_SYSTEM,
        `this is system ${own.systemId}, the other end belongs to ${hello.systemId}`,
      );
    if (hello.targetRole !== rules.role || (hello.targetKey !== 0 && hello.targetKey !== own.key))
      return unwelcome(
        ERR.WRONG_TARGET,
        `this is ${rules.role} ${own.key}, ${hello.targetRole} ${hello.targetKey} was wanted`,
      );
    if (!rules.accepts.includes(hello.role))
      return unwelcome(ERR.WRONG_TARGET, `${rules.role} accepts no links of ${hello.role}`);
    const peer: Peer = {
      role: hello.role,
      key: hello.key,
      incarnation: hello.incarnation,
      run: hello.run,
      link: hello.link,
      linkEpoch: hello.linkEpoch,
      version: this.version,
      features: (rules.features & hello.features) >>> 0,
    };
    const send = encodeControl(MSG.WELCOME, 0, 0, { reason: '' }, HANDSHAKE_VERSION);
    return { state: 'open', send, peer, systemId: hello.systemId };
  }
}

function unwelcome(status: number, reason: string): HandshakeStep {
  const body = { reason: cutText(reason) };
  return refuse(status, reason, encodeControl(MSG.WELCOME, 0, status, body, HANDSHAKE_VERSION));
}
