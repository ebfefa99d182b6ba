// What the part of the command that runs in namespaces is told, and what it answers: files in a directory that both see.
// It owns their form only.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { FigureName, FigureRow } from './figure-bench.js';
import type { Plan } from './plan.js';
import type { Verdict } from './verdict.js';

export type Task = { readonly isolated: boolean } & (
  | { readonly kind: 'story'; readonly plan: Plan }
  | { readonly kind: 'figures'; readonly names: readonly FigureName[]; readonly minutes: number }
);

export type Result =
  | { readonly kind: 'story'; readonly verdict: Verdict }
  | { readonly kind: 'figures'; readonly rows: readonly FigureRow[] }
  | { readonly kind: 'broken'; readonly reason: string };

const TASK = 'task.json';
const RESULT = 'result.json';

const put = (dir: string, name: string, value: Task | Result): void => {
  writeFileSync(join(dir, name), JSON.stringify(value, null, 2), { mode: 0o600 });
};
const get = (dir: string, name: string): unknown =>
  JSON.parse(readFileSync(join(dir, name), 'utf8')) as unknown;

export const writeTask = (dir: string, task: Task): void => {
  put(dir, TASK, task);
};
export const readTask = (dir: string): Task => get(dir, TASK) as Task;
export const writeResult = (dir: string, result: Result): void => {
  put(dir, RESULT, result);
};
export const readResult = (dir: string): Result => get(dir, RESULT) as Result;
