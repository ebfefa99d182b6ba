// Checks an emitted plugin for what Fuel's own builder does not look at, and for the shapes that it words badly: the graph
// of tasks, roles, scripts, settings, conditions, patterns. It must never repair.

import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { SETTINGS } from '../backend/deploy/settings/table.js';
import { PLUGIN_NAME } from '../backend/deploy/environment/astute.js';
import type { Format, Tree } from './model.js';

/** Tasks and stages of Fuel that ours may hang on. */
const ANCHORS: ReadonlySet<string> = new Set([
  ...['pre_deployment_start', 'pre_deployment_end', 'deploy_start', 'deploy_end'],
  ...['post_deployment_start', 'post_deployment_end'],
  ...['hiera', 'setup_repositories', 'fuel_pkgs', 'globals', 'tools', 'logging', 'netconfig'],
  ...['hosts', 'firewall'],
]);
const CORE_ROLES = ['primary-controller', 'controller', 'compute', 'cinder'];
const FILES: Readonly<Record<string, readonly string[]>> = {
  '2.0.0': ['tasks.yaml'],
  '3.0.0': ['deployment_tasks.yaml', 'node_roles.yaml', 'volumes.yaml'],
  '4.0.0': ['components.yaml', 'deployment_tasks.yaml', 'node_roles.yaml', 'volumes.yaml'],
  '5.0.0': [
    ...['components.yaml', 'deployment_tasks.yaml', 'node_config.yaml', 'node_roles.yaml'],
    'volumes.yaml',
  ],
};
const STRICT_VERSION = /^\d+\.\d+(\.\d+)?([ab]\d+)?$/;
const COMMAND = /^bash ([A-Za-z0-9_.-]+\.sh) [a-z-]+$/;
const SETTING_PATH = /settings:([a-z_]+)\.([a-z_]+)\.value/g;
const FILE_BYTES_MAX = 256 * 1024;

interface Task {
  readonly id?: string;
  readonly type: string;
  readonly version?: string;
  readonly stage?: string;
  readonly role: readonly string[];
  readonly requires?: readonly string[];
  readonly required_for?: readonly string[];
  readonly 'cross-depends'?: readonly { readonly name: string; readonly role: readonly string[] }[];
  readonly parameters?: { readonly cmd?: string; readonly timeout?: number };
}

interface Attribute {
  readonly type: string;
  readonly value: unknown;
  readonly values?: readonly { readonly data: unknown }[];
  readonly regex?: { readonly source: string; readonly error: string };
}

const NAMES = { type: 'array', minItems: 1, uniqueItems: true, items: { type: 'string' } };
const TASK = {
  type: 'object',
  required: ['type', 'role'],
  properties: {
    id: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' },
    role: NAMES,
    requires: NAMES,
    required_for: NAMES,
    version: { type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+$' },
    reexecute_on: { const: ['deploy_changes'] },
    stage: { type: 'string', pattern: '^(pre|post)_deployment(/-?\\d+)?$' },
    parameters: {
      type: 'object',
      properties: {
        cmd: { type: 'string' },
        timeout: { type: 'integer', minimum: 1 },
        retries: { type: 'integer', minimum: 0 },
        interval: { type: 'integer', minimum: 0 },
      },
    },
  },
};
const SHAPES: Readonly<Record<string, object>> = {
  'metadata.yaml': {
    type: 'object',
    required: [
      ...['name', 'title', 'version', 'description', 'fuel_version', 'licenses', 'authors'],
      ...['homepage', 'groups', 'package_version', 'releases'],
    ],
    properties: {
      name: { const: PLUGIN_NAME },
      fuel_version: NAMES,
      releases: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          required: ['os', 'version', 'mode', 'deployment_scripts_path', 'repository_path'],
          properties: { os: { enum: ['ubuntu', 'centos'] }, mode: NAMES },
        },
      },
    },
  },
  'environment_config.yaml': {
    type: 'object',
    required: ['attributes'],
    properties: {
      attributes: {
        type: 'object',
        required: ['metadata'],
        properties: {
          metadata: { type: 'object', required: ['label', 'weight', 'toggleable'] },
        },
        additionalProperties: {
          type: 'object',
          required: ['type', 'label', 'weight', 'value'],
          properties: {
            type: {
              enum: ['text', 'textarea', 'password', 'checkbox', 'select', 'radio', 'hidden'],
            },
            label: { type: 'string', minLength: 1 },
            weight: { type: 'integer' },
            value: { type: ['string', 'boolean', 'object'] },
            values: {
              type: 'array',
              minItems: 1,
              items: {
                type: 'object',
                required: ['data', 'label'],
                properties: { data: { type: 'string' }, label: { type: 'string' } },
              },
            },
            restrictions: { type: 'array', minItems: 1 },
          },
        },
      },
    },
  },
  'tasks.yaml': {
    type: 'array',
    minItems: 1,
    items: { ...TASK, required: ['type', 'role', 'stage', 'parameters'] },
  },
  'deployment_tasks.yaml': {
    type: 'array',
    minItems: 1,
    items: { ...TASK, required: ['id', 'type', 'role'] },
  },
};

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true });
const SHAPE_CHECKS = Object.entries(SHAPES).map(
  ([file, schema]) => [file, ajv.compile(schema)] as const,
);

