// The metadata manager: all configuration, placement and membership. A deterministic machine: a request in, a committed
// batch of changes, then its effects. It owns which part hears which input. It must never be in the path of I/O.

import type { CommitOutcome, Machine, Micros, Token } from '../core/ports.js';
import { Engine } from './engine.js';
import type { MdmContent, MdmOptions, MdmPorts } from './options.js';

export class Mdm implements Machine {
  private readonly engine: Engine;

  /**
   * @param content - what the store holds
   * @throws ContentError when the content cannot be understood, or when it is empty and `options.initial` is null
   */
  constructor(ports: MdmPorts, content: MdmContent, options: MdmOptions) {
    this.engine = new Engine(ports, options, content.term + 1, content.sequence);
    this.engine.state.load(content.entries);
  }

  /** Takes the term; everything else waits until that is committed. */
  start(nowUs: Micros): void {
    this.engine.commitTerm(nowUs, () => undefined);
  }

  linkUp(): void {
    return;
  }

  linkDown(): void {
    return;
  }

  frame(): boolean {
    return true;
  }

  /** The store reports the outcome of a commit. */
  committed(nowUs: Micros, token: Token, outcome: CommitOutcome): void {
    this.engine.committed(nowUs, token, outcome);
  }

  tick(): void {
    return;
  }

  nextDeadlineUs(): Micros {
    return Infinity;
  }
}
