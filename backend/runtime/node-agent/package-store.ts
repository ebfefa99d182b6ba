// Package files that were handed to this node: each is kept under its SHA-256 once hash, signature and control file were
// found right, and verified again before it is used. It owns its folder and the bounds on it.

import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MIB } from '../../core/units.js';
import type { KeptPackage } from '../../protocol/lia.js';
import type { ErrorName } from '../../protocol/generated/errors.js';
import { LIMITS } from '../../protocol/tables/limits.js';
import { makePrivateDirectory, syncDirectory, syncFile, writePrivate } from '../durable-files.js';
import { packageFacts } from './debian.js';
import { sha256Of, vouches } from './signature.js';

const FILE = /^([0-9a-f]{64})\.deb$/;

/** A package file that is not taken. */
export class PackageError extends Error {
  override readonly name = 'PackageError';
  readonly error: ErrorName;

  constructor(error: ErrorName, reason: string) {
    super(reason);
    this.error = error;
  }
}

export class PackageStore {
  readonly dir: string;
  readonly #signer: KeyObject | null;
  #uploads = 0;

  /** @param signer - who vouches for files; null: nobody was enrolled, so none is taken */
  constructor(dir: string, signer: KeyObject | null) {
    this.dir = dir;
    this.#signer = signer;
    makePrivateDirectory(dir);
    // What was being received when the agent ended.
    for (const name of readdirSync(dir))
      if (!FILE.test(name) && !name.endsWith('.sig')) rmSync(join(dir, name), { force: true });
  }

  path(sha256: string): string {
    return join(this.dir, `${sha256}.deb`);
  }

  has(sha256: string): boolean {
    return existsSync(this.path(sha256));
  }

  /**
   * Takes a file in.
   * @param content - read to its end or destroyed
   * @throws PackageError when the signature, the hash or the file is wrong; nothing is kept then
   */
  async receive(sha256: string, signature: string, content: Readable): Promise<KeptPackage> {
    this.mustVouch(sha256, signature);
    this.#uploads += 1;
    const beside = join(this.dir, `upload-${this.#uploads}`);
    try {
      const hash = createHash('sha256');
      let bytes = 0;
      const measured = new Transform({
        transform(chunk: Buffer, _, done) {
          bytes += chunk.length;
          hash.update(chunk);
          const most = LIMITS.liaPackageBytesMax.value;
          if (bytes <= most) done(null, chunk);
          else done(new PackageError('PACKAGE_REFUSED', `it has more than ${most / MIB} MiB`));
        },
      });
      await pipeline(content, measured, createWriteStream(beside, { flags: 'wx', mode: 0o600 }));
      const found = hash.digest('hex');
      if (found !== sha256)
        throw new PackageError('PACKAGE_REFUSED', `its SHA-256 is ${found}, not ${sha256}`);
      const facts = await factsOrRefusal(beside);
      syncFile(beside);
      writePrivate(`${this.path(sha256)}.sig`, `${signature}\n`);
      renameSync(beside, this.path(sha256));
      syncDirectory(this.dir);
      this.#forgetOldest();
      return { sha256, ...facts, bytes };
    } finally {
      rmSync(beside, { force: true });
    }
  }

  /** What a kept file is, after hash and signature were verified again. @throws PackageError */
  async verified(sha256: string): Promise<KeptPackage> {
    const path = this.path(sha256);
    if (!existsSync(path))
      throw new PackageError(
        'PACKAGE_REFUSED',
        `no file with the SHA-256 ${sha256} was handed over`,
      );
    this.mustVouch(sha256, readFileSync(`${path}.sig`, 'utf8').trim());
    const found = await sha256Of(path);
    if (found !== sha256)
      throw new PackageError('PACKAGE_REFUSED', `the kept file of ${sha256} was changed`);
    const now = Date.now() / 1000;
    utimesSync(path, now, now);
    return { sha256, ...(await factsOrRefusal(path)), bytes: statSync(path).size };
  }

  /** @throws PackageError when the enrolled signer does not vouch for the file */
  mustVouch(sha256: string, signature: string): void {
    if (this.#signer === null)
      throw new PackageError('SIGNATURE_REFUSED', 'no signer was enrolled on this node');
    if (!vouches(this.#signer, sha256, signature))
      throw new PackageError(
        'SIGNATURE_REFUSED',
        `the signature is not one of the enrolled signer for ${sha256}`,
      );
  }

  /** Keeps what was used last. */
  #forgetOldest(): void {
    const kept = readdirSync(this.dir)
      .flatMap((name) => FILE.exec(name)?.[1] ?? [])
      .map((sha256) => ({ sha256, usedMs: statSync(this.path(sha256)).mtimeMs }))
      .sort((one, other) => other.usedMs - one.usedMs);
    for (const { sha256 } of kept.slice(LIMITS.liaPackagesMax.value))
      for (const path of [this.path(sha256), `${this.path(sha256)}.sig`])
        rmSync(path, { force: true });
  }
}

async function factsOrRefusal(path: string): ReturnType<typeof packageFacts> {
  try {
    return await packageFacts(path);
  } catch (error) {
    throw new PackageError(
      'PACKAGE_REFUSED',
      `it is no Debian package: ${(error as Error).message}`,
    );
  }
}
