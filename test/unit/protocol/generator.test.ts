// The committed generated files are those of the tables; contradictions in tables are found; a field that came later is
// left out for an older peer and filled in from an older peer.

import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import test from 'ava';
import ts from 'typescript';

import { checkModel } from '../../../backend/protocol/generator/check.js';
import { generateAll } from '../../../backend/protocol/generator/generate.js';
import { MODEL } from '../../../backend/protocol/generator/model.js';
import type { Model } from '../../../backend/protocol/generator/model.js';
import { list, str, struct, u16, u32, u8 } from '../../../backend/protocol/tables/fields.js';
import { Reader, Writer } from '../../../backend/protocol/wire.js';

test('the generated files are those of the tables (npm run gen)', (t) => {
  const files = generateAll(MODEL);
  for (const [path, content] of files) t.true(readFileSync(path, 'utf8') === content, path);
  const folder = 'backend/protocol/generated';
  const committed = readdirSync(folder).map((name) => `${folder}/${name}`);
  t.deepEqual(
    committed.filter((path) => !files.has(path)),
    [],
  );
});

const EMPTY: Model = {
  ...MODEL,
  structs: {},
  messages: {},
  commands: {},
  options: {},
  disk: {},
};
const control = { since: 1, about: '', head: 'control', fields: [] } as const;

const limits = (change: Record<string, number>): Partial<Model> => ({
  limits: {
    ...MODEL.limits,
    ...Object.fromEntries(
      Object.entries(change).map(([name, value]) => [name, { value, why: '' }]),
    ),
  },
});

const CONTRADICTIONS: readonly (readonly [RegExp, Partial<Model>])[] = [
  [
    /codes of messages and commands: 1 is used twice/,
    { messages: { A: { ...control, code: 1 }, B: { ...control, code: 1 } } },
  ],
  [/A: message codes/, { messages: { A: { ...control, code: 0x1000 } } }],
  [/A: unknown answer B/, { messages: { A: { ...control, code: 1, answer: 'B' } } }],
  [
    /A: a data body is raw/,
    { messages: { A: { ...control, code: 1, head: 'data', fields: [u8('x', '')] } } },
  ],
  [/S: x is used twice/, { structs: { S: { about: '', fields: [u8('x', ''), u16('x', '')] } } }],
  [/S\.x: unknown structure T/, { structs: { S: { about: '', fields: [struct('x', 'T', '')] } } }],
  [
    /S: contains itself/,
    { structs: { S: { about: '', fields: [list('x', struct('', 'S', ''), 2, '')] } } },
  ],
  [/S\.x: bounds 0 to 256/, { structs: { S: { about: '', fields: [u8('x', '', { max: 256 })] } } }],
  [
    /S\.x: version 9 does not exist/,
    { structs: { S: { about: '', fields: [u8('x', '', { since: 9, absent: 0 })] } } },
  ],
  [
    /S\.x: a later field needs/,
    { versionMax: 2, structs: { S: { about: '', fields: [u8('x', '', { since: 2 })] } } },
  ],
  [
    /S\.y: later fields stand behind/,
    {
      versionMax: 2,
      structs: { S: { about: '', fields: [u8('x', '', { since: 2, absent: 0 }), u8('y', '')] } },
    },
  ],
  [/does not hold that blockBytes is a multiple/, limits({ blockBytes: 4097 })],
  [/does not hold that a frame takes ioBytesMax/, limits({ frameBodyBytesMax: 262144 + 260 })],
  [/does not hold that offsets in a chunk fit/, limits({ chunkBytes: 64 * 2 ** 20 })],
  [/sdsMax: a limit is a whole number/, limits({ sdsMax: 0.5 })],
  [
    /D\.y: overlaps/,
    {
      disk: {
        D: {
          about: '',
          sizeBytes: 8,
          fields: { x: { at: 0, type: 'u32', about: '' }, y: { at: 2, type: 'u16', about: '' } },
        },
      },
    },
  ],
  [
    /D: its fields end at 8, beyond 4/,
    { disk: { D: { about: '', sizeBytes: 4, fields: { x: { at: 0, type: 'u53', about: '' } } } } },
  ],
];

for (const [message, tables] of CONTRADICTIONS) {
  test(`a contradiction in the tables is found: ${message.source}`, (t) => {
    t.throws(
      () => {
        checkModel({ ...EMPTY, ...tables });
      },
      { message },
    );
  });
}

interface ThingCodec {
  encodeThing(writer: Writer, value: Record<string, unknown>, version: number): void;
  decodeThing(reader: Reader, version: number): Record<string, unknown>;
}

async function compileThing(folder: string): Promise<ThingCodec> {
  const model: Model = {
    ...EMPTY,
    versionMin: 1,
    versionMax: 2,
    structs: {
      Thing: {
        about: 'A structure that grew.',
        fields: [
          u32('old', 'there from the start'),
          str('later', 8, 'came later', { since: 2, absent: 'none' }),
        ],
      },
    },
  };
  const files = generateAll(model);
  for (const name of ['struct-codecs', 'constants']) {
    const source = files.get(`backend/protocol/generated/${name}.ts`) ?? '';
    const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 };
    const { outputText } = ts.transpileModule(source, { compilerOptions: options });
    writeFileSync(join(folder, `${name}.js`), outputText);
  }
  return (await import(pathToFileURL(join(folder, 'struct-codecs.js')).href)) as ThingCodec;
}

test('a later field is left out for an older peer and filled in from one', async (t) => {
  const folder = mkdtempSync('dist/backend/protocol/grown-');
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  t.truthy(basename(folder));
  const codec = await compileThing(folder);
  const bytesFor = (version: number): Uint8Array => {
    const writer = new Writer('Thing');
    codec.encodeThing(writer, { old: 7, later: 'x' }, version);
    return writer.finish();
  };
  t.is(bytesFor(1).length, 4);
  t.is(bytesFor(2).length, 9);
  t.deepEqual(codec.decodeThing(new Reader('Thing', bytesFor(1)), 1), { old: 7, later: 'none' });
  t.deepEqual(codec.decodeThing(new Reader('Thing', bytesFor(2)), 2), { old: 7, later: 'x' });
});
