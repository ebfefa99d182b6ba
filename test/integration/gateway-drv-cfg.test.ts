// drv_cfg as a program: what it prints of a client that answers, and what it does when none answers.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { ControlServer } from '../../backend/runtime/control-socket.js';

const PROGRAM = new URL('../../backend/bin/drv-cfg.js', import.meta.url).pathname;
const GUID = '0B5E7C1A-8F52-4A0E-9D3C-5E1F2A3B4C5D';

interface Client {
  readonly ops: unknown[];
  run(...argv: string[]): Promise<{ code: number | undefined; out: string; err: string }>;
  end(): void;
}

async function client(t: { teardown(end: () => Promise<void>): void }): Promise<Client> {
  const directory = await mkdtemp(join(tmpdir(), 'meshsan-drv-'));
  const controlSocket = join(directory, 'sdc.sock');
  const ops: unknown[] = [];
  const server = await ControlServer.listen(controlSocket, (request) => {
    ops.push(request);
    return Promise.resolve({
      guid: GUID,
      sdcId: '4d53415600000009',
      systemId: '4d53415600000001',
      version: '0.1.0',
      mdm: [
        { host: '10.0.0.1', port: 6611 },
        { host: '10.0.0.2', port: 6611 },
      ],
      volumes: [{ id: '4d5341560000000a' }, { id: '4d5341560000000b' }],
    });
  });
  let open = true;
  const end = (): void => {
    if (open) server.close();
    open = false;
  };
  t.teardown(() => {
    end();
    return rm(directory, { recursive: true });
  });
  const config = join(directory, 'drv_cfg.json');
  await writeFile(config, JSON.stringify({ guid: GUID.toLowerCase(), controlSocket }), {
    mode: 0o600,
  });
  return {
    ops,
    end,
    async run(...argv) {
      const env = { MESHSAN_DRV_CFG_CONFIG: config };
      const done = await execa(process.execPath, [PROGRAM, ...argv], { env, reject: false });
      return { code: done.exitCode, out: done.stdout, err: done.stderr };
    },
  };
}

test('the GUID is one line in upper case, also when no client runs', async (t) => {
  const host = await client(t);
  host.end();
  t.deepEqual(await host.run('--query_guid'), { code: 0, out: GUID, err: '' });
  t.is((await host.run('\u2013query_guid')).out, GUID);
});

test('systems and volumes stand in the columns that scripts take', async (t) => {
  const host = await client(t);
  t.deepEqual((await host.run('--query_mdms')).out.split('\n'), [
    'Retrieved 1 mdm(s)',
    'MDM-ID 4d53415600000001 SDC ID 4d53415600000009 INSTALLATION ID 0000000000000000 IPs [0]-10.0.0.1 [1]-10.0.0.2',
  ]);
  t.deepEqual((await host.run('--query_vols')).out.split('\n'), [
    'Retrieved 2 volume(s)',
    'VOL-ID 4d5341560000000a MDM-ID 4d53415600000001',
    'VOL-ID 4d5341560000000b MDM-ID 4d53415600000001',
  ]);
  t.is((await host.run('--rescan')).code, 0);
  t.deepEqual(host.ops, [{ op: 'status' }, { op: 'status' }, { op: 'rescan' }]);
});

test('without a client the reason is printed and the code is not 0', async (t) => {
  const host = await client(t);
  host.end();
  const { code, out, err } = await host.run('--query_vols');
  t.is(code, 4);
  t.is(out, '');
  t.regex(err, /^Error: .*sdc\.sock/);
});

test('an unknown option prints the usage', async (t) => {
  const host = await client(t);
  for (const argv of [[], ['--query_gid'], ['query_guid'], ['--query_guid', 'x']]) {
    const { code, err } = await host.run(...argv);
    t.is(code, 1);
    t.regex(err, /Usage: drv_cfg/);
  }
});
