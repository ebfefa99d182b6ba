// Collects what machines say to operators. An error that no injected fault explains is a violation. It must never print.

import type { Log } from '../core/ports.js';

import { ScanWatch } from './scan-watch.js';
import type { Simulation } from './simulation.js';

export interface LoggedError {
  readonly who: string;
  readonly name: string;
  readonly text: string;
}

export class SimLog {
  private readonly sim: Simulation;
  readonly errors: LoggedError[] = [];
  /** When the MDM said that a copy which lost volatile content serves. */
  readonly rolledBackUs: number[] = [];

  /** When data processes opened their devices, by name of process. */
  readonly opened: { readonly who: string; readonly atUs: number }[] = [];

  /** What background scanners said. */
  readonly scans = new ScanWatch();

  constructor(sim: Simulation) {
    this.sim = sim;
  }

  /** The log of one process. */
  of(who: string): Log {
    return {
      event: (level, name, fields) => {
        if (name === 'mdm.rolled-back-copy-serves') this.rolledBackUs.push(this.sim.nowUs);
        if (name === 'sds.opened') this.opened.push({ who, atUs: this.sim.nowUs });
        this.scans.noted(who, name, fields);
        if (level !== 'error' && !this.sim.trace.verbose) return;
        const text = Object.entries(fields)
          .map(([key, value]) => `${key}=${value}`)
          .join(' ');
        if (this.sim.trace.verbose)
          this.sim.trace.line(this.sim.nowUs, who, `log ${level} ${name} ${text}`);
        if (level === 'error') this.errors.push({ who, name, text });
      },
    };
  }
}
