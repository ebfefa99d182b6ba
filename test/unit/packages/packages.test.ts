// The parts of the package build that decide something: which file goes where, which glibc is needed, what dpkg is told.

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import test from 'ava';
import { execaSync } from 'execa';
import {
  closureOf,
  divide,
  importsOf,
  librariesOf,
} from '../../../backend/deploy/packages/closure.js';
import { changelogText, controlText } from '../../../backend/deploy/packages/deb.js';
import { PACKAGES } from '../../../backend/deploy/packages/definitions.js';
import { glibcIn, higherVersion } from '../../../backend/deploy/packages/native.js';
import { pluginSpec } from '../../../backend/deploy/packages/plugin-rpm.js';
import { pythonCommands, pythonFiles } from '../../../backend/deploy/packages/python.js';
import { maintainerScripts } from '../../../backend/deploy/packages/stage.js';
import { helpText, manPage } from '../../../backend/runtime/manual.js';
import type { Manual } from '../../../backend/runtime/manual.js';

const ROOT = join(import.meta.dirname, '..', '..', '..', '..');
const FILES = join(ROOT, 'backend', 'deploy', 'packages', 'files');
const scratch = mkdtempSync(join(tmpdir(), 'meshsan-packages-'));
test.after.always(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function write(folder: string, files: Readonly<Record<string, string>>): string {
  const home = join(scratch, folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), content);
  }
  return home;
}

test('every form of import is seen, and nothing else', (t) => {
  const source = [
    "import { a } from './a.js';",
    "import {\n  b,\n  c,\n} from '../b.js';",
    "import './c.js';",
    "export { d } from './d.js';",
    "const e = await import('./e.js');",
    "const text = 'a word from ./f.js';",
    "import ajv from 'ajv';",
  ].join('\n');
  t.deepEqual(importsOf(source).sort(), ['../b.js', './a.js', './c.js', './d.js', './e.js', 'ajv']);
});

test('files that one package needs go there, all others to the shared one', (t) => {
  const output = write('closure', {
    'bin/one.js': "import '../one/own.js';\nimport 'node:fs';\nimport '@x/lib/inner';\n",
    'bin/two.js': "import '../both.js';\n",
    'bin/base.js': "import '../base.js';\n",
    'one/own.js': "import '../both.js';\n",
    'both.js': '',
    'base.js': '',
    'nobody.js': '',
  });
  const closures = { one: 'bin/one.js', two: 'bin/two.js', base: 'bin/base.js' };
  const found = Object.entries(closures).map(
    ([name, entry]) => [name, closureOf(output, [entry])] as const,
  );
  t.deepEqual([...(found[0]?.[1].libraries ?? [])], ['@x/lib']);
  const divided = divide(new Map(found.map(([name, { files }]) => [name, files])), 'base');
  t.deepEqual(Object.fromEntries(divided), {
    one: ['bin/one.js', 'one/own.js'],
    two: ['bin/two.js'],
    base: ['base.js', 'bin/base.js', 'both.js'],
  });
});

test('a file that is missing is an error, not a package that does not start', (t) => {
  const output = write('missing', { 'bin/one.js': "import './gone.js';\n" });
  t.throws(() => closureOf(output, ['bin/one.js']), { message: /gone\.js/ });
});

test('a library brings what it needs, as it is installed', (t) => {
  const about = (dependencies: object) => JSON.stringify({ dependencies });
  const modules = write('modules', {
    'a/package.json': about({ b: '1', c: '1' }),
    'a/node_modules/b/package.json': about({ d: '1' }),
    'b/package.json': about({ e: '1' }),
    'c/package.json': JSON.stringify({ optionalDependencies: { elsewhere: '1' } }),
    'd/package.json': '{}',
    'e/package.json': '{}',
  });
  t.deepEqual([...librariesOf(modules, ['a'])].sort(), ['a', 'c', 'd']);
  t.throws(() => librariesOf(modules, ['z']), {
    message: /z is imported, and is no dependency for production/,
  });
});

