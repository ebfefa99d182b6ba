// `npm run packages:test`: builds the packages twice (this version and a higher one) and proves them in a machine of their
// own. It owns the order of the stories and what they print; exit 0 only when all of them passed.

import { join } from 'node:path';
import { buildPackages } from '../../backend/deploy/packages/build.js';
import { VERSION } from '../../backend/core/version.js';
import { listOf, readFlags, runTool } from '../../backend/runtime/flags.js';
import { Machine } from './machine.js';
import { STORIES } from './stories.js';
import { upgradeStory } from './upgrade.js';
import type { Bench } from './stories.js';
import { judge } from './lintian.js';
import { installMissing } from './needs.js';

const HELP = `Usage: npm run packages:test -- [flags]
As root: builds the packages twice (this version and a higher one) and proves them in a machine of their own.
  --only upgrade   instead: three nodes, brought from the last release to this version, back, and to this version again, under load
  --no-build   takes the packages that the last run built
  --keep       leaves the machine's folder for a look
  --help       this text
Exit codes: 0 all stories passed, 1 one failed, 2 wrong usage.
`;
const ROOT = join(import.meta.dirname, '..', '..', '..');

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

let passed = 0;
let failed = 0;

/** Runs a story; what comes after one that failed would only repeat its failure. */
async function story(name: string, act: () => Promise<readonly string[]>): Promise<boolean> {
  const began = Date.now();
  try {
    const notes = await act();
    passed++;
    say(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    for (const note of notes) say(`      ${note}`);
    return true;
  } catch (error) {
    failed++;
    say(
      `FAIL  ${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    return false;
  }
}

async function build(folder: string, version: string): Promise<readonly string[]> {
  const outDir = join(ROOT, 'dist', folder);
  const manifest = await buildPackages({ root: ROOT, outDir, version, say: () => undefined });
  return [
    `${manifest.packages.length} packages of ${version} with Node ${manifest.node}`,
    `lowest glibc: ${manifest.packages.map(({ name, glibcMin }) => `${name} ${glibcMin}`).join(', ')}`,
  ];
}

/** The packages of the last release are built from its commit. */
async function proveUpgrade(isBuilt: boolean): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('the machines of this test need root');
  await installMissing(say);
  const own = join(ROOT, 'dist', 'packages');
  const ready =
    isBuilt || (await story('the packages are built', () => build('packages', VERSION)));
  if (ready)
    await story(
      'every node goes to this version, back, and to this version again, under load',
      () => upgradeStory(own, say),
    );
}

async function prove(flags: { readonly build: boolean; readonly keep: boolean }): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('the machine of this test needs root');
  await installMissing(say);
  const higher = `${VERSION}+upgrade1`;
  const bench: Bench = {
    first: join(ROOT, 'dist', 'packages'),
    second: join(ROOT, 'dist', 'packages-upgrade'),
    higher,
    machine: new Machine(['/dev/vdb', '/dev/vdc'], [join(ROOT, 'dist')]),
  };
  const ready =
    !flags.build ||
    ((await story('the packages are built', () => build('packages', VERSION))) &&
      (await story('a higher version is built', () => build('packages-upgrade', higher))) &&
      (await story('lintian finds no error', () => judge(bench.first))));
  if (!ready) return;
  try {
    const booted = await story('a machine boots the real systemd', async () => {
      await bench.machine.boot();
      return [];
    });
    if (!booted) return;
    for (const [name, act] of STORIES) if (!(await story(name, () => act(bench)))) return;
  } finally {
    if (flags.keep) {
      bench.machine.keep();
      say(`the machine stays in ${bench.machine.dir}`);
    } else await bench.machine.remove();
  }
}

await runTool(HELP, async (args) => {
  const {
    'no-build': built,
    keep,
    only,
  } = readFlags(args, {
    'no-build': { type: 'boolean' },
    keep: { type: 'boolean' },
    only: { type: 'string' },
  });
  try {
    if (only !== null) {
      listOf('--only', only, ['upgrade']);
      await proveUpgrade(built);
    } else await prove({ build: !built, keep });
  } finally {
    say(`${passed} passed, ${failed} failed`);
  }
  return failed === 0 ? 0 : 1;
});
