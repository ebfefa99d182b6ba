// Looks over the shoulder of the network: at most one data process answers clients of one comb and generation, and an
// acknowledgement names what every member in sync of that generation holds. It owns what it saw; it must never change a
// frame.

import { MSG } from '../protocol/generated/constants.js';
import * as head from '../protocol/generated/frame-head.js';

import type { History } from './history.js';
import type { LinkEnd } from './link-end.js';
import type { MoveWatch } from './move-watch.js';
import type { Simulation } from './simulation.js';

export class FrameWatch {
  private readonly sim: Simulation;
  /** Data process that served a comb in a generation. */
  private readonly serving = new Map<string, string>();
  acknowledged = 0;

  private readonly history: History;
  private readonly moves: MoveWatch;

  constructor(sim: Simulation, history: History, moves: MoveWatch) {
    this.sim = sim;
    this.history = history;
    this.moves = moves;
  }

  /** See FrameWatcher. */
  watch(from: LinkEnd, view: DataView, at: number): void {
    const code = head.getCode(view, at);
    if (this.sim.trace.verbose) this.tell(from, view, at, code);
    const isAnswer = code === MSG.READ_REPLY || code === MSG.WRITE_REPLY;
    if (!isAnswer || head.getStatus(view, at) !== 0) return;
    this.acknowledged += 1;
    const generation = `${head.getGenerationEpoch(view, at)}.${head.getGenerationNumber(view, at)}`;
    const name = `${head.getComb(view, at)} in generation ${generation}`;
    const known = this.serving.get(name);
    if (known === undefined) this.serving.set(name, from.process.name);
    else if (known !== from.process.name)
      this.sim.fail(`both ${known} and ${from.process.name} served comb ${name}`);
    // Who was lost under an older entry may answer late what was done in time.
    if (this.history.stopped && this.moves.isNewest(view, at))
      this.sim.fail(`${from.process.name} served comb ${name} while all I/O counted as stopped`);
  }

  private tell(from: LinkEnd, view: DataView, at: number, code: number): void {
    const to = from.other?.process.name ?? '?';
    const names = Object.entries(MSG).find(([, value]) => value === code);
    const name = names?.[0] ?? `0x${code.toString(16)}`;
    const status = head.getStatus(view, at);
    const data =
      code >= 0x0400
        ? ` comb ${head.getComb(view, at)} gen ${head.getGenerationEpoch(view, at)}.${head.getGenerationNumber(view, at)} volume ${head.getVolumeKey(view, at)} chunk ${head.getChunkIndex(view, at)} ${head.getOffsetSectors(view, at)}+${head.getLengthSectors(view, at)} op ${head.getAuthority(view, at)}/${head.getOpLow(view, at)} flags ${head.getFlags(view, at)}`
        : '';
    this.sim.trace.line(
      this.sim.nowUs,
      from.process.name,
      `${name} to ${to} tag ${head.getTag(view, at)}${status === 0 ? '' : ` status ${status}`}${data}`,
    );
  }
}
