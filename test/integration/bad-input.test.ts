// Bad input to a running cluster: each is refused with a message that names the field and says what would be right, and
// nothing of the configuration changes.

import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';

import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';

import { TOKEN_LIFE_MS, TokenBook } from '../../backend/gateway/tokens.js';
import type { TokenClaims } from '../../backend/gateway/tokens.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { CLUSTER, LocalCluster } from '../support/local-cluster.js';

const TYPES = [
  ...['System', 'ProtectionDomain', 'StoragePool', 'Sds', 'Device', 'Sdc', 'Volume', 'User'],
] as const;
const MIB = 2 ** 20;

let cluster: LocalCluster;
let poolId: string;
let volumeId: string;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '8G');
  volumeId = await cluster.addVolume('taken');
  const rest = await cluster.rest();
  await rest.post(`/instances/Volume::${volumeId}/action/setVolumeSize`, { sizeInGB: '16' });
  const pools = await rest.get<{ id: string }[]>('/types/StoragePool/instances');
  poolId = pools.data[0]?.id ?? '';
});
test.after.always(async () => {
  await cluster.remove();
});

async function configuration(): Promise<unknown> {
  const rest = await cluster.rest();
  const lists = TYPES.map(
    async (type) => (await rest.get<unknown>(`/types/${type}/instances`)).data,
  );
  return Promise.all(lists);
}

interface Refusal {
  readonly status: number;
  readonly message: string;
}

async function post(path: string, body: unknown, encoding = 'identity'): Promise<Refusal> {
  const rest = await cluster.rest();
  const { status, data } = await rest.post<{ message?: string }>(path, body, {
    validateStatus: () => true,
    headers: { 'Content-Type': 'application/json', 'Content-Encoding': encoding },
    // Text and bytes are sent as they are, so that malformed JSON stays malformed.
    transformRequest: [
      (sent: unknown) =>
        typeof sent === 'string' || sent instanceof Buffer ? sent : JSON.stringify(sent),
    ],
    maxBodyLength: Infinity,
  });
  return { status, message: data.message ?? '' };
}

/** Cases that must all be refused without any change. */
async function refuse(
  t: ExecutionContext,
  path: string,
  cases: readonly (readonly [body: unknown, message: RegExp, status?: number])[],
): Promise<void> {
  const before = await configuration();
  for (const [body, expected, wanted] of cases) {
    const { status, message } = await post(path, body);
    const what = `${path} ${JSON.stringify(body).slice(0, 200)}`;
    t.regex(message, expected, what);
    t.true(wanted === undefined ? status >= 400 : status === wanted, `${what}: ${status}`);
  }
  t.deepEqual(await configuration(), before);
}

test.serial(
  'names over 31 characters, taken, or with characters that they cannot have',
  async (t) => {
    const named = (name: unknown) => ({ storagePoolId: poolId, volumeSizeInGb: '8', name });
    await refuse(t, '/types/Volume/instances', [
      [named('n'.repeat(32)), /name is too long: at most 31 characters$/, 400],
      [named('é'.repeat(16)), /at most 31 characters, and these are 32 bytes of UTF-8/, 400],
      [named('n'.repeat(200)), /name is too long: at most 31 characters$/, 400],
      [named('\ud800'), /name must be a string of at most 1024 whole characters/, 400],
      [named('taken'), /name already in use/],
      [named('two words'), /name is invalid: .*blank/, 400],
      [named(7), /name must be a string/, 400],
      [named(['a']), /name must be a string/, 400],
    ]);
    await refuse(t, '/types/ProtectionDomain/instances', [
      [{ name: 'domain1' }, /name already in use/],
      [{ name: 'n'.repeat(32) }, /at most 31 characters/, 400],
      [{}, /name/, 400],
    ]);
    await refuse(t, `/instances/Volume::${volumeId}/action/setVolumeName`, [
      [{ newName: 'n'.repeat(32) }, /at most 31 characters/, 400],
      [{}, /newName/, 400],
    ]);
  },
);

