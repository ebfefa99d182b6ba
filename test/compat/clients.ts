// Gets the foreign clients that judges drive, unmodified and pinned, below the user's cache directory: Python's into a
// virtual environment per requirements file, Go's compiled into a judge from what go.sum names. Made once per content.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { REPOSITORY } from '../openstack/meshsan.js';
import { EXIT, RunError } from '../openstack/progress.js';

/** Where the judges' own programs are. */
export const HERE = path.join(REPOSITORY, 'test', 'compat');
/** Debian's own interpreter: what the clients run on in a Debian 12 cloud. */
const PYTHON = '/usr/bin/python3';
/** What the newest goscaleio needs; an older Go builds the older one. */
const NEWEST_GO = { major: 1, minor: 24 };

type Say = (text: string) => void;

function cacheDirectory(): string {
  const cache = path.join(
    process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
    'meshsan',
    'compat',
  );
  mkdirSync(cache, { recursive: true });
  return cache;
}

/**
 * Builds `name` in the cache, once per `content`, by `make` in a directory beside it that is moved into place at the end,
 * so that a build that was interrupted or runs twice is never taken for whole.
 */
async function cached(
  name: string,
  content: readonly string[],
  say: Say,
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const digest = createHash('sha256');
  for (const part of content) digest.update(part);
  const cache = cacheDirectory();
  const home = path.join(cache, `${name}-${digest.digest('hex').slice(0, 16)}`);
  if (existsSync(home)) return home;
  const building = mkdtempSync(path.join(cache, 'building-'));
  say(`installing ${name} into ${home}`);
  try {
    await make(building);
    if (!existsSync(home)) renameSync(building, home);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return home;
}

/** The interpreter of the virtual environment for a requirements file. */
export async function pythonClient(requirements: string, say: Say): Promise<string> {
  const file = path.join(HERE, 'requirements', requirements);
  const { stdout: version } = await execa(PYTHON, ['--version']);
  const content = [version, readFileSync(file, 'utf8')];
  const home = await cached(path.basename(requirements, '.txt'), content, say, async (building) => {
    await mustRun(PYTHON, ['-m', 'venv', building], 'needs the package python3-venv');
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--disable-pip-version-check'];
    await mustRun(
      path.join(building, 'bin', 'python'),
      [...pip, '-r', file],
      'needs the network the first time',
    );
  });
  return path.join(home, 'bin', 'python');
}

/** The version of the machine's Go, or null when there is none. */
async function goVersion(): Promise<{ text: string; major: number; minor: number } | null> {
  const run = await execa('go', ['env', 'GOVERSION'], {
    env: { GOTOOLCHAIN: 'local' },
    cwd: '/',
    stdin: 'ignore',
    reject: false,
  });
  const match = /^go(\d+)\.(\d+)/.exec(run.stdout);
  if (run.failed || match === null) return null;
  return { text: run.stdout, major: Number(match[1]), minor: Number(match[2]) };
}

/**
 * The judge of goscaleio, compiled with the newest release that the machine's Go builds. Go refuses modules whose content
 * is not what go.sum says. A module cache of its own keeps the user's as it was.
 * @throws RunError without a Go
 */
export async function goJudge(say: Say): Promise<string> {
  const go = await goVersion();
  if (go === null) throw new RunError('needs Go: apt-get install golang-go', EXIT.unfit);
  const newest =
    go.major > NEWEST_GO.major || (go.major === NEWEST_GO.major && go.minor >= NEWEST_GO.minor);
  const sources = path.join(HERE, 'go');
  const content = readdirSync(sources).map((name) =>
    readFileSync(path.join(sources, name), 'utf8'),
  );
  const home = await cached('goscaleio', [go.text, ...content], say, async (building) => {
    const choice = newest ? ['-modfile', 'newest.mod', '-tags', 'newest'] : [];
    await mustRun(
      'go',
      ['build', '-mod=readonly', ...choice, '-o', path.join(building, 'judge'), '.'],
      'needs the network the first time',
      {
        cwd: sources,
        env: {
          CGO_ENABLED: '0',
          GOTOOLCHAIN: 'local',
          GOWORK: 'off',
          GOFLAGS: '-modcacherw -buildvcs=false',
          GOMODCACHE: path.join(cacheDirectory(), 'go-modules'),
        },
      },
    );
  });
  return path.join(home, 'judge');
}

async function mustRun(
  program: string,
  words: readonly string[],
  hint: string,
  where: { cwd?: string; env?: Record<string, string> } = {},
): Promise<void> {
  const run = await execa(program, words, { ...where, stdin: 'ignore', reject: false });
  if (run.exitCode !== 0)
    throw new RunError(
      `${program} ${words.join(' ')} failed (${hint}):\n${run.stderr.split('\n').slice(-10).join('\n')}`,
      EXIT.unfit,
    );
}
