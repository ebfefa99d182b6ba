// The table of metrics and its reference page.

import { readFile, writeFile } from 'node:fs/promises';

import test from 'ava';

import { metricsDoc } from '../../../backend/gateway/metrics/page.js';
import { METRICS } from '../../../backend/gateway/metrics/table.js';

test('names follow the rules of Prometheus: only what grows ends in _total', (t) => {
  for (const [name, { kind, labels }] of Object.entries(METRICS)) {
    t.regex(name, /^meshsan_[a-z_]+$/);
    t.is(name.endsWith('_total'), kind === 'counter', name);
    t.is(new Set(labels).size, labels.length);
  }
});

test('the reference page is the one that the table makes', async (t) => {
  const page = new URL('../../../../backend/docs/metrics.md', import.meta.url);
  const wanted = metricsDoc();
  if (process.env['UPDATE_DOCS'] === '1') await writeFile(page, wanted);
  t.is(await readFile(page, 'utf8'), wanted, 'run the test with UPDATE_DOCS=1');
});
