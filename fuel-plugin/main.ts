// `npm run fuel-plugin`: writes the plugin's folder for every generation of Fuel, with the Debian packages in its repository,
// after checking it. It must never leave a folder that a check refused.

import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkPlugin, nameClashes } from './check.js';
import { emit } from './emit.js';
import type { Product } from './emit.js';
import { FORMATS, folderOf } from './model.js';
import type { Format, Tree } from './model.js';

const HELP = `Usage: npm run fuel-plugin -- [flags]
Writes the Fuel plugin in the formats of Fuel 6.1, 7.0, 8.0, and 9.0 with 10.0; \`fpb --build FOLDER\` makes an RPM of each.
  --out DIR        where (dist/fuel-plugin)
  --packages DIR   Debian packages that go into the plugin's repository (dist/packages, made by npm run packages)
  --json           what was written, as one JSON object
  --help           this text
Exit codes: 0 written, 1 wrong usage or no packages, 2 a check refused the plugin.
`;

interface Manifest {
  readonly version: string;
  readonly glibcMin: string;
  readonly packages: readonly { readonly file: string }[];
}

class UsageError extends Error {}

function readManifest(folder: string): Manifest {
  const path = join(folder, 'manifest.json');
  if (!existsSync(path))
    throw new UsageError(
      `${path} is missing: run npm run packages first, or name their folder with --packages`,
    );
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

function write(folder: string, tree: Tree, packages: string, files: readonly string[]): void {
  const beside = `${folder}.new`;
  rmSync(beside, { recursive: true, force: true });
  for (const [path, text] of tree) {
    const target = join(beside, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text, { mode: path.endsWith('.sh') ? 0o755 : 0o644 });
  }
  for (const file of files) cpSync(join(packages, file), join(beside, 'repositories/ubuntu', file));
  rmSync(folder, { recursive: true, force: true });
  renameSync(beside, folder);
}

function checked(format: Format, product: Product): Tree {
  const tree = emit(format, product);
  const faults = checkPlugin(tree, format);
  if (faults.length > 0)
    throw new Error(`plugin of format ${format.packageVersion}:\n${faults.join('\n')}`);
  return tree;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: 'dist/fuel-plugin' },
      packages: { type: 'string', default: 'dist/packages' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const packages = resolve(values.packages);
  const { version, glibcMin, packages: rows } = readManifest(packages);
  const files = rows.map(({ file }) => file);
  const clashes = nameClashes(FORMATS);
  if (clashes.length > 0) throw new Error(clashes.join('\n'));
  const written = FORMATS.map((format) => {
    const tree = checked(format, { version, glibcMin });
    const folder = resolve(values.out, folderOf(format));
    write(folder, tree, packages, files);
    return { folder, packageVersion: format.packageVersion, fuel: format.fuel, files: tree.size };
  });
  if (values.json) process.stdout.write(`${JSON.stringify({ version, glibcMin, written })}\n`);
  else
    for (const { folder, packageVersion, fuel } of written)
      process.stdout.write(
        `${folder}  format ${packageVersion}, Fuel ${fuel.join(' and ')}, ${files.length} packages, glibc ${glibcMin} or newer\n`,
      );
}

try {
  main();
} catch (error) {
  const usage =
    error instanceof UsageError ||
    (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
  process.stderr.write(`MeshSAN: ${(error as Error).message}\n`);
  process.exitCode = usage ? 1 : 2;
}
