// What the configuration files of all services are made of: ini text, database addresses, how a service shows Keystone who
// it is. It owns no file; a password goes only into what privateFile writes.
import { chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import {
  secret,
  writePrivate,
  type CloudState,
  type DatabaseName,
  type ServiceUser,
} from './state.js';

export const REGION = 'RegionOne';

/** The message broker, as services name it. */
export function brokerUrl(state: CloudState): string {
  return `rabbit://openstack:${secret(state, 'rabbitmq')}@${state.address}:${state.ports.rabbitmq}/`;
}

/** Keystone's address, with its version. */
export function keystoneUrl(state: CloudState): string {
  return `http://${state.address}:${state.ports.keystone}/v3`;
}

/** Where a service finds its database. */
export function databaseUrl(state: CloudState, name: DatabaseName): string {
  const password = secret(state, `database-${name}`);
  return `mysql+pymysql://${name}:${password}@localhost/${name}?unix_socket=${state.databaseSocket}&charset=utf8`;
}

/** An ini file: options by section. */
export type Sections = Record<string, Record<string, string | number | boolean>>;

/** The text of an ini file. */
export function ini(sections: Sections): string {
  return Object.entries(sections)
    .map(([name, options]) => {
      // A dollar sign refers to another option, unless it is doubled.
      const lines = Object.entries(options).map(
        ([key, value]) => `${key} = ${String(value).replaceAll('$', '$$$$')}`,
      );
      return [`[${name}]`, ...lines, ''].join('\n');
    })
    .join('\n');
}

/** How a service proves to Keystone who it is. */
export function credentials(state: CloudState, user: ServiceUser): Record<string, string> {
  return {
    auth_url: keystoneUrl(state),
    auth_type: 'password',
    username: user,
    password: secret(state, user),
    project_name: 'service',
    user_domain_name: 'Default',
    project_domain_name: 'Default',
    region_name: REGION,
  };
}

/** How a service checks the tokens that it is given. */
export function tokenCheck(state: CloudState, user: ServiceUser): Record<string, string | boolean> {
  return {
    ...credentials(state, user),
    www_authenticate_uri: keystoneUrl(state),
    service_token_roles: 'service',
    service_token_roles_required: true,
  };
}

/** What every service's file holds. */
export function common(state: CloudState): Sections {
  return {
    oslo_concurrency: { lock_path: path.join(state.root, 'lock') },
    oslo_messaging_notifications: { driver: 'noop' },
    oslo_messaging_rabbit: { heartbeat_in_pthread: false },
    oslo_policy: { enforce_scope: false },
  };
}

/** A user of this machine. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export async function owner(user: string): Promise<Owner> {
  const id = async (flag: string): Promise<number> =>
    Number((await execa('id', [flag, user])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

/** A directory that only its service (and root) can enter. */
export function directory(at: string, who?: Owner): string {
  mkdirSync(at, { recursive: true, mode: 0o700 });
  chown(at, who);
  return at;
}

/** A file of mode 0600. */
export function privateFile(at: string, content: string, who?: Owner): void {
  writePrivate(at, content);
  chown(at, who);
}

/** Gives a file to its service. */
export function chown(at: string, who?: Owner): void {
  if (who !== undefined) chownSync(at, who.uid, who.gid);
}
