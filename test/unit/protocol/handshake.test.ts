// Both sides of a handshake against each other, and against everything that is not a handshake.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

import test from 'ava';
import fc from 'fast-check';

import type { OwnIdentity, Role } from '../../../backend/core/ports.js';
import { encodeCommand, encodeControl } from '../../support/newest.js';
import { sealFrame } from '../../../backend/protocol/frames.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import { getCode, getStatus } from '../../../backend/protocol/generated/frame-head.js';
import {
  AcceptorHandshake,
  HANDSHAKE_BODY_BYTES_MAX,
  InitiatorHandshake,
  handshakeHeaderFault,
} from '../../../backend/protocol/handshake.js';
import type {
  HandshakeRules,
  HandshakeStep,
  HandshakeTarget,
} from '../../../backend/protocol/handshake.js';

const SECRET = Buffer.alloc(32, 7);
const SYSTEM = '5c1a10adcafe0001';
const IDENTITY: OwnIdentity = { key: 0, incarnation: 1, run: 0, systemId: '' };
const TARGET: HandshakeTarget = { role: 'mdm', key: 0, link: 2, linkEpoch: 9 };

function rules(role: Role, change: Partial<HandshakeRules> = {}, secret = SECRET): HandshakeRules {
  return {
    role,
    versionMin: 1,
    versionMax: 1,
    features: 0,
    accepts: ['sdc', 'sds'],
    hmac: (parts) => {
      const hmac = createHmac('sha256', secret);
      for (const part of parts) hmac.update(part);
      return hmac.digest();
    },
    equal: (left, right) => timingSafeEqual(left, right),
    ...change,
  };
}

interface Side {
  receive(bytes: Uint8Array, view: DataView, at: number): HandshakeStep;
}

/** Hands a frame over as links do: in memory that holds something else afterwards. */
function give(side: Side, frame: Uint8Array): HandshakeStep {
  const memory = Uint8Array.from(frame);
  const step = side.receive(memory, new DataView(memory.buffer), 0);
  memory.fill(0xee);
  return step;
}

interface Outcome {
  readonly initiator: HandshakeStep;
  readonly acceptor: HandshakeStep;
  readonly frames: readonly Uint8Array[];
}

interface Setting {
  readonly initiator?: HandshakeRules;
  readonly acceptor?: HandshakeRules;
  readonly own?: Partial<OwnIdentity>;
  readonly other?: Partial<OwnIdentity>;
  readonly target?: Partial<HandshakeTarget>;
}

/** Lets both sides talk until nobody has anything to say. */
function run(setting: Setting = {}): Outcome {
  const initiator = new InitiatorHandshake(
    setting.initiator ?? rules('sdc'),
    { ...IDENTITY, key: 42, run: 3, ...setting.own },
    { ...TARGET, ...setting.target },
    randomBytes(32),
  );
  const acceptor = new AcceptorHandshake(
    setting.acceptor ?? rules('mdm'),
    { ...IDENTITY, incarnation: 8, ...setting.other },
    randomBytes(32),
  );
  const frames: Uint8Array[] = [];
  let left: HandshakeStep = { state: 'wait', send: initiator.start() };
  let right: HandshakeStep = { state: 'wait', send: null };
  for (;;) {
    if (left.send === null) break;
    frames.push(left.send);
    right = give(acceptor, left.send);
    if (right.send === null) break;
    frames.push(right.send);
    left = give(initiator, right.send);
  }
  return { initiator: left, acceptor: right, frames };
}

test('two that hold the secret open the link and know each other', (t) => {
  const { initiator, acceptor, frames } = run({
    own: { systemId: SYSTEM },
    other: { systemId: SYSTEM },
  });
  t.is(frames.length, 4);
  t.like(initiator, {
    state: 'open',
    systemId: SYSTEM,
    peer: { role: 'mdm', key: 0, incarnation: 8, run: 0, link: 2, linkEpoch: 9, version: 1 },
  });
  t.like(acceptor, {
    state: 'open',
    systemId: SYSTEM,
    peer: { role: 'sdc', key: 42, incarnation: 1, run: 3, link: 2, linkEpoch: 9, version: 1 },
  });
});

