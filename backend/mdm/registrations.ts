// Components that register, beat and report: from their messages to the parts that decide. It owns which run belongs to
// which link.

import { mark } from '../core/marks.js';
import type { LinkId, Micros } from '../core/ports.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import type {
  CombChangeBody,
  DeviceResultBody,
  HeartbeatBody,
  RegisterDeviceBody,
  RegisterSdcBody,
  RegisterSdsBody,
} from '../protocol/generated/types.js';
import { systemId } from './additions.js';
import type { Additions } from './additions.js';
import { registerSdc, registerSds } from './clients.js';
import { CounterHistory } from './counters.js';
import type { WaitingSds } from './commands/context.js';
import type { Engine } from './engine.js';
import type { Membership } from './membership.js';
import { refuse } from './refusal.js';
import { replaceCombs } from './replacement.js';
import type { Runs } from './runs.js';
import type { Session, Sessions } from './sessions.js';
import type { Subscribers } from './subscribers.js';
import type { Versions } from './versions.js';

const MARKS = {
  superseded: mark('mdm: a newer link of the same component took over'),
  deviceUp: mark('mdm: a new device came up'),
};

export class Registrations {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly sessions: Sessions;
  private readonly membership: Membership;
  private readonly additions: Additions;
  private readonly subscribers: Subscribers;
  private readonly versions: Versions;

  constructor(
    engine: Engine,
    runs: Runs,
    sessions: Sessions,
    membership: Membership,
    additions: Additions,
    subscribers: Subscribers,
    versions: Versions,
  ) {
    this.engine = engine;
    this.runs = runs;
    this.sessions = sessions;
    this.membership = membership;
    this.additions = additions;
    this.subscribers = subscribers;
    this.versions = versions;
  }

  systemId(): string {
    return systemId(this.engine);
  }

  /** A registered SDS process that no SDS object claims. */
  waitingSds(host: string, port: number): WaitingSds | null {
    const claimed = new Set(Array.from(this.engine.state.sds.values(), ({ guid }) => guid));
    for (const run of this.runs.sds.values()) {
      if (claimed.has(run.guid) || (port !== 0 && run.port !== port)) continue;
      if (run.addresses.some((address) => address.host === host)) return run;
    }
    return null;
  }

  sds(nowUs: Micros, session: Session, tag: number, body: RegisterSdsBody): void {
    const { link } = session;
    this.attempt(nowUs, link, tag, (at) => {
      this.versions.admit(session);
      const { sdsKey, guid } = registerSds(this.engine, this.runs, at, link, body);
      this.takeOver(at, session, (other) => other.kind === 'sds' && other.guid === guid);
      session.registered = { kind: 'sds', guid };
      this.engine.after(() => {
        this.sessions.send(link, MSG.REGISTER_SDS_REPLY, tag, {
          sdsKey,
          systemId: this.systemId(),
        });
        if (sdsKey !== 0) this.additions.sendWants(sdsKey);
      });
    });
  }

  device(nowUs: Micros, session: Session, tag: number, body: RegisterDeviceBody): void {
    const { link } = session;
    this.attempt(nowUs, link, tag, (at) => {
      this.versions.admit(session);
      const { state, options } = this.engine;
      const wasAdding = state.devices.get(body.deviceKey)?.state === 'adding';
      const { key, poolKey } = this.membership.register(at, link, body);
      this.takeOver(at, session, (other) => other.kind === 'device' && other.deviceKey === key);
      session.registered = { kind: 'device', deviceKey: key, poolKey };
      if (wasAdding) {
        MARKS.deviceUp.hits++;
        this.engine.atEnd(`place ${poolKey}`, () => {
          replaceCombs(state, poolKey, this.engine.nextSequence, options.combsPerPair);
        });
      }
      const { leaseMs, detectionMs, driftPercent } = options;
      this.engine.after(() => {
        const reply = { leaseMs, detectionMs, driftPercent };
        this.sessions.send(link, MSG.REGISTER_DEVICE_REPLY, tag, reply);
        this.subscribers.sendAll(session);
      });
    });
  }

  sdc(nowUs: Micros, session: Session, tag: number, body: RegisterSdcBody): void {
    const { link } = session;
    this.attempt(nowUs, link, tag, (at) => {
      this.versions.admit(session);
      const reply = registerSdc(this.engine, body);
      const { sdcKey } = reply;
      this.takeOver(at, session, (other) => other.kind === 'sdc' && other.sdcKey === sdcKey);
      session.registered = { kind: 'sdc', sdcKey, poolKeys: new Set() };
      const { version } = body;
      const sinceMs = this.engine.wallMs(at);
      const counters = new CounterHistory();
      this.runs.sdcs.set(sdcKey, {
        ...{ key: sdcKey, link, version, sinceMs, counters },
        appliedSequence: 0,
      });
      this.engine.after(() => {
        this.sessions.send(link, MSG.REGISTER_SDC_REPLY, tag, reply);
        this.subscribers.sendAll(session);
      });
    });
  }