test.serial('sizes that are 0, negative, no numbers, or beyond what there is', async (t) => {
  const sized = (volumeSizeInGb: unknown) => ({ storagePoolId: poolId, name: 'v', volumeSizeInGb });
  const notWhole = /volumeSizeInGb must be a whole number, not negative, of at most 15 digits/;
  await refuse(t, '/types/Volume/instances', [
    [sized(0), /size: it must be larger than 0/, 400],
    ...[-8, '-8', 'many', 8.5, '0x10', true, {}, '9'.repeat(30)].map(
      (size) => [sized(size), notWhole, 400] as const,
    ),
    [{ ...sized(8), volumeSizeInKb: 1 }, /volumeSizeInKb \(1\) and volumeSizeInGb \(8\) are two/],
    [sized(2 ** 20 + 8), /at most 1048576 GB/, 400],
    [sized(4096), /4 TiB requested, .* can still be allocated/, 500],
    [{ storagePoolId: poolId, name: 'v' }, /must be part of the request body: volumeSizeInKb/, 400],
  ]);
  await refuse(t, `/instances/Volume::${volumeId}/action/setVolumeSize`, [
    [{ sizeInGB: '8' }, /capacity can only be increased/],
    [{ sizeInGB: '20' }, /20 GB.*multiple of 8 GB/, 400],
    [{ sizeInGB: '0' }, /0 GB.*multiple of 8 GB/, 400],
    [{ sizeInGB: '-8' }, /sizeInGB must be a whole number/, 400],
    [{ sizeInGB: 'x' }, /sizeInGB must be a whole number/, 400],
    [{ sizeInGB: '8192' }, /can still be allocated/],
    [{}, /sizeInGB/, 400],
  ]);
});

test.serial('percentages and words outside of what a pool can have', async (t) => {
  await refuse(t, `/instances/StoragePool::${poolId}/action/setSparePercentage`, [
    [{ sparePercentage: '91' }, /sparePercentage must be at most 90/, 400],
    [{ sparePercentage: '-1' }, /sparePercentage must be a whole number/, 400],
    [{}, /sparePercentage/, 400],
  ]);
  await refuse(t, `/instances/StoragePool::${poolId}/action/setCapacityAlertThresholds`, [
    [{ capacityAlertHighThresholdPercent: '101' }, /ThresholdPercent must be at most 100/, 400],
  ]);
  await refuse(t, `/instances/StoragePool::${poolId}/action/setMediaType`, [
    [{ mediaType: 'Tape' }, /mediaType must be one of HDD/, 400],
  ]);
});

test.serial('objects that do not exist', async (t) => {
  const guid = '11111111-2222-3333-4444-555555555555';
  const foreignId = `${volumeId.slice(0, 8)}00ffffff`;
  await refuse(t, `/instances/Volume::${volumeId}/action/addMappedSdc`, [
    [{ guid }, /Could not find the SDC/],
    [{ sdcId: foreignId }, /Could not find the SDC/],
    [{ sdcId: 'x' }, /sdcId|id \(x\) must be a hexadecimal number of 16 digits/, 400],
    [{}, /sdcId, guid or allSdcs/, 400],
  ]);
  await refuse(t, `/instances/Volume::${volumeId}/action/removeMappedSdc`, [
    [{ guid: cluster.file.sdcGuid }, /not mapped to SDC/],
  ]);
  await refuse(t, `/instances/Volume::${foreignId}/action/addMappedSdc`, [
    [{ guid: cluster.file.sdcGuid }, /Could not find the volume/],
  ]);
  await refuse(t, '/types/Volume/instances', [
    [{ storagePoolId: foreignId, volumeSizeInGb: 8 }, /Could not find the Storage Pool/],
  ]);
});

test.serial('malformed JSON, wrong types, and a body over 1 MiB', async (t) => {
  await refuse(t, '/types/Volume/instances', [
    ['{"name":', /body is not well-formed JSON/, 400],
    ['[]', /body must be a JSON object/, 400],
    ['"text"', /body must be a JSON object/, 400],
    [{ storagePoolId: 5, volumeSizeInGb: 8 }, /storagePoolId must be a string/, 400],
    [Buffer.from('{"name":"\xff\xfe"}', 'latin1'), /body is not UTF-8/, 400],
    [`"${'a'.repeat(MIB)}"`, /at most 1048576 bytes/, 413],
    [{ storagePoolId: poolId, volumeSizeInGb: 8, useRmcache: 'perhaps' }, /useRmcache/, 400],
    [{ storagePoolId: poolId, volumeSizeInGb: 8, volumeType: 'Thick' }, /volumeType/, 400],
  ]);
  const { status, message } = await post('/types/Volume/instances', '{}', 'rot13');
  t.is(status, 400);
  t.regex(message, /Content-Encoding must be gzip, deflate, br or none/);
});

