// The route table and its path patterns.

import { readFile, writeFile } from 'node:fs/promises';

import test from 'ava';

import { RouteTable } from '../../../backend/gateway/route.js';
import { ROUTES, routesPage } from '../../../backend/gateway/routes.js';

const table = new RouteTable(ROUTES);

test('every row is reached by its own pattern', (t) => {
  for (const route of ROUTES) {
    const path = route.path.replaceAll(/\{\w+\*?\}/g, 'x1');
    const found = table.find(route.method, path);
    t.truthy(found, path);
    const literal = !route.path.includes('{type}');
    if (literal) t.is(found?.route, route, `${path} is hidden by ${found?.route.path ?? ''}`);
  }
});

test('no two rows have the same method and pattern', (t) => {
  const names = ROUTES.map(({ method, path }) => `${method} ${path}`);
  t.is(new Set(names).size, names.length);
});

test('places are decoded once; slashes stay where a place allows them', (t) => {
  const found = table.find('GET', '/api/types/Volume/instances/getByName::a%252Fb%2Fc/d/');
  t.is(found?.params['name'], 'a%2Fb/c/d');
  t.is(table.find('GET', '/api/instances/Volume::1/2'), null);
  t.is(table.find('GET', '/api/instances/Volume::%E0%A4')?.params['id'], '%E0%A4');
});

test('a path under another method is known', (t) => {
  t.is(table.find('GET', '/api/instances/querySelectedStatistics'), null);
  t.true(table.knowsPath('/api/instances/querySelectedStatistics'));
  t.false(table.knowsPath('/api/instance'));
});

test('the reference page is the one that the route table makes', async (t) => {
  const page = new URL('../../../../backend/docs/rest.md', import.meta.url);
  const wanted = routesPage();
  if (process.env['UPDATE_DOCS'] === '1') await writeFile(page, wanted);
  t.is(await readFile(page, 'utf8'), wanted, 'run the test with UPDATE_DOCS=1');
});
