// Secrets of a controller as files: what the MDM and the gateway are made from. It must never put one into an argument or a
// sentence.

import { X509Certificate } from 'node:crypto';
import type { Context, Step } from './model.js';
import { FILES, fileSteps, secretSteps } from './parts.js';

function sameAuthority(present: string | undefined, wanted: string): boolean {
  if (present === undefined || wanted === '') return present?.trim() === wanted;
  try {
    const keyOf = (pem: string): string =>
      new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }).toString('hex');
    return keyOf(present) === keyOf(wanted);
  } catch {
    // What cannot be read is not ours, and is written anew.
    return false;
  }
}

/** The authority's certificate; one made elsewhere from the same key is as good. */
export function authoritySteps({ seen, secrets }: Context, path: string = FILES.authority): Step[] {
  if (
    secrets.authorityPem === '' ||
    sameAuthority(seen.files.get(path)?.text, secrets.authorityPem)
  )
    return [];
  return fileSteps(seen, 'certificate of the authority', path, secrets.authorityPem, 0o644);
}

/** Secrets of a controller: what the MDM and the gateway are made from. */
export function controllerSecrets(context: Context): Step[] {
  const { seen, secrets } = context;
  return [
    ...secretSteps(context),
    ...fileSteps(
      seen,
      'administrator password',
      FILES.adminPassword,
      `${secrets.adminPassword}\n`,
      0o600,
    ),
    ...fileSteps(seen, 'key of the authority', FILES.authorityKey, secrets.authorityKeyPem, 0o600),
    ...authoritySteps(context),
  ];
}
