// What the clients of a backend need on this machine outside the state directory: files at fixed places. Each change is
// recorded before it is made, and --purge puts everything back.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { ini } from './config-parts.js';
import type { MeshsanCluster } from './meshsan.js';
import { readLedger, updateLedger, writePrivate, type CloudState } from './state.js';

/** os-brick's ScaleIO connector reads the gateway's password here, and nowhere else. */
export const CONNECTOR_CONF = '/opt/emc/scaleio/openstack/connector.conf';

/** Writes the file that the unmodified connector reads. @param backend - section of cinder.conf */
export function writeConnectorConf(
  state: CloudState,
  cluster: MeshsanCluster,
  backend: string,
): void {
  replaceFile(state, CONNECTOR_CONF, ini({ [backend]: { san_password: cluster.password } }));
}

/** Writes a file at a fixed place, after what is there was saved. */
function replaceFile(state: CloudState, file: string, content: string): void {
  const { created, saved } = readLedger(state);
  const known = created.includes(file) || saved.some((one) => one.path === file);
  if (existsSync(file) && !known) {
    if (readFileSync(file, 'utf8') === content) return;
    const copy = path.join(state.root, 'saved', file.replaceAll('/', '_'));
    mkdirSync(path.dirname(copy), { recursive: true, mode: 0o700 });
    copyFileSync(file, copy);
    chmodSync(copy, statSync(file).mode & 0o777);
    updateLedger(state, (ledger) => ledger.saved.push({ path: file, copy }));
  } else if (!known) {
    for (const folder of missingParents(file)) {
      updateLedger(state, (ledger) => ledger.created.push(folder));
      mkdirSync(folder, { mode: 0o755 });
    }
    updateLedger(state, (ledger) => ledger.created.push(file));
  }
  writePrivate(file, content);
}

/** Directories above a file that are not there, outermost first. */
function missingParents(file: string): string[] {
  const missing: string[] = [];
  for (let at = path.dirname(file); !existsSync(at); at = path.dirname(at)) missing.unshift(at);
  return missing;
}

/** Puts everything back that was changed outside the state directory. */
export function restoreMachine(state: CloudState): void {
  const { created, saved } = readLedger(state);
  for (const { path: file, copy } of saved) {
    copyFileSync(copy, file);
    chmodSync(file, statSync(copy).mode & 0o777);
  }
  for (const made of created.reverse()) {
    if (!existsSync(made)) continue;
    if (!statSync(made).isDirectory()) rmSync(made);
    else removeEmpty(made);
  }
}

/** Removes a directory of ours, unless somebody put something there meanwhile. */
function removeEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}
