// The MDMs of the cluster that was there before the metadata was restored. One of them that is still at work may decide what the
// restored metadata never hears of, so nothing is concluded while one is. It must never tell them anything.

import type { Mdm } from '../protocol/generated/types.js';

import type { NodeReport } from './cluster-plan.js';

/** Whether an MDM belongs to a system, whatever it can do at the moment. */
export function isAtWork(report: NodeReport | string | undefined): boolean {
  return typeof report === 'object' && report.state !== 'blank';
}

/** What an operator has to do about one that is. */
export function formerReason({ name, host, port }: Mdm): string {
  return `${name} (${host}:${port}) runs as an MDM of the former cluster: stop it there (systemctl stop meshsan-mdm) and have it forget that (meshsan-mdm-restore --forget)`;
}

export class FormerMdms {
  readonly all: readonly Mdm[];
  private working: readonly Mdm[];

  /** @param mdms - of the restored metadata */
  constructor(mdms: Iterable<Mdm>) {
    this.all = [...mdms].filter(({ member }) => !member);
    this.working = [];
  }

  /** @returns whether one is at work */
  seen(reports: ReadonlyMap<number, NodeReport | string>): boolean {
    this.working = this.all.filter(({ key }) => isAtWork(reports.get(key)));
    return this.working.length > 0;
  }

  /** Why nothing is concluded, of each that was at work when they were looked for last. */
  reasons(): string[] {
    return this.working.map(formerReason);
  }
}
