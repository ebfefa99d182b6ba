// `npm run gen`: writes what follows from the tables. It must never be imported by the product.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { generateAll } from './generate.js';
import { MODEL } from './model.js';

const root = process.cwd();
const files = generateAll(MODEL);
const folder = join(root, 'backend/protocol/generated');
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder))
  if (!files.has(`backend/protocol/generated/${name}`)) rmSync(join(folder, name));
for (const [path, content] of files) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}
process.stdout.write(`wrote ${files.size} files\n`);
