// `npm run packages`: builds the Debian packages of this version; `-- --plugin-rpm` the RPMs of the Fuel plugin's folders.

import { join, resolve } from 'node:path';
import { VERSION } from '../core/version.js';
import { buildPackages } from '../deploy/packages/build.js';
import { buildPluginRpm, pluginFolders } from '../deploy/packages/plugin-rpm.js';
import { UsageError, readFlags, runTool } from '../runtime/flags.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const VERSION_FORM = /^\d[A-Za-z0-9.+~]*$/;
const HELP = `Usage: npm run packages -- [flags]
Builds the Debian packages of this version, with the Node and the libraries that they need.
  --out DIR       where (dist/packages)
  --version V     version of the packages (that of package.json)
  --plugin-rpm    no packages, but an RPM of each folder that npm run fuel-plugin made, beside it
  --plugins DIR   where those folders are (dist/fuel-plugin)
  --help          this text
Exit codes: 0 built, 1 failed, 2 wrong usage.
`;

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** An RPM for each plugin's folder, beside them. */
async function pluginRpms(folder: string): Promise<number> {
  const folders = pluginFolders(folder);
  if (folders.length === 0)
    throw new UsageError(`${folder} holds no plugin: run npm run fuel-plugin first`);
  for (const plugin of folders) say(join(folder, await buildPluginRpm(plugin, folder)));
  return 0;
}

async function main(args: readonly string[]): Promise<number> {
  const values = readFlags(args, {
    out: { type: 'string' },
    version: { type: 'string' },
    'plugin-rpm': { type: 'boolean' },
    plugins: { type: 'string' },
  });
  if (values['plugin-rpm'])
    return pluginRpms(resolve(values.plugins ?? join(ROOT, 'dist', 'fuel-plugin')));
  const version = values.version ?? VERSION;
  if (!VERSION_FORM.test(version))
    throw new UsageError(
      `--version must begin with a digit and have letters, digits, dots, + and ~ only, not "${version}"`,
    );
  const outDir = resolve(values.out ?? join(ROOT, 'dist', 'packages'));
  const { packages } = await buildPackages({ root: ROOT, outDir, version, say });
  say(`${packages.length} packages in ${outDir}`);
  return 0;
}

try {
  await runTool(HELP, main);
} catch (error) {
  process.stderr.write(`MeshSAN: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
