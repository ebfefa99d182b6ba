// The libraries of the packages: what package-lock.json names for production, of the target's platform, and nothing that
// only compilers and editors read.

import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { execa } from 'execa';

const INPUTS = ['package.json', 'package-lock.json', '.npmrc'];
const PLATFORM = ['--os=linux', '--cpu=x64', '--libc=glibc'];
/** Never read at run time. */
const USELESS = [
  /\.[cm]?ts$/,
  /\.map$/,
  /\.flow$/,
  /\.(c|cc|cpp|h|hpp|gyp|gypi|mk|in|def|3|1)$/,
  /\.(yml|yaml|md|markdown|html|svg|png|sh|ps1|bat|cmd|orig|coffee|mts|cts|tsbuildinfo|patch)$/i,
  // Bindings of other C libraries, and of single releases of Node: the one for the stable interface fits them all.
  /\.(musl|abi\d+\.glibc)\.node$/,
  /^(makefile|doxyfile|artistic-license|\.npmrc)$/i,
  /^\./,
];
/** Command lines of libraries. */
const USELESS_FILES: readonly string[] = [
  'yaml/bin.mjs',
  ...['bin', 'build-test', 'optional'].map((name) => `node-gyp-build-optional-packages/${name}.js`),
];
const LICENCE = /^(licen[cs]e|copying|notice|copyright)/i;
const USELESS_FOLDERS: readonly string[] = [
  ...['.bin', '.github', 'bin', 'test', 'tests', 'docs', 'example', 'tools'],
];

/** All files below a folder, relative to it. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

function isUseless(path: string): boolean {
  const name = basename(path);
  if (USELESS_FILES.includes(path)) return true;
  if (LICENCE.test(name)) return false;
  if (
    path
      .split('/')
      .slice(0, -1)
      .some((part) => USELESS_FOLDERS.includes(part))
  )
    return true;
  return USELESS.some((pattern) => pattern.test(name));
}

/**
 * A folder with the libraries as they are installed on a node.
 * @param root - of the repository
 * @param cache - folder that is kept between builds
 */
export async function libraries(root: string, cache: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of INPUTS) hash.update(readFileSync(join(root, name)));
  hash.update([...USELESS, ...USELESS_FILES, ...USELESS_FOLDERS].join(' '));
  const home = join(cache, `libraries-${hash.digest('hex').slice(0, 16)}`);
  const modules = join(home, 'node_modules');
  if (existsSync(home)) return modules;
  const fresh = `${home}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  for (const name of INPUTS) copyFileSync(join(root, name), join(fresh, name));
  // Scripts of libraries do not run: what they build would be of this machine, not of the target.
  await execa('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline', ...PLATFORM], {
    cwd: fresh,
    stdin: 'ignore',
  });
  const installed = join(fresh, 'node_modules');
  for (const path of filesBelow(installed))
    if (isUseless(path)) rmSync(join(installed, path), { force: true });
    else if (path.endsWith('.node'))
      await execa('strip', ['--strip-unneeded', join(installed, path)]);
  renameSync(fresh, home);
  return modules;
}
