// Asks a gateway whether it can be used: over TLS, verified by the environment's authority, logged in as the
// administrator. It must never log the password or the token.

import { Agent } from 'node:https';
import axios from 'axios';
import type { Secrets } from '../plan/model.js';

const REQUEST_MS = 5_000;
const ADMIN = 'admin';

/** Why the gateway at an address cannot be used, or null. */
export async function gatewayFault(
  host: string,
  port: number,
  secrets: Secrets,
): Promise<string | null> {
  const httpsAgent = new Agent({ ca: secrets.authorityPem });
  const base = {
    baseURL: `https://${host}:${port}`,
    httpsAgent,
    timeout: REQUEST_MS,
    proxy: false,
  } as const;
  try {
    const login = await axios.get<string>('/api/login', {
      ...base,
      auth: { username: ADMIN, password: secrets.adminPassword },
    });
    await axios.get('/api/version', { ...base, auth: { username: ADMIN, password: login.data } });
    return null;
  } catch (error) {
    if (axios.isAxiosError(error))
      return error.response === undefined
        ? (error.code ?? error.message)
        : `it answers ${error.response.status}`;
    throw error;
  } finally {
    httpsAgent.destroy();
  }
}