test('an acceptor without the secret is found out before anything else is believed', (t) => {
  const { initiator, frames } = run({ acceptor: rules('mdm', {}, Buffer.alloc(32, 8)) });
  t.like(initiator, { state: 'refused', send: null, status: ERR.AUTHENTICATION_FAILED });
  t.is(frames.length, 2);
});

test('an initiator without the secret is refused, whatever the acceptor proves', (t) => {
  const acceptor = new AcceptorHandshake(rules('mdm'), IDENTITY, randomBytes(32));
  const initiator = new InitiatorHandshake(rules('sdc'), IDENTITY, TARGET, randomBytes(32));
  give(acceptor, initiator.start());
  for (const proof of [new Uint8Array(32)]) {
    const step = give(acceptor, encodeControl(MSG.PROOF, 0, 0, { proof }));
    t.like(step, { state: 'refused', status: ERR.AUTHENTICATION_FAILED });
    const reply = step.send ?? new Uint8Array(0);
    const view = new DataView(reply.buffer, reply.byteOffset);
    t.is(getCode(view, 0), MSG.WELCOME);
    t.is(getStatus(view, 0), ERR.AUTHENTICATION_FAILED);
  }
});

test('a proof of another length is refused', (t) => {
  for (const length of [0, 31]) {
    const acceptor = new AcceptorHandshake(rules('mdm'), IDENTITY, randomBytes(32));
    give(acceptor, new InitiatorHandshake(rules('sdc'), IDENTITY, TARGET, randomBytes(32)).start());
    const step = give(acceptor, encodeControl(MSG.PROOF, 0, 0, { proof: new Uint8Array(length) }));
    t.like(step, { state: 'refused', status: ERR.AUTHENTICATION_FAILED });
  }
});

test('recorded frames open no second link', (t) => {
  const { frames } = run();
  const acceptor = new AcceptorHandshake(rules('mdm'), IDENTITY, randomBytes(32));
  const [hello, , proof] = frames;
  if (hello === undefined || proof === undefined) return t.fail();
  t.like(give(acceptor, hello), { state: 'wait' });
  t.like(give(acceptor, proof), { state: 'refused', status: ERR.AUTHENTICATION_FAILED });
});

test('a proof sent back to its maker is refused', (t) => {
  const acceptor = new AcceptorHandshake(rules('mdm'), IDENTITY, randomBytes(32));
  const hello = new InitiatorHandshake(rules('sdc'), IDENTITY, TARGET, randomBytes(32)).start();
  const challenge = give(acceptor, hello).send ?? new Uint8Array(0);
  const proof = challenge.slice(-32);
  t.like(give(acceptor, encodeControl(MSG.PROOF, 0, 0, { proof })), {
    state: 'refused',
    status: ERR.AUTHENTICATION_FAILED,
  });
});

test('versions: the newest that both speak; N serves N-1; otherwise a refusal in words', (t) => {
  const offer = (mine: [number, number], theirs: [number, number]): Outcome =>
    run({
      initiator: rules('sdc', { versionMin: mine[0], versionMax: mine[1] }),
      acceptor: rules('mdm', { versionMin: theirs[0], versionMax: theirs[1] }),
    });
  for (const [mine, theirs, chosen] of [
    [[1, 2], [2, 3], 2],
    [[2, 3], [1, 2], 2],
    [[3, 4], [3, 4], 4],
    [[1, 1], [1, 2], 1],
  ] as [[number, number], [number, number], number][]) {
    const { initiator, acceptor } = offer(mine, theirs);
    t.like(initiator, { state: 'open', peer: { version: chosen } });
    t.like(acceptor, { state: 'open', peer: { version: chosen } });
  }
  for (const [mine, theirs, reason] of [
    [[1, 1], [2, 3], 'Protocol versions 1 to 1 offered, 2 to 3 served'],
    [[4, 5], [2, 3], 'Protocol versions 4 to 5 offered, 2 to 3 served'],
    [[9, 2], [2, 3], 'Protocol versions 9 to 2 offered, 2 to 3 served'],
  ] as [[number, number], [number, number], string][]) {
    const { initiator, acceptor } = offer(mine, theirs);
    t.like(acceptor, { state: 'refused', status: ERR.VERSION_UNSUPPORTED, reason });
    t.like(initiator, {
      state: 'refused',
      status: ERR.VERSION_UNSUPPORTED,
      reason: `the other end refuses: ${reason}`,
    });
  }
});

