// The machine's door to the other nodes of its cluster: what it asks is done one after the other, and what came of it is
// given back as an input, unless another machine is at work by then. It must never decide what to ask or do.

import type { MoveFailure, Step } from '../mdm/cluster-plan.js';
import type { ClusterInputs, ClusterPort } from '../mdm/cluster-port.js';
import type { Mdm, MdmNodeTaskBody } from '../protocol/generated/types.js';
import type { Loop } from '../runtime/loop.js';
import { reasonOf } from '../runtime/mdm-node/caller.js';
import type { NodeCaller } from '../runtime/mdm-node/caller.js';

import type { StoreReach } from './mdm-reach.js';

export interface DoorTools {
  readonly reach: StoreReach;
  readonly caller: NodeCaller;
  readonly loop: Loop;
  /** The machine that asked; null: it is not at work any more. */
  readonly machine: () => ClusterInputs | null;
  /** The last move that was given up; null: none was. */
  readonly moveFailure: () => MoveFailure | null;
  readonly prefixOf: (token: string) => string;
  /** What this node does itself. @throws Error with the reason, when nothing was changed */
  readonly obey: (task: MdmNodeTaskBody) => Promise<void>;
  readonly move: (step: Extract<Step, { readonly kind: 'move' }>) => Promise<void>;
}

export class ClusterDoor implements ClusterPort {
  readonly token: string;
  private readonly tools: DoorTools;

  /** @param token - of the store that the machine's content is in; empty: an own store */
  constructor(token: string, tools: DoorTools) {
    this.token = token;
    this.tools = tools;
  }

  observe(asked: number, nodes: readonly Mdm[]): void {
    const { reach, moveFailure } = this.tools;
    void reach.observe(nodes).then((seen) => {
      this.deliver((machine, nowUs) => {
        machine.observed(nowUs, asked, { ...seen, moveFailure: moveFailure() });
      });
    });
  }

  perform(asked: number, step: Step, term: number): void {
    const ended = (failure: string | null): void => {
      this.deliver((machine, nowUs) => {
        machine.performed(nowUs, asked, failure);
      });
    };
    this.done(step, term).then(
      () => {
        ended(null);
      },
      (error: unknown) => {
        ended(reasonOf(error));
      },
    );
  }

  private deliver(give: (machine: ClusterInputs, nowUs: number) => void): void {
    const { machine, loop } = this.tools;
    const present = machine();
    if (present === null) return;
    loop.begin();
    give(present, loop.nowUs);
    loop.end();
  }

  private async done(step: Step, term: number): Promise<void> {
    const { reach, caller, prefixOf, obey, move } = this.tools;
    switch (step.kind) {
      case 'form':
      case 'join':
      case 'leave': {
        const task = {
          ...{ task: step.kind, term, token: step.token, selfKey: step.node.key },
          prefix: prefixOf(step.token),
          seats: 'seats' in step ? step.seats : [],
        };
        await (reach.isSelf(step.node) ? obey(task) : caller.task(step.node, task));
        return;
      }
      case 'move':
        await move(step);
        return;
      default:
        await reach.change(step.kind, step.seat);
    }
  }
}