test('the lowest glibc is the highest that a file names', (t) => {
  t.is(glibcIn('Name: GLIBC_2.9  Name: GLIBC_2.28  Name: GLIBC_2.2.5 GLIBCXX_3.4.99'), '2.28');
  t.is(glibcIn('Name: GLIBC_PRIVATE'), null);
  t.is(higherVersion('2.9', '2.28'), '2.28');
  t.is(higherVersion('2.3.4', '2.3'), '2.3.4');
});

test('the control file is what dpkg reads', (t) => {
  const control = {
    ...{ name: 'x', version: '1.2', summary: 'short', recommends: [], replaces: ['y', 'z'] },
    architecture: 'all',
    about: ['one two', 'three '.repeat(30).trim()],
    depends: ['a (= 1.2)', 'b'],
  } as const;
  const text = controlText(control, 7);
  t.regex(text, /^Package: x\nSource: meshsan\nVersion: 1\.2\n/);
  t.regex(text, /\nInstalled-Size: 7\nDepends: a \(= 1\.2\), b\nReplaces: y, z\nSection/);
  t.regex(text, /\nDescription: short\n one two\n \.\n three /);
  t.true(text.split('\n').every((line) => line.length <= 80));
  t.regex(changelogText('1.2', 0), /Thu, 01 Jan 1970 00:00:00 \+0000\n$/);
});

