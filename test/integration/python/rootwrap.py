"""What nova-compute does to reach the SDC, as the user nova: oslo.privsep asks sudo, sudo nova-rootwrap, and that the filters
for leave to start the privsep daemon of meshsan_nova, which opens a socket that only root may open.

Use, as root and in a mount namespace of its own: rootwrap.py PACKAGE FILTERS. It prints one JSON object.
"""
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

from oslo_rootwrap import wrapper

ETC = '/etc/nova'
MODULES = '/usr/lib/python3/dist-packages'
ROOTWRAP = ['sudo', '-n', '/usr/bin/nova-rootwrap', ETC + '/rootwrap.conf']
NOVA = r"""
import shlex, sys
from oslo_config import cfg
from oslo_privsep import priv_context
from meshsan_nova import privileged
cfg.CONF(['--config-file=' + path for path in sys.argv[2:]])
priv_context.init(root_helper=shlex.split(sys.argv[1]))
try:
    open(cfg.CONF.meshsan.sdc_control_socket)
except PermissionError:
    print('nova itself may not')
print(privileged.ask({'op': 'status'}))
"""

SENT = r"""
import json, sys
from oslo_config import cfg
from oslo_privsep import priv_context
from meshsan_nova import privileged
cfg.CONF(['--config-file=' + path for path in sys.argv[1:]])
priv_context.init(root_helper=['rootwrap'])
print(json.dumps(privileged.default.helper_command('/tmp/tmpabc/privsep.sock')))
"""


def mount(*words):
    subprocess.run(['mount', *words], check=True)


def serve(path):
    """An SDC that answers everything with its own name."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    os.chmod(path, 0o600)
    server.listen(4)

    def answer():
        while True:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(json.dumps({'ok': True, 'guid': 'G'}).encode() + b'\n')

    threading.Thread(target=answer, daemon=True).start()


def as_nova(*command):
    user = pwd.getpwnam('nova')
    run = subprocess.run(command, cwd='/', env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': user.pw_dir},
                         user=user.pw_uid, group=user.pw_gid, extra_groups=[], capture_output=True, text=True,
                         timeout=60, stdin=subprocess.DEVNULL)
    return {'code': run.returncode, 'said': run.stdout, 'errors': run.stderr[-2000:]}


def ask(*files):
    return as_nova('/usr/bin/python3', '-c', NOVA, ' '.join(ROOTWRAP), *files)


def sent(files):
    """What oslo.privsep has rootwrap start."""
    said = as_nova('/usr/bin/python3', '-c', SENT, *files)['said']
    return json.loads(said.splitlines()[-1])[1:]


def helper(files, context):
    settings = [word for path in files for word in ('--config-file', path)]
    return ['privsep-helper', *settings, '--privsep_context', context, '--privsep_sock_path', '/tmp/x/privsep.sock']


def passes(filters, words):
    try:
        wrapper.match_filter(filters, words, exec_dirs=['/usr/bin'])
    except wrapper.NoFilterMatched:
        return False
    return True


def main(package, filters):
    # Nothing of this is seen outside of the mount namespace.
    mount('--make-rprivate', '/')
    mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run')
    work = tempfile.mkdtemp(dir='/run')
    os.chmod(work, 0o755)
    control = work + '/control.sock'
    serve(control)
    files = [work + '/nova.conf', work + '/nova-compute.conf']
    for path in files:
        with open(path, 'w', encoding='utf-8') as config:
            config.write(f'[meshsan]\nsdc_control_socket = {control}\n')
        mount('--bind', path, os.path.join(ETC, os.path.basename(path)))
    mount('-t', 'overlay', '-o', f'lowerdir={package}:{MODULES}', 'overlay', MODULES)
    etc_files = [os.path.join(ETC, os.path.basename(path)) for path in files]
    folder = work + '/rootwrap.d'
    os.mkdir(folder)
    shutil.copy(filters, folder + '/meshsan.filters')
    mount('--bind', folder, ETC + '/rootwrap.d')
    # This release of rootwrap lets privsep-helper pass in any case, older ones need the filters: so they are judged alone.
    own = [one for one in wrapper.load_filters([folder]) if one.name != 'privsep-helper']
    context = 'meshsan_nova.privileged.default'
    print(json.dumps({
        'one': ask(etc_files[0]),
        'two': ask(*etc_files),
        'otherProgram': as_nova(*ROOTWRAP, 'cat', '/etc/shadow'),
        'passes': {
            'oneFile': passes(own, sent(etc_files[:1])),
            'twoFiles': passes(own, sent(etc_files)),
            'otherFile': passes(own, helper(['/tmp/nova.conf'], context)),
            'otherFolder': passes(own, helper(['/etc/../tmp/nova.conf'], context)),
            'otherContext': passes(own, helper(etc_files[:1], 'os.system')),
            'more': passes(own, [*helper(etc_files[:1], context), '--debug']),
        },
    }))


main(*sys.argv[1:])
