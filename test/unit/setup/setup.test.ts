// meshsan-setup, run as a deployer runs it: what it writes is what the processes accept, the same command twice changes
// nothing, and what is wrong is refused with a sentence and without a trace.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { readDrvCfgConfig } from '../../../backend/bin/drv-cfg-config.js';
import { readGatewayConfig } from '../../../backend/bin/gateway-config.js';
import { readLiaConfig } from '../../../backend/bin/lia-config.js';
import { readMdmConfig } from '../../../backend/bin/mdm-config.js';
import { readSentinelConfig } from '../../../backend/bin/sentinel-config.js';
import { readScliConfig } from '../../../backend/bin/scli-config.js';
import { readSdcConfig } from '../../../backend/bin/sdc-config.js';
import { readSdsConfig } from '../../../backend/bin/sds-config.js';
import { makeSystem } from '../../../backend/bin/setup-system.js';
import { readBridgeConfig } from '../../../backend/runtime/bridge-config.js';
import { PasswordChecker } from '../../../backend/runtime/passwords.js';

const PROGRAM = join(import.meta.dirname, '..', '..', '..', 'backend', 'bin', 'setup.js');
const scratch = mkdtempSync(join(tmpdir(), 'meshsan-setup-'));
test.after.always(() => {
  rmSync(scratch, { recursive: true, force: true });
});

class Node {
  readonly root: string;
  readonly etc: string;

  constructor(name: string) {
    this.root = join(scratch, name);
    this.etc = join(this.root, 'etc', 'meshsan');
  }

  async run(...args: string[]) {
    const where = args[0] === 'help' ? [] : ['--root', this.root];
    const { exitCode, stdout, stderr } = await execa(
      process.execPath,
      [PROGRAM, ...args, ...where],
      {
        reject: false,
        stdin: 'ignore',
      },
    );
    return { exitCode, stdout, stderr };
  }

