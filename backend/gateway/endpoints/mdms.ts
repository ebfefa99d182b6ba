// Routes of MDMs, their cluster, and the metadata that they keep.

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { VERSION } from '../../core/version.js';
import { VERSION_MAX } from '../../protocol/generated/constants.js';
import type { MdmMember } from '../../protocol/generated/types.js';
import { BackupError, takeBackup } from '../../runtime/backup-file.js';
import { changed } from '../../runtime/cluster-change.js';
import { ask } from '../action.js';
import { ApiError } from '../api-error.js';
import {
  FLAG,
  TEXT,
  TEXTS,
  WHOLE,
  flagOf,
  object,
  oneOf,
  textIn,
  textOf,
  textsOf,
  wholeOf,
} from '../body.js';
import type { Call, Route } from '../route.js';
import { mdmClusterView } from '../views/system.js';

const ROLES = { Manager: 'manager', TieBreaker: 'tieBreaker' } as const;
const MODES: Readonly<Record<string, number>> = { OneNode: 1, ThreeNodes: 3, FiveNodes: 5 };

/** A row `POST /api/instances/System/action/<name>`. */
function systemAction(
  name: string,
  schema: Route['schema'],
  run: (call: Call) => Promise<unknown>,
): Route {
  return {
    ...{ method: 'POST', path: `/api/instances/System/action/${name}` },
    ...(schema === undefined ? {} : { schema }),
    handle: run,
  };
}

/** MDMs with these ids, all of one role. @throws ApiError */
async function keysIn(call: Call, list: string, role?: MdmMember['role']): Promise<number[]> {
  const ids = textsOf(call.body, list) ?? [];
  if (ids.length === 0) return [];
  const { members } = await call.reader.clusterState();
  return ids.map((id) => {
    const key = call.reader.keyOf(id);
    const found = members.find((member) => member.key === key);
    if (found === undefined) throw ApiError.named('MDM_NOT_FOUND');
    if (role !== undefined && found.role !== role)
      throw ApiError.named('MDM_ROLE_WRONG', `${list} names ${found.name}, which has another role`);
    return key;
  });
}

async function addStandby(call: Call): Promise<unknown> {
  const { body } = call;
  const [host] = textsOf(body, 'ips') ?? [];
  const role = textIn(body, 'role') as keyof typeof ROLES;
  const { key } = await ask(call, 'ADD_STANDBY_MDM', {
    ...{ name: textOf(body, 'name') ?? '', host: host ?? '', role: ROLES[role] },
    ...{ port: 0, clientPort: 0, peerPort: 0, clean: flagOf(body, 'forceClean') ?? false },
  });
  return { id: call.reader.id(key) };
}

async function switchMode(call: Call): Promise<unknown> {
  const add = [
    ...(await keysIn(call, 'addSlaveMdmIdList', 'manager')),
    ...(await keysIn(call, 'addTBIdList', 'tieBreaker')),
  ];
  const remove = [
    ...(await keysIn(call, 'removeSlaveMdmIdList', 'manager')),
    ...(await keysIn(call, 'removeTBIdList', 'tieBreaker')),
  ];
  const mode = MODES[textIn(call.body, 'mode')] ?? 0;
  const allowFailed = flagOf(call.body, 'allowLeaveFailed') ?? false;
  const { job } = await ask(call, 'SWITCH_CLUSTER', { mode, add, remove, allowFailed });
  await changed(call.cluster, job);
  return {};
}

const ID = object({ id: TEXT }, ['id']);

async function byId(
  call: Call,
  run: (key: number) => Promise<unknown>,
): Promise<Record<string, never>> {
  await run(call.reader.keyOf(textIn(call.body, 'id')));
  return {};
}

/** The comparison of the metadata with the devices, ids instead of keys. */
async function checkMetadata(call: Call): Promise<unknown> {
  const { findings, total, ...rest } = await ask(call, 'CHECK_METADATA', {});
  const { reader } = call;
  const idOf = (key: number): string | null => (key === 0 ? null : reader.id(key));
  return {
    ...{ ...rest, inAgreement: total === 0, total },
    findings: findings.map(({ kind, deviceKey, poolKey, volumeKey, comb, combs, reason }) => ({
      ...{ kind, deviceId: idOf(deviceKey), storagePoolId: idOf(poolKey) },
      ...{ volumeId: idOf(volumeKey), comb, combs, reason },
    })),
  };
}