test('maintainer scripts have no mark left, and stop at the first error', (t) => {
  for (const definition of PACKAGES)
    for (const [name, text] of Object.entries(maintainerScripts(ROOT, definition))) {
      t.notRegex(text, /@[A-Z_]+@/, `${definition.name} ${name}`);
      t.regex(text, /^#!\/bin\/sh\n(#.*\n)*set -e\n/, `${definition.name} ${name}`);
    }
});

test('purging a storage server cannot touch a device', (t) => {
  const sds = PACKAGES.find(({ name }) => name === 'meshsan-sds');
  if (sds === undefined) return t.fail('no such package');
  const { postrm = '' } = maintainerScripts(ROOT, sds);
  t.notRegex(postrm, /rm -r[f]* \/var\/lib\/meshsan/);
});

test('every unit waits for its configuration, takes no rights that it does not need, and comes back', (t) => {
  const units = readdirSync(join(FILES, 'units'));
  const services = PACKAGES.flatMap(({ service }) => (service === null ? [] : [service]));
  t.deepEqual(units.sort(), services.map(({ unit }) => `${unit}.service`).sort());
  for (const { unit, user } of services) {
    const text = readFileSync(join(FILES, 'units', `${unit}.service`), 'utf8');
    const role = unit.replace(/^meshsan-/, '');
    for (const line of [
      `ConditionPathExists=/etc/meshsan/${role}.json`,
      'NoNewPrivileges=yes',
      // The client's mounts are for others to see.
      ...(role === 'sdc' ? [] : ['ProtectSystem=strict', 'ProtectHome=yes']),
      'Restart=always',
      'RestartPreventExitStatus=2',
      'StartLimitIntervalSec=0',
    ])
      t.true(text.split('\n').includes(line), `${unit}: ${line}`);
    // The bridge runs as the user of the service that calls it.
    t.is(/^User=(.*)$/m.exec(text)?.[1] ?? null, role === 'cinder-bridge' ? 'cinder' : user, unit);
  }
});

test("a Python package is what Debian's Python finds, with the entry points that it declares", (t) => {
  const hooks = pythonFiles(join(ROOT, 'nova-hooks', 'python'), '1.2.3+x');
  t.regex(
    hooks.get('meshsan_nova-1.2.3.dist-info/entry_points.txt') ?? '',
    /^\[nova\.compute\.monitors\.cpu\]\nmeshsan = meshsan_nova\.hook:Hook\n/,
  );
  t.regex(
    hooks.get('meshsan_nova-1.2.3.dist-info/METADATA') ?? '',
    /^Metadata-Version: 2\.1\nName: meshsan-nova\nVersion: 1\.2\.3\n/,
  );
  t.true(hooks.has('meshsan_nova/hook.py'));
  t.false([...hooks.keys()].some((path) => path.includes('test')));
  const [[name, script] = ['', '']] = pythonCommands(join(ROOT, 'cinder-bridge', 'python'));
  t.is(name, 'meshsan-cinder-known');
  t.regex(script, /^#!\/usr\/bin\/python3\n[^]*from meshsan_cinder\.known import main\n/);
});

test('a plugin becomes a package of its own major version, and no text of it a macro', (t) => {
  const spec = pluginSpec(
    {
      ...{ name: 'meshsan', version: '9.0.3', title: 'Title', homepage: 'https://x.example' },
      ...{
        description: 'at 100 %description',
        licenses: ['A', 'B'],
        authors: ['C'],
        build_version: '2',
      },
    },
    { post: 'echo %post\n', preun: 'echo gone\n' },
  );
  t.regex(spec, /^Name: meshsan-9\.0\nVersion: 9\.0\.3\nRelease: 2\n/m);
  t.regex(spec, /\n%description\nat 100 %%description\n/);
  t.regex(spec, /\n%post\necho %%post\n/);
  t.regex(spec, /\n%preun\nif \[ "\$1" = 0 \]; then\necho gone\nfi\n/);
});

test('every command and service has a manual page, printed by a program that is there', (t) => {
  for (const { name, commands, service, python, manuals } of PACKAGES) {
    const pages = Object.keys(manuals).map((page) => basename(page).replace(/\.\d$/, ''));
    const scripts = python === null ? [] : pythonCommands(join(ROOT, python.from)).keys();
    const wanted = [
      ...Object.keys(commands).map((path) => basename(path)),
      ...scripts,
      ...(service === null || service.unit === 'meshsan-cinder-bridge' ? [] : [service.unit]),
    ];
    for (const one of wanted) t.true(pages.includes(one), `${one} of ${name}`);
    for (const [page, program] of Object.entries(manuals)) {
      const { stdout } = execaSync(process.execPath, [
        join(ROOT, 'dist', `${program}.js`),
        '--man',
      ]);
      const [, title = '', section = ''] = /^\.TH (\S+) (\d) /.exec(stdout) ?? [];
      const said = `${title.replaceAll('\\-', '-').toLowerCase()}.${section}`;
      t.is(basename(page), said, `${program} prints ${page}`);
    }
  }
});

test('the page of meshsan-cinder-known names the flags of the program', (t) => {
  const source = join(ROOT, 'cinder-bridge', 'python', 'meshsan_cinder', 'known.py');
  const flags = [...readFileSync(source, 'utf8').matchAll(/add_argument\('(--[a-z-]+)'/g)];
  const page = join(ROOT, 'dist', 'cinder-bridge', 'bin', 'known-manual.js');
  const { stdout } = execaSync(process.execPath, [page]);
  t.true(flags.length > 0);
  for (const [, flag = ''] of flags) t.true(stdout.includes(flag.replaceAll('-', '\\-')), flag);
});

test('nothing in a text becomes a request or an escape of a manual page', (t) => {
  const manual: Manual = {
    ...{ name: 'x', section: 8, summary: 'a b', synopsis: ['x -f'], seeAlso: [] },
    description: ['.TH is no request here', "'nor this", 'C:\\path'],
    parts: [{ title: 'Flags', rows: [{ term: '--flag', about: '.so /etc/passwd' }] }],
  };
  const page = manPage(manual, '1.0');
  t.deepEqual(
    page
      .split('\n')
      .filter((line) => /^[.']/.test(line) && !/^\.(TH X|SH|TP|B|nf|fi|nh|PP)/.test(line)),
    [],
  );
  t.true(page.includes('C:\\epath'));
  t.regex(helpText(manual), /^Usage: x -f\n/);
});
