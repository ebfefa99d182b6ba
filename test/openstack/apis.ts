// Talks to the cloud's own APIs where no command is being proved: making roles, users and the catalogue, and waiting for
// services to report in. (A call of the `openstack` command costs over a second; a request here a few milliseconds.)
import axios, { type AxiosInstance } from 'axios';
import { RunError, until } from './progress.js';
import { keystoneUrl, REGION } from './config-parts.js';
import { secret, type CloudState, type Ports, type Scope, type ServiceUser } from './state.js';

interface CatalogueRow {
  readonly name: string;
  readonly type: string;
  readonly port: keyof Ports;
  readonly path: string;
}

const CATALOGUE: Readonly<Record<Scope, readonly CatalogueRow[]>> = {
  core: [
    { name: 'cinderv3', type: 'volumev3', port: 'cinder', path: '/v3/%(project_id)s' },
    { name: 'cinder', type: 'block-storage', port: 'cinder', path: '/v3/%(project_id)s' },
    { name: 'glance', type: 'image', port: 'glance', path: '' },
  ],
  full: [
    { name: 'nova', type: 'compute', port: 'nova', path: '/v2.1' },
    { name: 'placement', type: 'placement', port: 'placement', path: '' },
    { name: 'neutron', type: 'network', port: 'neutron', path: '' },
  ],
};
const USERS: Readonly<Record<Scope, readonly ServiceUser[]>> = {
  core: ['cinder', 'glance'],
  full: ['nova', 'placement', 'neutron'],
};

/** What a scope has in a table: a full cloud has the core too. */
function within<T>(scope: Scope, table: Readonly<Record<Scope, readonly T[]>>): readonly T[] {
  return scope === 'core' ? table.core : [...table.core, ...table.full];
}

interface Named {
  readonly id: string;
  readonly name: string;
}

/** The administrator's session with Keystone and Cinder. */
export class CloudApi {
  private readonly keystone: AxiosInstance;
  private readonly cinder: AxiosInstance;
  private readonly token: string;

  private constructor(keystone: AxiosInstance, cinder: AxiosInstance, token: string) {
    this.keystone = keystone;
    this.cinder = cinder;
    this.token = token;
  }

  /** A client of another service of the cloud, as the same administrator. */
  client(baseURL: string, headers: Readonly<Record<string, string>> = {}): AxiosInstance {
    const timeout = 60000;
    return axios.create({
      ...{ baseURL, proxy: false, timeout },
      headers: { 'X-Auth-Token': this.token, ...headers },
    });
  }

  /** Logs in; waits while Keystone is still loading its application. */
  static async login(state: CloudState): Promise<CloudApi> {
    const keystone = axios.create({
      baseURL: `${keystoneUrl(state)}/`,
      proxy: false,
      timeout: 60000,
    });
    const domain = { name: 'Default' };
    const request = {
      auth: {
        identity: {
          methods: ['password'],
          password: { user: { name: 'admin', domain, password: secret(state, 'admin') } },
        },
        scope: { project: { name: 'admin', domain } },
      },
    };
    const { data, headers } = await keystone.post<{ token: { project: { id: string } } }>(
      'auth/tokens',
      request,
    );
    const token: unknown = headers['x-subject-token'];
    if (typeof token !== 'string')
      throw new RunError('keystone: its answer to a login holds no token');
    keystone.defaults.headers.common['X-Auth-Token'] = token;
    const cinder = axios.create({
      baseURL: `http://${state.address}:${state.ports.cinder}/v3/${data.token.project.id}/`,
      proxy: false,
      timeout: 60000,
      headers: { 'X-Auth-Token': token, 'OpenStack-API-Version': 'volume 3.65' },
    });
    return new CloudApi(keystone, cinder, token);
  }

  /** Role, project and users of the services, and the catalogue; what is there already is left. */
  async setUpIdentity(state: CloudState): Promise<void> {
    const inDefault = { domain_id: 'default' };
    const project = await this.ensure('projects', 'project', 'service', inDefault);
    const roles = [
      await this.ensure('roles', 'role', 'admin', {}),
      await this.ensure('roles', 'role', 'service', {}),
    ];
    for (const name of within(state.scope, USERS)) {
      const password = secret(state, name);
      const user = await this.ensure('users', 'user', name, { ...inDefault, password });
      for (const role of roles)
        await this.keystone.put(`projects/${project.id}/users/${user.id}/roles/${role.id}`);
    }
    for (const { name, type, port, path } of within(state.scope, CATALOGUE)) {
      const url = `http://${state.address}:${state.ports[port]}${path}`;
      const service = await this.ensure('services', 'service', name, { type });
      const { data } = await this.keystone.get<{ endpoints: { interface: string }[] }>(
        'endpoints',
        {
          params: { service_id: service.id },
        },
      );
      for (const face of ['public', 'internal', 'admin'])
        if (!data.endpoints.some((endpoint) => endpoint.interface === face))
          await this.keystone.post('endpoints', {
            endpoint: { service_id: service.id, interface: face, url, region_id: REGION },
          });
    }
  }

  private async ensure(
    collection: string,
    member: string,
    name: string,
    fields: Record<string, string>,
  ): Promise<Named> {
    const found = await this.keystone.get<Record<string, Named[]>>(collection, {
      params: { name },
    });
    const one = found.data[collection]?.[0];
    if (one !== undefined) return one;
    const made = await this.keystone.post<Record<string, Named>>(collection, {
      [member]: { name, ...fields },
    });
    const created = made.data[member];
    if (created === undefined)
      throw new RunError(`keystone: made ${member} ${name}, but its answer does not show it`);
    return created;
  }

