// The program of the last release, built from this repository's own history, for tests in which two versions work together.
// It owns a folder below dist/; it must never touch the work tree.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { execa } from 'execa';

const ROOT = join(import.meta.dirname, '..', '..', '..');

/** The release before this version: its last commit, and the newest protocol version that it speaks. */
export const RELEASED = {
  version: '0.1.0',
  commit: '374bacea4650210cefc48dc48559ad3ac13ca4a2',
  protocolVersion: 1,
} as const;

/** Compiled TypeScript below a folder, as esbuild takes it. */
function sourcesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Why the released commit cannot be had here, or null. */
export async function releasedFault(): Promise<string | null> {
  const { exitCode } = await execa('git', ['cat-file', '-e', `${RELEASED.commit}^{commit}`], {
    ...{ cwd: ROOT, reject: false },
  });
  return exitCode === 0
    ? null
    : `commit ${RELEASED.commit} of release ${RELEASED.version} is not in this clone: git fetch --unshallow`;
}

/** Its sources. @returns the folder */
export async function releasedSources(): Promise<string> {
  const home = join(ROOT, 'dist', `.released-${RELEASED.version}`);
  if (existsSync(home)) return home;
  const fresh = `${home}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const archive = execa('git', ['archive', RELEASED.commit], { cwd: ROOT, encoding: 'buffer' });
  await archive.pipe('tar', ['-x', '-C', fresh]);
  // Its libraries are those of this version: the same names and major versions.
  symlinkSync(join(ROOT, 'node_modules'), join(fresh, 'node_modules'));
  renameSync(fresh, home);
  return home;
}

/** Its programs, compiled without a check of types: they were checked when they were released. @returns the folder of backend/ */
export async function releasedPrograms(): Promise<string> {
  const home = await releasedSources();
  const out = join(home, 'dist');
  const whole = join(out, 'whole');
  if (!existsSync(whole)) {
    await build({
      entryPoints: ['backend', 'cinder-bridge'].flatMap((part) => sourcesBelow(join(home, part))),
      ...{ outdir: out, outbase: home },
      ...{ format: 'esm', platform: 'node', target: 'node20', logLevel: 'error' },
      jsx: 'automatic',
      jsxImportSource: 'preact',
    });
    // The gateway needs its page.
    await execa(process.execPath, [join(home, 'backend', 'tooling', 'page.mjs')]);
    writeFileSync(whole, '');
  }
  return join(out, 'backend');
}

/** Its packages. @returns the folder */
export async function releasedPackages(): Promise<string> {
  const home = dirname(dirname(await releasedPrograms()));
  const folder = join(home, 'packages');
  if (existsSync(join(folder, 'manifest.json'))) return folder;
  // Node is the same one, and is fetched once.
  const cache = join(home, 'dist', '.packages-cache');
  if (!existsSync(cache)) symlinkSync(join(ROOT, 'dist', '.packages-cache'), cache);
  const program = join(home, 'dist', 'backend', 'bin', 'packages.js');
  await execa(process.execPath, [program, '--out', folder], { stdin: 'ignore' });
  return folder;
}
