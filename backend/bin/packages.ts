// `npm run packages`: builds the Debian packages of this version into dist/packages.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPackages } from '../deploy/packages/build.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const VERSION = /^\d[A-Za-z0-9.+~]*$/;
const EXIT_USAGE = 2;

function ownVersion(): string {
  const about = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  return about.version;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(ROOT, 'dist', 'packages') },
      version: { type: 'string', default: ownVersion() },
    },
  });
  if (!VERSION.test(values.version)) {
    process.stderr.write(
      `--version "${values.version}" must begin with a digit and have letters, digits, dots, + and ~ only\n`,
    );
    return EXIT_USAGE;
  }
  const outDir = resolve(values.out);
  const { packages } = await buildPackages({
    root: ROOT,
    outDir,
    version: values.version,
    say: (text) => {
      process.stdout.write(`${text}\n`);
    },
  });
  process.stdout.write(`${packages.length} packages in ${outDir}\n`);
  return 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`MeshSAN: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
