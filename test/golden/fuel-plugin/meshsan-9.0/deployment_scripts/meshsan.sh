#!/bin/bash
# Runs one task of the deployment of MeshSAN on this node: bash meshsan.sh TASK
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
version='1.2.3'

# Refuses a host on which MeshSAN cannot run, before anything is changed.
meshsan_host_check() {
  meshsan_refuse() { echo "MeshSAN: ${1}" >&2; return 3; }
  [ "$(id -u)" = 0 ] || { meshsan_refuse 'must run as root'; return 3; }
  [ "$(uname -m)" = x86_64 ] || { meshsan_refuse "needs x86_64, this host is $(uname -m)"; return 3; }
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
  case "${glibc}" in
    [0-9]*.[0-9]*) ;;
    *) meshsan_refuse 'needs glibc 2.34 or newer; this host does not say which it has'; return 3 ;;
  esac
  have_major=${glibc%%.*}
  have_minor=${glibc#*.}
  have_minor=${have_minor%%[!0-9]*}
  if [ "${have_major}" -lt 2 ] || { [ "${have_major}" -eq 2 ] && [ "${have_minor}" -lt 34 ]; }; then
    meshsan_refuse "needs glibc 2.34 or newer, this host has ${glibc}: nothing was changed"
    return 3
  fi
  [ -d /run/systemd/system ] || { meshsan_refuse 'needs systemd as the service manager'; return 3; }
  command -v apt-get >/dev/null || { meshsan_refuse 'needs a Debian-like system (apt-get)'; return 3; }
}

task=${1:?name a task}
meshsan_host_check || exit 3
[ "${task}" != 'host-check' ] || exit 0

installed_version() {
  dpkg-query -W -f '${db:Status-Status} ${Version}' "${1}" 2>/dev/null || true
}

if [ "$(installed_version meshsan-deploy)" != "installed ${version}" ]; then
  # All packages of a node have one version, so those that are there are upgraded along.
  packages=("meshsan-runtime=${version}" "meshsan-deploy=${version}")
  while read -r name status; do
    case "${name}" in
      meshsan-runtime | meshsan-deploy) ;;
      *) [ "${status}" != installed ] || packages+=("${name}=${version}") ;;
    esac
  done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 'meshsan-*' 2>/dev/null || true)
  apt-get install -y -q --no-install-recommends --allow-downgrades --allow-unauthenticated \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=600 \
    "${packages[@]}"
fi

exec meshsan-deploy task "${task}" --facts "${MESHSAN_FACTS:-/etc/astute.yaml}"
