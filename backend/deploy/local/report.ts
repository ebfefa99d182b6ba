// What the operator reads when a local cluster is ready. It must never show a secret, only where it is kept.

import { join } from 'node:path';
import type { Bootstrapped } from './bootstrap.js';
import type { ProcessPlan } from './configs.js';
import { ADMIN_NAME, DOMAIN_NAME, POOL_NAME, mdmAddress } from './layout.js';
import type { Layout, Paths } from './layout.js';
import type { StartOptions } from './options.js';
import { shellWord, uriPath } from './shell-words.js';

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n');
}

/** The table of addresses and three commands to try. */
export function readyText(
  paths: Paths,
  layout: Layout,
  gateway: ProcessPlan,
  state: Bootstrapped,
  { attach, cinderBridge }: Pick<StartOptions, 'attach' | 'cinderBridge'>,
): string {
  const scli = shellWord(join(paths.bin, 'scli'));
  const socket = join(paths.nbd, `${state.demoVolumeId ?? '<volume id>'}.sock`);
  const facts = table([
    ['gateway', `https://${gateway.address}:${layout.gatewayPort}`],
    ['MDM', `${mdmAddress(layout)}:6611`],
    ['system id', state.systemId],
    ['protection domain', DOMAIN_NAME],
    ['storage pool', POOL_NAME],
    ['user', ADMIN_NAME],
    ['password file', paths.password],
    ['CA file', paths.caFile],
    ['SDC GUID', layout.sdcGuid],
    ['NBD sockets', paths.nbd],
    ...(attach
      ? ([['block devices', `/dev/disk/by-id/emc-vol-${state.systemId}-<volume id>`]] as const)
      : []),
    ...(cinderBridge
      ? ([
          ['Cinder bridge', paths.bridgeSocket],
          ['its token file', paths.bridgeToken],
        ] as const)
      : []),
    ['logs', paths.log],
  ]);
  const tries = [
    // From standard input: as an argument every user of the machine could read it.
    `${scli} --login --username ${ADMIN_NAME} < ${shellWord(paths.password)}`,
    state.demoVolumeId === null
      ? `${scli} --add_volume --protection_domain_name ${DOMAIN_NAME} --storage_pool_name ${POOL_NAME} --size_gb 8 --volume_name vol1`
      : `${scli} --query_all_volumes`,
    state.demoVolumeId === null
      ? `${scli} --map_volume_to_sdc --volume_name vol1 --sdc_guid ${layout.sdcGuid} && (cd ${shellWord(paths.nbd)} && qemu-img info "nbd+unix:///?socket=$(ls *.sock | head -1)")`
      : `qemu-img info 'nbd+unix:///?socket=${uriPath(socket)}'`,
  ];
  return `${facts}\nTry:\n${tries.map((line) => `  ${line}`).join('\n')}`;
}
