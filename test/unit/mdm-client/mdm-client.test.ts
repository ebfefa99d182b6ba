import test from 'ava';

import { LAST_KEY } from '../../../backend/core/key-range.js';
import type { LinkId, Links, LinkTarget, Peer } from '../../../backend/core/ports.js';
import { MdmClient } from '../../../backend/mdm-client/mdm-client.js';
import { MDM_CLIENT_DEFAULTS } from '../../../backend/mdm-client/options.js';
import type { MdmClientHost, Registration } from '../../../backend/mdm-client/host.js';
import type { Answer } from '../../../backend/mdm-client/requests.js';
import {
  bodyOf,
  decodeCommand,
  decodeControl,
  encodeCommandAnswer,
  encodeControl,
  encodeRefusal,
  isCommandCode,
} from '../../support/newest.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import { getCode, getTag } from '../../../backend/protocol/generated/frame-head.js';
import type { ControlBodies } from '../../../backend/protocol/generated/types.js';

const PEER: Peer = {
  ...{ role: 'mdm', key: 0, incarnation: 1, run: 0, link: 0, linkEpoch: 0 },
  ...{ version: 2, features: 0 },
};

const REGISTRATION: Registration = {
  code: MSG.REGISTER_SDC,
  body: { guid: '', name: 'host', addresses: [], version: '1', run: 0, zeroGuid: false },
};

const UPDATE: ControlBodies[typeof MSG.MAP_UPDATE] = {
  ...{ term: 2, sequence: 10, full: true, last: true, pools: [], combs: [], devices: [] },
  ...{ volumes: [], mappings: [], removedDevices: [], removedVolumes: [], removedMappings: [] },
  clusterVersion: 2,
  ...{ merges: [], removedMerges: [], goneVolumes: [], removedLayers: [] },
};

interface Sent {
  readonly link: LinkId;
  readonly code: number;
  readonly tag: number;
  readonly frame: Uint8Array;
}

/** One client with links and an owner made of arrays. */
class Bench implements Links, MdmClientHost {
  nowUs = 0;
  readonly client: MdmClient;
  readonly targets: { link: LinkId; target: LinkTarget }[] = [];
  readonly closed: LinkId[] = [];
  readonly told: string[] = [];
  registers = true;
  /** Protocol version of the next link. */
  version = 2;
  private frames: { link: LinkId; bytes: Uint8Array }[] = [];
  private links = 0;

  constructor(heartbeatMs = 250) {
    const addresses = [
      { host: '10.0.0.1', port: 6611 },
      { host: '10.0.0.2', port: 6611 },
    ];
    const log = { event: (): void => undefined };
    const options = { ...MDM_CLIENT_DEFAULTS, addresses, heartbeatMs, seed: 7 };
    this.client = new MdmClient(this, log, this, options);
    this.client.start(0);
  }

  identify(): void {
    return;
  }
  newLink(): LinkId {
    return ++this.links;
  }
  connect(link: LinkId, target: LinkTarget): void {
    this.targets.push({ link, target });
  }
  close(link: LinkId): void {
    this.closed.push(link);
  }
  reserve(link: LinkId, frameBytes: number): { bytes: Uint8Array; view: DataView; at: number } {
    const bytes = new Uint8Array(frameBytes);
    this.frames.push({ link, bytes });
    return { bytes, view: new DataView(bytes.buffer), at: 0 };
  }
  resume(): void {
    return;
  }
  pendingBytes(): number {
    return 0;
  }

  registration(): Registration | null {
    return this.registers ? REGISTRATION : null;
  }
  registered(): void {
    this.told.push('registered');
  }
  refused(_: number, status: number): void {
    this.told.push(`refused ${status}`);
  }
  heartbeat(): ControlBodies[typeof MSG.HEARTBEAT] {
    const { sequence } = this.client.map;
    return {
      ...{ progress: 1, appliedSequence: sequence, usage: null, counters: [], volumes: [] },
      ...{ listedAfter: 0, listedThrough: LAST_KEY },
    };
  }
  mapChanged(): void {
    this.told.push(`map ${this.client.map.sequence}`);
  }
  pushed(): void {
    this.told.push('pushed');
  }
  disconnected(_: number, reason: string): void {
    this.told.push(`disconnected: ${reason}`);
  }

  get link(): LinkId {
    return this.links;
  }

  sent(): Sent[] {
    const sent = this.frames.map(({ link, bytes }) => {
      const view = new DataView(bytes.buffer);
      return { link, code: getCode(view, 0), tag: getTag(view, 0), frame: bytes };
    });
    this.frames = [];
    return sent;
  }

  up(host = ''): void {
    const peer = { ...PEER, version: this.version };
    this.client.linkUp(this.nowUs, this.link, host === '' ? peer : { ...peer, host });
  }