  deviceResult(nowUs: Micros, session: Session, body: DeviceResultBody): void {
    this.engine.run(nowUs, (at) => {
      const { registered } = session;
      if (registered.kind !== 'sds') return;
      const sds = this.engine.state.sds.find(({ guid }) => guid === registered.guid);
      if (sds !== undefined) this.additions.result(at, sds.key, body);
    });
  }

  heartbeat(nowUs: Micros, { link, registered }: Session, tag: number, body: HeartbeatBody): void {
    const listed = { after: body.listedAfter, through: body.listedThrough };
    if (registered.kind === 'device') {
      const run = this.runs.devices.get(registered.deviceKey);
      if (run?.link === link) this.membership.heartbeat(nowUs, run, body);
    } else if (registered.kind === 'sdc') {
      const run = this.runs.sdcs.get(registered.sdcKey);
      if (run?.link === link) {
        run.appliedSequence = Math.max(run.appliedSequence, body.appliedSequence);
        run.counters.add(nowUs, body.counters, listed);
      }
    } else if (registered.kind === 'sds') {
      const run = this.runs.sds.get(registered.guid);
      if (run?.link === link) run.counters.add(nowUs, body.counters, listed);
    }
    this.sessions.send(link, MSG.HEARTBEAT_REPLY, tag, { term: this.engine.term });
  }

  combChange(nowUs: Micros, session: Session, tag: number, body: CombChangeBody): void {
    const { link } = session;
    this.attempt(nowUs, link, tag, (at) => {
      const { registered } = session;
      if (registered.kind !== 'device') refuse('NOT_READY');
      const statuses = this.membership.change(at, registered.deviceKey, body);
      this.engine.after(() => {
        this.sessions.send(link, MSG.COMB_CHANGE_REPLY, tag, { statuses });
      });
    });
  }

  /** A session ended. */
  ended(nowUs: Micros, { link, registered }: Session): void {
    const wallMs = this.engine.wallMs(nowUs);
    if (registered.kind === 'device') {
      const run = this.runs.devices.get(registered.deviceKey);
      if (run?.link === link) this.membership.linkDown(nowUs, run);
    } else if (registered.kind === 'sds' && this.runs.sds.get(registered.guid)?.link === link) {
      this.runs.sds.delete(registered.guid);
      const sds = this.engine.state.sds.find(({ guid }) => guid === registered.guid);
      if (sds !== undefined) {
        this.runs.goneMs.set(sds.key, wallMs);
        this.runs.sdsLost(nowUs, sds.key);
      }
    } else if (registered.kind === 'sdc' && this.runs.sdcs.get(registered.sdcKey)?.link === link) {
      this.runs.sdcs.delete(registered.sdcKey);
      this.runs.goneMs.set(registered.sdcKey, wallMs);
    }
  }

  /** An SDS was taken out of the system: its process stops what it runs and waits again. */
  removed(guid: string): void {
    const run = this.runs.sds.get(guid);
    if (run === undefined) return;
    this.sessions.send(run.link, MSG.DEVICE_WANTS, 0, {
      sdsKey: 0,
      systemId: this.systemId(),
      wants: [],
      cacheBytes: 0,
    });
  }

  /** A device was taken out of the system: its data process has nothing to say any more. */
  deviceRemoved(nowUs: Micros, deviceKey: number): void {
    for (const { link, registered } of [...this.sessions.all()])
      if (registered.kind === 'device' && registered.deviceKey === deviceKey)
        this.sessions.drop(nowUs, link);
  }

  /** Runs a registration as work, once its link is known to be still there, and answers its refusal. */
  private attempt(nowUs: Micros, link: LinkId, tag: number, request: (at: Micros) => void): void {
    const work = (at: Micros): void => {
      if (this.sessions.get(link) === undefined) return;
      const outcome = this.engine.attempt(() => {
        request(at);
      });
      if (!('refusal' in outcome)) return;
      const { status, details } = outcome.refusal;
      this.engine.after(() => {
        this.sessions.refuse(link, tag, status, details);
      });
    };
    this.engine.run(nowUs, work, () => {
      this.sessions.refuse(link, tag, ERR.STORE_FULL);
    });
  }

  /** One link per component: the newest. */
  private takeOver(
    nowUs: Micros,
    { link }: Session,
    isSame: (registered: Session['registered']) => boolean,
  ): void {
    for (const other of [...this.sessions.all()]) {
      if (other.link === link || !isSame(other.registered)) continue;
      MARKS.superseded.hits++;
      this.sessions.drop(nowUs, other.link);
    }
  }
}
