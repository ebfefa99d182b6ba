// Where the golden plugin folders are, and the product that they were emitted for.

import { join } from 'node:path';

export const GOLDEN = join(
  import.meta.dirname,
  '..',
  '..',
  '..',
  '..',
  'test',
  'golden',
  'fuel-plugin',
);
export const PRODUCT = { version: '1.2.3', glibcMin: '2.34' };