  down(): void {
    this.client.linkDown(this.nowUs, this.link, 'cut');
  }

  give(frame: Uint8Array, link = this.link): void {
    this.client.frame(this.nowUs, link, frame, new DataView(frame.buffer), 0);
  }

  /** Link up, registration taken. */
  enter(host = ''): void {
    this.up(host);
    const [registration] = this.sent();
    if (registration?.code !== MSG.REGISTER_SDC) throw new Error('it registers first');
    const body = { sdcKey: 5, run: 1, approved: true, systemId: '' };
    this.give(encodeControl(MSG.REGISTER_SDC_REPLY, registration.tag, 0, body));
    this.sent();
  }

  pass(ms: number): void {
    this.nowUs += ms * 1000;
    this.client.tick(this.nowUs);
  }
}

function ask(bench: Bench, repeatable = true): Answer[] {
  const answers: Answer[] = [];
  bench.client.ask(
    bench.nowUs,
    MSG.CLUSTER_QUERY,
    {},
    (_, answer) => answers.push(answer),
    repeatable,
  );
  return answers;
}

test('nothing is asked before the registration is taken, and everything afterwards', (t) => {
  const bench = new Bench();
  const answers = ask(bench);
  bench.up();
  t.deepEqual(
    bench.sent().map(({ code }) => code),
    [MSG.REGISTER_SDC],
  );
  const other = new Bench();
  ask(other);
  other.up();
  const [registration] = other.sent();
  const body = { sdcKey: 5, run: 1, approved: true, systemId: '' };
  other.give(encodeControl(MSG.REGISTER_SDC_REPLY, registration?.tag ?? 0, 0, body));
  t.deepEqual(
    other.sent().map(({ code }) => code),
    [MSG.CLUSTER_QUERY],
  );
  t.deepEqual(other.told, ['registered']);
  t.deepEqual(answers, []);
});

test('a component without a registration asks at once', (t) => {
  const bench = new Bench(0);
  bench.registers = false;
  bench.up();
  ask(bench);
  t.deepEqual(
    bench.sent().map(({ code }) => code),
    [MSG.CLUSTER_QUERY],
  );
  bench.pass(10_000);
  t.deepEqual(bench.sent(), []);
});

test('it tries again after a growing pause, and registers anew after every loss', (t) => {
  const bench = new Bench();
  const pauses: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    const before = bench.nowUs;
    bench.down();
    const count = bench.targets.length;
    while (bench.targets.length === count) {
      bench.nowUs = bench.client.nextDeadlineUs();
      bench.client.tick(bench.nowUs);
    }
    pauses.push((bench.nowUs - before) / 1000);
  }
  t.true(
    pauses.every((pause) => pause >= 25 && pause <= 1000),
    pauses.join(),
  );
  t.true((pauses[6] ?? 0) >= 500);
  bench.enter();
  bench.down();
  t.deepEqual(bench.told, ['registered', 'disconnected: cut']);
  bench.pass(1000);
  bench.enter();
  t.deepEqual(bench.told.slice(2), ['registered']);
});

test('a lost link: harmless requests are asked again, the outcome of others is unknown', (t) => {
  const bench = new Bench();
  bench.enter();
  const harmless = ask(bench);
  const once = ask(bench, false);
  t.is(bench.sent().length, 2);
  const late = bench.link;
  bench.down();
  t.deepEqual(
    once.map(({ status }) => status),
    [ERR.TIMED_OUT],
  );
  bench.pass(1000);
  bench.enter();
  t.deepEqual(harmless, []);
  bench.down();
  bench.pass(1000);
  bench.up();
  const [registration] = bench.sent();
  const reply = { sdcKey: 5, run: 1, approved: true, systemId: '' };
  bench.give(encodeControl(MSG.REGISTER_SDC_REPLY, registration?.tag ?? 0, 0, reply));
  const [again] = bench.sent();
  t.is(again?.code, MSG.CLUSTER_QUERY);
  // An answer of an earlier link is not heard; the right one is.
  bench.give(encodeRefusal(again?.tag ?? 0, ERR.NOT_FOUND), late);
  t.deepEqual(harmless, []);
  bench.give(encodeRefusal(again?.tag ?? 0, ERR.NOT_FOUND));
  t.deepEqual(
    harmless.map(({ status }) => status),
    [ERR.NOT_FOUND],
  );
});

test('patience ends: never sent means nothing happened, sent means nobody knows', (t) => {
  const bench = new Bench();
  const unsent = ask(bench);
  bench.pass(31_000);
  t.deepEqual(
    unsent.map(({ status }) => status),
    [ERR.NOT_READY],
  );
  bench.enter();
  const sent = ask(bench);
  bench.pass(31_000);
  t.deepEqual(
    sent.map(({ status }) => status),
    [ERR.TIMED_OUT],
  );
});