test.serial('devices that are foreign, too small, in use, or not there', async (t) => {
  const rest = await cluster.rest();
  const { data } = await rest.get<{ id: string; name: string }[]>('/types/Sds/instances');
  const sdsId = data.find(({ name }) => name === 'sds1')?.id;
  const at = (file: string): string => join(cluster.dir, 'sds1', file);
  const file = (name: string, bytes: number): string => {
    closeSync(openSync(at(name), 'w', 0o600));
    truncateSync(at(name), bytes);
    return at(name);
  };
  const mkfs = ['/usr/sbin/mkfs.ext4', '/sbin/mkfs.ext4'].find((path) => existsSync(path));
  t.truthy(mkfs, 'e2fsprogs is installed');
  await execa(mkfs ?? 'mkfs.ext4', ['-q', '-F', file('ext4', 2048 * MIB)]);
  const device = (deviceCurrentPathname: string) => ({
    ...{ sdsId, storagePoolId: poolId, deviceCurrentPathname },
  });
  const sample = (): Buffer => {
    const content = Buffer.alloc(MIB);
    const descriptor = openSync(at('ext4'), 'r');
    readSync(descriptor, content, 0, MIB, 0);
    closeSync(descriptor);
    return content;
  };
  const contentBefore = sample();
  await refuse(t, '/types/Device/instances', [
    [device(at('ext4')), /foreign data: .*\/sds1\/ext4 carries an ext4 file system/],
    [device(file('small', 10 * MIB)), /too small: .*10485760 bytes, at least 1073741824/],
    [device(at('device0')), /already part of this system/],
    [device(join(cluster.dir, 'sds2', 'device0')), /sds2\/device0 is in use by another process/],
    [device(at('missing')), /missing does not exist/],
    [device('device0'), /path of a device must be absolute/, 400],
    [device(cluster.dir), /is a directory|neither a file nor a block device/],
    [{ sdsId, storagePoolId: poolId }, /deviceCurrentPathname/, 400],
  ]);
  t.deepEqual(sample(), contentBefore, 'a refused device is not written to');
  for (const name of ['ext4', 'small']) rmSync(at(name));
});

test.serial('tokens that are expired, forged, or of another system', async (t) => {
  const { gateway, caFile, username, passwordFile } = cluster.file;
  const ca = readFileSync(caFile);
  const get = (path: string, auth: string): Promise<{ status: number; body: string }> =>
    new Promise((done, failed) => {
      const call = request(`${gateway}/api${path}`, { ca, auth }, (answer) => {
        let body = '';
        answer.on('data', (text: Buffer) => (body += text.toString()));
        answer.on('end', () => {
          done({ status: answer.statusCode ?? 0, body });
        });
      });
      call.once('error', failed);
      call.end();
    });
  const password = readFileSync(passwordFile, 'utf8').trim();
  const token = JSON.parse((await get('/login', `${username}:${password}`)).body) as string;
  const content = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
  const claims = JSON.parse(content) as TokenClaims;
  const secret = readSecretFile(join(cluster.dir, 'secret'));
  const issue = (own: Uint8Array, changes: Partial<TokenClaims>, atMs: number): string =>
    new TokenBook(own).issue({ ...claims, ...changes }, atMs).token;
  const status = async (given: string): Promise<number> =>
    (await get('/types/Volume/instances', `:${given}`)).status;
  t.is(await status(issue(secret, {}, Date.now())), 200, 'what the others are made of is good');
  const bad: Readonly<Record<string, string>> = {
    expired: issue(secret, {}, Date.now() - TOKEN_LIFE_MS - 1000),
    'from the future': issue(secret, {}, Date.now() + TOKEN_LIFE_MS),
    'of another secret': issue(new Uint8Array(32).fill(1), {}, Date.now()),
    'of another system': issue(secret, { systemId: '1122334400000001' }, Date.now()),
    'of an older password': issue(secret, { passwordMark: 'other' }, Date.now()),
    'of nobody': issue(secret, { userKey: 0xfffffff0 }, Date.now()),
    changed: `${token.slice(0, -2)}${token.endsWith('AA') ? 'BB' : 'AA'}`,
    'cut short': token.slice(0, -1),
    empty: '',
    long: 'a'.repeat(4000),
  };
  for (const [what, given] of Object.entries(bad)) t.is(await status(given), 401, what);
  t.is((await get('/login', `${username}:wrong`)).status, 401);
});

