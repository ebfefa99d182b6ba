// The one script of the plugin: refuses hosts that are too old, brings the deployer from the plugin's repository, and
// hands the task over to it. It must never decide what a node gets.

import { hostCheckScript } from '../backend/deploy/host-check.js';

export const SCRIPT = 'meshsan.sh';
/** Verb that only looks at the host; it needs nothing of ours. */
export const HOST_CHECK = 'host-check';

/** deployment_scripts/meshsan.sh */
export function scriptText(version: string, glibcMin: string): string {
  return `#!/bin/bash
# Runs one task of the deployment of MeshSAN on this node: bash ${SCRIPT} TASK
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
version='${version}'

${hostCheckScript(glibcMin)}
task=\${1:?name a task}
meshsan_host_check || exit 3
[ "\${task}" != '${HOST_CHECK}' ] || exit 0

installed_version() {
  dpkg-query -W -f '\${db:Status-Status} \${Version}' "\${1}" 2>/dev/null || true
}

if [ "$(installed_version meshsan-deploy)" != "installed \${version}" ]; then
  # All packages of a node have one version, so those that are there are upgraded along.
  packages=("meshsan-runtime=\${version}" "meshsan-deploy=\${version}")
  while read -r name status; do
    case "\${name}" in
      meshsan-runtime | meshsan-deploy) ;;
      *) [ "\${status}" != installed ] || packages+=("\${name}=\${version}") ;;
    esac
  done < <(dpkg-query -W -f '\${Package} \${db:Status-Status}\\n' 'meshsan-*' 2>/dev/null || true)
  apt-get install -y -q --no-install-recommends --allow-downgrades --allow-unauthenticated \\
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=600 \\
    "\${packages[@]}"
fi

exec meshsan-deploy task "\${task}" --facts "\${MESHSAN_FACTS:-/etc/astute.yaml}"
`;
}
