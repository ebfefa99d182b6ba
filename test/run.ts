// Runs every test of the project and ends with one line "N passed, N failed". It owns the order and the needs of the
// groups; it must never hide a skip: with root nothing is skipped, and a skip then counts as a failure.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';

import { UsageError, runTool } from '../backend/runtime/flags.js';
import { FIGURE } from './support/figure.js';

interface Group {
  readonly name: string;
  /** Folders below dist/test with *.test.js. */
  readonly folders: readonly string[];
  /** Programs (and modules of Python) that must be there, with the Debian package that holds them. */
  readonly programs: Readonly<Record<string, string>>;
  readonly root: boolean;
  /** Test files at the same time. */
  readonly concurrency: number;
  /** Too long for every run of all tests: it runs when it is named. */
  readonly named?: boolean;
}

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

const ROOT = join(import.meta.dirname, '..', '..');
const JUDGES = {
  fio: 'fio',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
};
/** Marks a module of /usr/bin/python3 among the programs. */
const PYTHON_MODULE = 'python3 -m ';
const FILE_SYSTEMS = {
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_repair: 'xfsprogs',
  'stress-ng': 'stress-ng',
  losetup: 'mount',
};

const GROUPS: readonly Group[] = [
  {
    name: 'unit',
    folders: ['unit', 'golden', 'scenario'],
    programs: {},
    root: false,
    concurrency: 2,
  },
  {
    name: 'power cuts',
    folders: ['power'],
    programs: { strace: 'strace' },
    root: false,
    concurrency: 2,
  },
  { name: 'simulator', folders: ['sim'], programs: {}, root: false, concurrency: 1 },
  {
    name: 'processes',
    folders: ['integration'],
    programs: { ...JUDGES, 'mkfs.ext4': 'e2fsprogs' },
    root: false,
    concurrency: 1,
  },
  {
    name: 'failures',
    folders: ['chaos'],
    programs: { fio: 'fio', ip: 'iproute2', iptables: 'iptables' },
    root: true,
    concurrency: 1,
    named: true,
  },
  {
    name: 'NBD conformance',
    folders: ['conformance'],
    programs: JUDGES,
    root: false,
    concurrency: 1,
  },
  {
    name: 'block device',
    folders: ['attach'],
    programs: { ...JUDGES, ...FILE_SYSTEMS },
    root: true,
    concurrency: 1,
  },
  {
    name: 'benchmark harness',
    folders: ['bench'],
    programs: { fio: 'fio', nbdkit: 'nbdkit' },
    root: false,
    concurrency: 1,
  },
  {
    name: 'dashboard',
    folders: ['dashboard'],
    programs: {
      fio: 'fio',
      chromium: 'chromium',
      [`${PYTHON_MODULE}prometheus_client`]: 'python3-prometheus-client',
    },
    root: false,
    concurrency: 1,
  },
  {
    name: 'Cinder driver',
    folders: ['cinder-bridge'],
    programs: { [`${PYTHON_MODULE}cinder`]: 'python3-cinder', 'qemu-img': 'qemu-utils' },
    root: false,
    concurrency: 1,
  },
  {
    name: 'clients',
    folders: ['compat'],
    // The clients live in virtual environments, which Debian's python3 alone cannot make; one of them is compiled.
    programs: { [`${PYTHON_MODULE}ensurepip`]: 'python3-venv', go: 'golang-go' },
    root: false,
    concurrency: 1,
  },
];

const isRoot = process.getuid?.() === 0;
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

