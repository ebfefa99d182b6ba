// The journal of an agent's jobs: one file per job, whole or not there, on media when a call returns. It must never judge
// a job.

import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { JOB_SCHEMA } from '../../protocol/lia.js';
import type { Job } from '../../protocol/lia.js';
import { makePrivateDirectory, syncDirectory, writePrivate } from '../durable-files.js';
import { ConfigError } from '../config-file.js';

export class JobStore {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
    makePrivateDirectory(dir);
  }

  save(job: Job): void {
    writePrivate(this.#path(job.id), `${JSON.stringify(job)}\n`);
  }

  forget(id: string): void {
    for (const path of [this.#path(id), this.outputFile(id)]) rmSync(path, { force: true });
    syncDirectory(this.dir);
  }

  /** What the program of a job prints. */
  outputFile(id: string): string {
    return join(this.dir, `${id}.out`);
  }

  /** @throws ConfigError with the file that cannot be read: it is for people to look at */
  load(): Job[] {
    const isJob = new Ajv({ discriminator: true, allowUnionTypes: true }).compile<Job>(JOB_SCHEMA);
    return readdirSync(this.dir)
      .filter((name) => name.endsWith('.json'))
      .map((name) => {
        const path = join(this.dir, name);
        let value: unknown;
        try {
          value = JSON.parse(readFileSync(path, 'utf8'));
        } catch (error) {
          throw new ConfigError(`${path} is no job: ${(error as Error).message}`);
        }
        if (!isJob(value)) throw new ConfigError(`${path} is no job`);
        return value;
      });
  }

  #path(id: string): string {
    return join(this.dir, `${id}.json`);
  }
}
