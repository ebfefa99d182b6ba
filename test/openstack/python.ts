// MeshSAN's own Python packages for the services of a cloud: installed by pip into a directory of the state, and seen only
// by those services.
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { REPOSITORY } from './meshsan.js';
import { SERVICE_PATH } from './processes.js';
import { RunError } from './progress.js';
import type { CloudState } from './state.js';

const SOURCES = [
  ['cinder-bridge', 'python'],
  ['nova-hooks', 'python'],
] as const;

/** Where they are. */
export const pythonPathOf = (state: CloudState): string => path.join(state.root, 'python');

/** Installs what the repository has now. */
export async function installPython(state: CloudState): Promise<void> {
  const target = pythonPathOf(state);
  mkdirSync(state.root, { recursive: true });
  const scratch = mkdtempSync(path.join(state.root, 'pip-'));
  try {
    // pip builds beside the sources: the repository stays as it is.
    const copies = SOURCES.map((words, index) => {
      const copy = path.join(scratch, String(index));
      cpSync(path.join(REPOSITORY, ...words), copy, { recursive: true });
      return copy;
    });
    const run = await execa(
      '/usr/bin/python3',
      [
        ...['-m', 'pip', 'install', '--no-index', '--no-deps', '--no-build-isolation', '--quiet'],
        ...['--no-cache-dir', '--upgrade', '--root-user-action', 'ignore', '--target', target],
        ...copies,
      ],
      {
        extendEnv: false,
        env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8', HOME: scratch },
        cwd: '/',
        stdin: 'ignore',
        reject: false,
      },
    );
    if (run.exitCode !== 0) throw new RunError(`pip cannot install them: ${run.stderr}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
