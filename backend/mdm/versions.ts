// Which protocol versions the components of the system speak, and whom the cluster version shuts out. It must never change
// anything: the version is raised by a command.

import type { LinkId, Micros } from '../core/ports.js';
import { VERSION_MAX } from '../protocol/generated/constants.js';
import type { NodeReport } from './cluster-plan.js';
import { selfOf } from './cluster-state.js';
import type { Engine } from './engine.js';
import { refuseWith } from './refusal.js';
import type { Runs } from './runs.js';
import type { Session, Sessions } from './sessions.js';

/** Names in a refusal; a person looks at the first few anyway. */
const NAMED_MAX = 8;
/** Components of which the log says that they were refused. */
const REFUSED_MAX = 4096;

export class Versions {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly sessions: Sessions;
  private readonly refused = new Set<string>();
  private readonly reportOf: (nowUs: Micros, key: number) => NodeReport | string;

  constructor(
    engine: Engine,
    runs: Runs,
    sessions: Sessions,
    reportOf: (nowUs: Micros, key: number) => NodeReport | string,
  ) {
    this.engine = engine;
    this.runs = runs;
    this.sessions = sessions;
    this.reportOf = reportOf;
  }

  /** Refuses a component that does not speak what the cluster was raised to. @throws Refusal COMPONENT_TOO_OLD */
  admit({ peer: { role, version, host } }: Session): void {
    const { clusterVersion } = this.engine.state.system;
    if (version >= clusterVersion) return;
    // It asks again and again; older ones do not say themselves why they are refused.
    const who = `${role} ${host ?? ''}`;
    if (!this.refused.has(who) && this.refused.size < REFUSED_MAX) {
      this.refused.add(who);
      const what = { role, host: host ?? '', cluster: clusterVersion, offered: version };
      this.engine.ports.log.event('warn', 'mdm.component-too-old', what);
    }
    refuseWith('COMPONENT_TOO_OLD', { cluster: clusterVersion, offered: version });
  }

  /**
   * Components that keep the cluster version from being raised, in words; empty: nobody does. Who may be of an older
   * version and cannot be asked counts, except SDCs: they hold nothing, and are refused when they come back old.
   */
  below(nowUs: Micros, wanted: number): string {
    const found = [
      ...this.mdms(nowUs, wanted),
      ...this.servers(wanted),
      ...this.devices(wanted),
      ...this.clients(wanted),
    ];
    const more = found.length > NAMED_MAX ? [`${found.length - NAMED_MAX} more`] : [];
    return [...found.slice(0, NAMED_MAX), ...more].join(', ');
  }

  private *mdms(nowUs: Micros, wanted: number): Iterable<string> {
    const { state, options } = this.engine;
    const self = selfOf(state, options)?.key;
    for (const { key, name } of state.mdms.values()) {
      if (key === self) continue;
      const report = this.reportOf(nowUs, key);
      if (typeof report === 'string') yield `MDM ${name} (${report})`;
      else if (report.protocolMax < wanted) yield `MDM ${name} (${report.version})`;
    }
  }

  private *servers(wanted: number): Iterable<string> {
    for (const { guid, name } of this.engine.state.sds.values()) {
      const run = this.runs.sds.get(guid);
      if (run === undefined) yield `SDS ${name} (not connected)`;
      else if (this.isBelow(run.link, wanted)) yield `SDS ${name} (${run.version})`;
    }
  }

  /** Those of a connected SDS run its version, now or when they are started again. */
  private *devices(wanted: number): Iterable<string> {
    const { state } = this.engine;
    for (const { key, name, sdsKey } of state.devices.values()) {
      const run = this.runs.devices.get(key);
      if (run !== undefined && this.isBelow(run.link, wanted))
        yield `device ${name === '' ? key : name} of SDS ${state.sds.get(sdsKey)?.name ?? ''} (${run.version})`;
    }
  }

  private *clients(wanted: number): Iterable<string> {
    for (const { key, name, guid } of this.engine.state.sdcs.values()) {
      const run = this.runs.sdcs.get(key);
      if (run !== undefined && this.isBelow(run.link, wanted))
        yield `SDC ${name === '' ? guid : name} (${run.version})`;
    }
  }

  /** A link speaks the newest version that both ends know: below what this MDM knows, the other end does not. */
  private isBelow(link: LinkId, wanted: number): boolean {
    const session = this.sessions.get(link);
    return session !== undefined && session.peer.version < Math.min(wanted, VERSION_MAX);
  }
}
