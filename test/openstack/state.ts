// Owns the state directory of one cloud: its paths, its random secrets (files of mode 0600), the address and ports it
// listens on, and the ledger of everything that was changed outside of it, so that --purge can put it back.
// It must never write a secret anywhere else than into a file that only its reader's user can open.
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { isRunning, type ProcessId } from '../../backend/runtime/processes.js';
import { identityOf } from './processes.js';
import { EXIT, RunError } from './progress.js';

/** Where a cloud lives when --state does not say otherwise; the short proof has a place of its own. */
export const DEFAULT_STATE = '/var/lib/meshsan-openstack';
export const CORE_STATE = '/var/lib/meshsan-openstack-core';

const FORMAT = 2;
/** Services with a database and a database user of their own. */
export type DatabaseName =
  'keystone' | 'cinder' | 'glance' | 'placement' | 'nova' | 'nova_api' | 'nova_cell0' | 'neutron';
/** Services that prove to Keystone who they are. */
export type ServiceUser = 'cinder' | 'glance' | 'placement' | 'nova' | 'neutron';
export type SecretName =
  'admin' | ServiceUser | `database-${DatabaseName}` | 'rabbitmq' | 'erlang-cookie';

/** `core`: block storage and what it stands on; `full`: instances too. */
export type Scope = 'core' | 'full';

export interface Ports {
  readonly keystone: number;
  readonly cinder: number;
  readonly glance: number;
  readonly placement: number;
  readonly nova: number;
  readonly neutron: number;
  readonly rabbitmq: number;
  readonly rabbitmqPeers: number;
  readonly epmd: number;
}

/** What this program changed outside the state directory. */
export interface Ledger {
  /** Files and directories made by us: removed again, directories only if they are empty. */
  created: string[];
  /** Files of others that we changed: put back from the copy. */
  saved: { path: string; copy: string }[];
  /** Packages that we asked apt for. */
  packages: string[];
  /** Start-up units that came with those packages and were disabled. */
  disabledUnits: string[];
}

export interface CloudState {
  readonly scope: Scope;
  readonly root: string;
  readonly etc: string;
  readonly run: string;
  readonly log: string;
  readonly openrc: string;
  /** Directory of the MeshSAN cluster that this cloud starts for itself. */
  readonly cluster: string;
  readonly databaseSocket: string;
  readonly memcacheSocket: string;
  readonly address: string;
  readonly ports: Ports;
}

/** Paths, address and ports of the cloud in `root`; touches nothing. */
export function describeState(root: string, scope: Scope): CloudState {
  const digest = createHash('sha256').update(root).digest();
  const octet = (index: number): number => 1 + (digest.readUInt8(index) % 254);
  const run = path.join(root, 'run');
  return {
    scope,
    root,
    etc: path.join(root, 'etc'),
    run,
    log: path.join(root, 'log'),
    openrc: path.join(root, 'openrc'),
    cluster: path.join(root, 'meshsan'),
    databaseSocket: path.join(run, 'mariadb', 'mariadb.sock'),
    memcacheSocket: path.join(run, 'memcached', 'memcached.sock'),
    // A loopback address of its own, so that a cloud, another cloud's short proof and whatever else listens on
    // 127.0.0.1 never meet. Erlang's two ports are taken on every address, so these differ instead.
    address: `127.${octet(0)}.${octet(1)}.${octet(2)}`,
    ports: {
      keystone: 5000,
      cinder: 8776,
      glance: 9292,
      placement: 8778,
      nova: 8774,
      neutron: 9696,
      rabbitmq: 5672,
      rabbitmqPeers: 30000 + (digest.readUInt16BE(5) % 2000),
      epmd: 20000 + (digest.readUInt16BE(3) % 10000),
    },
  };
}

/** Makes the state directory, refusing one that holds something else. */
export function createState(state: CloudState): void {
  const mark = path.join(state.root, 'openstack.json');
  if (existsSync(state.root) && !existsSync(mark))
    throw new RunError(
      `--state ${state.root}: exists and is not the state of a cloud (no openstack.json in it); name another directory`,
      EXIT.usage,
    );
  refuseClosedParents(state.root);
  for (const directory of [state.root, state.etc, state.run, state.log])
    mkdirSync(directory, { recursive: true, mode: 0o711 });
  if (!existsSync(mark)) {
    writePrivate(
      mark,
      `${JSON.stringify({ format: FORMAT, address: state.address, ports: state.ports }, null, 2)}\n`,
    );
    return;
  }
  const { format } = JSON.parse(readFileSync(mark, 'utf8')) as { format?: unknown };
  if (format !== FORMAT)
    throw new RunError(
      `${mark}: format ${String(format)}, this program writes ${FORMAT}; run --purge with the program that made it`,
      EXIT.usage,
    );
}

/** Services run as users of their own, who must be able to enter every directory above the state. */
function refuseClosedParents(root: string): void {
  for (let at = path.dirname(root); at !== '/'; at = path.dirname(at))
    if (existsSync(at) && (statSync(at).mode & 0o001) === 0)
      throw new RunError(
        `--state ${root}: the services' own users cannot enter ${at}; name a directory below one with mode 755`,
        EXIT.usage,
      );
}

export function stateExists(state: CloudState): boolean {
  return existsSync(path.join(state.root, 'openstack.json'));
}

/** Writes a file of mode 0600, whole or not at all. */
export function writePrivate(file: string, content: string): void {
  writeFileSync(`${file}.new`, content, { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}

/** The cloud's secret of that name: made at random once, then kept in a file of mode 0600. */
export function secret(state: CloudState, name: SecretName): string {
  const directory = path.join(state.root, 'secrets');
  const file = path.join(directory, name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (!existsSync(file)) writePrivate(file, `${randomBytes(24).toString('hex')}\n`);
  return readFileSync(file, 'utf8').trim();
}

export function readLedger(state: CloudState): Ledger {
  const file = path.join(state.root, 'changes.json');
  const empty: Ledger = { created: [], saved: [], packages: [], disabledUnits: [] };
  return existsSync(file)
    ? { ...empty, ...(JSON.parse(readFileSync(file, 'utf8')) as Partial<Ledger>) }
    : empty;
}

/** Records a change before it is made, so that an interrupted run can still be undone. */
export function updateLedger(state: CloudState, change: (ledger: Ledger) => void): void {
  const ledger = readLedger(state);
  change(ledger);
  writePrivate(path.join(state.root, 'changes.json'), `${JSON.stringify(ledger, null, 2)}\n`);
}

/** Holds the state for one run of this program; a lock left by a run that is gone is taken over. */
export function lockState(state: CloudState): () => void {
  const file = `${state.root}.lock`;
  const mine = identityOf(process.pid);
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(file, JSON.stringify(mine), { flag: 'wx', mode: 0o600 });
      return () => {
        rmSync(file, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = readHolder(file);
    if (holder !== undefined && isRunning(holder))
      throw new RunError(
        `${state.root} is in use by process ${holder.pid} of this command; wait for it to end`,
      );
    rmSync(file, { force: true });
  }
  throw new RunError(`${file}: cannot be taken; is another run starting at the same moment?`);
}

function readHolder(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId;
  } catch {
    return undefined; // Gone meanwhile, or its writer died halfway: either way nobody holds it.
  }
}
