// The check of a host before anything of ours runs there, as a shell script: our own programs need a C library that an old
// host may not have. Fuel's tasks and the inventory's run use the same text. It must never change the host.

const GLIBC = /^\d+\.\d+$/;

/**
 * A POSIX shell function `meshsan_host_check`, which says on standard error why this host cannot be used and returns 3.
 *
 * @param glibcMin - lowest version of glibc on which our programs run, such as "2.28"
 */
export function hostCheckScript(glibcMin: string): string {
  if (!GLIBC.test(glibcMin)) throw new Error(`glibcMin must look like 2.28, is "${glibcMin}"`);
  const [major = '', minor = ''] = glibcMin.split('.');
  return `# Refuses a host on which MeshSAN cannot run, before anything is changed.
meshsan_host_check() {
  meshsan_refuse() { echo "MeshSAN: \${1}" >&2; return 3; }
  [ "$(id -u)" = 0 ] || { meshsan_refuse 'must run as root'; return 3; }
  [ "$(uname -m)" = x86_64 ] || { meshsan_refuse "needs x86_64, this host is $(uname -m)"; return 3; }
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
  case "\${glibc}" in
    [0-9]*.[0-9]*) ;;
    *) meshsan_refuse 'needs glibc ${glibcMin} or newer; this host does not say which it has'; return 3 ;;
  esac
  have_major=\${glibc%%.*}
  have_minor=\${glibc#*.}
  have_minor=\${have_minor%%[!0-9]*}
  if [ "\${have_major}" -lt ${major} ] || { [ "\${have_major}" -eq ${major} ] && [ "\${have_minor}" -lt ${minor} ]; }; then
    meshsan_refuse "needs glibc ${glibcMin} or newer, this host has \${glibc}: nothing was changed"
    return 3
  fi
  [ -d /run/systemd/system ] || { meshsan_refuse 'needs systemd as the service manager'; return 3; }
  command -v apt-get >/dev/null || { meshsan_refuse 'needs a Debian-like system (apt-get)'; return 3; }
}
`;
}
