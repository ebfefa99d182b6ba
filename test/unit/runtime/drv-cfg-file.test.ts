// drv_cfg.txt: what is read of it, what is refused, and how it and sdc.json become one list of systems.

import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ConfigError } from '../../../backend/runtime/config-file.js';
import {
  isSameFile,
  mdmListFrom,
  parseDrvCfg,
  printDrvCfg,
  readDrvCfg,
  systemsOf,
  writeDrvCfg,
} from '../../../backend/runtime/drv-cfg-file.js';
import type { HostSystemsList } from '../../../backend/runtime/drv-cfg-file.js';

const GUID = '0B5E7C1A-8F52-4A0E-9D3C-5E1F2A3B4C5D';
const list = (text: string) => mdmListFrom('mdm', text);
const host = (mdm: string) => ({ guid: GUID, mdm: mdm === '' ? [] : list(mdm) });
const systems = (text: string, mdm: string) =>
  systemsOf('drv_cfg.txt', parseDrvCfg('drv_cfg.txt', text), host(mdm));

/** Slot, MDMs and whether it is sdc.json's. */
const short = ({ systems: all }: HostSystemsList) =>
  all.map(({ slot, mdm, fromConfig }) =>
    [slot, mdm.map((one) => one.host).join(','), fromConfig === null ? '' : 'own'].join(' '),
  );

test('what is written is read again, and scripts find the lines of the original', (t) => {
  const file = { guid: GUID, removed: null };
  const all: HostSystemsList = {
    removed: list('10.9.0.1'),
    systems: [
      {
        ...{ slot: 0, mdm: list('10.0.0.1,10.0.0.2,10.0.0.3'), secretFile: null },
        ...{ systemId: '4d53415600000001', fromConfig: list('10.0.0.1') },
      },
      {
        ...{ slot: 3, mdm: list('[fd00::1]:7000,127.0.0.1:7001'), secretFile: '/etc/b' },
        ...{ systemId: '', fromConfig: null },
      },
    ],
  };
  const text = printDrvCfg(GUID, all);
  t.deepEqual(parseDrvCfg('x', text), { ...file, ...all });
  // Puppet modules look for exactly this.
  t.regex(text, /^mdm 10\.0\.0\.1,10\.0\.0\.2,10\.0\.0\.3$/m);
  t.regex(text, new RegExp(`^ini_guid ${GUID}$`, 'm'));
});

test("sdc.json's system is the first one, with nothing written yet", (t) => {
  t.deepEqual(short(systems('', '10.0.0.1,10.0.0.2')), ['0 10.0.0.1,10.0.0.2 own']);
  t.deepEqual(short(systems('', '')), []);
});

test('the file of the original is enough, and its word about the system of sdc.json counts', (t) => {
  t.deepEqual(short(systems(`ini_guid ${GUID.toLowerCase()}\nmdm 10.0.0.1\nmdm 10.1.0.1\n`, '')), [
    '0 10.0.0.1 ',
    '1 10.1.0.1 ',
  ]);
  t.deepEqual(short(systems('mdm 10.1.0.1\nmdm 10.0.0.2,10.0.0.3\n', '10.0.0.1,10.0.0.2')), [
    '0 10.0.0.2,10.0.0.3 own',
    '1 10.1.0.1 ',
  ]);
});

test('the later word of drv_cfg and sdc.json counts', (t) => {
  const moved = 'mdm 10.0.0.9\nslot 0\nsdc_json 10.0.0.1\nmdm 10.1.0.1\nslot 1\n';
  t.deepEqual(short(systems(moved, '10.0.0.1')), ['0 10.0.0.9 own', '1 10.1.0.1 ']);
  t.deepEqual(short(systems(moved, '10.0.0.7')), ['0 10.0.0.7 own', '1 10.1.0.1 ']);
  const removed = 'removed 10.0.0.1\nmdm 10.1.0.1\nslot 1\n';
  t.deepEqual(short(systems(removed, '10.0.0.1')), ['1 10.1.0.1 ']);
  t.deepEqual(short(systems(removed, '10.0.0.2')), ['0 10.0.0.2 own', '1 10.1.0.1 ']);
  t.is(systems(removed, '10.0.0.2').removed, null);
});

