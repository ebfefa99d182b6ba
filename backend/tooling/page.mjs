#!/usr/bin/env node
// Bundles the dashboard's page into dist/: one script, one style sheet, one HTML file, no reference to any other host.
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const from = join(root, 'backend/gateway/dashboard/page');
const to = join(root, 'dist/backend/gateway/dashboard/page');
await build({
  entryPoints: [join(from, 'main.tsx')],
  outdir: to,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'eof',
  logLevel: 'warning',
});
copyFileSync(join(from, 'index.html'), join(to, 'index.html'));
