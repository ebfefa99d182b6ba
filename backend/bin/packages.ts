// `npm run packages`: builds the Debian packages of this version into dist/packages; `-- --plugin-rpm` the RPMs of the Fuel
// plugin's folders.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPackages } from '../deploy/packages/build.js';
import { buildPluginRpm, pluginFolders } from '../deploy/packages/plugin-rpm.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const VERSION = /^\d[A-Za-z0-9.+~]*$/;
const EXIT_USAGE = 2;

function ownVersion(): string {
  const about = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  return about.version;
}

/** An RPM for each plugin's folder, beside them. */
async function pluginRpms(folder: string): Promise<number> {
  const folders = pluginFolders(folder);
  if (folders.length === 0) {
    process.stderr.write(`${folder} holds no plugin: run npm run fuel-plugin first\n`);
    return EXIT_USAGE;
  }
  for (const plugin of folders)
    process.stdout.write(`${join(folder, await buildPluginRpm(plugin, folder))}\n`);
  return 0;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(ROOT, 'dist', 'packages') },
      version: { type: 'string', default: ownVersion() },
      'plugin-rpm': { type: 'boolean', default: false },
      plugins: { type: 'string', default: join(ROOT, 'dist', 'fuel-plugin') },
    },
  });
  if (values['plugin-rpm']) return pluginRpms(resolve(values.plugins));
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
