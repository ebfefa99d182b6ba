// The plan of a node's agent (LIA): what it is enrolled with, its configuration and its service. Every node has one; the key
// that vouches for packages lies on the primary controller only. It must never look at a machine.

import { LIA_PORT } from '../../protocol/lia.js';
import { planned } from './model.js';
import type { Context, Plan, Questions, Step } from './model.js';
import { FILES, configPath, fileSteps, roleSteps, unitOf } from './parts.js';

const ROLE = 'lia';

export const agentQuestions = (): Questions => ({
  files: [configPath(ROLE), FILES.agentToken, FILES.signer, FILES.signerKey],
  units: [unitOf(ROLE)],
});

/** What an agent is enrolled with: who may ask it, and who vouches for packages. */
function enrolment({ self, seen, secrets }: Context): Step[] {
  const isPrimary = self.roles.includes('primary-controller');
  const { agentToken, signerPem, signerKeyPem } = secrets;
  return [
    ...fileSteps(seen, 'token of the agents', FILES.agentToken, `${agentToken}\n`, 0o600),
    ...fileSteps(seen, 'public key of the signer', FILES.signer, signerPem, 0o644),
    ...(isPrimary
      ? fileSteps(seen, 'key that vouches for packages', FILES.signerKey, signerKeyPem, 0o600)
      : []),
  ];
}

export function planAgent(context: Context): Plan {
  const { self, seen } = context;
  const files = enrolment(context);
  const listen = [{ host: self.managementAddress, port: LIA_PORT }];
  const service = roleSteps(seen, {
    role: ROLE,
    wanted: { name: self.name, listen, signerFile: FILES.signer },
    args: [
      ...['--name', self.name, '--listen', self.managementAddress],
      ...['--signer', FILES.signer],
    ],
  });
  const unit = unitOf(ROLE);
  const isRunning = seen.units.get(unit)?.active === true;
  const restarts = service.some((step) => step.kind === 'unit');
  // It reads token and key at its start only.
  const restart: Step[] =
    files.length > 0 && isRunning && !restarts
      ? [{ kind: 'unit', unit, action: 'restart', about: `restart ${unit}` }]
      : [];
  return planned([...files, ...service, ...restart]);
}
