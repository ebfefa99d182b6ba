// Exit codes that all processes share, and how an error becomes one.

import { ConfigError } from '../runtime/config-file.js';
import { UsageError } from '../runtime/flags.js';
import { PrivateFileError } from '../runtime/secret-file.js';
import { TlsFilesError } from '../runtime/tls-store.js';

export const EXIT_FAILED = 1;
export const EXIT_CONFIGURATION = 2;
export const EXIT_ADDRESS = 3;

const ADDRESS_CODES: readonly string[] = ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES'];

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
