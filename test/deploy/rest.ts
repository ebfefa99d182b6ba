// The REST interface of the deployed gateways as a client outside sees it, through the virtual address: curl in the
// management network. Passwords and tokens go through files, as on a real machine.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MANAGEMENT_VIP, PORT } from './environment.js';
import type { Lab } from './machines.js';

const GIB_KB = 2 ** 20;

export interface VolumeInfo {
  readonly id: string;
  readonly name: string;
}

export class Rest {
  readonly #lab: Lab;
  readonly #host: string;
  #token = '';
  #password = '';

  constructor(lab: Lab, host = MANAGEMENT_VIP) {
    this.#lab = lab;
    this.#host = host;
  }

  /** One request; `code` is the HTTP status, 0 where there was no answer. */
  async request(
    method: string,
    path: string,
    body: object | null = null,
    password = this.#token,
  ): Promise<{ code: number; body: string }> {
    const config = join(this.#lab.dir, `curl-${process.hrtime.bigint()}.conf`);
    writeFileSync(config, `user = "admin:${password}"\n`, { mode: 0o600 });
    const { stdout } = await this.#lab.outside([
      ...['curl', '--silent', '--show-error', '--max-time', '20', '--config', config],
      ...['--cacert', this.#lab.machine('node-1').path('/etc/meshsan/ca.pem')],
      ...['--request', method, '--write-out', '\n%{http_code}'],
      ...(body === null
        ? []
        : ['--header', 'content-type: application/json', '--data', JSON.stringify(body)]),
      `https://${this.#host}:${PORT}${path}`,
    ]);
    const at = stdout.lastIndexOf('\n');
    return { code: Number(stdout.slice(at + 1)), body: stdout.slice(0, Math.max(0, at)) };
  }

  async #json<T>(method: string, path: string, body: object | null = null): Promise<T> {
    let answer = await this.request(method, path, body);
    // Tokens expire; on a loaded machine the test lasts longer than one.
    if (answer.code === 401 && this.#password !== '') {
      await this.login(this.#password);
      answer = await this.request(method, path, body);
    }
    if (answer.code !== 200) throw new Error(`${method} ${path}: ${answer.code} ${answer.body}`);
    return JSON.parse(answer.body === '' ? 'null' : answer.body) as T;
  }

  async login(password: string): Promise<void> {
    const answer = await this.request('GET', '/api/login', null, password);
    this.#password = password;
    if (answer.code !== 200) throw new Error(`login: ${answer.code} ${answer.body}`);
    this.#token = JSON.parse(answer.body) as string;
  }

  async #idOf(type: string, name: string): Promise<string> {
    const list = await this.#json<VolumeInfo[]>('GET', `/api/types/${type}/instances`);
    const found = list.find((row) => row.name === name);
    if (found === undefined) throw new Error(`there is no ${type} ${name}`);
    return found.id;
  }

  async createVolume(name: string, sizeGib: number): Promise<string> {
    const { id } = await this.#json<{ id: string }>('POST', '/api/types/Volume/instances', {
      storagePoolId: await this.#idOf('StoragePool', 'default'),
      protectionDomainId: await this.#idOf('ProtectionDomain', 'default'),
      name,
      volumeType: 'ThinProvisioned',
      volumeSizeInKb: String(sizeGib * GIB_KB),
    });
    return id;
  }

  async mapVolume(volumeId: string, node: string): Promise<void> {
    const sdcId = await this.#idOf('Sdc', node);
    await this.#json('POST', `/api/instances/Volume::${volumeId}/action/addMappedSdc`, {
      sdcId,
      allowMultipleMappings: 'FALSE',
    });
  }

  async unmapVolume(volumeId: string): Promise<void> {
    const path = `/api/instances/Volume::${volumeId}/action/removeMappedSdc`;
    await this.#json('POST', path, { allSdcs: '' });
  }

  async names(type: string): Promise<string[]> {
    const list = await this.#json<VolumeInfo[]>('GET', `/api/types/${type}/instances`);
    return list.map(({ name }) => name).sort();
  }
}
