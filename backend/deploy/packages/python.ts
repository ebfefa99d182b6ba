// The files of a Python package as Debian's Python finds them: modules, and the metadata with the entry points that
// pyproject.toml declares. It must never run the package's code.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';
import { execaSync } from 'execa';
import { filesBelow } from './libraries.js';

interface Project {
  readonly name: string;
  readonly description: string;
  readonly scripts: Readonly<Record<string, string>>;
  readonly 'entry-points': Readonly<Record<string, Readonly<Record<string, string>>>>;
}

interface Document {
  readonly project: Project;
  readonly tool: { readonly setuptools: { readonly packages: readonly string[] } };
}

const TEXT = { type: 'string' } as const;
const TABLE = { type: 'object', additionalProperties: TEXT, required: [], default: {} } as const;
const SCHEMA = {
  type: 'object',
  properties: {
    project: {
      type: 'object',
      properties: {
        ...{ name: TEXT, description: TEXT, scripts: TABLE },
        'entry-points': { type: 'object', additionalProperties: TABLE, required: [], default: {} },
      },
      required: ['name', 'description'],
    },
    tool: {
      type: 'object',
      properties: {
        setuptools: {
          type: 'object',
          properties: { packages: { type: 'array', items: TEXT, minItems: 1 } },
          required: ['packages'],
        },
      },
      required: ['setuptools'],
    },
  },
  required: ['project', 'tool'],
} as unknown as JSONSchemaType<Document>;

/** Debian's Python reads the form; nothing else in the build needs a parser for it. */
const TO_JSON = 'import json,sys,tomllib;print(json.dumps(tomllib.load(open(sys.argv[1],"rb"))))';

function readProject(path: string): Document {
  const { stdout } = execaSync('/usr/bin/python3', ['-I', '-c', TO_JSON, path]);
  const value: unknown = JSON.parse(stdout);
  const valid = new Ajv({ useDefaults: true }).compile(SCHEMA);
  if (valid(value)) return value;
  const [first] = valid.errors ?? [];
  throw new Error(`${path}: ${first?.instancePath ?? ''} ${first?.message ?? 'is wrong'}`);
}

/** Entry points in the form of entry_points.txt. */
function entryPoints({ scripts, 'entry-points': groups }: Project): string {
  const all = {
    ...groups,
    ...(Object.keys(scripts).length > 0 ? { console_scripts: scripts } : {}),
  };
  const sections = Object.entries(all).map(
    ([group, entries]) =>
      `[${group}]\n${Object.entries(entries)
        .map(([name, target]) => `${name} = ${target}\n`)
        .join('')}`,
  );
  return sections.join('\n');
}

/**
 * What goes into the folder of modules.
 * @param folder - with pyproject.toml
 * @param version - of the Debian package; Python knows the part before "+" and "~"
 * @returns texts by path
 */
export function pythonFiles(folder: string, version: string): Map<string, string> {
  const { project, tool } = readProject(join(folder, 'pyproject.toml'));
  const files = new Map<string, string>();
  for (const name of tool.setuptools.packages)
    for (const file of filesBelow(join(folder, name)))
      if (file.endsWith('.py'))
        files.set(join(name, file), readFileSync(join(folder, name, file), 'utf8'));
  const plain = version.replace(/[+~].*$/, '');
  const about = `${project.name.replaceAll('-', '_')}-${plain}.dist-info`;
  const metadata = [
    'Metadata-Version: 2.1',
    `Name: ${project.name}`,
    `Version: ${plain}`,
    `Summary: ${project.description}`,
    'License: Apache-2.0',
    '',
  ].join('\n');
  files.set(join(about, 'METADATA'), metadata);
  files.set(join(about, 'INSTALLER'), 'dpkg\n');
  files.set(join(about, 'entry_points.txt'), entryPoints(project));
  return files;
}

/** The commands that a Python package declares, as scripts. */
export function pythonCommands(folder: string): Map<string, string> {
  const { project } = readProject(join(folder, 'pyproject.toml'));
  return new Map(
    Object.entries(project.scripts).map(([name, target]) => {
      const [module = '', call = ''] = target.split(':');
      return [
        name,
        `#!/usr/bin/python3\nimport sys\nfrom ${module} import ${call}\nsys.exit(${call}())\n`,
      ];
    }),
  );
}
