// Talks to Nova and Glance where no command is being proved: waiting for hosts, servers, images and for lines on a guest's
// console.
import type { AxiosInstance } from 'axios';
import type { CloudApi } from './apis.js';
import { RunError, until } from './progress.js';
import type { CloudState } from './state.js';

/** The first microversion in which a server tells its host with the others of its fields. */
const MICROVERSION = 'compute 2.90';

export class ComputeApi {
  private readonly nova: AxiosInstance;
  private readonly glance: AxiosInstance;
  private readonly neutron: AxiosInstance;

  constructor(state: CloudState, api: CloudApi) {
    const { address, ports } = state;
    this.nova = api.client(`http://${address}:${ports.nova}/v2.1/`, {
      'OpenStack-API-Version': MICROVERSION,
    });
    this.glance = api.client(`http://${address}:${ports.glance}/v2/`);
    this.neutron = api.client(`http://${address}:${ports.neutron}/v2.0/`);
  }

  /** Waits until the compute services of all hosts report in. */
  async servicesUp(hosts: readonly string[], boundSeconds: number): Promise<void> {
    interface Report {
      services: { binary: string; host: string; state: string }[];
    }
    await until('nova-conductor, nova-scheduler, nova-compute are up', boundSeconds, async () => {
      const { data } = await this.nova.get<Report>('os-services');
      const up = data.services.filter((service) => service.state === 'up');
      const missing = [
        ...['nova-conductor', 'nova-scheduler'].filter(
          (name) => !up.some(({ binary }) => binary === name),
        ),
        ...hosts.filter((name) => !up.some((one) => one.host === name)),
      ];
      return missing.length === 0 ? { done: true } : { not: `${missing.join(', ')} not up` };
    });
    // A worker of this neutron answers 500 if ports are what it is asked for first.
    await this.neutron.get('networks');
  }

  /** Waits until the scheduler may place servers on all hosts. */
  async hypervisorsUp(hosts: readonly string[], boundSeconds: number): Promise<void> {
    interface Report {
      hypervisors: { hypervisor_hostname: string; state: string }[];
    }
    await until('hypervisors are up', boundSeconds, async () => {
      const { data } = await this.nova.get<Report>('os-hypervisors');
      const up = data.hypervisors.filter(({ state }) => state === 'up');
      const missing = hosts.filter((name) => !up.some((one) => one.hypervisor_hostname === name));
      return missing.length === 0 ? { done: true } : { not: `${missing.join(', ')} not there` };
    });
  }

  /** Makes a flavour of 128 MiB without a disk, once. */
  async ensureFlavour(name: string): Promise<void> {
    const { data } = await this.nova.get<{ flavors: { name: string }[] }>('flavors');
    if (data.flavors.some((one) => one.name === name)) return;
    await this.nova.post('flavors', { flavor: { name, ram: 128, vcpus: 1, disk: 0, id: name } });
  }

  async imageId(name: string): Promise<string | undefined> {
    const { data } = await this.glance.get<{ images: { id: string }[] }>('images', {
      params: { name },
    });
    return data.images[0]?.id;
  }

  async imageActive(id: string, boundSeconds: number): Promise<void> {
    await until(`image ${id} is active`, boundSeconds, async () => {
      const { data } = await this.glance.get<{ status: string }>(`images/${id}`);
      return data.status === 'active' ? { done: true } : { not: data.status };
    });
  }

  async deleteImage(id: string): Promise<void> {
    await this.glance.delete(`images/${id}`, { validateStatus: (status) => status < 500 });
  }

  /** Waits until the server has that status; ERROR ends the wait with Nova's reason. */
  async serverStatus(id: string, wanted: 'ACTIVE' | 'gone', boundSeconds: number): Promise<void> {
    interface Answer {
      server: {
        status: string;
        'OS-EXT-STS:task_state': string | null;
        fault?: { message: string };
      };
    }
    await until(`server ${id} is ${wanted}`, boundSeconds, async () => {
      const answer = await this.nova.get<Answer>(`servers/${id}`, {
        validateStatus: (status) => status === 200 || status === 404,
      });
      if (answer.status === 404) {
        if (wanted === 'gone') return { done: true };
        throw new RunError(`server ${id} is gone`);
      }
      const { status, fault, 'OS-EXT-STS:task_state': task } = answer.data.server;
      if (status === 'ERROR') throw new RunError(`server ${id}: ${fault?.message ?? 'ERROR'}`);
      return status === wanted && task === null
        ? { done: true }
        : { not: `${status} (${task ?? 'no task'})` };
    });
  }

  /** The host that runs the server. */
  async hostOf(id: string): Promise<string> {
    const { data } = await this.nova.get<{ server: Record<string, unknown> }>(`servers/${id}`);
    return String(data.server['OS-EXT-SRV-ATTR:host']);
  }

  /** Whether the last migration of the server ended without moving it. */
  async failedMigration(id: string): Promise<boolean> {
    interface Answer {
      migrations: { status: string; created_at: string }[];
    }
    const { data } = await this.nova.get<Answer>('os-migrations', {
      params: { instance_uuid: id },
    });
    const [latest] = data.migrations.sort((a, b) => b.created_at.localeCompare(a.created_at));
    return latest?.status === 'error' || latest?.status === 'failed';
  }

  async deleteServer(id: string): Promise<void> {
    await this.nova.delete(`servers/${id}`, { validateStatus: (status) => status < 500 });
  }

  /** All lines of the guest's console. */
  async console(id: string): Promise<string[]> {
    const { data } = await this.nova.post<{ output: string }>(`servers/${id}/action`, {
      'os-getConsoleOutput': { length: null },
    });
    return data.output.replaceAll('\r', '').split('\n');
  }

  /** Waits for a line on the guest's console that matches, after the first `after` lines that did. */
  async line(
    id: string,
    pattern: RegExp,
    boundSeconds: number,
    after = 0,
  ): Promise<RegExpExecArray> {
    return until(`the guest says ${pattern.source}`, boundSeconds, async () => {
      const lines = await this.console(id);
      const found = lines.map((line) => pattern.exec(line)).filter((match) => match !== null);
      const match = found[after];
      return match === undefined
        ? { not: `its console ends with: ${lines.slice(-4).join(' | ')}` }
        : { done: match };
    });
  }

  /** How many lines of the console match. */
  async count(id: string, pattern: RegExp): Promise<number> {
    return (await this.console(id)).filter((line) => pattern.test(line)).length;
  }
}
