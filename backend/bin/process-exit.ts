// Exit codes that all processes share, and how an error becomes one.

import { ConfigError } from '../runtime/config-file.js';
import { UsageError } from '../runtime/flags.js';
import { PrivateFileError } from '../runtime/secret-file.js';
import { TlsFilesError } from '../runtime/tls-store.js';

export const EXIT_FAILED = 1;
export const EXIT_CONFIGURATION = 2;
export const EXIT_ADDRESS = 3;

const ADDRESS_CODES: readonly string[] = ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES'];

/** Calls `stop` at the first signal to end; it ends the process. */
export function onStopSignal(stop: () => void): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      stop();
    });
}

/** Runs a process that goes on by itself; when it cannot start, that is told in a sentence. */
export function runDaemon(
  name: string,
  start: () => Promise<void>,
  exitCode: (error: unknown) => number = startFailureCode,
): void {
  start().catch((error: unknown) => {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(exitCode(error));
  });
}

/** The exit code of a process that could not start. */
export function startFailureCode(error: unknown): number {
  if (!(error instanceof Error)) return EXIT_FAILED;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (ADDRESS_CODES.includes(code)) return EXIT_ADDRESS;
  const refused = [ConfigError, PrivateFileError, TlsFilesError, UsageError];
  if (refused.some((kind) => error instanceof kind) || code.startsWith('ERR_PARSE_ARGS'))
    return EXIT_CONFIGURATION;
  return EXIT_FAILED;
}
