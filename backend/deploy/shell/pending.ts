// Remembers the last steps of a task (services to start again, commands) until all of its steps are done. A run that stopped
// between a changed file and the restart of who reads it would otherwise find nothing to do. It must never hold a secret.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makePrivateDirectory, writePrivate } from '../../runtime/durable-files.js';
import type { Step } from '../plan/model.js';

const FOLDER = '/var/lib/meshsan-deploy';

type Last = Extract<Step, { kind: 'unit' | 'run' }>;

const isLast = (step: Step): step is Last => step.kind === 'unit' || step.kind === 'run';

export class PendingSteps {
  readonly #path: string;

  constructor(task: string, folder = FOLDER) {
    this.#path = join(folder, `${task}.json`);
  }

  /** The steps of a plan, and those of a run that stopped which it lacks. */
  completed(steps: readonly Step[]): readonly Step[] {
    const present = new Set(steps.map(({ about }) => about));
    return [...steps, ...this.#read().filter(({ about }) => !present.has(about))];
  }

  #read(): Last[] {
    if (!existsSync(this.#path)) return [];
    return JSON.parse(readFileSync(this.#path, 'utf8')) as Last[];
  }

  /** Before the first step. */
  begin(steps: readonly Step[]): void {
    const last = steps.filter(isLast);
    if (last.length === 0) return;
    makePrivateDirectory(dirname(this.#path));
    writePrivate(this.#path, JSON.stringify(last));
  }

  /** After the last one. */
  end(): void {
    rmSync(this.#path, { force: true });
  }
}