test.serial(
  'a client that trusts another authority, or asks for another name, refuses the gateway',
  async (t) => {
    const { gateway, caFile } = cluster.file;
    const connect = (options: { ca?: Buffer; servername?: string }): Promise<string> =>
      new Promise((done) => {
        const call = request(`${gateway}/api/version`, { agent: false, ...options }, (answer) => {
          answer.resume();
          done('connected');
        });
        call.once('error', (error: NodeJS.ErrnoException) => {
          done(error.code ?? error.message);
        });
        call.end();
      });
    const ca = readFileSync(caFile);
    t.is(await connect({ ca }), 'connected');
    t.regex(await connect({}), /SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY|GET)/);
    t.is(await connect({ ca, servername: 'other.example' }), 'ERR_TLS_CERT_ALTNAME_INVALID');
  },
);

test.serial(
  'start on a directory of a running cluster, or on an address that is taken',
  async (t) => {
    const before = await configuration();
    const start = (...args: string[]) =>
      execa(process.execPath, [CLUSTER, 'start', ...args], { reject: false, stdin: 'ignore' });
    const running = await start('--dir', cluster.dir);
    t.is(running.exitCode, 2);
    t.regex(running.stderr, /runs already \(pid \d+\)/);
    const other = await start('--dir', cluster.dir, '--sds', '3');
    t.regex(other.stderr, /--sds 3 contradicts .* made with 2/);
    const size = await start('--dir', cluster.dir, '--device-size', '9G');
    t.regex(size.stderr, /--device-size .* contradicts/);
    t.deepEqual(await configuration(), before);
  },
);

test.serial(
  'scli: what the MDM refuses is told with its reason, and ends with code 7',
  async (t) => {
    const scli = (...words: readonly string[]) =>
      execa(join(cluster.dir, 'bin', 'scli'), words, { reject: false, stdin: 'ignore' });
    const login = await execa(
      join(cluster.dir, 'bin', 'scli'),
      ['--login', '--username', cluster.file.username],
      { input: readFileSync(cluster.file.passwordFile), reject: false },
    );
    t.is(login.exitCode, 0, login.stderr);
    const pool = ['--protection_domain_name', 'domain1', '--storage_pool_name', 'pool1'];
    const add = (...words: readonly string[]) => ['--add_volume', ...pool, ...words];
    const named = (name: string) => add('--size_gb', '8', '--volume_name', name);
    const map = ['--map_volume_to_sdc', '--volume_name', 'taken', '--sdc_guid'];
    const grow = (name: string) => [
      ...['--modify_volume_capacity', '--volume_name', name, '--size_gb', '8'],
    ];
    const before = await configuration();
    const cases: readonly (readonly [words: readonly string[], message: RegExp])[] = [
      [add('--size_gb', '1048576', '--volume_name', 'v'), /1 PiB requested, .* can still be/],
      [named('n'.repeat(32)), /The name is too long: at most 31 characters/],
      [named('two words'), /The name is invalid: it has a blank/],
      [named('taken'), /Volume name already in use/],
      [['--add_volume', '--storage_pool_name', 'p9', '--size_gb', '8'], /find the Storage Pool/],
      [grow('taken'), /Volume capacity can only be increased/],
      [grow('nowhere'), /Could not find the volume/],
      [[...map, '11111111-2222-3333-4444-555555555555'], /Could not find the SDC/],
      [['--remove_volume', '--volume_name', 'nowhere'], /Could not find the volume/],
      [['--add_protection_domain', '--protection_domain_name', 'domain1'], /already in use/],
      [
        ['--add_sds', ...pool, '--sds_ip', '127.9.9.9', '--sds_name', 's', '--device_path', '/x'],
        /Could not connect to the SDS: no SDS waits at 127\.9\.9\.9/,
      ],
      [['--remove_sds', '--sds_name', 'nowhere'], /Could not find the SDS/],
      [['--abort_remove_sds', '--sds_name', 'sds1'], /sds1 is not being removed/],
      [['--login', '--username', 'admin', '--password', 'wrong'], /Permission denied/],
    ];
    for (const [words, message] of cases) {
      const { exitCode, stderr, stdout } = await scli(...words);
      const what = words.join(' ').slice(0, 120);
      t.is(exitCode, 7, `${what}: ${stdout} ${stderr}`);
      t.regex(stderr, /^Error: MDM failed command\. {2}Status: /, what);
      t.regex(stderr, message, what);
    }
    t.deepEqual(await configuration(), before);
  },
);
