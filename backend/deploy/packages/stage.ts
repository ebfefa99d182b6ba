// Puts the tree of one package together: programs, commands, units, documents, licences. Every file gets the mode that it
// has on the target; who runs the build leaves no trace.

import {
  symlinkSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execaSync } from 'execa';
import { HOME, FILES, RUNTIME } from './definitions.js';
import type { PackageDefinition } from './definitions.js';
import { changelogText, writeGzip } from './deb.js';
import { filesBelow } from './libraries.js';
import { pythonCommands, pythonFiles } from './python.js';

const MANUALS = '/usr/share/man';
const UNITS = '/lib/systemd/system';
/** Modules of the system's Python, for packages. */
const PYTHON = '/usr/lib/python3/dist-packages';
const PLAIN = 0o644;
const EXECUTABLE = 0o755;
const FOLDER = 0o755;
const NODE_LICENCE = 'LICENSE.node.gz';

export interface StageFacts {
  /** Of the repository. */
  readonly root: string;
  readonly version: string;
  readonly epochSeconds: number;
}

/** What only the runtime holds. */
export interface RuntimeParts {
  readonly node: string;
  readonly nodeLicence: string;
}

/** The compiled files and the libraries that a package holds. */
export interface Share {
  /** Relative to dist/. */
  readonly files: readonly string[];
  /** Folder of the libraries. */
  readonly modules: string;
  /** Names of libraries in it. */
  readonly libraries: readonly string[];
}

/** A tree under construction. */
class Tree {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(dir, { recursive: true, mode: FOLDER });
  }

  /** Where a path of the target lies; its folder is made. */
  place(path: string): string {
    const place = join(this.dir, path);
    this.folder(dirname(path));
    return place;
  }

  folder(path: string): void {
    if (path === '/' || path === '.') return;
    this.folder(dirname(path));
    mkdirSync(join(this.dir, path), { recursive: true });
    chmodSync(join(this.dir, path), FOLDER);
  }

  copy(from: string, to: string, mode = PLAIN): void {
    copyFileSync(from, this.place(to));
    chmodSync(join(this.dir, to), mode);
  }

  write(to: string, text: string, mode = PLAIN): void {
    writeFileSync(this.place(to), text);
    chmodSync(join(this.dir, to), mode);
  }
}

function wrapper(program: string): string {
  return `#!/bin/sh\nexec ${HOME}/bin/node ${HOME}/${program}.js "$@"\n`;
}

function copyright(name: string): string {
  const own = [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    'Upstream-Name: MeshSAN',
    '',
    'Files: *',
    'Copyright: 2026 MeshSAN contributors',
    'License: Apache-2.0',
    ' On Debian systems, the text of the Apache License version 2.0 is in',
    ' /usr/share/common-licenses/Apache-2.0.',
    '',
    `Files: ${HOME.slice(1)}/node_modules/*`,
    'Copyright: the authors named in the LICENSE file of each library',
    'License: as-is-of-each-library',
    ' Each library lies there with its own LICENSE file, unchanged.',
    '',
  ];
  if (name === RUNTIME)
    own.push(
      `Files: ${HOME.slice(1)}/bin/node`,
      'Copyright: Node.js contributors, and those named in its licence',
      'License: Node.js',
      ` Its licence, with those of everything it carries, is in`,
      ` /usr/share/doc/${RUNTIME}/${NODE_LICENCE}.`,
      '',
    );
  return own.join('\n');
}

function stageRuntime(tree: Tree, parts: RuntimeParts, version: string): void {
  tree.copy(parts.node, `${HOME}/bin/node`, EXECUTABLE);
  const licence = `/usr/share/doc/${RUNTIME}/${NODE_LICENCE}`;
  writeGzip(tree.place(licence), readFileSync(parts.nodeLicence, 'utf8'));
  chmodSync(join(tree.dir, licence), PLAIN);
  const about = { name: 'meshsan', version, private: true, type: 'module' };
  tree.write(`${HOME}/package.json`, `${JSON.stringify(about, null, 2)}\n`);
  for (const folder of ['/etc/meshsan', '/var/lib/meshsan']) tree.folder(folder);
}

