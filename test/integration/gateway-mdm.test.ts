// Gateway and scli against a real MDM process: logins, configuration, what a change of password and a wrong secret do,
// and that an MDM that comes back is found again.

import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import axios from 'axios';
import { execa } from 'execa';

import { hashPassword } from '../../backend/runtime/passwords.js';

const program = (name: string): string =>
  new URL(`../../backend/bin/${name}.js`, import.meta.url).pathname;
const WAIT_MS = 60_000;

const launch = (name: string, config: string) =>
  execa(process.execPath, [program(name), '--config', config], { reject: false });

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}

class Site {
  readonly directory: string;
  readonly mdmPort: number;
  readonly gatewayPort: number;
  private readonly running = new Map<string, ReturnType<typeof launch>>();

  private constructor(directory: string, mdmPort: number, gatewayPort: number) {
    this.directory = directory;
    this.mdmPort = mdmPort;
    this.gatewayPort = gatewayPort;
  }

  static async make(): Promise<Site> {
    const directory = await mkdtemp(join(tmpdir(), 'meshsan-site-'));
    const site = new Site(directory, await freePort(), await freePort());
    const mdm = [{ host: '127.0.0.1', port: site.mdmPort }];
    const { salt, hash } = await hashPassword('Correct-1');
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    const secretFile = join(directory, 'secret');
    await site.write('secret', 'cd'.repeat(32));
    await site.write('wrong', 'ee'.repeat(32));
    await site.write('mdm.json', {
      name: 'mdm1',
      addresses: [{ host: '127.0.0.1', role: 'all' }],
      secretFile,
      stateDir: join(directory, 'mdm'),
      port: site.mdmPort,
      systemName: 'site',
      initialAdmin: { name: 'admin', saltHex: hex(salt), hashHex: hex(hash) },
    });
    await site.write('gateway.json', {
      mdm,
      secretFile,
      stateDir: join(directory, 'gateway'),
      listen: [{ host: '127.0.0.1', port: site.gatewayPort }],
      caFile: join(directory, 'ca.pem'),
    });
    const scli = { mdm, secretFile, stateDir: join(directory, 'scli') };
    await site.write('scli.json', scli);
    await site.write('scli-wrong.json', { ...scli, secretFile: join(directory, 'wrong') });
    return site;
  }

  start(name: 'mdm' | 'gateway'): void {
    const config = join(this.directory, `${name}.json`);
    this.running.set(name, launch(name, config));
  }

  async kill(name: 'mdm' | 'gateway', signal: 'SIGTERM' | 'SIGKILL'): Promise<number | undefined> {
    const child = this.running.get(name);
    this.running.delete(name);
    child?.kill(signal);
    return (await child)?.exitCode;
  }

  async end(): Promise<void> {
    for (const child of this.running.values()) {
      child.kill('SIGKILL');
      await child;
    }
    await rm(this.directory, { recursive: true });
  }

  async scli(
    argv: readonly string[],
    options: { readonly config?: string; readonly input?: string } = {},
  ): Promise<{ readonly code: number | undefined; readonly out: string; readonly err: string }> {
    const env = { MESHSAN_SCLI_CONFIG: join(this.directory, options.config ?? 'scli.json') };
    const input = options.input ?? '';
    const done = await execa(process.execPath, [program('scli'), ...argv], {
      env,
      input,
      reject: false,
    });
    return { code: done.exitCode, out: done.stdout, err: done.stderr };
  }

  async rest(
    method: 'GET' | 'POST',
    path: string,
    auth: { username: string; password: string },
    data?: object,
  ): Promise<{ readonly status: number; readonly data: unknown }> {
    const ca = await readFile(join(this.directory, 'ca.pem'), 'utf8');
    return axios.request<unknown>({
      method,
      url: `https://127.0.0.1:${this.gatewayPort}${path}`,
      auth,
      ...(data === undefined ? {} : { data }),
      httpsAgent: new Agent({ ca }),
      proxy: false,
      validateStatus: () => true,
    });
  }

  private write(name: string, content: unknown): Promise<void> {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    return writeFile(join(this.directory, name), text, { mode: 0o600 });
  }
}

let site: Site;
test.before(async () => {
  site = await Site.make();
  site.start('mdm');
  site.start('gateway');
  await eventually(async () => {
    const { code, err } = await site.scli(['--query_cluster']);
    if (code !== 0) throw new Error(err);
    await site.rest('GET', '/api/version', { username: '', password: '' });
  });
});
test.after.always(() => site.end());

const admin = { username: 'admin', password: 'Correct-1' };

