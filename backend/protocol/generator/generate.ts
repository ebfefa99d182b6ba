// All generated files as text. It must never touch the file system: main.ts writes, the drift test compares.

import { checkModel } from './check.js';
import { emitErrorDocs, emitOptionDocs, emitProtocolDocs } from './emit-docs.js';
import { emitCommandCodecs, emitMessageCodecs, emitStructCodecs } from './emit-codecs.js';
import { emitConstants, emitErrors } from './emit-constants.js';
import { emitDisk, emitFrameHead } from './emit-heads.js';
import { emitTypes } from './emit-types.js';
import type { Model } from './model.js';

/**
 * Everything that follows from the tables.
 *
 * @returns content by path from the root of the repository
 * @throws Error naming the row, when the tables contradict themselves
 */
export function generateAll(model: Model): ReadonlyMap<string, string> {
  checkModel(model);
  const code: readonly (readonly [string, string])[] = [
    ['types', emitTypes(model)],
    ['constants', emitConstants(model)],
    ['errors', emitErrors(model)],
    ['struct-codecs', emitStructCodecs(model)],
    ['message-codecs', emitMessageCodecs(model)],
    ['command-codecs', emitCommandCodecs(model)],
    ['frame-head', emitFrameHead(model)],
    ['disk', emitDisk(model)],
  ];
  return new Map([
    ...code.map(([name, text]) => [`backend/protocol/generated/${name}.ts`, text] as const),
    ['backend/docs/protocol.md', emitProtocolDocs(model)],
    ['backend/docs/errors.md', emitErrorDocs(model)],
    ['backend/docs/options.md', emitOptionDocs(model)],
  ]);
}
