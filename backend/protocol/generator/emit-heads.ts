// Emits accessors of fixed layouts on (view, at): the frame header and structures on devices. They allocate nothing and
// check nothing: they are for the data path, whose inputs were checked as a whole.

import type { FixedField, FixedRow } from '../tables/fields.js';
import { BANNER } from './emit-types.js';
import { pascal, screaming } from './model.js';
import type { Model } from './model.js';

function accessors(prefix: string, name: string, field: FixedField): string {
  const title = `${prefix}${pascal(name)}`;
  const at = `at + ${field.at}`;
  const getter = (body: string): string =>
    `/** ${field.about} */\nexport function get${title}(view: DataView, at: number): number {\n  return ${body};\n}\n`;
  const setter = (body: string): string =>
    `export function set${title}(view: DataView, at: number, value: number): void {\n${body}}\n\n`;
  switch (field.type) {
    case 'u8':
      return getter(`view.getUint8(${at})`) + setter(`  view.setUint8(${at}, value);\n`);
    case 'u16':
      return (
        getter(`view.getUint16(${at}, true)`) + setter(`  view.setUint16(${at}, value, true);\n`)
      );
    case 'u32':
      return (
        getter(`view.getUint32(${at}, true)`) + setter(`  view.setUint32(${at}, value, true);\n`)
      );
    case 'u53':
      return (
        getter(
          `view.getUint32(${at}, true) + view.getUint32(at + ${field.at + 4}, true) * 4294967296`,
        ) +
        setter(
          `  view.setUint32(${at}, value >>> 0, true);\n  view.setUint32(at + ${field.at + 4}, Math.floor(value / 4294967296), true);\n`,
        )
      );
    case 'bytes':
      return `/** ${field.about} */\nexport const ${screaming(prefix === '' ? name : `${prefix.charAt(0).toLowerCase()}${prefix.slice(1)}${pascal(name)}`)}_AT = ${field.at};\n\n`;
  }
}

function layout(prefix: string, row: FixedRow): string {
  return Object.entries(row.fields)
    .map(([name, field]) => accessors(prefix, name, field))
    .join('');
}

/** Accessors of the frame header. */
export function emitFrameHead(model: Model): string {
  return `${BANNER}${layout('', model.frame)}`;
}

/** Accessors of structures on devices. */
export function emitDisk(model: Model): string {
  let out = BANNER;
  for (const [name, row] of Object.entries(model.disk)) {
    out += `/** ${row.about} Its size. */\nexport const ${screaming(name)}_BYTES = ${row.sizeBytes};\n\n`;
    out += layout(pascal(name), row);
  }
  return out === BANNER ? `${BANNER}export {};\n` : out;
}
