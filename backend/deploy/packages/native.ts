// What native files ask of the system that they run on: the lowest glibc, and the Debian packages of the shared libraries
// that they load. Both are read from the files by readelf and dpkg-shlibdeps, never guessed.

import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

const ELF = '\x7fELF';

export function isElf(path: string): boolean {
  const head = Buffer.alloc(ELF.length);
  const file = openSync(path, 'r');
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  return head.toString('latin1') === ELF;
}

/** The higher of two versions such as "2.28" and "2.3.4". */
export function higherVersion(one: string, other: string): string {
  const [a, b] = [one, other].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 4; i++) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0);
    if (difference !== 0) return difference > 0 ? one : other;
  }
  return one;
}

/** The highest glibc version that a dump of version needs names; null: none. */
export function glibcIn(dump: string): string | null {
  let highest: string | null = null;
  for (const [, version = ''] of dump.matchAll(/\bGLIBC_(\d+(?:\.\d+)+)\b/g))
    highest = highest === null ? version : higherVersion(highest, version);
  return highest;
}

/** The lowest glibc with all symbols that the files need; null: they need none. */
export async function lowestGlibc(files: readonly string[]): Promise<string | null> {
  let needed: string | null = null;
  for (const file of files) {
    const { stdout } = await execa('readelf', ['--version-info', '--wide', file], {
      env: { LC_ALL: 'C' },
    });
    const own = glibcIn(stdout);
    if (own !== null) needed = needed === null ? own : higherVersion(needed, own);
  }
  return needed;
}

/** The value of Depends for native files, as dpkg-shlibdeps finds it. */
export async function sharedLibraries(files: readonly string[]): Promise<string[]> {
  if (files.length === 0) return [];
  const folder = mkdtempSync(join(tmpdir(), 'meshsan-shlibs-'));
  try {
    mkdirSync(join(folder, 'debian'));
    writeFileSync(
      join(folder, 'debian', 'control'),
      'Source: meshsan\n\nPackage: meshsan\nArchitecture: amd64\n',
    );
    const { stdout } = await execa('dpkg-shlibdeps', ['-O', ...files.map((file) => `-e${file}`)], {
      cwd: folder,
    });
    const [, list = ''] = /^shlibs:Depends=(.*)$/m.exec(stdout) ?? [];
    return list.split(', ').filter((item) => item !== '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
