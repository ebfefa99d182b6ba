// Runs the compatibility judges: foreign clients of ScaleIO, from where Python packages are published, unmodified and
// pinned, each in a virtual environment of its own that is kept between runs. A judge prints one JSON line per check.
// It must never hand a password to a process in an argument: judges read cluster.json and the password file themselves.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { EXIT, RunError } from '../openstack/progress.js';
import { REPOSITORY } from '../openstack/meshsan.js';

/** Debian's own interpreter: what the clients run on in a Debian 12 cloud. */
const PYTHON = '/usr/bin/python3';
const HERE = path.join(REPOSITORY, 'test', 'compat');

export interface Judge {
  readonly name: string;
  readonly about: string;
  /** File in requirements/, which is also the identity of the virtual environment. */
  readonly requirements: string;
  readonly script: string;
  /** Directory in python/ whose sitecustomize gives the client what its Python took away. */
  readonly given?: string;
}

export const JUDGES: readonly Judge[] = [
  {
    name: 'pyscaleio',
    about: 'the Python client for ScaleIO 2.0, its models and their validation',
    requirements: 'pyscaleio.txt',
    script: 'pyscaleio_judge.py',
    given: 'py39',
  },
  {
    name: 'cinder',
    about: "the newest Cinder's PowerFlex driver, its class driven directly",
    requirements: 'cinder.txt',
    script: 'cinder_judge.py',
  },
  {
    name: 'os-brick',
    about: "the newest os-brick's ScaleIO connector, up to a block device that it finds",
    requirements: 'cinder.txt',
    script: 'brick_judge.py',
  },
];

export interface Check {
  readonly check: string;
  readonly ok: boolean;
  readonly detail?: string;
  readonly skipped?: string;
  readonly ms: number;
}

export interface Verdict {
  readonly judge: string;
  readonly checks: readonly Check[];
}

/** Runs one judge against the cluster in `clusterDir`. A judge that breaks off is an error with the end of its output. */
export async function runJudge(
  judge: Judge,
  clusterDir: string,
  say: (text: string) => void,
): Promise<Verdict> {
  const python = await environment(judge.requirements, say);
  const scripts = path.join(HERE, 'python');
  const run = await execa(python, [path.join(scripts, judge.script), clusterDir], {
    env: {
      PYTHONPATH: judge.given === undefined ? '' : path.join(scripts, judge.given),
      PYTHONDONTWRITEBYTECODE: '1',
      NO_PROXY: '*',
      no_proxy: '*',
    },
    stdin: 'ignore',
    timeout: 300_000,
    reject: false,
  });
  const checks = run.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Check);
  if (run.exitCode !== 0 || checks.length === 0)
    throw new RunError(
      `judge ${judge.name} broke off:\n${run.stderr.split('\n').slice(-15).join('\n')}`,
    );
  return { judge: judge.name, checks };
}

/** The interpreter of the virtual environment for a requirements file: made once per content of that file. */
async function environment(requirements: string, say: (text: string) => void): Promise<string> {
  const file = path.join(HERE, 'requirements', requirements);
  const cache = path.join(
    process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
    'meshsan',
    'compat',
  );
  const { stdout: version } = await execa(PYTHON, ['--version']);
  const digest = createHash('sha256')
    .update(version)
    .update(readFileSync(file))
    .digest('hex')
    .slice(0, 16);
  const home = path.join(cache, `${path.basename(requirements, '.txt')}-${digest}`);
  const python = path.join('bin', 'python');
  if (existsSync(path.join(home, python))) return path.join(home, python);
  mkdirSync(cache, { recursive: true });
  // Built beside and moved into place, so that a build that was interrupted or runs twice is never taken for whole.
  const building = mkdtempSync(path.join(cache, 'building-'));
  say(`installing ${requirements} into ${home}`);
  try {
    await mustRun(PYTHON, ['-m', 'venv', building], 'needs the package python3-venv');
    const pip = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--no-deps',
      '--disable-pip-version-check',
      '-r',
      file,
    ];
    await mustRun(path.join(building, python), pip, 'needs the network the first time');
    if (!existsSync(home)) renameSync(building, home);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return path.join(home, python);
}

async function mustRun(program: string, words: readonly string[], hint: string): Promise<void> {
  const run = await execa(program, words, { stdin: 'ignore', reject: false });
  if (run.exitCode !== 0)
    throw new RunError(
      `${program} ${words.join(' ')} failed (${hint}):\n${run.stderr.split('\n').slice(-10).join('\n')}`,
      EXIT.unfit,
    );
}
