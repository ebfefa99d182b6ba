import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { TASK_IDS } from '../../../backend/deploy/plan/tasks.js';
import { readSettings } from '../../../backend/deploy/settings/read.js';
import { checkPlugin, nameClashes } from '../../../fuel-plugin/check.js';
import { emit } from '../../../fuel-plugin/emit.js';
import { FORMATS, folderOf } from '../../../fuel-plugin/model.js';
import type { Format } from '../../../fuel-plugin/model.js';
import { GOLDEN, PRODUCT } from './golden-folder.js';

const formatOf = (packageVersion: string): Format => {
  const found = FORMATS.find((format) => format.packageVersion === packageVersion);
  if (found === undefined) throw new Error(`no format ${packageVersion}`);
  return found;
};

for (const format of FORMATS) {
  test(`format ${format.packageVersion}: the same files as ever, byte by byte`, (t) => {
    const folder = join(GOLDEN, folderOf(format));
    const tree = emit(format, PRODUCT);
    const kept = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => statSync(join(folder, path)).isFile())
      .sort();
    t.deepEqual([...tree.keys()].sort(), kept);
    for (const [path, text] of tree) t.is(text, readFileSync(join(folder, path), 'utf8'), path);
  });

  test(`format ${format.packageVersion}: our own checks pass`, (t) => {
    t.deepEqual(checkPlugin(emit(format, PRODUCT), format), []);
  });

  test(`format ${format.packageVersion}: the defaults of its tab are settings that the deployer accepts`, (t) => {
    const { attributes } = parse(emit(format, PRODUCT).get('environment_config.yaml') ?? '') as {
      attributes: Record<string, { value: unknown }>;
    };
    const rows = Object.entries(attributes).filter(([name]) => name !== 'metadata');
    const values = Object.fromEntries(
      rows.map(([name, { value }]) => [name, typeof value === 'object' ? 'ab'.repeat(32) : value]),
    );
    const { faults, unknown } = readSettings(values);
    t.deepEqual([...faults, ...unknown], []);
  });
}

test('each format has a name of its own', (t) => {
  t.deepEqual(nameClashes(FORMATS), []);
  t.is(nameClashes([formatOf('2.0.0'), formatOf('2.0.0')]).length, 1);
});

test('every task of the deployer is a task of the plugin, in its order', (t) => {
  const legacy = parse(emit(formatOf('2.0.0'), PRODUCT).get('tasks.yaml') ?? '') as {
    stage: string;
    parameters: { cmd: string };
  }[];
  t.deepEqual(
    legacy.map(({ parameters }) => parameters.cmd.split(' ')[2]),
    ['host-check', ...TASK_IDS],
  );
  const numbers = legacy.slice(1).map(({ stage }) => Number(stage.split('/')[1]));
  t.deepEqual(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
  const graph = parse(emit(formatOf('5.0.0'), PRODUCT).get('deployment_tasks.yaml') ?? '') as {
    id: string;
  }[];
  t.deepEqual(
    graph.map(({ id }) => id),
    ['meshsan-storage', 'meshsan-host-check', ...TASK_IDS.map((id) => `meshsan-${id}`)],
  );
});

test('what Fuel does not look at is refused here', (t) => {
  const format = formatOf('5.0.0');
  const tree = emit(format, PRODUCT);
  const mutated = (path: string, from: RegExp | string, to: string): readonly string[] => {
    const before = tree.get(path) ?? '';
    const after = before.replace(from, to);
    t.not(after, before, `${path}: ${String(from)} must change something`);
    return checkPlugin(new Map(tree).set(path, after), format);
  };
  const tasks = 'deployment_tasks.yaml';
  const config = 'environment_config.yaml';
  const cases: readonly (readonly [string, RegExp | string, string, RegExp])[] = [
    [tasks, 'id: meshsan-mdm', 'id: meshsan-packages', /the task meshsan-packages is there twice/],
    [tasks, 'id: meshsan-mdm', 'id: globals', /the task globals is Fuel's own/],
    [tasks, '- meshsan-precheck', '- meshsan-prechek', /there is no task meshsan-prechek/],
    [tasks, /- meshsan-storage\n/, '- meshsan-storag\n', /the role meshsan-storag is not defined/],
    [tasks, 'id: meshsan-storage', 'id: meshsan-other', /has no task of type group/],
    [tasks, 'bash meshsan.sh mdm', 'bash other.sh mdm', /the script other.sh is missing/],
    [tasks, 'bash meshsan.sh mdm', 'rm -rf /', /must be bash SCRIPT VERB/],
    [tasks, / {4}timeout: \d+\n/, '', /has no timeout/],
    [tasks, 'version: 2.1.0', 'version: 1.0.0', /must have a version from 2.0.0 on/],
    [
      tasks,
      /requires:\n( +)- pre_deployment_start/,
      'requires:\n$1- meshsan-host-check',
      /tasks wait for each other/,
    ],
    [config, 'spare_percent:', 'spare_percentage:', /does not read the setting spare_percentage/],
    [config, 'settings:meshsan.existing_cluster', 'settings:meshsan.existing', /names no setting/],
    [config, /value: "10"/, 'value: "91"', /its default "91" does not match its pattern/],
    [config, /value: "10"/, 'value: 10', /must be string,boolean,object/],
    [config, /source: \^/, 'source: ^(', /its pattern is wrong/],
    [config, /weight: 20\n/, 'weight: 10\n', /two settings have the same weight/],
    [config, /value: media\n/, 'value: medium\n', /its default is not among its values/],
    ['metadata.yaml', /version: 9\.0\.0/, 'version: 9.0-rc1', /must look like 1.2.3/],
    ['metadata.yaml', /os: ubuntu/, 'os: plan9', /must be equal to one of the allowed values/],
  ];
  for (const [path, from, to, expected] of cases)
    t.regex(mutated(path, from, to).join('\n'), expected);
  t.regex(
    checkPlugin(new Map(tree).set('node_modules/x.js', ''), format).join(),
    /node_modules\/x.js does not belong/,
  );
  const short = new Map([...tree].filter(([path]) => path !== 'volumes.yaml'));
  t.regex(checkPlugin(short, format).join(), /volumes.yaml is missing/);
});