function checkShapes(tree: Tree): string[] {
  return SHAPE_CHECKS.flatMap(([file, validate]) => {
    const text = tree.get(file);
    if (text === undefined || validate(parse(text))) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message }) =>
        `${file}: ${instancePath || 'the file'} ${message ?? 'is wrong'}`,
    );
  });
}

function checkFiles(tree: Tree, format: Format): string[] {
  const script = 'deployment_scripts/meshsan.sh';
  const wanted = [
    ...['environment_config.yaml', 'metadata.yaml', script, 'repositories/ubuntu/.gitkeep'],
    ...(FILES[format.packageVersion] ?? []),
  ];
  const present = [...tree.keys()];
  return [
    ...wanted.filter((path) => !tree.has(path)).map((path) => `${path} is missing`),
    ...present
      .filter((path) => !wanted.includes(path))
      .map((path) => `${path} does not belong in a plugin of format ${format.packageVersion}`),
    ...[...tree]
      .filter(([, text]) => Buffer.byteLength(text) > FILE_BYTES_MAX)
      .map(([path]) => `${path} is too large`),
  ];
}

function checkRoles(tasks: readonly Task[], own: readonly string[]): string[] {
  const known = [...CORE_ROLES, ...own];
  return tasks.flatMap((task) => {
    const name = task.id ?? task.parameters?.cmd ?? '?';
    const roles = [...task.role, ...(task['cross-depends'] ?? []).flatMap(({ role }) => role)];
    return roles
      .filter((role) => !known.includes(role))
      .map((role) => `task ${name}: the role ${role} is not defined`);
  });
}

function checkCommands(tasks: readonly Task[], tree: Tree): string[] {
  return tasks
    .filter(({ type }) => type === 'shell')
    .flatMap(({ id, parameters }) => {
      const command = parameters?.cmd ?? '';
      const faults: string[] = [];
      const script = COMMAND.exec(command)?.[1];
      if (script === undefined)
        faults.push(`task ${id ?? '?'}: the command "${command}" must be bash SCRIPT VERB`);
      else if (!tree.has(`deployment_scripts/${script}`))
        faults.push(`task ${id ?? '?'}: the script ${script} is missing`);
      if (parameters?.timeout === undefined) faults.push(`task ${id ?? '?'} has no timeout`);
      return faults;
    });
}

/** A task that comes back to itself, following `requires`; null: there is none. */
function cycleIn(tasks: readonly Task[]): string | null {
  const before = new Map(tasks.map((task) => [task.id ?? '', task.requires ?? []]));
  const done = new Set<string>();
  const visit = (id: string, path: readonly string[]): string | null => {
    if (path.includes(id)) return [...path.slice(path.indexOf(id)), id].join(' after ');
    if (done.has(id)) return null;
    for (const next of before.get(id) ?? []) {
      const found = visit(next, [...path, id]);
      if (found !== null) return found;
    }
    done.add(id);
    return null;
  };
  for (const id of before.keys()) {
    const found = visit(id, []);
    if (found !== null) return found;
  }
  return null;
}

