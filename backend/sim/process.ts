// A simulated process: one machine, its clock, its links. It owns the order of inputs to the machine, the batches in
// which they come, and the ticks; it must never reach into the machine.
//
// A killed process is never revived: a restart makes a new process with a new machine on the same host.

import { assert } from '../core/assert.js';
import type { Machine } from '../core/ports.js';

import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { EndOwner, Identity, LinkEnd } from './link-end.js';
import type { Simulation } from './simulation.js';
import { TRACE } from './trace.js';

const WHAT_TICK = 1;
const WHAT_PUMP = 2;

export class SimProcess implements EndOwner, EventTarget {
  readonly sim: Simulation;
  readonly host: SimHost;
  readonly name: string;
  readonly node: number;
  readonly identity: Identity;
  readonly port: number;
  alive = true;
  paused = false;
  readonly ends: LinkEnd[] = [];
  private machine: Machine | null = null;
  private tickAtUs = Infinity;
  /** The first `dirtyCount` have frames to send; shrinking a list costs more than keeping its length. */
  private readonly dirty: LinkEnd[] = [];
  private dirtyCount = 0;
  private readonly resumed: LinkEnd[] = [];
  private readonly held: (() => void)[] = [];
  private pumping = false;
  private nextLink = 1;

  constructor(
    sim: Simulation,
    host: SimHost,
    name: string,
    node: number,
    identity: Identity,
    port: number,
  ) {
    this.sim = sim;
    this.host = host;
    this.name = name;
    this.node = node;
    this.identity = identity;
    this.port = port;
  }

  /** The machine's own clock. */
  localUs(): number {
    return this.host.localUs(this.sim.nowUs);
  }

  takeLinkId(): number {
    return this.nextLink++;
  }

  /** Attaches the machine; its first inputs follow. */
  attach(machine: Machine): void {
    assert(this.machine === null, 'a process hosts one machine');
    this.machine = machine;
    this.scheduleTick();
  }

  /**
   * Gives the machine one input, as a batch of its own. A paused process gets it when it goes on, a dead one never.
   *
   * @param input - calls one or more input methods with the local time given
   */
  input(input: (nowUs: number) => void): void {
    if (!this.alive) return;
    if (this.paused) {
      this.held.push(() => {
        this.input(input);
      });
      return;
    }
    input(this.localUs());
    this.endBatch();
  }

  /** Offers the frames that wait at an end. */
  receive(end: LinkEnd): void {
    if (!this.alive || this.paused || this.machine === null) return;
    const nowUs = this.localUs();
    this.offer(end, nowUs);
    this.endBatch();
  }

  private offer(end: LinkEnd, nowUs: number): void {
    const machine = this.machine;
    if (machine === null) return;
    const arena = this.sim.arena;
    while (end.waiting() > 0 && end.open && !end.refused) {
      const address = end.peekAddress();
      const view = arena.viewOf(address);
      const at = arena.offsetOf(address);
      const bodyBytes = view.getUint32(at + 8, true);
      this.sim.trace.mix(TRACE.frameIn, this.sim.nowUs, this.node, end.id);
      this.sim.trace.header(view, at);
      const taken = machine.frame(nowUs, end.id, arena.bytesOf(address), view, at, bodyBytes);
      // The machine may have closed the link, and with it thrown away what waited.
      if (!end.isOpen()) return;
      if (taken) end.drop();
      else end.refused = true;
    }
  }

  /** A link came up or went down, in an input of its own. */
  linkUp(end: LinkEnd, peer: Parameters<Machine['linkUp']>[2]): void {
    this.input((nowUs) => {
      if (!end.open) return;
      this.sim.trace.mix(TRACE.linkUp, this.sim.nowUs, this.node, end.id);
      if (this.sim.trace.verbose)
        this.sim.trace.line(
          this.sim.nowUs,
          this.name,
          `link ${end.id} up to ${end.other?.process.name ?? '?'}`,
        );
      end.up = true;
      this.machine?.linkUp(nowUs, end.id, peer);
      this.offer(end, nowUs);
    });
  }

  linkDown(end: LinkEnd, reason: string): void {
    this.input((nowUs) => {
      if (!end.open) return;
      end.discard();
      this.sim.trace.mix(TRACE.linkDown, this.sim.nowUs, this.node, end.id);
      if (this.sim.trace.verbose)
        this.sim.trace.line(this.sim.nowUs, this.name, `link ${end.id} down: ${reason}`);
      this.machine?.linkDown(nowUs, end.id, reason);
    });
  }

  /** The end has frames to send when the batch is over. */
  markDirty(end: LinkEnd): void {
    if (end.dirty) return;
    end.dirty = true;
    this.dirty[this.dirtyCount++] = end;
  }

  markResumed(end: LinkEnd): void {
    this.resumed.push(end);
  }

  private endBatch(): void {
    const machine = this.machine;
    if (machine === null || !this.alive) return;
    machine.endBatch?.(this.localUs());
    this.flush();
    if (this.resumed.length > 0 && !this.pumping) {
      this.pumping = true;
      this.sim.queue.push(this.sim.nowUs, this, WHAT_PUMP, 0);
    }
    this.scheduleTick();
  }

  private flush(): void {
    for (let index = 0; index < this.dirtyCount; index++) this.dirty[index]?.flush();
    this.dirtyCount = 0;
  }

  private scheduleTick(): void {
    if (this.machine === null || !this.alive) return;
    const deadlineUs = this.machine.nextDeadlineUs();
    if (deadlineUs === Infinity) return;
    const dueUs = Math.max(this.sim.nowUs, this.host.globalUs(deadlineUs));
    if (dueUs >= this.tickAtUs) return;
    this.tickAtUs = dueUs;
    this.sim.queue.push(dueUs, this, WHAT_TICK, 0);
  }

  fire(timeUs: number, what: number): void {
    if (!this.alive) return;
    if (what === WHAT_PUMP) {
      this.pump();
      return;
    }
    // An event of an earlier plan: the tick that was planned later came first.
    if (timeUs !== this.tickAtUs) return;
    this.tickAtUs = Infinity;
    if (this.paused) return;
    this.tick();
  }

  private tick(): void {
    const machine = this.machine;
    if (machine === null) return;
    const nowUs = this.localUs();
    if (machine.nextDeadlineUs() <= nowUs) {
      this.sim.trace.mix(TRACE.tick, this.sim.nowUs, this.node, 0);
      machine.tick(nowUs);
      this.endBatch();
    } else this.scheduleTick();
  }

  private pump(): void {
    this.pumping = false;
    if (this.paused) return;
    const nowUs = this.localUs();
    const ends = this.resumed.splice(0);
    for (const end of ends) {
      end.refused = false;
      this.offer(end, nowUs);
    }
    this.endBatch();
  }

  /** SIGSTOP. The clock runs on. */
  pause(): void {
    this.paused = true;
  }

  /** SIGCONT: what waited comes now, in an order of the seed's choice. */
  proceed(): void {
    if (!this.paused || !this.alive) return;
    this.paused = false;
    const ticksFirst = this.sim.prng.chance(1, 2);
    if (ticksFirst) this.tick();
    for (const run of this.held.splice(0)) run();
    for (const end of [...this.ends]) if (end.waiting() > 0) this.receive(end);
    if (this.resumed.length > 0) this.pump();
    this.tickAtUs = Infinity;
    if (!ticksFirst) this.tick();
    this.scheduleTick();
  }

  /** The process ends now, in whatever state. Its links are the network's business. */
  die(): void {
    this.alive = false;
    this.machine = null;
    this.held.length = 0;
  }
}
