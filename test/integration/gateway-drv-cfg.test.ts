// drv_cfg as a program: what it prints of a client that answers, and what it does when none answers.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { ControlRefusal, ControlServer } from '../../backend/runtime/control-socket.js';

const PROGRAM = new URL('../../backend/bin/drv-cfg.js', import.meta.url).pathname;
const GUID = '0B5E7C1A-8F52-4A0E-9D3C-5E1F2A3B4C5D';

const row = (systemId: string, hosts: readonly string[], fault: string) => ({
  ...{ systemId, sdcId: `${systemId.slice(0, 15)}9`, fault, approved: true, connected: true },
  mdm: hosts.map((host) => ({ host, port: 6611 })),
});

interface Client {
  readonly ops: unknown[];
  run(...argv: string[]): Promise<{ code: number | undefined; out: string; err: string }>;
  end(): void;
}

/** @param isOld - a client process of a release that used one system */
async function client(
  t: { teardown(end: () => Promise<void>): void },
  isOld = false,
): Promise<Client> {
  const directory = await mkdtemp(join(tmpdir(), 'meshsan-drv-'));
  const controlSocket = join(directory, 'sdc.sock');
  const ops: unknown[] = [];
  const server = await ControlServer.listen(controlSocket, (request) => {
    ops.push(request);
    if (typeof request === 'object' && request !== null && 'mdm' in request) {
      if (JSON.stringify(request).includes('10.9.9.9'))
        return Promise.reject(new ControlRefusal('no system of this host has an MDM at 10.9.9.9'));
      return Promise.resolve({});
    }
    return Promise.resolve({
      guid: GUID,
      sdcId: '4d53415600000009',
      systemId: '4d53415600000001',
      version: '0.1.0',
      mdm: [
        { host: '10.0.0.1', port: 6611 },
        { host: '10.0.0.2', port: 6611 },
      ],
      volumes: [
        { id: '4d5341560000000a', systemId: '4d53415600000001' },
        { id: '4d5341560000000a', systemId: '9a9a9a9a00000001' },
      ],
      ...(isOld
        ? { volumes: [{ id: '4d5341560000000b' }] }
        : {
            systems: [
              row('4d53415600000001', ['10.0.0.1', '10.0.0.2'], ''),
              row('9a9a9a9a00000001', ['10.1.0.1'], ''),
              row('', ['10.2.0.1'], ''),
              row('9a9a9a9a00000001', ['10.3.0.1'], 'it is the same system'),
            ],
          }),
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
    'Retrieved 2 mdm(s)',
    'MDM-ID 4d53415600000001 SDC ID 4d53415600000009 INSTALLATION ID 0000000000000000 IPs [0]-10.0.0.1 [1]-10.0.0.2',
    'MDM-ID 9a9a9a9a00000001 SDC ID 9a9a9a9a00000009 INSTALLATION ID 0000000000000000 IPs [0]-10.1.0.1',
  ]);
  t.deepEqual((await host.run('--query_vols')).out.split('\n'), [
    'Retrieved 2 volume(s)',
    'VOL-ID 4d5341560000000a MDM-ID 4d53415600000001',
    'VOL-ID 4d5341560000000a MDM-ID 9a9a9a9a00000001',
  ]);
  t.is((await host.run('--rescan')).code, 0);
  t.deepEqual(host.ops, [{ op: 'status' }, { op: 'status' }, { op: 'rescan' }]);
});

test('a client of a release that used one system is understood', async (t) => {
  const host = await client(t, true);
  t.regex((await host.run('--query_mdm')).out, /^Retrieved 1 mdm.*\nMDM-ID 4d53415600000001 /);
  t.regex(
    (await host.run('--query_vols')).out,
    /^VOL-ID 4d5341560000000b MDM-ID 4d53415600000001$/m,
  );
});

test('systems are added, moved and removed in the words of the original', async (t) => {
  const host = await client(t);
  const mdm = (...hosts: string[]) => hosts.map((address) => ({ host: address, port: 6611 }));
  for (const [argv, request] of [
    [
      ['--add_mdm', '--ip', '10.0.0.1,10.0.0.2'],
      { op: 'addMdm', mdm: mdm('10.0.0.1', '10.0.0.2') },
    ],
    [
      ['--add_mdm', '--ip=10.0.0.1', '--file', '/x/drv_cfg.txt'],
      { op: 'addMdm', mdm: mdm('10.0.0.1'), file: '/x/drv_cfg.txt' },
    ],
    [
      ['--add_mdm', '--secret_file', '/x/b', '--ip', '10.1.0.1:7000'],
      { op: 'addMdm', mdm: [{ host: '10.1.0.1', port: 7000 }], secretFile: '/x/b' },
    ],
    [
      ['--mod_mdm_ip', '--ip=10.0.0.1', '--new_mdm_ip=10.0.0.1,::1'],
      { op: 'modMdm', mdm: mdm('10.0.0.1'), newMdm: mdm('10.0.0.1', '::1') },
    ],
    [['--rmv_mdm', '--ip', '10.0.0.1'], { op: 'rmvMdm', mdm: mdm('10.0.0.1'), force: false }],
    [
      ['--remove_mdm', '--ip', '10.0.0.1', '--force'],
      { op: 'rmvMdm', mdm: mdm('10.0.0.1'), force: true },
    ],
  ] as const) {
    const { code, out, err } = await host.run(...argv);
    t.is(code, 0, err);
    t.regex(out, /^Successfully /);
    t.deepEqual(host.ops.at(-1), request);
  }
  const refused = await host.run('--rmv_mdm', '--ip', '10.9.9.9');
  t.is(refused.code, 3);
  t.is(refused.err, 'Error: no system of this host has an MDM at 10.9.9.9');
});

test('addresses that are none are refused before anybody is asked', async (t) => {
  const host = await client(t);
  for (const [argv, code, words] of [
    [['--add_mdm', '--ip', 'mdm1.example'], 3, /must be IP or IP:PORT \(6611\)/],
    [['--add_mdm', '--ip', '10.0.0.1,10.0.0.1'], 3, /names 10.0.0.1 twice/],
    [['--add_mdm', '--ip', '10.0.0.1,'], 3, /--ip "" must be/],
    [['--add_mdm'], 1, /--ip must be given/],
    [['--add_mdm', '--ip'], 1, /--ip needs a value/],
    [['--add_mdm', '--ip', '10.0.0.1', '--ip', '10.0.0.2'], 1, /given twice/],
    [['--mod_mdm_ip', '--ip', '10.0.0.1'], 1, /--new_mdm_ip must be given/],
    [['--rmv_mdm', '--ip', '10.0.0.1', '--force=yes'], 1, /takes no value/],
  ] as const) {
    const said = await host.run(...argv);
    t.is(said.code, code, said.err);
    t.regex(said.err, words);
  }
  t.deepEqual(host.ops, []);
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
