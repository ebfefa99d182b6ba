// One Debian package from a staged tree: control files, maintainer scripts, checksums, and dpkg-deb. It must never decide
// what is in the tree.

import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { filesBelow } from './libraries.js';

const MAINTAINER = 'MeshSAN maintainers <maintainers@meshsan.example>';
const WIDTH = 78;
const SCRIPT_MODE = 0o755;

export interface Control {
  readonly name: string;
  readonly version: string;
  readonly architecture: 'all' | 'amd64';
  readonly summary: string;
  readonly about: readonly string[];
  readonly depends: readonly string[];
  readonly recommends: readonly string[];
  /** Packages whose files it may take over. */
  readonly replaces: readonly string[];
}

/** A paragraph in lines that fit a control file. */
function wrapped(paragraph: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of paragraph.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** The text of DEBIAN/control. */
export function controlText(control: Control, installedKiB: number): string {
  const { name, version, architecture, depends, recommends, replaces, summary, about } = control;
  const description = about.map((paragraph) =>
    wrapped(paragraph)
      .map((line) => ` ${line}\n`)
      .join(''),
  );
  return [
    `Package: ${name}\n`,
    'Source: meshsan\n',
    `Version: ${version}\n`,
    `Architecture: ${architecture}\n`,
    `Maintainer: ${MAINTAINER}\n`,
    `Installed-Size: ${installedKiB}\n`,
    depends.length === 0 ? '' : `Depends: ${depends.join(', ')}\n`,
    recommends.length === 0 ? '' : `Recommends: ${recommends.join(', ')}\n`,
    replaces.length === 0 ? '' : `Replaces: ${replaces.join(', ')}\n`,
    'Section: admin\n',
    'Priority: optional\n',
    `Description: ${summary}\n`,
    description.join(' .\n'),
  ].join('');
}

/** The changelog that Debian wants of a package that has no other packaging revision. */
export function changelogText(version: string, epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000).toUTCString().replace('GMT', '+0000');
  return `meshsan (${version}) unstable; urgency=medium\n\n  * Release ${version}.\n\n -- ${MAINTAINER}  ${date}\n`;
}

/** Writes a compressed file without the time of its making, so that the same input is the same package. */
export function writeGzip(path: string, text: string): void {
  writeFileSync(path, gzipSync(text, { level: 9 }));
}

function kibibytes(tree: string, files: readonly string[]): number {
  let sum = 0;
  for (const file of files) sum += Math.ceil(lstatSync(join(tree, file)).size / 1024);
  return sum;
}

/** Everything of a package, and where it goes. */
export interface DebInput {
  /** The staged tree, as it is on the target. */
  readonly tree: string;
  readonly control: Control;
  /** Maintainer scripts by name. */
  readonly scripts: Readonly<Record<string, string>>;
  readonly epochSeconds: number;
  readonly outDir: string;
}

/**
 * Builds the package.
 * @returns its file name
 */
export async function buildDeb(input: DebInput): Promise<string> {
  const { tree, control, scripts, epochSeconds, outDir } = input;
  const files = filesBelow(tree);
  const folder = join(tree, 'DEBIAN');
  mkdirSync(folder);
  writeFileSync(join(folder, 'control'), controlText(control, kibibytes(tree, files)));
  const sums = files
    .filter((file) => lstatSync(join(tree, file)).isFile())
    .map((file) => {
      const digest = createHash('md5')
        .update(readFileSync(join(tree, file)))
        .digest('hex');
      return `${digest}  ${file}\n`;
    });
  writeFileSync(join(folder, 'md5sums'), sums.join(''));
  const conffiles = files.filter((file) => file.startsWith('etc/'));
  if (conffiles.length > 0)
    writeFileSync(join(folder, 'conffiles'), conffiles.map((file) => `/${file}\n`).join(''));
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), SCRIPT_MODE);
  }
  const file = `${control.name}_${control.version}_${control.architecture}.deb`;
  // The lowest level of xz: Node is most of it, and a build should not take minutes.
  const options = ['--root-owner-group', '-Zxz', '-z1', '--build', tree, join(outDir, file)];
  await execa('dpkg-deb', options, {
    env: { SOURCE_DATE_EPOCH: String(epochSeconds), LC_ALL: 'C' },
  });
  return file;
}

/** Makes the folder readable for apt. */
export async function indexRepository(dir: string, version: string): Promise<void> {
  const { stdout } = await execa('dpkg-scanpackages', ['--multiversion', '.', '/dev/null'], {
    cwd: dir,
    env: { LC_ALL: 'C' },
  });
  writeFileSync(join(dir, 'Packages'), `${stdout}\n`);
  writeGzip(join(dir, 'Packages.gz'), `${stdout}\n`);
  const sums = ['Packages', 'Packages.gz'].map((name) => {
    const content = readFileSync(join(dir, name));
    return ` ${createHash('sha256').update(content).digest('hex')} ${content.length} ${name}\n`;
  });
  writeFileSync(
    join(dir, 'Release'),
    `Origin: MeshSAN\nLabel: meshsan\nVersion: ${version}\nArchitectures: all amd64\nSHA256:\n${sums.join('')}`,
  );
}
