// Which nodes the last deployment had, as the controllers remember it: whoever is missing now left the environment. It must
// never be the source of what is deployed.

import type { Environment } from '../environment/model.js';
import type { Context, Step } from './model.js';
import { FILES, fileSteps } from './parts.js';

interface DeploymentRecord {
  readonly environment: string;
  readonly nodes: readonly string[];
}

/** Names of the nodes of the last deployment; null: this controller has made none. */
function recordedNodes(text: string | undefined): readonly string[] | null {
  if (text === undefined) return null;
  try {
    const { nodes } = JSON.parse(text) as Partial<DeploymentRecord>;
    return Array.isArray(nodes) ? nodes.map(String) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function recordText(environment: Environment, nodes: readonly string[]): string {
  const record: DeploymentRecord = { environment: environment.label, nodes: [...nodes].sort() };
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** Names of nodes that left the environment since the last deployment. */
export function goneNodes({ environment, seen }: Context): readonly string[] {
  const before = recordedNodes(seen.files.get(FILES.record)?.text) ?? [];
  return before.filter((name) => !environment.nodes.some((node) => node.name === name));
}

export function recordSteps({ environment, seen }: Context): Step[] {
  const names = environment.nodes.map(({ name }) => name);
  const text = recordText(environment, names);
  return fileSteps(seen, 'record of this deployment', FILES.record, text, 0o600);
}
