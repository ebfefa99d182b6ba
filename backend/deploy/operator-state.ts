// What a deployment from an inventory keeps beside it: the key of the environment and the keys of the hosts. It owns that
// directory, which only its owner may read. Losing the key means losing the secrets of the cluster.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makePrivateDirectory, writePrivate } from '../runtime/durable-files.js';
import { readPrivateFile } from '../runtime/secret-file.js';

import { KnownHosts } from './shell/ssh.js';

const KEY_BYTES = 32;

export class OperatorState {
  readonly knownHosts: KnownHosts;
  readonly #keyFile: string;

  /** Opens the directory, or makes it. @throws PrivateFileError when others may read it */
  constructor(dir: string) {
    makePrivateDirectory(dir);
    this.#keyFile = join(dir, 'environment-key');
    this.knownHosts = new KnownHosts(join(dir, 'known-hosts.json'));
  }

  /** 64 hex digits; made at the first call ever. */
  environmentKey(): string {
    if (!existsSync(this.#keyFile))
      writePrivate(this.#keyFile, `${randomBytes(KEY_BYTES).toString('hex')}\n`);
    return readPrivateFile(this.#keyFile).trim();
  }
}
