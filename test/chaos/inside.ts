// The part of `npm run chaos` that runs in namespaces made for it (or without, where none can be made): does the task of a
// directory and leaves the result there. It ends in order when its standard input ends: then whoever started it is gone,
// or wants that.

import { join } from 'node:path';
import { mkdirSync } from 'node:fs';

import { measure } from './figures.js';
import { tell } from './story.js';
import { readTask, writeResult } from './task.js';
import type { Result, Task } from './task.js';

const [dir = ''] = process.argv.slice(2);
const began = Date.now();
const say = (text: string): void => {
  const seconds = ((Date.now() - began) / 1000).toFixed(1).padStart(6);
  process.stderr.write(`[${seconds} s] ${text}\n`);
};

const broken = new AbortController();
const breakOff = (): void => {
  broken.abort();
};
process.stdin.on('end', breakOff);
process.stdin.resume();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, breakOff);
process.stderr.on('error', breakOff);

async function act(task: Task): Promise<Result> {
  const common = { isolated: task.isolated, say, broken: broken.signal };
  switch (task.kind) {
    case 'story': {
      const cluster = join(dir, 'cluster');
      mkdirSync(cluster, { mode: 0o700 });
      return { kind: 'story', verdict: await tell({ ...common, dir: cluster, plan: task.plan }) };
    }
    case 'figures': {
      const { names, minutes } = task;
      return { kind: 'figures', rows: await measure(names, { ...common, dir, minutes }) };
    }
  }
}

let result: Result;
try {
  result = await act(readTask(dir));
} catch (error) {
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  result = { kind: 'broken', reason };
}
writeResult(dir, result);
process.exit(result.kind === 'broken' || broken.signal.aborted ? 1 : 0);