test('an MDM that is not the master is left for the next address, and the request waits for the master', (t) => {
  const bench = new Bench();
  bench.enter();
  const answers = ask(bench);
  const [request] = bench.sent();
  bench.give(encodeRefusal(request?.tag ?? 0, ERR.NOT_MASTER));
  t.deepEqual(bench.closed, [1]);
  bench.pass(1000);
  t.is(bench.targets.at(-1)?.target.addresses[0]?.host, '10.0.0.2');
  t.deepEqual(answers, []);
  bench.up();
  const [registration] = bench.sent();
  bench.give(encodeRefusal(registration?.tag ?? 0, ERR.NOT_MASTER));
  bench.pass(1000);
  t.is(bench.targets.at(-1)?.target.addresses[0]?.host, '10.0.0.1');
  t.false(bench.told.includes(`refused ${ERR.NOT_MASTER}`));
});

test("a standby's word leads to the master", (t) => {
  const bench = new Bench();
  bench.up('10.0.0.2');
  const [registration] = bench.sent();
  const details = [{ name: 'master', value: '10.0.0.2 6611' }];
  bench.give(encodeRefusal(registration?.tag ?? 0, ERR.NOT_MASTER, details));
  bench.pass(1000);
  t.is(bench.targets.at(-1)?.target.addresses[0]?.host, '10.0.0.2');
  bench.up('10.0.0.2');
  const [again] = bench.sent();
  bench.give(encodeRefusal(again?.tag ?? 0, ERR.NOT_MASTER));
  bench.pass(1000);
  t.is(bench.targets.at(-1)?.target.addresses[0]?.host, '10.0.0.1', 'who is not comes last');
});

test('an MDM that leaves heartbeats unanswered is left for the others', (t) => {
  const bench = new Bench();
  bench.enter('10.0.0.1');
  for (let beat = 0; beat < 8; beat++) {
    bench.pass(250);
    const [sent] = bench.sent();
    bench.give(encodeControl(MSG.HEARTBEAT_REPLY, sent?.tag ?? 0, 0, { term: 1 }));
  }
  t.deepEqual(bench.closed, []);
  for (let beat = 0; beat < 5; beat++) bench.pass(250);
  t.deepEqual(bench.closed, [1]);
  bench.pass(1000);
  t.is(bench.targets.at(-1)?.target.addresses[0]?.host, '10.0.0.2');
});

test('a refused registration is told and tried again', (t) => {
  const bench = new Bench();
  bench.up();
  const [registration] = bench.sent();
  bench.give(encodeRefusal(registration?.tag ?? 0, ERR.DEVICE_NOT_FOUND));
  t.deepEqual(bench.told, [`refused ${ERR.DEVICE_NOT_FOUND}`]);
  bench.pass(1000);
  t.is(bench.targets.length, 2);
});

test('an MDM that never answers the registration is left', (t) => {
  const bench = new Bench();
  bench.up();
  bench.pass(29_000);
  t.deepEqual(bench.closed, []);
  bench.pass(2000);
  t.deepEqual(bench.closed, [1]);
});

test('updates are applied when their last part is there, and never those of an older master', (t) => {
  const bench = new Bench();
  bench.enter();
  const part = (body: Partial<typeof UPDATE>): void => {
    bench.give(encodeControl(MSG.MAP_UPDATE, 0, 0, { ...UPDATE, ...body }));
  };
  part({ last: false });
  t.is(bench.client.map.sequence, 0);
  part({ full: false });
  t.is(bench.client.map.sequence, 10);
  part({ full: false, sequence: 11, last: false });
  bench.down();
  bench.pass(1000);
  bench.enter();
  // Half an update of the lost link is forgotten.
  part({ sequence: 12 });
  t.deepEqual(
    bench.told.filter((word) => word.startsWith('map')),
    ['map 10', 'map 12'],
  );
  part({ term: 1, sequence: 99 });
  t.is(bench.client.map.sequence, 12);
  t.true(bench.closed.length > 0);
});

test('heartbeats go out at their pace and say what is applied', (t) => {
  const bench = new Bench();
  bench.enter();
  bench.give(encodeControl(MSG.MAP_UPDATE, 0, 0, UPDATE));
  const beats: number[] = [];
  for (let ms = 0; ms < 1000; ms += 50) {
    bench.pass(50);
    for (const { code, frame } of bench.sent())
      if (code === MSG.HEARTBEAT) {
        const { body } = decodeControl(code, bodyOf(frame, new DataView(frame.buffer), 0));
        beats.push('appliedSequence' in body ? body.appliedSequence : -1);
      }
  }
  t.true(beats.length >= 4 && beats.length <= 5, beats.join());
  t.true(beats.every((sequence) => sequence === 10));
});

