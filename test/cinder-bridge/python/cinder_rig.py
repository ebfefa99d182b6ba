"""A real Cinder without its services: its database (SQLite, made by its own migrations), its objects, its volume manager
with MeshSAN's driver in it. What the manager would send over RabbitMQ goes to oslo.messaging's in-process transport.
"""
import os

import eventlet

eventlet.monkey_patch()

from cinder import context  # noqa: E402
from cinder import coordination  # noqa: E402
from cinder import objects  # noqa: E402
from cinder import rpc  # noqa: E402
from cinder import version  # noqa: E402
from cinder.common import config  # noqa: E402,F401
from cinder.db import migration  # noqa: E402
from cinder.objects import base as objects_base  # noqa: E402
from oslo_config import cfg  # noqa: E402
import oslo_messaging as messaging  # noqa: E402

# The manager names objects while it is imported.
objects.register_all()

from cinder.volume import manager  # noqa: E402
from cinder.volume import volume_types  # noqa: E402

CONF = cfg.CONF
HOST = 'controller@meshsan'
#: A host of OpenStack that is not this machine.
ELSEWHERE = 'compute1'

CONFIGURATION = """[DEFAULT]
enabled_backends = {backends}
transport_url = fake:/
state_path = {directory}
[database]
connection = sqlite:///{directory}/cinder.sqlite
[oslo_concurrency]
lock_path = {directory}/locks
[coordination]
backend_url = file://{directory}/coordination
[privsep_osbrick]
helper_command = privsep-helper --config-file {file}
[cinder_sys_admin]
helper_command = privsep-helper --config-file {file}
"""

BACKEND = """[{name}]
volume_driver = meshsan_cinder.driver.MeshSANDriver
volume_backend_name = meshsan
meshsan_bridge = {bridge}
meshsan_bridge_token_file = {token_file}
meshsan_storage_pools = {pool}
meshsan_bridge_patience = {patience}
"""


def configure(directory, backends):
    """Writes cinder.conf with these backends (name: settings) and makes the database."""
    file = os.path.join(directory, 'cinder.conf')
    with open(file, 'w', encoding='utf-8') as out:
        out.write(CONFIGURATION.format(backends=','.join(backends), directory=directory, file=file))
        for name, settings in backends.items():
            out.write(BACKEND.format(name=name, **settings))
    CONF([], project='cinder', version=version.version_string(), default_config_files=[file])
    migration.db_sync()
    rpc.init(CONF)
    coordination.COORDINATOR.start()
    return file


class Rig:
    """One cinder-volume with one backend of the configuration."""

    def __init__(self, backend, pool, host=HOST):
        self.context = context.get_admin_context()
        self.context.project_id = '5f3a1c2d9b7e4f60a1b2c3d4e5f60718'
        self.context.user_id = '0f3a1c2d9b7e4f60a1b2c3d4e5f60718'
        self.manager = manager.VolumeManager(host=host, service_name=backend)
        self.driver = self.manager.driver
        self.host = host
        self.pool = pool

    def start(self):
        """What cinder-volume does when it starts."""
        self.driver.do_setup(self.context)
        self.driver.check_for_setup_error()
        self.driver.init_capabilities()
        self.driver.set_initialized()
        # The manager asks itself over RPC what the other end of a copy can do.
        target = messaging.Target(topic=f'cinder-volume.{self.host}', server=self.host.split('@')[0])
        self.server = rpc.get_server(target, [self.manager], objects_base.CinderObjectSerializer())
        self.server.start()

    def volume(self, size=1, volume_type_id=None, **fields):
        """A volume of Cinder's database; the driver knows nothing of it yet."""
        volume = objects.Volume(
            self.context, size=size, host=f'{self.host}#{self.pool}', status='available', attach_status='detached',
            project_id=self.context.project_id, user_id=self.context.user_id,
            volume_type_id=volume_type_id or volume_types.get_default_volume_type(self.context)['id'], **fields)
        volume.create()
        return volume

    def made(self, size=1, **fields):
        """A volume that exists on MeshSAN too."""
        volume = self.volume(size, **fields)
        volume.update(self.driver.create_volume(volume))
        volume.save()
        return volume

    def attach(self, volume, host=ELSEWHERE, **connector):
        """The whole of an attachment, as Nova asks for it: reserved first, then updated with the connector."""
        attachment = objects.VolumeAttachment(
            self.context, volume_id=volume.id, attach_status='reserved', attach_mode='rw')
        attachment.create()
        properties = {'host': host, 'ip': '192.0.2.10', 'mountpoint': '/dev/vdb', **connector}
        info = self.manager.attachment_update(self.context, volume, properties, attachment.id)
        attachment.refresh()
        return attachment, info

    def detach(self, volume, attachment):
        """As Nova asks for it."""
        self.manager.attachment_delete(self.context, attachment.id, volume)
        attachment.destroy()

    def remove(self, volume):
        """From MeshSAN and from Cinder."""
        self.driver.delete_volume(volume)
        volume.destroy()
