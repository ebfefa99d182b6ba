// What a master sees of the nodes of its cluster, and changes of etcd's members in its name. It must never decide what to
// change.

import type { NodeReport, Observation, Step, StoreMember } from '../mdm/cluster-plan.js';
import type { Mdm } from '../protocol/generated/types.js';
import { EtcdClient, EtcdError } from '../runtime/etcd/client.js';
import { addLearner, listMembers, promoteMember, removeMember } from '../runtime/etcd/members.js';
import { reasonOf } from '../runtime/mdm-node/caller.js';
import type { NodeCaller } from '../runtime/mdm-node/caller.js';
import type { Seat } from '../runtime/mdm-node/member.js';

import type { MdmConfig } from './mdm-config.js';

const QUIET = { event: (): void => undefined };

export class StoreReach {
  private readonly caller: NodeCaller;
  private readonly own: () => NodeReport;
  private readonly config: MdmConfig;
  private readonly seat: () => Seat | null;

  /** @param seat - the node's member of the store that the content is in; null: that is the node's own store */
  constructor(
    caller: NodeCaller,
    own: () => NodeReport,
    config: MdmConfig,
    seat: () => Seat | null,
  ) {
    this.caller = caller;
    this.own = own;
    this.config = config;
    this.seat = seat;
  }

  isSelf({ host, port }: Pick<Mdm, 'host' | 'port'>): boolean {
    const { addresses } = this.config;
    return port === this.config.port && addresses.some((address) => address.host === host);
  }

  async observe(nodes: readonly Mdm[]): Promise<Omit<Observation, 'moveFailure'>> {
    const asked = nodes.map(async (node): Promise<readonly [number, NodeReport | string]> => {
      if (this.isSelf(node)) return [node.key, this.own()];
      try {
        return [node.key, await this.caller.report(node)];
      } catch (error) {
        return [node.key, reasonOf(error)];
      }
    });
    const [store, ...reports] = await Promise.all([this.members(), ...asked]);
    return { store, reports: new Map(reports) };
  }

  /** @throws EtcdError, Error */
  async change(
    kind: Extract<Step, { readonly seat: StoreMember }>['kind'],
    { host, peerPort }: StoreMember,
  ): Promise<void> {
    await this.with(async (client) => {
      if (kind === 'add') {
        await addLearner(client, host, peerPort);
        return;
      }
      const members = await listMembers(client);
      const found = members.find((member) => member.host === host && member.peerPort === peerPort);
      if (found === undefined) return;
      if (kind === 'promote') await promoteMember(client, found.id);
      else await removeMember(client, found.id);
    });
  }

  private async members(): Promise<readonly StoreMember[] | null> {
    try {
      return await this.with(async (client) =>
        (await listMembers(client)).map(({ host, peerPort, isLearner, isStarted }) => ({
          ...{ host, peerPort, isLearner, isStarted },
        })),
      );
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      return null;
    }
  }

  private async with<T>(run: (client: EtcdClient) => Promise<T>): Promise<T> {
    const seat = this.seat();
    if (seat === null) throw new EtcdError('unavailable', 'this MDM has a store of its own');
    const { endpoints, tls } = seat;
    const client = new EtcdClient({ endpoints, tls, log: QUIET });
    try {
      return await run(client);
    } finally {
      client.close();
    }
  }
}