  /**
   * Waits until cinder-scheduler and cinder-volume report in and the scheduler knows the backends' pools.
   * @param volumeHosts - services of the backends, HOST\@BACKEND
   */
  async cinderReady(
    volumeHosts: readonly string[],
    boundSeconds: number,
    hint: string,
  ): Promise<Pool[]> {
    interface Report {
      services: { binary: string; host: string; state: string }[];
    }
    await until(`cinder-scheduler and cinder-volume are up (${hint})`, boundSeconds, async () => {
      const { data } = await this.cinder.get<Report>('os-services');
      const up = data.services.filter((service) => service.state === 'up');
      const down = [
        ...(up.some(({ binary }) => binary === 'cinder-scheduler') ? [] : ['cinder-scheduler']),
        ...volumeHosts.filter(
          (wanted) => !up.some(({ binary, host }) => binary === 'cinder-volume' && host === wanted),
        ),
      ];
      return down.length === 0 ? { done: true } : { not: `${down.join(' and ')} not up` };
    });
    return until(`cinder-scheduler knows the pools (${hint})`, boundSeconds, async () => {
      const { data } = await this.cinder.get<{ pools: Pool[] }>('scheduler-stats/get_pools', {
        params: { detail: true },
      });
      const pools = volumeHosts.map((host) =>
        data.pools.find(({ name }) => name.startsWith(`${host}#`)),
      );
      const known = pools.filter((pool) => pool !== undefined);
      return known.length === volumeHosts.length ? { done: known } : { not: 'a pool is missing' };
    });
  }

  /** Makes the volume type of the backend, once. */
  async ensureVolumeType(backend: string): Promise<void> {
    const { data } = await this.cinder.get<{ volume_types: Named[] }>('types');
    if (data.volume_types.some(({ name }) => name === backend)) return;
    await this.cinder.post('types', {
      volume_type: { name: backend, extra_specs: { volume_backend_name: backend } },
    });
  }

  /** Gives a volume the content of its latest snapshot; no command of Debian's client does it. */
  async revert(volumeId: string, snapshotId: string): Promise<void> {
    await this.cinder.post(`volumes/${volumeId}/action`, { revert: { snapshot_id: snapshotId } });
  }

  /** Makes a group of volumes that exist, which the command of Debian's client cannot. */
  async createGroup(groupType: string, volumeType: string, volumes: readonly string[]) {
    const idOf = async (collection: string, name: string): Promise<string> => {
      const { data } = await this.cinder.get<Record<string, Named[]>>(collection);
      const found = data[collection === 'types' ? 'volume_types' : collection];
      const one = found?.find((row) => row.name === name);
      if (one === undefined) throw new RunError(`cinder: ${collection} has no ${name}`);
      return one.id;
    };
    const group = {
      group_type: await idOf('group_types', groupType),
      volume_types: [await idOf('types', volumeType)],
      name: groupType,
    };
    const { data } = await this.cinder.post<{ group: Named }>('groups', { group });
    const { id } = data.group;
    await this.statusAt('groups', 'group', id, 'available', 120);
    await this.cinder.put(`groups/${id}`, { group: { add_volumes: volumes.join(',') } });
    await this.statusAt('groups', 'group', id, 'available', 120);
    return id;
  }

  /** Waits until an object has that status; an error that is not wanted ends the wait. */
  async statusAt(
    collection: string,
    member: string,
    id: string,
    wanted: 'available' | 'error' | 'gone',
    boundSeconds: number,
  ): Promise<void> {
    await until(`${member} ${id} is ${wanted}`, boundSeconds, async () => {
      const answer = await this.cinder.get<Record<string, { status: string }>>(
        `${collection}/${id}`,
        { validateStatus: (status) => status === 200 || status === 404 },
      );
      const status = answer.status === 404 ? 'gone' : (answer.data[member]?.status ?? '');
      if (status === wanted) return { done: true };
      if (status.startsWith('error')) throw new RunError(`${member} ${id}: cinder says ${status}`);
      return { not: status };
    });
  }

  /** Asks for a snapshot to be deleted; one that is gone is fine. */
  async deleteSnapshot(id: string): Promise<void> {
    await this.cinder.delete(`snapshots/${id}`, { validateStatus: (status) => status < 500 });
  }

  /** Asks for a volume to be deleted whatever its status; one that is gone is fine. */
  async deleteVolume(id: string): Promise<void> {
    await this.cinder.delete(`volumes/${id}`, {
      params: { force: true },
      validateStatus: (status) => status < 500,
    });
  }

  /** Waits until the volume has that status; an error status of Cinder's ends the wait. */
  async volumeStatus(
    id: string,
    wanted: 'available' | 'in-use' | 'gone',
    boundSeconds: number,
  ): Promise<void> {
    await until(`volume ${id} is ${wanted}`, boundSeconds, async () => {
      const answer = await this.cinder.get<{ volume: { status: string } }>(`volumes/${id}`, {
        validateStatus: (status) => status === 200 || status === 404,
      });
      const status = answer.status === 404 ? 'gone' : answer.data.volume.status;
      if (status.startsWith('error')) throw new RunError(`volume ${id}: cinder says ${status}`);
      return status === wanted ? { done: true } : { not: status };
    });
  }
}

/** A pool as the scheduler sees it. */
export interface Pool {
  readonly name: string;
  readonly capabilities: Record<string, unknown>;
}
