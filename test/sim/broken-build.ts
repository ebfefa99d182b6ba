// A build of its own with one rule broken, in a folder that goes afterwards. It owns how a mutation is put into compiled
// files; what is broken is mutations.ts.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Mutation } from './mutations.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');

function mutate(folder: string, { rule, replacements }: Mutation): void {
  for (const { file, from, to } of replacements) {
    const path = join(folder, 'dist', file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2)
      throw new Error(`${rule}: "${from}" must stand once in ${file}`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
  }
}

/**
 * Makes a broken build; removed by `removeBuild`.
 *
 * @param parts - folders of dist/ that it needs
 * @returns its folder, in which dist/ lies
 * @throws Error when the mutation does not fit the code any more
 */
export function makeBuild(mutation: Mutation, parts: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'meshsan-mutant-'));
  try {
    for (const part of parts)
      cpSync(join(ROOT, 'dist', part), join(folder, 'dist', part), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    mutate(folder, mutation);
  } catch (error) {
    removeBuild(folder);
    throw error;
  }
  return folder;
}

export function removeBuild(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