test('features are those that both understand', (t) => {
  const { initiator, acceptor } = run({
    initiator: rules('sdc', { features: 0xc0000006 }),
    acceptor: rules('mdm', { features: 0x80000003 }),
  });
  t.like(initiator, { state: 'open', peer: { features: 0x80000002 } });
  t.like(acceptor, { state: 'open', peer: { features: 0x80000002 } });
});

test('systems: one of another system is refused, one without a system is welcome', (t) => {
  const other = 'aaaaaaaa00000001';
  t.like(run({ own: { systemId: SYSTEM }, other: { systemId: other } }).initiator, {
    state: 'refused',
    status: ERR.WRONG_SYSTEM,
  });
  t.like(run({ own: { systemId: '' }, other: { systemId: other } }).initiator, { state: 'open' });
  t.like(run({ own: { systemId: other }, other: { systemId: '' } }).acceptor, { state: 'open' });
});

test('targets: role and key must be those wanted, and the role of the asker must be accepted', (t) => {
  const other = { key: 7 };
  t.like(run({ other, target: { key: 7 } }).initiator, { state: 'open' });
  t.like(run({ other, target: { key: 8 } }).initiator, {
    state: 'refused',
    status: ERR.WRONG_TARGET,
    reason: 'mdm 7 answers, mdm 8 was wanted',
  });
  t.like(run({ other, target: { role: 'sdsData' } }).initiator, {
    state: 'refused',
    status: ERR.WRONG_TARGET,
  });
  t.like(run({ initiator: rules('lia') }).acceptor, {
    state: 'refused',
    status: ERR.WRONG_TARGET,
    reason: 'mdm accepts no links of lia',
  });
});

test('no frame but those of the handshake, in order and short, is looked at', (t) => {
  const frames = [
    encodeControl(MSG.PING, 0, 0, {}),
    encodeCommand('REMOVE_VOLUME', 1, 'admin', { key: 1, mode: 'onlyMe' }),
    encodeControl(MSG.PROOF, 0, 0, { proof: new Uint8Array(32) }),
    encodeControl(MSG.WELCOME, 0, 0, { reason: '' }),
    encodeControl(MSG.HELLO, 0, 1, {
      versionMin: 1,
      versionMax: 1,
      features: 0,
      role: 'sdc',
      key: 0,
      incarnation: 0,
      run: 0,
      link: 0,
      linkEpoch: 0,
      systemId: '',
      targetRole: 'mdm',
      targetKey: 0,
      nonce: new Uint8Array(32),
    }),
  ];
  for (const frame of frames) {
    const acceptor = new AcceptorHandshake(rules('mdm'), IDENTITY, randomBytes(32));
    t.like(give(acceptor, frame), { state: 'refused', status: ERR.BAD_FRAME });
  }
  const long = new Uint8Array(64 + HANDSHAKE_BODY_BYTES_MAX + 1);
  long.set(encodeControl(MSG.PROOF, 0, 0, { proof: new Uint8Array(0) }).subarray(0, 64));
  const view = new DataView(long.buffer);
  view.setUint32(8, long.length - 64, true);
  sealFrame(long, view, 0);
  t.regex(handshakeHeaderFault(view, 0) ?? '', /1024 are allowed/);
});

test('a welcome before the proof opens nothing', (t) => {
  const initiator = new InitiatorHandshake(rules('sdc'), IDENTITY, TARGET, randomBytes(32));
  initiator.start();
  t.like(give(initiator, encodeControl(MSG.WELCOME, 0, 0, { reason: '' })), {
    state: 'refused',
    status: ERR.BAD_FRAME,
  });
});

test('damage of any frame of a handshake is refused, never worse', (t) => {
  const { frames } = run();
  fc.assert(
    fc.property(fc.nat(3), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, place, flip) => {
      const frame = Uint8Array.from(frames[which] ?? []);
      const at = place % frame.length;
      frame[at] = (frame[at] ?? 0) ^ flip;
      const side: Side =
        which % 2 === 0
          ? new AcceptorHandshake(rules('mdm'), IDENTITY, randomBytes(32))
          : new InitiatorHandshake(rules('sdc'), IDENTITY, TARGET, randomBytes(32));
      t.is(give(side, frame).state, 'refused');
    }),
  );
});