test('a system keeps its folders whatever stands before it', (t) => {
  const text = 'mdm 10.2.0.1\nslot 2\nmdm 10.1.0.1\nslot 1\nmdm 10.3.0.1\n';
  t.deepEqual(short(systems(text, '10.0.0.1')), [
    '0 10.0.0.1 own',
    '2 10.2.0.1 ',
    '1 10.1.0.1 ',
    '3 10.3.0.1 ',
  ]);
  t.deepEqual(short(systems('mdm 10.2.0.1\nmdm 10.1.0.1\nslot 0\n', '')), [
    '1 10.2.0.1 ',
    '0 10.1.0.1 ',
  ]);
});

for (const [what, text, words] of [
  ['an unknown word', 'mdms 10.0.0.1', /line 1: unknown word "mdms"; did you mean "mdm"/],
  ['a name', 'mdm mdm1.example', /line 1: mdm "mdm1.example" must be IP or IP:PORT \(6611\)/],
  ['two values', 'mdm 10.0.0.1, 10.0.0.2', /line 1: mdm takes one value/],
  ['no value', '\nini_guid', /line 2: ini_guid takes one value/],
  ['a fact of no system', 'slot 1\nmdm 10.0.0.1', /slot must stand below an mdm line/],
  ['a relative secret', 'mdm 10.0.0.1\nsecret_file b', /line 2: secret_file must be an absolute/],
  ['an id that is none', 'mdm 10.0.0.1\nsystem_id 12', /system_id must be 16 hex digits/],
  ['a slot beyond the last', 'mdm 10.0.0.1\nslot 16', /slot must be 0 to 15/],
  ['another host', `ini_guid ${GUID.replace('0B', '1B')}`, /file of another host/],
  ['an MDM of two systems', 'mdm 10.1.0.1\nmdm 10.1.0.2,10.1.0.1', /10.1.0.1 stands in two/],
  ['a slot twice', 'mdm 10.1.0.1\nslot 1\nmdm 10.1.0.2\nslot 1', /slot 1 stands twice/],
  ['an MDM twice', 'mdm 10.1.0.1,10.1.0.1', /names 10.1.0.1 twice/],
  [
    'too many systems',
    Array.from({ length: 16 }, (_, at) => `mdm 10.1.0.${at + 1}`).join('\n'),
    /names 17 systems, a host has at most 16/,
  ],
  ['a huge file', '#'.repeat(70_000), /more than 65536 characters/],
] as const)
  test(`${what} is refused`, (t) => {
    const error = t.throws(() => systems(text, '10.0.0.1'), { instanceOf: ConfigError });
    t.regex(error.message, words);
    t.true(error.message.startsWith('drv_cfg.txt'));
  });

test('the original path may be a link: what it points to is written', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'meshsan-drv-file-'));
  t.teardown(() => {
    rmSync(dir, { recursive: true });
  });
  const [real, link] = [join(dir, 'real.txt'), join(dir, 'link.txt')];
  t.deepEqual(readDrvCfg(real).systems, []);
  writeFileSync(real, 'mdm 10.0.0.1\n');
  symlinkSync(real, link);
  t.true(isSameFile(real, link));
  t.false(isSameFile(real, join(dir, 'other.txt')));
  const changed = systemsOf(link, readDrvCfg(link), host('10.1.0.1'));
  writeDrvCfg(link, GUID, changed);
  t.regex(readFileSync(real, 'utf8'), /^mdm 10\.1\.0\.1$/m);
  t.deepEqual(short(systemsOf(link, readDrvCfg(link), host('10.1.0.1'))), short(changed));
});
