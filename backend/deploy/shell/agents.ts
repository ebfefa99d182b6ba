// Asks the agent of a node what it reports. It must never log the token.

import { LIA_PORT } from '../../protocol/lia.js';
import { AgentError, LiaClient } from '../../runtime/node-agent/client.js';
import type { AgentSeen } from '../plan/model.js';

const ANSWER_MS = 20_000;

/** What the agent at an address says of its node, or why it cannot be asked. */
export async function agentSeen(host: string, tokenHex: string): Promise<AgentSeen> {
  const token = new Uint8Array(Buffer.from(tokenHex, 'hex'));
  const agent = new LiaClient(host, LIA_PORT, token, ANSWER_MS);
  try {
    const { packages, services } = await agent.report();
    const failed = services.filter(({ state }) => state === 'failed').map(({ unit }) => unit);
    return { fault: null, packages, failed };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { fault: error.message, packages: [], failed: [] };
  } finally {
    agent.close();
  }
}
