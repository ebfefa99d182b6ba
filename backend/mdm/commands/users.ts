// Commands about users, and what a role allows. It must never see a password: only salts and hashes come here.

import { LIMIT } from '../../protocol/generated/constants.js';
import type { User, UserRole } from '../../protocol/generated/types.js';
import type { CommandRow } from '../../protocol/tables/commands.js';
import { validName } from '../names.js';
import { found, refuse } from '../refusal.js';
import type { State } from '../state.js';
import { NOTHING } from './context.js';
import type { Handlers } from './context.js';

type Need = CommandRow['needs'];

const ALL_ROLES: readonly UserRole[] = [
  'monitor',
  'configure',
  'administrator',
  'security',
  'frontendConfigure',
  'backendConfigure',
];

const ALLOWED: Readonly<Record<Need, ReadonlySet<UserRole>>> = {
  monitor: new Set(ALL_ROLES),
  frontend: new Set(['frontendConfigure', 'configure', 'administrator']),
  backend: new Set(['backendConfigure', 'configure', 'administrator']),
  configure: new Set(['configure', 'administrator']),
  administrator: new Set(['administrator']),
  security: new Set(['security', 'administrator']),
};

/** Whether a user of this role may ask for what needs that. */
export function mayAsk(role: UserRole, need: Need): boolean {
  return ALLOWED[need].has(role);
}

const SALT_BYTES_MIN = 8;
const HASH_BYTES_MIN = 32;

function checkHash(salt: Uint8Array, hash: Uint8Array): void {
  if (salt.length < SALT_BYTES_MIN)
    refuse('PASSWORD_REJECTED', `the salt must have at least ${SALT_BYTES_MIN} bytes`);
  if (hash.length < HASH_BYTES_MIN)
    refuse('PASSWORD_REJECTED', `the hash must have at least ${HASH_BYTES_MIN} bytes`);
}

/** Somebody must always be left who can do everything. */
function checkNotLastAdministrator(state: State, user: User): void {
  if (user.role !== 'administrator') return;
  const another = state.users.find(({ key, role }) => role === 'administrator' && key !== user.key);
  if (another === undefined)
    refuse('INVALID_PARAMETER', 'the last administrator must stay an administrator');
}

export const USER_COMMANDS: Handlers<
  'ADD_USER' | 'REMOVE_USER' | 'SET_PASSWORD' | 'SET_USER_ROLE'
> = {
  ADD_USER({ state }, params) {
    const name = validName(params.name);
    if (state.users.find((user) => user.name === name) !== undefined) refuse('USER_EXISTS');
    if (state.users.size >= LIMIT.usersMax) refuse('TOO_MANY', `at most ${LIMIT.usersMax} users`);
    const { role, salt, hash } = params;
    checkHash(salt, hash);
    const key = state.newKey();
    state.users.put(key, { key, name, role, salt, hash });
    return { key };
  },

  REMOVE_USER({ state }, { key }) {
    const user = found(state.users.get(key), 'USER_NOT_FOUND');
    checkNotLastAdministrator(state, user);
    state.users.delete(key);
    return NOTHING;
  },

  SET_PASSWORD({ state, actor }, { key, salt, hash }) {
    const user = found(state.users.get(key), 'USER_NOT_FOUND');
    if (user.key !== actor.key && !mayAsk(actor.role, 'security')) refuse('PERMISSION_DENIED');
    checkHash(salt, hash);
    state.users.put(key, { ...user, salt, hash });
    return NOTHING;
  },

  SET_USER_ROLE({ state }, { key, role }) {
    const user = found(state.users.get(key), 'USER_NOT_FOUND');
    if (role !== 'administrator') checkNotLastAdministrator(state, user);
    state.users.put(key, { ...user, role });
    return NOTHING;
  },
};
