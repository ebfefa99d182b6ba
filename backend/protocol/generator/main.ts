// `npm run gen`: writes what follows from the tables. It must never be imported by the product.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { generateAll } from './generate.js';
import { MODEL } from './model.js';

const HELP = `Usage: npm run gen
Writes the codecs, constants and documents that follow from the tables of backend/protocol/tables. Takes no flags.
`;

function generate(root: string): number {
  const files = generateAll(MODEL);
  const folder = join(root, 'backend/protocol/generated');
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder))
    if (!files.has(`backend/protocol/generated/${name}`)) rmSync(join(folder, name));
  for (const [path, content] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return files.size;
}

const args = process.argv.slice(2);
if (args.length === 0) process.stdout.write(`wrote ${generate(process.cwd())} files\n`);
else if (args[0] === '--help') process.stdout.write(HELP);
else {
  process.stderr.write(HELP);
  process.exitCode = 2;
}
