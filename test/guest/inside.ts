// Runs inside the guest, as its only program: the checks of `npm run guest`. Every check prints a line that begins with
// GUEST; the host reads them.

import { randomBytes, scryptSync } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attachByNbd } from './attach.js';
import { check, digest, run, same, say, start, until } from './checks.js';
import { startUdev, udevProperties } from './rules.js';

const FOLDER = '/tmp/meshsan';
const GUID = '5F0C1D5E-7A42-4F0B-9B0D-2C7B4D1E8A90';
const DISK_BYTES = 64 * 1048576;

function writePrivate(path: string, content: unknown): string {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** os-brick's code that asks /dev/scini, as Debian ships it; only the door to its privileged process is left open. */
const BRICK = `
import importlib.util, sys, types
base = '/usr/lib/python3/dist-packages/os_brick/'
package, errors, privileged = (types.ModuleType(n) for n in ('os_brick', 'os_brick.exception', 'os_brick.privileged'))
privileged.default = types.SimpleNamespace(entrypoint=lambda function: function)
package.exception, package.privileged = errors, privileged
sys.modules.update({'os_brick': package, 'os_brick.exception': errors, 'os_brick.privileged': privileged})
spec = importlib.util.spec_from_file_location('scaleio', base + 'privileged/scaleio.py')
scaleio = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scaleio)
source = open(base + 'initiator/connectors/scaleio.py').read()
def io(group, number):
    return (ord(group) << 8) + number
def code(name):
    line = next(l for l in source.splitlines() if l.strip().startswith(name + ' = io('))
    return eval(line.split('=', 1)[1], {'io': io})
print(scaleio.get_guid(code('GET_GUID_OP_CODE')) if sys.argv[1] == 'guid'
      else scaleio.rescan_vols(code('RESCAN_VOLS_OP_CODE')))
`;

const brick = (what: 'guid' | 'rescan'): string => run('/usr/bin/python3', '-c', BRICK, what);

const isCharacterDevice = (path: string): boolean =>
  existsSync(path) && statSync(path).isCharacterDevice();

function configure(): { readonly mdm: string; readonly sdc: string } {
  mkdirSync(join(FOLDER, 'nbd'), { recursive: true, mode: 0o700 });
  const secretFile = writePrivate(join(FOLDER, 'secret'), randomBytes(32).toString('hex'));
  const host = '127.7.1.1';
  const salt = randomBytes(16);
  const common = { addresses: [{ host, role: 'all' }], secretFile };
  return {
    mdm: writePrivate(join(FOLDER, 'mdm.json'), {
      ...{ ...common, name: 'mdm', stateDir: join(FOLDER, 'mdm'), port: 6611 },
      systemName: 'guest',
      initialAdmin: {
        name: 'admin',
        saltHex: salt.toString('hex'),
        hashHex: scryptSync(randomBytes(12), salt, 32).toString('hex'),
      },
    }),
    sdc: writePrivate(join(FOLDER, 'sdc.json'), {
      ...{ ...common, name: 'sdc', stateDir: join(FOLDER, 'sdc'), guid: GUID, scini: 'cuse' },
      mdm: [{ host, port: 6611 }],
      nbdDir: join(FOLDER, 'nbd'),
      controlSocket: join(FOLDER, 'sdc.sock'),
    }),
  };
}

async function scini(): Promise<void> {
  const configs = configure();
  start('backend/bin/mdm.js', '--config', configs.mdm);
  let client = start('backend/bin/sdc.js', '--config', configs.sdc);
  await check('/dev/scini is a character device', async () => {
    await until('/dev/scini', () => isCharacterDevice('/dev/scini'));
  });
  await check("os-brick's ioctl gets the GUID of this host", () => {
    same(brick('guid').toUpperCase(), GUID);
  });
  await check("os-brick's ioctl for a scan is answered when the MDM has been heard", () => {
    same(brick('rescan'), 'None');
  });
  await check('a client that is killed and started again makes it again', async () => {
    client.kill('SIGKILL');
    await until('/dev/scini is gone', () => !existsSync('/dev/scini'));
    client = start('backend/bin/sdc.js', '--config', configs.sdc);
    await until('/dev/scini is back', () => isCharacterDevice('/dev/scini'));
    same(brick('guid').toUpperCase(), GUID);
  });
  client.kill('SIGTERM');
}

async function kernelNbd(): Promise<void> {
  const file = '/tmp/volume';
  const socket = '/tmp/volume.sock';
  writeFileSync(file, '');
  run('truncate', '-s', String(DISK_BYTES), file);
  start('test/attach/server-process.js', socket, file, String(DISK_BYTES));
  const device = '/dev/nbd0';
  await check("the kernel's nbd client attaches to our NBD server", async () => {
    await until('the socket', () => existsSync(socket));
    run('nbd-client', '-unix', socket, device, '-timeout', '0', '-C', '2');
    await until('the size', () => Number(run('blockdev', '--getsize64', device)) === DISK_BYTES);
  });
  await check('bytes written through /dev/nbd0 are in the volume, and read back', () => {
    const content = randomBytes(8 * 1048576);
    writeFileSync('/tmp/content', content);
    run('dd', 'if=/tmp/content', `of=${device}`, 'bs=64k', 'seek=16', 'oflag=direct', 'conv=fsync');
    same(digest(readFileSync(file).subarray(1048576, 9 * 1048576)), digest(content));
    run('dd', `if=${device}`, 'of=/tmp/back', 'bs=64k', 'skip=16', 'count=128', 'iflag=direct');
    same(digest(readFileSync('/tmp/back')), digest(content));
  });
  await check('blkdiscard reaches the volume', () => {
    run('blkdiscard', '-o', '1048576', '-l', '4194304', device);
    const zeroes = readFileSync(file).subarray(1048576, 5 * 1048576);
    same(
      zeroes.every((byte) => byte === 0),
      true,
    );
  });
  await check('udev does look at what is on a device of somebody else', async () => {
    run('mkfs.ext4', '-q', '-F', device);
    // On a loaded machine the first look may find nothing yet.
    await until('it sees ext4', () => udevProperties(device).get('ID_FS_TYPE') === 'ext4');
  });
  await check('it is detached again', () => {
    run('nbd-client', '-d', device);
  });
}

/** The kernel's command line names the parts that are wanted; without it all are. */
function wanted(part: string): boolean {
  const named = /\bguest\.only=(\S+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1];
  return named === undefined || named.split(',').includes(part);
}

process.env['PATH'] = '/usr/sbin:/usr/bin:/sbin:/bin';
say(
  ` kernel ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}, node ${process.version}`,
);
startUdev();
for (const [part, judge] of Object.entries({ scini, attach: attachByNbd, client: kernelNbd }))
  if (wanted(part)) await judge();
say('-END');
process.exit(0);