  async answer(...args: string[]): Promise<Record<string, unknown>> {
    const { exitCode, stdout, stderr } = await this.run(...args);
    if (exitCode !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  file(name: string): string {
    return join(this.etc, name);
  }
}

/** A node that has the secrets of a system. */
async function ready(name: string): Promise<Node> {
  const node = new Node(name);
  await makeSystem(node.etc, 'prod');
  return node;
}

test.serial('a system is made once, for root only', async (t) => {
  const node = new Node('system');
  const made = await node.answer('system', '--name', 'prod');
  const secrets = ['secret', 'admin-password', 'lia-token', 'lia-signer-key.pem', 'ca-key.pem'];
  const names = [...secrets, 'lia-signer.pem', 'ca.pem'];
  t.deepEqual([...(made['made'] as string[])].sort(), [...names].sort());
  const contents = () => names.map((name) => readFileSync(node.file(name), 'utf8'));
  const before = contents();
  t.regex(before[0] ?? '', /^[0-9a-f]{64}\n$/);
  for (const name of secrets) t.is(statSync(node.file(name)).mode & 0o777, 0o600, name);
  for (const name of ['ca.pem', 'lia-signer.pem'])
    t.is(statSync(node.file(name)).mode & 0o777, 0o644, name);
  t.deepEqual(await node.answer('system'), { made: [] });
  t.deepEqual(contents(), before);
});

test.serial('an authority without its key is refused, and nothing is made of it', async (t) => {
  const node = await ready('half-authority');
  rmSync(node.file('ca-key.pem'));
  const { exitCode, stderr } = await node.run('system');
  t.is(exitCode, 2);
  t.regex(stderr, /ca\.pem is there without the other/);
  t.false(existsSync(node.file('ca-key.pem')));
});

test.serial('an MDM that waits to be taken in makes no system', async (t) => {
  const node = await ready('standby');
  await node.answer('mdm', '--address', '10.0.0.11');
  t.not(readMdmConfig(node.file('mdm.json')).initialAdmin, undefined);
  t.like(await node.answer('mdm', '--standby'), { changed: true });
  const config = readMdmConfig(node.file('mdm.json'));
  t.is(config.initialAdmin, undefined);
  t.is(config.addresses[0]?.host, '10.0.0.11');
  t.like(await node.answer('mdm', '--standby'), { changed: false });
});

test.serial(
  'every role gets a file that its process accepts; the same command again changes nothing',
  async (t) => {
    const node = await ready('roles');
    const commands: Record<string, string[]> = {
      mdm: ['--name', 'ctl1', '--address', '10.0.0.11', '--system-name', 'prod'],
      sds: [
        '--name',
        'n1',
        '--address',
        '10.1.0.21=sdcOnly',
        '--address',
        '10.0.0.21=sdsOnly',
        '--mdm',
        '10.0.0.11',
      ],
      sdc: [
        '--address',
        '10.0.0.31',
        '--mdm',
        '10.0.0.11:7611',
        '--mdm',
        '[fd00::1]:6611',
        '--attach',
        'all',
      ],
      gateway: ['--listen', '10.0.0.11:4443', '--mdm', '10.0.0.11', '--dns-name', '10.0.0.2'],
      scli: ['--mdm', '10.0.0.11'],
      sentinel: ['--pool', 'pool1'],
      lia: ['--name', 'ctl1', '--listen', '10.0.0.11'],
      'cinder-bridge': ['--gateway', 'https://10.0.0.2:4443', '--username', 'openstack'],
    };
    for (const [role, flags] of Object.entries(commands)) {
      t.like(await node.answer(role, ...flags), {
        file: `/etc/meshsan/${role}.json`,
        changed: true,
      });
      const text = readFileSync(node.file(`${role}.json`), 'utf8');
      t.like(await node.answer(role, ...flags), { changed: false }, role);
      t.is(readFileSync(node.file(`${role}.json`), 'utf8'), text);
      t.is(statSync(node.file(`${role}.json`)).mode & 0o777, 0o600);
      t.deepEqual(await node.answer('check', role), {
        file: `/etc/meshsan/${role}.json`,
        right: true,
      });
    }
    t.like(readMdmConfig(node.file('mdm.json')), {
      systemName: 'prod',
      secretFile: '/run/meshsan-mdm/secret',
      stateDir: '/var/lib/meshsan/mdm',
    });
    t.deepEqual(readSdsConfig(node.file('sds.json')).addresses, [
      { host: '10.1.0.21', role: 'sdcOnly' },
      { host: '10.0.0.21', role: 'sdsOnly' },
    ]);
    const sdc = readSdcConfig(node.file('sdc.json'));
    t.deepEqual(sdc.mdm, [
      { host: '10.0.0.11', port: 7611 },
      { host: 'fd00::1', port: 6611 },
    ]);
    t.like(readSentinelConfig(node.file('sentinel.json')), {
      ...{ guid: sdc.guid, mdm: sdc.mdm, pools: ['pool1'], boundMs: 3000 },
      nbdDir: sdc.nbdDir,
    });
    t.like(readDrvCfgConfig(node.file('drv_cfg.json')), {
      guid: sdc.guid,
      controlSocket: sdc.controlSocket,
    });
    t.deepEqual(readGatewayConfig(node.file('gateway.json')).names, ['10.0.0.2']);
    t.is(readScliConfig(node.file('scli.json')).secretFile, '/etc/meshsan/secret');
    t.like(readLiaConfig(node.file('lia.json')), {
      listen: [{ host: '10.0.0.11', port: 9099 }],
      tokenFile: '/etc/meshsan/lia-token',
      signerFile: '/etc/meshsan/lia-signer.pem',
    });
    t.like(readBridgeConfig(node.file('cinder-bridge.json')), {
      gateways: ['https://10.0.0.2:4443'],
      tokenFile: '/etc/meshsan/cinder-bridge-token',
    });
    const token = node.file('cinder-bridge-token');
    t.regex(readFileSync(token, 'utf8'), /^[0-9a-f]{64}\n$/);
    t.is(statSync(token).mode & 0o777, 0o600);
  },
);

test.serial("the first administrator's password is the one of the file", async (t) => {
  const node = await ready('password');
  await node.answer('mdm', '--address', '10.0.0.11');
  const admin = readMdmConfig(node.file('mdm.json')).initialAdmin;
  if (admin === undefined) return t.fail('no administrator');
  const password = readFileSync(node.file('admin-password'), 'utf8').trim();
  const passwords = new PasswordChecker();
  const record = {
    salt: Buffer.from(admin.saltHex, 'hex'),
    hash: Buffer.from(admin.hashHex, 'hex'),
  };
  t.true(await passwords.matches(password, record, 0));
  t.false(await passwords.matches(`${password}x`, record, 0));
});

test.serial('what nobody names stays, what is named changes', async (t) => {
  const node = await ready('merge');
  const first = await node.answer(
    'sdc',
    '--address',
    '10.0.0.31',
    '--mdm',
    '10.0.0.11',
    '--set',
    'options.ioTimeoutSeconds=30',
  );
  const again = await node.answer('sdc', '--mdm', '10.0.0.12');
  t.true(again['changed']);
  t.is(again['guid'], first['guid']);
  const config = readSdcConfig(node.file('sdc.json'));
  t.is(config.options.ioTimeoutSeconds, 30);
  t.deepEqual(config.mdm, [{ host: '10.0.0.12', port: 6611 }]);
  t.deepEqual(config.addresses, [{ host: '10.0.0.31', role: 'all' }]);
});

test.serial(
  'a gateway is handed the authority; another one replaces it and the certificate made under it',
  async (t) => {
    const node = await ready('authority');
    const gateway = ['gateway', '--listen', '10.0.0.11:4443', '--mdm', '10.0.0.11'];
    t.true((await node.answer(...gateway))['changed']);
    const tls = join(node.root, 'var', 'lib', 'meshsan', 'gateway', 'tls');
    t.is(statSync(join(tls, 'ca-key.pem')).mode & 0o777, 0o600);
    t.is(statSync(join(node.root, 'var', 'lib', 'meshsan')).mode & 0o777, 0o755);
    t.is(readFileSync(join(tls, 'ca.pem'), 'utf8'), readFileSync(node.file('ca.pem'), 'utf8'));
    writeFileSync(join(tls, 'server.pem'), 'of the first authority');
    t.false((await node.answer(...gateway))['changed']);
    t.true(existsSync(join(tls, 'server.pem')));
    const other = await ready('authority-other');
    for (const name of ['ca.pem', 'ca-key.pem'])
      writeFileSync(node.file(name), readFileSync(other.file(name)));
    t.true((await node.answer(...gateway))['changed']);
    t.false(existsSync(join(tls, 'server.pem')));
  },
);

const SDS = ['sds', '--address', '10.0.0.1', '--mdm', '10.0.0.2'];
for (const [args, words] of [
  [['sdx'], /Unknown command or role "sdx"; did you mean "sd[sc]"\?/],
  [['sds', '--address', '10.0.0.1'], /--mdm must be given/],
  [['sds', '--address', 'host1', '--mdm', '10.0.0.2'], /--address "host1" must be an IP address/],
  [['sds', '--address', '10.0.0.1=both', '--mdm', '10.0.0.2'], /with the role all, sdsOnly/],
  [['sds', '--address', '10.0.0.1', '--mdm', '10.0.0.2:99999'], /--mdm "10.0.0.2:99999" must be/],
  [[...SDS, '--set', 'options.leaseMss=1'], /unknown key "leaseMss"/],
  [[...SDS, '--set', 'prot=7072'], /unknown key "prot" in the file; did you mean "port"\?/],
  [[...SDS, '--set', 'name=plain'], /the value must be JSON/],
  [[...SDS, '--set', '__proto__.a=1'], /must be KEY=JSON/],
  [[...SDS, '--set', 'name.a=1', '--name', 'x'], /name is no object/],
  [[...SDS, '--frist'], /Unknown option '--frist'/],
  [
    ['sdc', '--address', '10.0.0.1', '--mdm', '10.0.0.2', '--guid', 'x'],
    /guid must be 8-4-4-4-12 hex digits/,
  ],
  [
    ['sdc', '--address', '10.0.0.1', '--mdm', '10.0.0.2', '--attach', 'some'],
    /attach must be one of/,
  ],
  [['gateway', '--listen', '10.0.0.1', '--mdm', '10.0.0.2'], /--listen "10.0.0.1" must be IP:PORT/],
  [['check', 'sds'], /sds\.json cannot be read/],
] as const)
  test.serial(`refused, with nothing written: ${args.join(' ')}`, async (t) => {
    const node = await ready(`refused-${args.join('').replace(/[^a-z0-9]/gi, '')}`);
    const { exitCode, stderr } = await node.run(...args);
    t.is(exitCode, 2);
    t.regex(stderr, words);
    t.false(['sds', 'sdc', 'gateway'].some((role) => existsSync(node.file(`${role}.json`))));
  });

test.serial('without the secret of a system nothing is configured', async (t) => {
  const node = new Node('no-secret');
  mkdirSync(node.etc, { recursive: true });
  const { exitCode, stderr } = await node.run(...SDS);
  t.is(exitCode, 2);
  t.regex(stderr, /secret cannot be read/);
});

test.serial('help names every command and needs nothing', async (t) => {
  const { exitCode, stdout } = await new Node('help').run('help');
  t.is(exitCode, 0);
  for (const word of ['system', 'check', 'mdm', 'sds', 'sdc', 'gateway', 'scli', '--set'])
    t.true(stdout.includes(word), word);
});
