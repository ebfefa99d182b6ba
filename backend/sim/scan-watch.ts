// What the background scanners of all devices said, by data process. It must never tell a scanner anything.

import type { Log } from '../core/ports.js';

type LogFields = Parameters<Log['event']>[2];

interface Scan {
  /** Whole passes since this was last asked for. */
  passes: number;
  /** Blocks that did not verify, less those that do again. */
  wrong: number;
  /** Blocks in which copies differ, by chunk and peer. */
  readonly differing: Map<string, number>;
}

export class ScanWatch {
  private scans = new Map<string, Scan>();
  /** Something that was found, in words; empty: nothing ever was. */
  found = '';

  noted(who: string, name: string, fields: LogFields): void {
    if (name === 'sds.opened') this.scans.delete(who);
    if (!name.startsWith('sds.scan-')) return;
    const scan = this.scans.get(who) ?? { passes: 0, wrong: 0, differing: new Map() };
    this.scans.set(who, scan);
    const blocks = Number(fields['blocks'] ?? 0);
    if (name === 'sds.scan-pass') scan.passes += 1;
    else if (name === 'sds.scan-bad') scan.wrong += blocks;
    else if (name === 'sds.scan-fixed') scan.wrong -= blocks;
    else if (name === 'sds.scan-differs' || name === 'sds.scan-equal')
      scan.differing.set(`${fields['layer']}:${fields['chunk']}:${fields['peer']}`, blocks);
    if (name === 'sds.scan-bad' || name === 'sds.scan-differs')
      this.found = `${who} ${name} ${JSON.stringify(fields)}`;
  }

  startPass(): void {
    for (const scan of this.scans.values()) scan.passes = 0;
  }

  /** Whether these processes went through all that they have, and nothing is wrong with it. */
  isRight(names: readonly string[]): boolean {
    return names.every((name) => {
      const scan = this.scans.get(name);
      if (scan === undefined || scan.passes === 0 || scan.wrong !== 0) return false;
      return [...scan.differing.values()].every((blocks) => blocks === 0);
    });
  }
}
