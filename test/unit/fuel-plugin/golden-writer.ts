// Writes the golden plugin folders anew: `node dist/test/unit/fuel-plugin/golden-writer.js`. Look at the difference before it
// is committed: Fuel keeps the settings of an environment as they were when it was made.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { emit } from '../../../fuel-plugin/emit.js';
import { FORMATS, folderOf } from '../../../fuel-plugin/model.js';
import { GOLDEN, PRODUCT } from './golden-folder.js';

rmSync(GOLDEN, { recursive: true, force: true });
for (const format of FORMATS)
  for (const [path, text] of emit(format, PRODUCT)) {
    const target = join(GOLDEN, folderOf(format), path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
