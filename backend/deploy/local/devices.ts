// Block devices of a local cluster's client before the cluster stops: those that nobody uses are taken away. It must
// never take one away that is in use: its users wait until the cluster is started again.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { askControl } from '../../runtime/control-socket.js';
import type { ControlReply } from '../../runtime/control-socket.js';
import type { Paths } from './layout.js';

/** Asks a process; null: none answers there. */
async function ask(
  socket: string,
  request: Readonly<Record<string, unknown>>,
): Promise<ControlReply | null> {
  try {
    return await askControl(socket, request);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return null;
    throw error;
  }
}

/**
 * Takes the block devices away that nobody uses.
 *
 * @param sdcStateDir - of the client process
 * @returns for each that stays a sentence that says why
 */
export async function releaseDevices(
  paths: Pick<Paths, 'sdcControl'>,
  sdcStateDir: string,
): Promise<string[]> {
  try {
    const reply = await ask(paths.sdcControl, { op: 'release' });
    if (reply !== null) return reply.ok ? (reply['kept'] as string[]) : [String(reply['error'])];
    const kept: string[] = [];
    for (const folder of holderFolders(sdcStateDir))
      kept.push(...(await releaseFromHolder(join(folder, 'holder.sock'))));
    return kept;
  } catch (error) {
    return [(error as Error).message];
  }
}

/** Each system of a host has a holder of its own; the first one's is where the client's state is. */
function holderFolders(sdcStateDir: string): string[] {
  const others = join(sdcStateDir, 'systems');
  const names = existsSync(others) ? readdirSync(others) : [];
  return [sdcStateDir, ...names.map((name) => join(others, name))];
}

/** As above where the client process has died: the holder is told directly. */
async function releaseFromHolder(socket: string): Promise<string[]> {
  const hello = await ask(socket, { op: 'hello' });
  if (hello?.ok !== true) return [];
  const kept: string[] = [];
  for (const { volumeId } of hello['attached'] as { readonly volumeId: string }[]) {
    const reply = await ask(socket, { op: 'detach', volumeId, revoked: false, force: false });
    if (reply?.ok === false) kept.push(String(reply['error']));
  }
  if (kept.length === 0) await ask(socket, { op: 'end' });
  return kept;
}
