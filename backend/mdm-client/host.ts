// What a session with the MDM asks of its owner and tells it. It must never know how the session keeps its link.

import type { ClusterMap, MapUpdate } from '../cluster-map/cluster-map.js';
import type { Micros } from '../core/ports.js';
import type { CommandName, ControlMessage } from '../protocol/control.js';
import type { MSG } from '../protocol/generated/constants.js';
import type { CommandResults, ControlBodies, ErrorDetail } from '../protocol/generated/types.js';

/** A registration, asked first on every link. */
export type Registration = Extract<
  ControlMessage,
  {
    code: typeof MSG.REGISTER_SDS | typeof MSG.REGISTER_DEVICE | typeof MSG.REGISTER_SDC;
  }
>;

/** What the session tells its owner. All calls come from inside inputs of the session. */
export interface MdmClientHost {
  /** What to register as now, or null: a component that only asks (gateway, command line). */
  registration(): Registration | null;
  /** The master took the registration; `reply` is its answer, null without a registration. */
  registered(nowUs: Micros, reply: ControlMessage | null): void;
  /** The master refused the registration; it is asked again later. */
  refused(nowUs: Micros, status: number, details: readonly ErrorDetail[]): void;
  /** What to say in a heartbeat now. Asked every `heartbeatMs` while registered; null: nothing this time. */
  heartbeat(nowUs: Micros): ControlBodies[typeof MSG.HEARTBEAT] | null;
  /** The view changed. `parts` are those of the update that changed it. */
  mapChanged(nowUs: Micros, map: ClusterMap, parts: readonly MapUpdate[]): void;
  /** Any other message of the master that answers no request, such as DEVICE_WANTS. */
  pushed(nowUs: Micros, message: ControlMessage): void;
  /** The link is gone; the session looks for the master on its own. */
  disconnected(nowUs: Micros, reason: string): void;
}

/** Result of a command: `result` is null unless `status` is 0. */
export type CommandAnswered<N extends CommandName> = (
  nowUs: Micros,
  status: number,
  result: CommandResults[N] | null,
  details: readonly ErrorDetail[],
) => void;
