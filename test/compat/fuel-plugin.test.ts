// The emitted plugins before a foreign judge: Fuel's own plugin builder, unmodified.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { emit } from '../../fuel-plugin/emit.js';
import { FORMATS, folderOf } from '../../fuel-plugin/model.js';
import type { Tree } from '../../fuel-plugin/model.js';
import { HERE, pythonClient } from './clients.js';

const PRODUCT = { version: '1.2.3', glibcMin: '2.34' };
const home = mkdtempSync(path.join(tmpdir(), 'meshsan-fuel-'));
test.after.always(() => {
  rmSync(home, { recursive: true, force: true });
});

function write(name: string, tree: Tree): string {
  const folder = path.join(home, name);
  for (const [file, text] of tree) {
    const target = path.join(folder, file);
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  return folder;
}

async function verdict(folder: string): Promise<string> {
  const python = await pythonClient('fuel-plugin-builder.txt', () => undefined);
  const judge = path.join(HERE, 'python', 'fuel_plugin_judge.py');
  const { stdout, stderr } = await execa(python, [judge, folder], {
    reject: false,
    stdin: 'ignore',
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  });
  return `${stdout}${stderr}`;
}

for (const format of FORMATS)
  test.serial(`Fuel's builder accepts format ${format.packageVersion}`, async (t) => {
    t.timeout(300_000);
    t.is(await verdict(write(folderOf(format), emit(format, PRODUCT))), 'Plugin is valid');
  });

test.serial('it is awake: a number as a value, and a missing file, are refused', async (t) => {
  t.timeout(300_000);
  const [format] = FORMATS;
  if (format === undefined) throw new Error('there is no format');
  const tree = emit(format, PRODUCT);
  const config = tree.get('environment_config.yaml') ?? '';
  const number = new Map(tree).set(
    'environment_config.yaml',
    config.replace(/value: "10"/, 'value: 10'),
  );
  t.notRegex(await verdict(write('number', number)), /Plugin is valid/);
  const short = new Map([...tree].filter(([file]) => file !== 'tasks.yaml'));
  t.notRegex(await verdict(write('short', short)), /Plugin is valid/);
});
