// The version that components announce is the one that is released.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { VERSION } from '../../../backend/core/version.js';

test('the announced version is the one of package.json', (t) => {
  const path = join(import.meta.dirname, '..', '..', '..', '..', 'package.json');
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  t.is(VERSION, version);
});
