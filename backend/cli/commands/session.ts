// Commands around logging in, passwords and users.

import { createHash, randomInt } from 'node:crypto';

import type { User } from '../../protocol/generated/types.js';
import { ClusterError } from '../../runtime/cluster.js';
import { PasswordChecker, hashPassword, passwordFault } from '../../runtime/passwords.js';
import { USER_ROLES, userRole } from '../format.js';
import { USER_REF, needed, userOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const TEMPORARY_CHARS = 12;
const USERNAME: Option = { name: 'username', value: 'NAME', about: 'login name', required: true };
const ROLE: Option = {
  name: 'user_role',
  value: 'ROLE',
  about: Object.values(USER_ROLES).join(', '),
  required: true,
};

/** Tells the passwords of a user apart without saying anything about them. */
export function passwordMark(user: User): string {
  return createHash('sha256').update(user.salt).digest('base64url').slice(0, 12);
}

/** A password from an option, or typed in. @throws UsageError when there is none */
async function passwordFrom(run: Run, option: string, prompt: string): Promise<string> {
  const given = run.values.get(option) ?? (await run.terminal.secret(prompt));
  if (given === null) throw new UsageError(`Option --${option} is missing`);
  return given;
}

async function login(run: Run): Promise<Outcome> {
  const name = run.values.get('username') ?? '';
  const password = await passwordFrom(run, 'password', 'Enter password: ');
  const user = (await run.reader.all('user')).find((one) => one.name === name) ?? null;
  const right = await new PasswordChecker().matches(password, user, run.nowMs);
  if (user === null || !right) throw ClusterError.named('PERMISSION_DENIED');
  const systemId = run.reader.systemId;
  run.keepSession({
    user: user.name,
    userKey: user.key,
    systemId,
    passwordMark: passwordMark(user),
    startedAtMs: run.nowMs,
  });
  return outcome(`Logged in. User role is ${USER_ROLES[user.role]}. System ID is ${systemId}`, {
    systemId,
    userRole: USER_ROLES[user.role],
  });
}

function logout(run: Run): Promise<Outcome> {
  run.keepSession(null);
  return Promise.resolve(outcome('Logged out.'));
}

async function acceptable(password: string): Promise<{ salt: Uint8Array; hash: Uint8Array }> {
  const fault = passwordFault(password);
  if (fault !== null) throw ClusterError.named('PASSWORD_REJECTED', fault);
  return hashPassword(password);
}

async function setPassword(run: Run): Promise<Outcome> {
  const user = (await run.reader.all('user')).find((one) => one.name === run.user);
  if (user === undefined) throw ClusterError.named('USER_NOT_FOUND');
  const old = await passwordFrom(run, 'old_password', 'Enter old password: ');
  if (!(await new PasswordChecker().matches(old, user, run.nowMs)))
    throw ClusterError.named('PERMISSION_DENIED');
  const fresh = await passwordFrom(run, 'new_password', 'Enter new password: ');
  await run.cluster.command('SET_PASSWORD', run.user, {
    key: user.key,
    ...(await acceptable(fresh)),
  });
  run.keepSession(null);
  return outcome('Password changed successfully');
}

/** A password that satisfies the rules, of characters that are not mistaken for each other. */
function temporaryPassword(): string {
  const kinds = ['abcdefghjkmnpqrstuvwxyz', 'ABCDEFGHJKLMNPQRSTUVWXYZ', '23456789'];
  return Array.from({ length: TEMPORARY_CHARS }, (_, index) => {
    const kind = kinds[index % kinds.length] ?? '';
    return kind[randomInt(kind.length)] ?? '';
  }).join('');
}

function roleFrom(run: Run): NonNullable<ReturnType<typeof userRole>> {
  const text = run.values.get('user_role') ?? '';
  const role = userRole(text);
  if (role === null)
    throw new UsageError(`--user_role must be one of ${Object.values(USER_ROLES).join(', ')}`);
  return role;
}

async function addUser(run: Run): Promise<Outcome> {
  const name = run.values.get('username') ?? '';
  const password = temporaryPassword();
  const { key } = await run.cluster.command('ADD_USER', run.user, {
    name,
    role: roleFrom(run),
    ...(await hashPassword(password)),
  });
  const id = run.reader.id(key);
  return outcome(
    [
      `Successfully created user. Object ID ${id}`,
      `User ${name} created. Temporary password is '${password}'`,
    ],
    { id, name, temporaryPassword: password },
  );
}

async function resetPassword(run: Run): Promise<Outcome> {
  const user = needed(await userOf(run.reader, run.values), 'user');
  const password = temporaryPassword();
  await run.cluster.command('SET_PASSWORD', run.user, {
    key: user.key,
    ...(await hashPassword(password)),
  });
  return outcome(`Password of user ${user.name} was reset to '${password}'`, {
    id: run.reader.id(user.key),
    temporaryPassword: password,
  });
}

function userData(run: Run, user: User): Record<string, unknown> {
  return { id: run.reader.id(user.key), name: user.name, userRole: USER_ROLES[user.role] };
}

async function queryUsers(run: Run): Promise<Outcome> {
  const users = await run.reader.all('user');
  const rows = users.map(
    (user) =>
      `${run.reader.id(user.key)} ${USER_ROLES[user.role].padEnd(18)} No            ${user.name}`,
  );
  return outcome(
    [
      `Query users returned ${users.length} users.`,
      '',
      'ID               Role               Need-New-Pass User Name',
      '---------------- ------------------ ------------- ---------------',
      ...rows,
    ],
    users.map((user) => userData(run, user)),
  );
}

async function queryUser(run: Run): Promise<Outcome> {
  const user = needed(await userOf(run.reader, run.values), 'user');
  return outcome(
    [
      `User ID: ${run.reader.id(user.key)}`,
      `    User Name: ${user.name}`,
      `    User Role: ${USER_ROLES[user.role]}`,
    ],
    userData(run, user),
  );
}

const topic = 'Session and users';

export const SESSION_COMMANDS: readonly Command[] = [
  {
    name: 'login',
    topic,
    about: 'log in; the session lasts until logout, at most 8 hours',
    open: true,
    options: [USERNAME, { name: 'password', value: 'TEXT', about: 'asked for when not given' }],
    run: login,
  },
  { name: 'logout', topic, about: 'end the session', open: true, options: [], run: logout },
  {
    name: 'set_password',
    topic,
    about: 'change your own password',
    options: [
      { name: 'old_password', value: 'TEXT', about: 'asked for when not given' },
      { name: 'new_password', value: 'TEXT', about: 'asked for when not given' },
    ],
    run: setPassword,
  },
  {
    name: 'add_user',
    topic,
    about: 'add a user with a temporary password, which is printed',
    options: [USERNAME, ROLE],
    run: addUser,
  },
  {
    name: 'delete_user',
    topic,
    about: 'remove a user',
    options: USER_REF,
    sure: 'The user will be removed.',
    run: async (run) => {
      const user = needed(await userOf(run.reader, run.values), 'user');
      await run.cluster.command('REMOVE_USER', run.user, { key: user.key });
      return outcome(`User ${user.name} deleted successfully`);
    },
  },
  {
    name: 'modify_user',
    topic,
    about: 'change the role of a user',
    options: [...USER_REF, ROLE],
    run: async (run) => {
      const user = needed(await userOf(run.reader, run.values), 'user');
      const role = roleFrom(run);
      await run.cluster.command('SET_USER_ROLE', run.user, { key: user.key, role });
      return outcome(`User ${user.name} modified successfully. Role is ${USER_ROLES[role]}`);
    },
  },
  {
    name: 'reset_password',
    topic,
    about: 'give a user a temporary password, which is printed',
    options: USER_REF,
    run: resetPassword,
  },
  { name: 'query_users', topic, about: 'all users', options: [], run: queryUsers },
  { name: 'query_user', topic, about: 'one user', options: USER_REF, run: queryUser },
];