function onPath(program: string): boolean {
  if (program.startsWith(PYTHON_MODULE)) {
    const module = program.slice(PYTHON_MODULE.length);
    return !execaSync('/usr/bin/python3', ['-c', `import ${module}`], { reject: false }).failed;
  }
  return `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    .split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, program)));
}

/** Debian packages that the groups need and the machine lacks. */
function missingPackages(groups: readonly Group[]): string[] {
  const missing = groups
    .flatMap((group) => Object.entries(group.programs))
    .filter(([program]) => !onPath(program))
    .map(([, name]) => name);
  return [...new Set(missing)].sort();
}

async function installMissing(groups: readonly Group[]): Promise<void> {
  const missing = missingPackages(groups);
  if (missing.length === 0 || !isRoot || !onPath('apt-get')) return;
  say(`installing for the tests: ${missing.join(' ')}`);
  const wait = ['-o', 'DPkg::Lock::Timeout=600'];
  const settings = { env: { DEBIAN_FRONTEND: 'noninteractive' }, stdin: 'ignore' } as const;
  await execa('apt-get', [...wait, 'update', '-qq'], settings);
  await execa(
    'apt-get',
    [...wait, 'install', '-y', '--no-install-recommends', ...missing],
    settings,
  );
}

function testFiles(group: Group): string[] {
  return group.folders.flatMap((folder) => {
    const base = join(ROOT, 'dist', 'test', folder);
    if (!existsSync(base)) return [];
    // The build keeps output of sources that are gone: a test counts only while its source is there.
    return readdirSync(base, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.test.js'))
      .filter((file) => existsSync(join(ROOT, 'test', folder, file.replace(/\.js$/, '.ts'))))
      .map((file) => join('dist', 'test', folder, file));
  });
}

/** Why a group cannot run here, or null. */
function obstacle(group: Group): string | null {
  if (group.root && !isRoot) return 'needs root';
  const lacking = Object.entries(group.programs).filter(([program]) => !onPath(program));
  const packages = [...new Set(lacking.map(([, name]) => name))];
  return packages.length === 0 ? null : `needs ${packages.join(' ')}`;
}

async function run(group: Group, files: readonly string[]): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, failed: 0, skipped: 0 };
  const args = ['--tap', '--concurrency', String(group.concurrency), ...files];
  const child = execa('node_modules/.bin/ava', args, {
    cwd: ROOT,
    reject: false,
    stdin: 'ignore',
    stderr: 'inherit',
    env: { FORCE_COLOR: '0' },
  });
  let failing = false;
  for await (const line of child.iterable()) {
    const result = /^(not )?ok \d+/.exec(line);
    const skipped = / # (SKIP|TODO)/.test(line);
    if (result !== null) {
      failing = result[1] !== undefined && !skipped;
      if (skipped) outcome.skipped++;
      else if (failing) outcome.failed++;
      else outcome.passed++;
    }
    // Of passed tests nothing is shown but what they counted; of failed ones everything up to the next test.
    if (failing || (result !== null && skipped)) say(line);
    const counted = line.indexOf(FIGURE);
    if (!failing && counted >= 0) say(`  ${line.slice(counted + FIGURE.length)}`);
  }
  const { exitCode } = await child;
  if (exitCode !== 0 && outcome.failed === 0) {
    say(`${group.name}: the test runner ended with ${String(exitCode)}`);
    outcome.failed++;
  }
  return outcome;
}

async function main(only: readonly string[]): Promise<number> {
  const unknown = only.filter((word) => !GROUPS.some(({ name }) => name.includes(word)));
  if (unknown.length > 0) {
    const names = GROUPS.map(({ name }) => `"${name}"`).join(', ');
    throw new UsageError(`no group of tests is named ${unknown.join(', ')}; there are ${names}`);
  }
  const groups = GROUPS.filter(({ name, named = false }) =>
    only.length === 0 ? !named : only.some((word) => name.includes(word)),
  );
  await installMissing(groups);
  const total: Outcome = { passed: 0, failed: 0, skipped: 0 };
  for (const group of groups) {
    const files = testFiles(group);
    if (files.length === 0) continue;
    const why = obstacle(group);
    if (why !== null) {
      say(`skipped: ${group.name}: ${files.length} test files: ${why}`);
      total.skipped += files.length;
      continue;
    }
    const began = Date.now();
    const { passed, failed, skipped } = await run(group, files);
    const seconds = Math.round((Date.now() - began) / 1000);
    say(`${group.name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s`);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  if (isRoot && total.skipped > 0) {
    say(`${total.skipped} skipped although running as root: counted as failed`);
    total.failed += total.skipped;
  }
  say(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

const HELP = `Usage: npm test -- [GROUP ...]
Runs the tests, all or those of groups whose name holds a word; what is missing is installed when root runs it.
Groups: ${GROUPS.map(({ name }) => name).join(', ')}.
Only when named: ${GROUPS.filter(({ named = false }) => named)
  .map(({ name }) => name)
  .join(', ')}.
Exit codes: 0 all passed, 1 one failed or was skipped although root ran it, 2 wrong usage.
`;

await runTool(HELP, main);
