// The RPM by which Fuel's master installs a plugin, from a plugin's folder: the same layout that Fuel's own builder makes,
// with rpmbuild. It must never change the folder, nor judge the plugin: its checks are those of whoever wrote it.

import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';
import { execa } from 'execa';
import { parse } from 'yaml';
import { indexRepository } from './deb.js';
import { filesBelow } from './libraries.js';

/** Where Fuel's master looks for plugins. */
const PLUGINS = '/var/www/nailgun/plugins';

interface Metadata {
  readonly name: string;
  readonly version: string;
  readonly title: string;
  readonly description: string;
  readonly homepage: string;
  readonly licenses: readonly string[];
  readonly authors: readonly string[];
  readonly build_version: string;
}

const TEXT = { type: 'string', minLength: 1, maxLength: 4096 } as const;
const TEXTS = { type: 'array', items: TEXT, minItems: 1 } as const;
const METADATA: JSONSchemaType<Metadata> = {
  type: 'object',
  properties: {
    name: { type: 'string', pattern: '^[a-z0-9_-]+$' },
    version: { type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+$' },
    ...{ title: TEXT, description: TEXT, homepage: TEXT, licenses: TEXTS, authors: TEXTS },
    build_version: { type: 'string', pattern: '^[0-9A-Za-z.]+$', default: '1' },
  },
  required: ['name', 'version', 'title', 'description', 'homepage', 'licenses', 'authors'],
};
/** Scripts of a plugin that run on the master, by the section of the RPM. */
const HOOKS = { pre: 'pre_install.sh', post: 'post_install.sh', preun: 'uninstall.sh' } as const;

function readMetadata(folder: string): Metadata {
  const path = join(folder, 'metadata.yaml');
  if (!existsSync(path)) throw new Error(`${folder} is no plugin: it has no metadata.yaml`);
  const value: unknown = parse(readFileSync(path, 'utf8'));
  const valid = new Ajv({ useDefaults: true }).compile(METADATA);
  if (valid(value)) return value;
  const [first] = valid.errors ?? [];
  throw new Error(`${path}: ${first?.instancePath ?? ''} ${first?.message ?? 'is wrong'}`);
}

/** Text in which rpm sees no macro. */
const literal = (text: string): string => text.replaceAll('%', '%%');
const oneLine = (text: string): string => literal(text.replaceAll(/\s+/g, ' ').trim());

/**
 * The spec file of a plugin. Its name holds the first two numbers of the version: Fuel keeps plugins that differ there
 * beside each other, and upgrades the others in place.
 * @param hooks - texts of the scripts that run on the master, by section
 */
export function pluginSpec(about: Metadata, hooks: Readonly<Record<string, string>>): string {
  const { name, version, build_version: release } = about;
  const full = `${name}-${version.split('.').slice(0, 2).join('.')}`;
  const sections = Object.entries(hooks).map(([section, text]) =>
    section === 'preun'
      ? `%${section}\nif [ "$1" = 0 ]; then\n${literal(text).trimEnd()}\nfi\n`
      : `%${section}\n${literal(text)}`,
  );
  return `%define _binary_payload w6.gzdio
%define __os_install_post %{nil}
%define _build_id_links none
Name: ${full}
Version: ${version}
Release: ${release}
Summary: ${oneLine(about.title)}
License: ${oneLine(about.licenses.join(' and '))}
URL: ${oneLine(about.homepage)}
Vendor: ${oneLine(about.authors.join(', '))}
Group: Development/Libraries
BuildArch: noarch
AutoReqProv: no
Source0: ${full}.tar.gz

%description
${literal(about.description.trim())}

%prep
%setup -q -c -n ${full}

%install
mkdir -p %{buildroot}${PLUGINS}/${full}
cp -r . %{buildroot}${PLUGINS}/${full}/

${sections.join('\n')}
%files
%defattr(-,root,root,-)
${PLUGINS}/${full}
`;
}

function readHooks(folder: string): Record<string, string> {
  const found = Object.entries(HOOKS)
    .map(([section, file]) => [section, join(folder, file)] as const)
    .filter(([, path]) => existsSync(path));
  return Object.fromEntries(
    found.map(([section, path]) => [section, readFileSync(path, 'utf8').replace(/^#!.*\n/, '')]),
  );
}

/** SHA-1 of every file, as the builder's list has it. */
function writeChecksums(folder: string): void {
  const lines = filesBelow(folder).map((file) => {
    const digest = createHash('sha1')
      .update(readFileSync(join(folder, file)))
      .digest('hex');
    return `${digest} ${file}\n`;
  });
  writeFileSync(join(folder, 'checksums.sha1'), lines.join(''));
}

/**
 * Builds the RPM of a plugin.
 * @param folder - of the plugin; names that begin with a dot are left out
 * @param outDir - where the RPM goes
 * @returns its file name
 * @throws Error when the folder is no plugin, or rpmbuild refuses
 */
export async function buildPluginRpm(folder: string, outDir: string): Promise<string> {
  const about = readMetadata(folder);
  const work = mkdtempSync(join(tmpdir(), 'meshsan-rpm-'));
  try {
    const source = join(work, 'source');
    cpSync(folder, source, {
      recursive: true,
      filter: (path) => path === folder || !basename(path).startsWith('.'),
    });
    const repository = join(source, 'repositories', 'ubuntu');
    if (existsSync(repository)) await indexRepository(repository, about.version);
    writeChecksums(source);
    for (const name of ['SOURCES', 'SPECS']) mkdirSync(join(work, name));
    const spec = pluginSpec(about, readHooks(folder));
    const [, full = ''] = /^Name: (.*)$/m.exec(spec) ?? [];
    const tar = ['--sort=name', '--owner=0', '--group=0', '-czf'];
    await execa('tar', [...tar, join(work, 'SOURCES', `${full}.tar.gz`), '-C', source, '.']);
    writeFileSync(join(work, 'SPECS', 'plugin.spec'), spec);
    const define = `_topdir ${work}`;
    await execa('rpmbuild', [
      '--quiet',
      '--define',
      define,
      '-bb',
      join(work, 'SPECS/plugin.spec'),
    ]);
    const built = join(work, 'RPMS', 'noarch');
    const [file] = readdirSync(built);
    if (file === undefined) throw new Error(`rpmbuild made no package of ${folder}`);
    mkdirSync(outDir, { recursive: true });
    cpSync(join(built, file), join(outDir, file));
    return file;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The plugins' folders below one folder, or that one itself. */
export function pluginFolders(folder: string): string[] {
  if (existsSync(join(folder, 'metadata.yaml'))) return [folder];
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((name) => join(folder, name))
    .filter((path) => existsSync(join(path, 'metadata.yaml')));
}