test.serial('scli logs in and configures; the gateway shows it', async (t) => {
  const refused = await site.scli(['--query_all']);
  t.is(refused.code, 7);
  t.regex(refused.err, /Status: Invalid session\. Please login and try again\./);
  const login = await site.scli(['--login', '--username', 'admin'], { input: 'Correct-1\n' });
  t.regex(login.out, /^Logged in\. User role is Administrator\. System ID is [0-9a-f]{16}$/);
  t.is((await site.scli(['--add_protection_domain', '--protection_domain_name', 'pd1'])).code, 0);
  const pool = await site.scli([
    '--add_storage_pool',
    '--protection_domain_name',
    'pd1',
    '--storage_pool_name',
    'p1',
  ]);
  t.regex(pool.out, /^Successfully created a storage pool\. Object ID [0-9a-f]{16}$/);

  const token = String((await site.rest('GET', '/api/login', admin)).data);
  const pools = await site.rest('GET', '/api/types/StoragePool/instances', {
    username: '',
    password: token,
  });
  t.is(pools.status, 200);
  t.deepEqual(
    (pools.data as { name: string }[]).map(({ name }) => name),
    ['p1'],
  );
  const system = await site.rest('GET', '/api/types/System/instances', {
    username: '',
    password: token,
  });
  t.is((system.data as { id: string }[])[0]?.id, login.out.slice(-16));
});

test.serial('refusals of the MDM reach both, with text, number and code', async (t) => {
  const long = 'x'.repeat(32);
  const scli = await site.scli(['--add_protection_domain', '--protection_domain_name', long]);
  t.is(scli.code, 7);
  t.is(scli.err, 'Error: MDM failed command.  Status: The name is too long: at most 31 characters');
  const token = String((await site.rest('GET', '/api/login', admin)).data);
  const rest = await site.rest(
    'POST',
    '/api/types/ProtectionDomain/instances',
    { username: '', password: token },
    { name: long },
  );
  t.deepEqual(rest.data, {
    message: 'The name is too long: at most 31 characters',
    httpStatusCode: 400,
    errorCode: 226,
  });
});

test.serial('a wrong secret gets nothing, and says so', async (t) => {
  const { code, out, err } = await site.scli(['--query_cluster'], { config: 'scli-wrong.json' });
  t.is(code, 4);
  t.is(out, '');
  t.regex(err, /^Error: Failed to connect to MDM .*does not hold the secret/);
});

test.serial('a change of password ends sessions of both', async (t) => {
  const token = {
    username: '',
    password: String((await site.rest('GET', '/api/login', admin)).data),
  };
  t.is((await site.rest('GET', '/api/types/User/instances', token)).status, 200);
  const change = ['--set_password', '--old_password', 'Correct-1', '--new_password', 'Second-22'];
  t.is((await site.scli(change)).out, 'Password changed successfully');
  t.is((await site.scli(['--query_all'])).code, 7);
  t.is((await site.rest('GET', '/api/login', admin)).status, 401);
  await eventually(async () => {
    const { status } = await site.rest('GET', '/api/types/User/instances', token);
    if (status !== 401) throw new Error(`the old token still gets ${status}`);
  });
  const fresh = { username: 'admin', password: 'Second-22' };
  t.is((await site.rest('GET', '/api/login', fresh)).status, 200);
});

test.serial(
  'an MDM that was killed keeps what it acknowledged, and the gateway finds it again',
  async (t) => {
    const login = ['--login', '--username', 'admin', '--password', 'Second-22'];
    t.is((await site.scli(login)).code, 0);
    t.is(
      (await site.scli(['--add_protection_domain', '--protection_domain_name', 'kept'])).code,
      0,
    );
    await site.kill('mdm', 'SIGKILL');
    const down = await site.scli(['--query_all']);
    t.is(down.code, 4);
    t.regex(
      down.err,
      /^Error: Failed to connect to MDM 127\.0\.0\.1:\d+ \(127\.0\.0\.1:\d+: connect ECONNREFUSED/,
    );
    site.start('mdm');
    const names = await eventually(async () => {
      const { status, data } = await site.rest('GET', '/api/login', {
        username: 'admin',
        password: 'Second-22',
      });
      if (status !== 200) throw new Error(`login got ${status}`);
      const token = { username: '', password: String(data) };
      const domains = await site.rest('GET', '/api/types/ProtectionDomain/instances', token);
      return (domains.data as { name: string }[]).map(({ name }) => name);
    });
    t.true(names.includes('kept'));
    t.is((await site.scli(['--query_all'])).code, 0);
    t.is(await site.kill('gateway', 'SIGTERM'), 0);
  },
);
