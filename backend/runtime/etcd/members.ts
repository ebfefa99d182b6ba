// The members of an etcd cluster: who they are, who enters, who leaves. It must never decide who should.

import { EtcdError, listOf, objectOf } from './client.js';
import type { EtcdClient } from './client.js';
import type { EtcdEndpoint } from './client.js';

const ASK_MS = 3000;
/** Members that enter wait for a healthy cluster. */
const CHANGE_MS = 8000;

export interface KnownMember {
  readonly id: string;
  readonly host: string;
  readonly peerPort: number;
  readonly client: EtcdEndpoint | null;
  readonly isLearner: boolean;
  readonly isStarted: boolean;
}

function placeOf(url: unknown): { readonly host: string; readonly port: number } | null {
  if (typeof url !== 'string' || !URL.canParse(url)) return null;
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** @throws EtcdError */
export async function listMembers(client: EtcdClient): Promise<KnownMember[]> {
  const answer = await client.ask('cluster/member/list', {}, ASK_MS);
  return listOf(answer['members']).map((item) => {
    const { ID, name, peerURLs, clientURLs, isLearner } = objectOf(item);
    const peer = placeOf(listOf(peerURLs)[0]);
    if (typeof ID !== 'string' || peer === null)
      throw new EtcdError('unavailable', 'etcd sent a member that cannot be read');
    return {
      ...{ id: ID, host: peer.host, peerPort: peer.port, client: placeOf(listOf(clientURLs)[0]) },
      isLearner: isLearner === true,
      isStarted: typeof name === 'string' && name !== '',
    };
  });
}

/** A learner: it counts only once it was promoted. @throws EtcdError */
export async function addLearner(
  client: EtcdClient,
  host: string,
  peerPort: number,
): Promise<void> {
  const text = host.includes(':') ? `[${host}]` : host;
  const peerURLs = [`https://${text}:${peerPort}`];
  await client.ask('cluster/member/add', { peerURLs, isLearner: true }, CHANGE_MS);
}

/** Fails while the learner has not everything yet. @throws EtcdError */
export async function promoteMember(client: EtcdClient, id: string): Promise<void> {
  await client.ask('cluster/member/promote', { ID: id }, CHANGE_MS);
}

/** @throws EtcdError */
export async function removeMember(client: EtcdClient, id: string): Promise<void> {
  await client.ask('cluster/member/remove', { ID: id }, CHANGE_MS);
}
