// The gateway as a process: how it starts, what it refuses to start with, how it ends.

import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import axios from 'axios';
import { execa } from 'execa';

const PROGRAM = new URL('../../backend/bin/gateway.js', import.meta.url).pathname;
const READY_MS = 60_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Setup {
  readonly directory: string;
  readonly config: string;
  readonly caFile: string;
  readonly port: number;
}

async function setup(
  t: { teardown(end: () => Promise<void>): void },
  change: object = {},
): Promise<Setup> {
  const directory = await mkdtemp(join(tmpdir(), 'meshsan-gateway-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const [port, nobody] = [await freePort(), await freePort()];
  const secretFile = join(directory, 'secret');
  await writeFile(secretFile, 'ab'.repeat(32), { mode: 0o600 });
  const config = join(directory, 'gateway.json');
  const caFile = join(directory, 'public-ca.pem');
  const content = {
    name: 'gw1',
    mdm: [{ host: '127.0.0.1', port: nobody }],
    secretFile,
    stateDir: join(directory, 'state'),
    listen: [{ host: '127.0.0.1', port }],
    names: ['gw.example'],
    caFile,
    ...change,
  };
  await writeFile(config, JSON.stringify(content), { mode: 0o600 });
  return { directory, config, caFile, port };
}

test('it serves with its own authority, keeps it over a restart, and ends cleanly', async (t) => {
  const { config, caFile, port, directory } = await setup(t);
  const authorities: string[] = [];
  for (const life of [1, 2]) {
    const gateway = execa(process.execPath, [PROGRAM, '--config', config], { reject: false });
    try {
      const deadline = Date.now() + READY_MS;
      let version: unknown = null;
      let reason = '';
      while (version === null && Date.now() < deadline) {
        try {
          const httpsAgent = new Agent({ ca: await readFile(caFile, 'utf8') });
          const url = `https://127.0.0.1:${port}/api/version`;
          version = (await axios.get<unknown>(url, { httpsAgent, proxy: false })).data;
        } catch (error) {
          reason = String(error);
          await new Promise((done) => setTimeout(done, 100));
        }
      }
      t.is(String(version), '3.5', `life ${life}: ${reason}`);
      authorities.push(await readFile(caFile, 'utf8'));
    } finally {
      gateway.kill('SIGTERM');
    }
    const { exitCode, stderr } = await gateway;
    t.is(exitCode, 0, stderr);
    t.regex(stderr, /"evt":"gateway.started"/);
    t.regex(stderr, /"evt":"gateway.stopped"/);
    t.notRegex(stderr, /abababab/);
  }
  t.is(authorities[0], authorities[1]);
  t.is((await stat(caFile)).mode & 0o777, 0o644);
  t.is((await stat(join(directory, 'state'))).mode & 0o777, 0o700);
});

test('a wrong configuration is refused with code 2 and the reason', async (t) => {
  for (const [change, reason] of [
    [{ listn: [] }, /unknown key "listn" in the file; did you mean "listen"\?/],
    [{ listen: [{ host: '127.0.0.1', port: 0 }] }, /listen\.0\.port must be >= 1/],
    [{ secretFile: '/nowhere/secret' }, /\/nowhere\/secret cannot be read/],
    [{ apiVersion: 'new' }, /apiVersion must match pattern/],
  ] as const) {
    const { config } = await setup(t, change);
    const { exitCode, stderr } = await execa(process.execPath, [PROGRAM, '--config', config], {
      reject: false,
    });
    t.is(exitCode, 2, stderr);
    t.regex(stderr, reason);
  }
  const { exitCode } = await execa(process.execPath, [PROGRAM], { reject: false });
  t.is(exitCode, 2);
});

test('a port in use is code 3', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(async () => {
    taken.close();
    await once(taken, 'close');
  });
  const { port } = taken.address() as AddressInfo;
  const { config } = await setup(t, { listen: [{ host: '127.0.0.1', port }] });
  const { exitCode, stderr } = await execa(process.execPath, [PROGRAM, '--config', config], {
    reject: false,
  });
  t.is(exitCode, 3);
  t.regex(stderr, /EADDRINUSE/);
});