/** A larger backup is written by scli. */
const BACKUP_BYTES_MAX = 64 * 1024 * 1024;

/** The file that meshsan-mdm-restore reads, in base64. It holds password hashes: it is for administrators. */
async function backupMetadata({ cluster, reader, session, nowMs }: Call): Promise<unknown> {
  const directory = mkdtempSync(join(tmpdir(), 'meshsan-backup-'));
  try {
    const path = join(directory, 'metadata');
    const { systemId } = reader;
    const facts = { systemId, systemName: reader.system.name, takenAtMs: nowMs };
    const { pairs, sequence } = await takeBackup(cluster, session.user, path, {
      ...facts,
      software: VERSION,
    });
    const { size } = statSync(path);
    if (size > BACKUP_BYTES_MAX)
      throw ApiError.named(
        'TOO_MANY',
        `the backup has ${size} bytes, at most ${BACKUP_BYTES_MAX} are answered: use scli --backup_metadata`,
      );
    const content = readFileSync(path).toString('base64');
    return { ...facts, objects: pairs, commit: sequence, sizeInBytes: size, content };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    throw ApiError.named('INVALID_PARAMETER', error.message);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function raiseClusterVersion(call: Call): Promise<unknown> {
  const version = wholeOf(call.body, 'version') ?? VERSION_MAX;
  await ask(call, 'RAISE_CLUSTER_VERSION', { version });
  return { version };
}

export const MDM_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: '/api/instances/System/queryMdmCluster',
    handle: ({ reader }) => mdmClusterView(reader),
  },
  systemAction('createMdmCluster', object({ mdmIp: TEXT, ips: TEXTS }), () =>
    // Whoever has a token has a system.
    Promise.reject(ApiError.named('ALREADY_CONFIGURED')),
  ),
  systemAction(
    'addStandbyMdm',
    object(
      {
        ips: TEXTS,
        role: oneOf(Object.keys(ROLES)),
        name: TEXT,
        port: WHOLE,
        managementIps: TEXTS,
        virtIpIntfs: TEXTS,
        forceClean: FLAG,
        allowAsymmetricIps: FLAG,
      },
      ['ips', 'role'],
    ),
    addStandby,
  ),
  systemAction('removeStandbyMdm', ID, (call) =>
    byId(call, (key) => ask(call, 'REMOVE_STANDBY_MDM', { key })),
  ),
  systemAction(
    'switchClusterMode',
    object(
      {
        mode: oneOf(Object.keys(MODES)),
        addSlaveMdmIdList: TEXTS,
        addTBIdList: TEXTS,
        removeSlaveMdmIdList: TEXTS,
        removeTBIdList: TEXTS,
        allowLeaveFailed: FLAG,
      },
      ['mode'],
    ),
    switchMode,
  ),
  systemAction('backupMetadata', undefined, backupMetadata),
  systemAction('checkMetadata', undefined, checkMetadata),
  systemAction('raiseClusterVersion', object({ version: WHOLE }), raiseClusterVersion),
  systemAction(
    'confirmRestore',
    object({ deviceIdList: TEXTS }, ['deviceIdList']),
    async (call) => {
      const deviceKeys = (textsOf(call.body, 'deviceIdList') ?? []).map((id) =>
        call.reader.keyOf(id),
      );
      await ask(call, 'CONFIRM_RESTORE', { deviceKeys });
      return {};
    },
  ),
  systemAction('changeMdmOwnership', ID, (call) =>
    byId(call, (key) => ask(call, 'SWITCH_MDM_OWNERSHIP', { key })),
  ),
  systemAction('renameMdm', object({ id: TEXT, newName: TEXT }, ['id', 'newName']), (call) =>
    byId(call, (key) => ask(call, 'RENAME_MDM', { key, name: textIn(call.body, 'newName') })),
  ),
];