function checkGraph(tasks: readonly Task[], format: Format, own: readonly string[]): string[] {
  const ids = tasks.map(({ id }) => id ?? '');
  const known = new Set([...ids, ...ANCHORS]);
  const faults = ids
    .filter((id, index) => ids.indexOf(id) !== index)
    .map((id) => `the task ${id} is there twice`);
  faults.push(...ids.filter((id) => ANCHORS.has(id)).map((id) => `the task ${id} is Fuel's own`));
  for (const task of tasks) {
    const names = [
      ...(task.requires ?? []),
      ...(task.required_for ?? []),
      ...(task['cross-depends'] ?? []).map(({ name }) => name),
    ];
    for (const name of names)
      if (!known.has(name)) faults.push(`task ${task.id ?? '?'}: there is no task ${name}`);
    if (format.crossNode && task.type === 'shell' && !/^[2-9]\./.test(task.version ?? ''))
      faults.push(`task ${task.id ?? '?'} must have a version from 2.0.0 on`);
  }
  const cycle = cycleIn(tasks);
  if (cycle !== null) faults.push(`tasks wait for each other: ${cycle}`);
  for (const role of own)
    if (!tasks.some(({ id, type }) => id === role && type === 'group'))
      faults.push(`the role ${role} has no task of type group with its name`);
  return faults;
}

function checkPattern(name: string, { type, value, regex }: Attribute): string[] {
  if (regex === undefined) return [];
  try {
    const pattern = new RegExp(regex.source);
    if (!regex.source.startsWith('^') || !regex.source.endsWith('$'))
      return [`setting ${name}: its pattern must match the whole value`];
    return type !== 'hidden' && typeof value === 'string' && !pattern.test(value)
      ? [`setting ${name}: its default "${value}" does not match its pattern`]
      : [];
  } catch (error) {
    return [`setting ${name}: its pattern is wrong: ${(error as Error).message}`];
  }
}

function checkSettings(text: string): string[] {
  const { attributes } = parse(text) as { attributes: Record<string, Attribute> };
  const own = Object.fromEntries(
    Object.entries(attributes).filter(([name]) => name !== 'metadata'),
  );
  const names = Object.keys(own);
  const wanted = Object.keys(SETTINGS);
  const weights = new Set(
    Object.values(attributes).map((row) => (row as { weight?: number }).weight),
  );
  return [
    ...names
      .filter((name) => !wanted.includes(name))
      .map((name) => `the deployer does not read the setting ${name}`),
    ...wanted
      .filter((name) => !names.includes(name))
      .map((name) => `the setting ${name} is missing`),
    ...Object.entries(own).flatMap(([name, row]) => checkPattern(name, row)),
    ...Object.entries(own).flatMap(([name, { values, value }]) =>
      values === undefined || values.some(({ data }) => data === value)
        ? []
        : [`setting ${name}: its default is not among its values`],
    ),
    ...(weights.size < names.length ? ['two settings have the same weight'] : []),
  ];
}

/** Every `settings:` in a condition must name something of ours that is there. */
function checkConditions(tree: Tree): string[] {
  return [...tree].flatMap(([path, text]) =>
    [...text.matchAll(SETTING_PATH)].flatMap(([whole, plugin, name = '']) =>
      plugin === PLUGIN_NAME && !Object.hasOwn(SETTINGS, name)
        ? [`${path}: ${whole} names no setting`]
        : [],
    ),
  );
}

/** Everything that is wrong with a plugin; empty: it is good. */
export function checkPlugin(tree: Tree, format: Format): string[] {
  const faults = [...checkFiles(tree, format), ...checkShapes(tree)];
  if (faults.length > 0) return faults;
  const { version, package_version: packageVersion } = parse(tree.get('metadata.yaml') ?? '') as {
    version: string;
    package_version: string;
  };
  if (!STRICT_VERSION.test(version)) faults.push(`the version ${version} must look like 1.2.3`);
  if (packageVersion !== format.packageVersion)
    faults.push(`package_version must be ${format.packageVersion}, is ${packageVersion}`);
  const roles = Object.keys(parse(tree.get('node_roles.yaml') ?? '{}') as object);
  const tasks = parse(
    tree.get('tasks.yaml') ?? tree.get('deployment_tasks.yaml') ?? '[]',
  ) as Task[];
  return [
    ...faults,
    ...checkRoles(tasks, roles),
    ...checkCommands(tasks, tree),
    ...(format.graph ? checkGraph(tasks, format, roles) : []),
    ...checkSettings(tree.get('environment_config.yaml') ?? ''),
    ...checkConditions(tree),
  ];
}

/** Formats whose RPMs would have the same name. */
export function nameClashes(formats: readonly Format[]): string[] {
  const names = formats.map(({ version }) => version.split('.').slice(0, 2).join('.'));
  return names
    .filter((name, index) => names.indexOf(name) !== index)
    .map((name) => `two formats have the version ${name}, so their packages would have one name`);
}
