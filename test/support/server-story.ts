// What tests of servers under load share: the servers as the REST interface lists them, and a load that verifies what it
// wrote. It must never judge.

import { execa } from 'execa';
import type { ResultPromise } from 'execa';
import type { LocalCluster } from './local-cluster.js';

/** A server, as far as stories look at it. */
export interface ListedServer {
  readonly id: string;
  readonly name: string;
  readonly protectionDomainId: string;
  readonly sdsState: string;
  readonly maintenanceState: string;
  readonly moveState: string;
}

export async function listServers(cluster: LocalCluster): Promise<ListedServer[]> {
  const rest = await cluster.rest();
  return (await rest.get<ListedServer[]>('/types/Sds/instances')).data;
}

/** An answer of the REST interface, whatever it is. */
export interface Answer {
  readonly status: number;
  /** Its message where it is a refusal. */
  readonly message: string;
  readonly data: unknown;
}

/** Asks for an action on an object. */
export async function act(
  cluster: LocalCluster,
  type: string,
  id: string,
  name: string,
  body: object = {},
): Promise<Answer> {
  const rest = await cluster.rest();
  const path = `/instances/${type}::${id}/action/${name}`;
  const { status, data } = await rest.post<unknown>(path, body, { validateStatus: () => true });
  return { status, data, message: (data as { message?: string }).message ?? '' };
}

/** Makes an object; its id. */
export async function make(cluster: LocalCluster, type: string, body: object): Promise<string> {
  const rest = await cluster.rest();
  return (await rest.post<{ id: string }>(`/types/${type}/instances`, body)).data.id;
}

/** fio that reads, writes and verifies 128 MiB at 2 GiB of a volume; it ends by itself, with 0 when nothing was wrong. */
export function verifiedLoad(uri: string, iops: number): ResultPromise<{ all: true }> {
  return execa(
    'timeout',
    [
      ...['-s', 'KILL', '600', 'fio', '--name=load', '--ioengine=nbd', `--uri=${uri}`],
      ...['--rw=randrw', '--bs=4k', '--iodepth=8', '--offset=2g', '--size=128m'],
      ...['--io_size=64m', `--rate_iops=${iops}`, '--verify=crc32c'],
      ...['--verify_fatal=1', '--verify_state_save=0'],
    ],
    { stdin: 'ignore', all: true },
  ) as ResultPromise<{ all: true }>;
}