test('commands carry their actor; results and refusals come back', (t) => {
  const bench = new Bench();
  bench.enter();
  const outcomes: string[] = [];
  const add = (): void => {
    bench.client.command(
      bench.nowUs,
      'ADD_PROTECTION_DOMAIN',
      'ann',
      { name: 'd' },
      (_, status, result) => {
        outcomes.push(`${status} ${result?.key ?? '-'}`);
      },
    );
  };
  add();
  add();
  const [one, two] = bench.sent();
  if (one === undefined || two === undefined) throw new Error('two commands');
  t.true(isCommandCode(one.code));
  t.is(decodeCommand(one.code, bodyOf(one.frame, new DataView(one.frame.buffer), 0)).actor, 'ann');
  bench.give(encodeRefusal(two.tag, ERR.DOMAIN_NAME_IN_USE));
  bench.give(encodeCommandAnswer('ADD_PROTECTION_DOMAIN', one.tag, { key: 42 }));
  t.deepEqual(outcomes, [`${ERR.DOMAIN_NAME_IN_USE} -`, '0 42']);
});

test('an answer that breaks the protocol ends the link, and its request as of unknown outcome', (t) => {
  const bench = new Bench();
  bench.enter();
  const outcomes: number[] = [];
  bench.client.command(0, 'ADD_PROTECTION_DOMAIN', 'ann', { name: 'd' }, (_, status) => {
    outcomes.push(status);
  });
  const [request] = bench.sent();
  bench.give(encodeCommandAnswer('RENAME_SDC', request?.tag ?? 0, {}));
  t.deepEqual(outcomes, [ERR.INTERNAL]);
  t.deepEqual(bench.closed, [1]);
});

test('an end leaves nothing open', (t) => {
  const bench = new Bench();
  bench.enter();
  const answers = ask(bench);
  bench.client.stop(bench.nowUs);
  t.is(answers.length, 1);
  t.deepEqual(bench.closed, [1]);
  t.is(bench.client.nextDeadlineUs(), Infinity);
});

test('other addresses are used at once, unless the present MDM is among them', (t) => {
  const bench = new Bench();
  const at = (...hosts: string[]) => hosts.map((host) => ({ host, port: 6611 }));
  const hosts = () => bench.targets.at(-1)?.target.addresses.map(({ host }) => host);
  bench.enter('10.0.0.2');
  bench.client.lookAt(bench.nowUs, at('10.0.0.2', '10.0.0.3'));
  t.deepEqual(bench.closed, [], 'it stays with the MDM that it knows');
  bench.client.lookAt(bench.nowUs, at('10.0.0.4'));
  t.is(bench.closed.length, 1, 'it leaves one that is none any more');
  bench.pass(100);
  t.deepEqual(hosts(), ['10.0.0.4']);
  bench.down();
  bench.client.lookAt(bench.nowUs, at('10.0.0.5'));
  t.deepEqual(hosts(), ['10.0.0.5'], 'it does not wait for the end of its pause');
});

test('a request is asked in the version of the link that takes it', (t) => {
  const bench = new Bench();
  bench.enter();
  const answers: number[] = [];
  bench.client.command(
    bench.nowUs,
    'RAISE_CLUSTER_VERSION',
    'admin',
    { version: 2 },
    (_, status) => {
      answers.push(status);
    },
  );
  const versionsOf = (): number[] =>
    bench
      .sent()
      .filter(({ code }) => code !== MSG.HEARTBEAT)
      .map(({ frame }) => frame[2] ?? 0);
  t.deepEqual(versionsOf(), [2]);
  bench.down();
  t.deepEqual(answers, [ERR.TIMED_OUT]);
  const harmless = ask(bench);
  bench.client.command(
    bench.nowUs,
    'RAISE_CLUSTER_VERSION',
    'admin',
    { version: 2 },
    (_, status) => {
      answers.push(status);
    },
  );
  bench.pass(1000);
  bench.version = 1;
  bench.up();
  const [registration] = bench.sent();
  const reply = { sdcKey: 5, run: 1, approved: true, systemId: '' };
  bench.give(encodeControl(MSG.REGISTER_SDC_REPLY, registration?.tag ?? 0, 0, reply, 1));
  // What the MDM of now knows is asked in its version; what it does not know never reaches it.
  t.deepEqual(versionsOf(), [1]);
  t.deepEqual(answers, [ERR.TIMED_OUT, ERR.VERSION_UNSUPPORTED]);
  t.deepEqual(harmless, []);
});
