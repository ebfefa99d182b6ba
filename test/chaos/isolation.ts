// Namespaces of our own: whether this user may have them, and a program in them. Whatever is made inside (networks, mounts,
// processes) ends with the program, also when that is killed; nothing of the host changes.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { execa } from 'execa';

const PROGRAMS: Readonly<Record<string, string>> = {
  unshare: 'util-linux',
  nsenter: 'util-linux',
  ip: 'iproute2',
  tc: 'iproute2',
  iptables: 'iptables',
};
const FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
/** After this long an orderly end has failed. */
const END_MS = 90_000;
const PATH = [...FOLDERS, process.env['PATH'] ?? ''].join(':');

const isRoot = process.getuid?.() === 0;

function unsharing(): readonly string[] {
  const asRoot = isRoot ? [] : ['--map-root-user'];
  const kinds = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  return ['unshare', ...asRoot, ...kinds, '--'];
}

/** Why no namespaces can be made here, or null. */
export async function obstacle(): Promise<string | null> {
  const lacking = Object.entries(PROGRAMS)
    .filter(([program]) => !FOLDERS.some((folder) => existsSync(`${folder}/${program}`)))
    .map(([, name]) => name);
  if (lacking.length > 0) return `needs ${[...new Set(lacking)].join(' ')}`;
  const probe = 'ip link add probe0 type bridge && iptables -w -A INPUT -s 192.0.2.1 -j DROP';
  const [command, ...args] = [...unsharing(), 'sh', '-c', probe];
  const { failed, stderr } = await execa(command, args, { reject: false, env: { PATH } });
  if (!failed) return null;
  return isRoot
    ? `network namespaces do not work here: ${stderr.trim()}`
    : 'needs root, or user namespaces that this user may make';
}

/** Runs a program of Node's; resolved with its exit code. @param asked - the end that somebody wants; it is given time */
export function runInside(
  program: string,
  args: readonly string[],
  isolated: boolean,
  asked: AbortSignal,
): Promise<number> {
  const [command = '', ...rest] = [
    ...(isolated ? unsharing() : []),
    ...[process.execPath, program, ...args],
  ];
  // The end of its standard input is how it hears that this process has ended, in whatever way.
  const child = spawn(command, rest, {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, PATH },
    detached: true,
  });
  const end = (): void => {
    child.stdin.end();
    setTimeout(() => child.kill('SIGKILL'), END_MS).unref();
  };
  asked.addEventListener('abort', end);
  if (asked.aborted) end();
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('exit', (code) => {
      asked.removeEventListener('abort', end);
      done(code ?? 1);
    });
  });
}