/** Every program prints its own page, from the tables of its help. */
function stageManuals(tree: Tree, root: string, manuals: PackageDefinition['manuals']): void {
  for (const [page, program] of Object.entries(manuals)) {
    const { stdout } = execaSync(process.execPath, [join(root, 'dist', `${program}.js`), '--man']);
    const path = `${MANUALS}/${page}.gz`;
    writeGzip(tree.place(path), `${stdout}\n`);
    chmodSync(join(tree.dir, path), PLAIN);
  }
}

function stagePython(tree: Tree, folder: string, version: string): void {
  for (const [path, text] of pythonFiles(folder, version)) tree.write(`${PYTHON}/${path}`, text);
  for (const [name, text] of pythonCommands(folder))
    tree.write(`/usr/bin/${name}`, text, EXECUTABLE);
}

/**
 * Makes the tree of a package.
 * @param runtime - given for the runtime only
 */
export function stagePackage(
  dir: string,
  definition: PackageDefinition,
  { files, modules, libraries }: Share,
  { root, version, epochSeconds }: StageFacts,
  runtime: RuntimeParts | null,
): void {
  const { name, commands, manuals, service, extras, links, python } = definition;
  const tree = new Tree(dir);
  for (const file of files) tree.copy(join(root, 'dist', file), `${HOME}/${file}`);
  for (const library of libraries)
    for (const file of filesBelow(join(modules, library)))
      tree.copy(join(modules, library, file), `${HOME}/node_modules/${library}/${file}`);
  if (runtime !== null) stageRuntime(tree, runtime, version);
  for (const [path, program] of Object.entries(commands))
    tree.write(path, wrapper(program), EXECUTABLE);
  for (const [path, target] of Object.entries(links)) symlinkSync(target, tree.place(path));
  stageManuals(tree, root, manuals);
  if (python !== null) stagePython(tree, join(root, python.from), version);
  for (const { from, to, executable } of extras)
    tree.copy(join(root, from), to, executable === true ? EXECUTABLE : PLAIN);
  const judged = join(root, FILES, 'lintian', name);
  if (existsSync(judged)) tree.copy(judged, `/usr/share/lintian/overrides/${name}`);
  if (service !== null)
    tree.copy(
      join(root, FILES, 'units', `${service.unit}.service`),
      `${UNITS}/${service.unit}.service`,
    );
  const documents = `/usr/share/doc/${name}`;
  tree.write(`${documents}/copyright`, copyright(name));
  writeGzip(tree.place(`${documents}/changelog.gz`), changelogText(version, epochSeconds));
  chmodSync(join(dir, documents, 'changelog.gz'), PLAIN);
}

/** The maintainer scripts of a package, from its own and those of its service. */
export function maintainerScripts(
  root: string,
  { name, service, scripts, purge, python }: PackageDefinition,
): Record<string, string> {
  const folder = join(root, FILES, 'maintainer');
  const sources: Partial<Record<string, string>> = {
    ...(service === null
      ? {}
      : { postinst: 'service.postinst', prerm: 'service.prerm', postrm: 'service.postrm' }),
    ...scripts,
  };
  const hasUser = service !== null && service.user !== null;
  const makeUser = hasUser ? readFileSync(join(folder, 'user.postinst'), 'utf8').trimEnd() : '';
  const deletes = purge === null ? '' : readFileSync(join(folder, purge), 'utf8').trimEnd();
  const compile =
    python === null ? '' : readFileSync(join(folder, 'python.postinst'), 'utf8').trimEnd();
  const clean = python === null ? '' : readFileSync(join(folder, 'python.prerm'), 'utf8').trimEnd();
  const texts: Record<string, string> = {};
  for (const [script, source] of Object.entries(sources))
    if (source !== undefined)
      texts[script] = readFileSync(join(folder, source), 'utf8')
        .replaceAll('@PURGE@', deletes)
        .replaceAll('@MAKE_USER@', makeUser)
        .replaceAll('@PYTHON_COMPILE@', compile)
        .replaceAll('@PYTHON_CLEAN@', clean)
        .replaceAll('@UNIT@', `${service?.unit ?? ''}.service`)
        .replaceAll('@USER@', service?.user ?? 'root')
        .replaceAll('@PACKAGE@', name);
  return texts;
}
