// Builds all packages of one version into a folder that is a flat apt repository with a manifest. It owns the order of the
// steps; the folder is replaced as a whole, so that it never holds packages of two builds.

import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { VERSION_MAX } from '../../protocol/generated/constants.js';
import { closureOf, divide, librariesOf } from './closure.js';
import { buildDeb, indexRepository } from './deb.js';
import { PACKAGES, RUNTIME } from './definitions.js';
import type { PackageDefinition } from './definitions.js';
import { filesBelow, libraries } from './libraries.js';
import { higherVersion, isElf, lowestGlibc, sharedLibraries } from './native.js';
import { NODE, nodeRelease } from './node-runtime.js';
import type { NodeRelease } from './node-runtime.js';
import { maintainerScripts, stagePackage } from './stage.js';
import type { Share, StageFacts } from './stage.js';

/** A row of manifest.json. */
export interface ManifestPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly glibcMin: string;
}

export interface Manifest {
  readonly version: string;
  /** Newest protocol version that its programs speak; left out by 0.1.0, which speaks 1. */
  readonly protocolMax: number;
  readonly node: string;
  readonly glibcMin: string;
  readonly packages: readonly ManifestPackage[];
}

export interface BuildOptions {
  /** Of the repository; dist/ is up to date. */
  readonly root: string;
  readonly outDir: string;
  readonly version: string;
  readonly say: (text: string) => void;
}

/** The time of the newest commit, so that the same commit makes the same packages; without git the time of package.json. */
async function epochOf(root: string): Promise<number> {
  const { stdout, exitCode } = await execa('git', ['log', '-1', '--format=%ct'], {
    cwd: root,
    reject: false,
  });
  if (exitCode === 0 && /^\d+$/.test(stdout)) return Number(stdout);
  return Math.floor(statSync(join(root, 'package.json')).mtimeMs / 1000);
}

/** What every package holds. */
function shares(root: string, modules: string): Map<string, Share> {
  const output = join(root, 'dist');
  const files = new Map<string, ReadonlySet<string>>();
  const libraries = new Map<string, ReadonlySet<string>>();
  for (const { name, programs, assets } of PACKAGES) {
    const entries = programs.map((program) => `${program}.js`);
    const closure = closureOf(output, entries);
    const read = assets.flatMap((folder) =>
      filesBelow(join(output, folder)).map((file) => join(folder, file)),
    );
    files.set(name, new Set([...closure.files, ...read]));
    libraries.set(name, librariesOf(modules, closure.libraries));
  }
  const ownFiles = divide(files, RUNTIME);
  const ownLibraries = divide(libraries, RUNTIME);
  return new Map(
    PACKAGES.map(({ name }) => [
      name,
      { files: ownFiles.get(name) ?? [], modules, libraries: ownLibraries.get(name) ?? [] },
    ]),
  );
}

interface Native {
  /** Lowest glibc of the package with the runtime below it. */
  readonly glibcMin: string;
  /** Shared libraries of the system. */
  readonly depends: readonly string[];
  readonly isNative: boolean;
}

/** What the native files of a package ask of the system. */
async function nativeFacts(
  { modules, libraries }: Share,
  node: string | null,
  glibcBelow: string,
): Promise<Native> {
  const natives = libraries
    .flatMap((library) => filesBelow(join(modules, library)).map((file) => join(library, file)))
    .map((file) => join(modules, file))
    .filter(isElf);
  const files = [...(node === null ? [] : [node]), ...natives];
  const own = await lowestGlibc(files);
  return {
    glibcMin: own === null ? glibcBelow : higherVersion(own, glibcBelow),
    depends: await sharedLibraries(files),
    isNative: files.length > 0,
  };
}

function describe(outDir: string, file: string, glibcMin: string): ManifestPackage {
  const content = readFileSync(join(outDir, file));
  const [name = '', version = '', architecture = ''] = basename(file, '.deb').split('_');
  return {
    ...{ name, version, architecture, file },
    sha256: createHash('sha256').update(content).digest('hex'),
    bytes: content.length,
    glibcMin,
  };
}

async function buildOne(
  definition: PackageDefinition,
  share: Share,
  facts: StageFacts,
  native: Native,
  release: NodeRelease,
  dirs: { readonly work: string; readonly out: string },
): Promise<string> {
  const { name, summary, about, depends, recommends, service } = definition;
  const isRuntime = name === RUNTIME;
  const tree = join(dirs.work, name);
  const runtime = { node: release.binary, nodeLicence: release.licence };
  stagePackage(tree, definition, share, facts, isRuntime ? runtime : null);
  const base = isRuntime ? [] : [`${RUNTIME} (= ${facts.version})`];
  // Packages of ours are of one version on a node.
  const own = depends.map((item) =>
    item.startsWith('meshsan-') ? `${item} (= ${facts.version})` : item,
  );
  const helpers = service === null ? [] : ['init-system-helpers (>= 1.54~)'];
  // A file that several packages need is in the runtime's; from one release to another it may move there, or from there.
  const replaces = PACKAGES.map((other) => other.name).filter((other) => other !== name);
  const users = typeof service?.user === 'string' ? ['adduser'] : [];
  return buildDeb({
    tree,
    control: {
      ...{ name, version: facts.version, summary, about, recommends, replaces },
      architecture: native.isNative ? 'amd64' : 'all',
      depends: [...base, ...native.depends, ...own, ...users, ...helpers],
    },
    scripts: maintainerScripts(facts.root, definition),
    epochSeconds: facts.epochSeconds,
    outDir: dirs.out,
  });
}

/** Builds everything; `outDir` is replaced. */
export async function buildPackages(options: BuildOptions): Promise<Manifest> {
  const { root, outDir, version, say } = options;
  const cache = join(root, 'dist', '.packages-cache');
  const release = await nodeRelease(cache);
  const modules = await libraries(root, cache);
  const held = shares(root, modules);
  const facts = { root, version, epochSeconds: await epochOf(root) };
  const work = mkdtempSync(join(tmpdir(), 'meshsan-packages-'));
  const fresh = `${outDir}.new`;
  try {
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    const rows: ManifestPackage[] = [];
    for (const definition of PACKAGES) {
      const { name } = definition;
      const share = held.get(name) ?? { files: [], modules, libraries: [] };
      const below = rows[0]?.glibcMin ?? '0';
      const native = await nativeFacts(share, name === RUNTIME ? release.binary : null, below);
      const dirs = { work, out: fresh };
      const file = await buildOne(definition, share, facts, native, release, dirs);
      rows.push(describe(fresh, file, native.glibcMin));
      const { files, libraries: own } = share;
      say(`${file}: ${files.length} files, ${own.length} libraries, glibc ${native.glibcMin}`);
    }
    await indexRepository(fresh, version);
    const glibcMin = rows.map((row) => row.glibcMin).reduce(higherVersion);
    const manifest: Manifest = {
      ...{ version, protocolMax: VERSION_MAX, node: NODE.version, glibcMin },
      packages: rows,
    };
    writeFileSync(join(fresh, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    mkdirSync(dirname(outDir), { recursive: true });
    rmSync(outDir, { recursive: true, force: true });
    renameSync(fresh, outDir);
    return manifest;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
