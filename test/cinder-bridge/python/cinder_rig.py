"""A real Cinder without its services: its database (SQLite, made by its own migrations), its objects, its volume manager
with MeshSAN's driver in it. What the manager would send over RabbitMQ goes to oslo.messaging's in-process transport.
"""
import os
import tempfile

import eventlet

eventlet.monkey_patch()

from cinder import context  # noqa: E402
from cinder import coordination  # noqa: E402
from cinder import objects  # noqa: E402
from cinder import rpc  # noqa: E402
from cinder import version  # noqa: E402
from cinder.common import config  # noqa: E402,F401
from cinder.db import migration  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_db import options as db_options  # noqa: E402

CONF = cfg.CONF
HOST = 'controller@meshsan'


class Rig:
    """One cinder-volume in this process."""

    def __init__(self, directory, bridge, token_file, pool, host=HOST, **settings):
        self.directory = directory
        self.pool = pool
        file = os.path.join(directory, 'cinder.conf')
        options = {
            'volume_driver': 'meshsan_cinder.driver.MeshSANDriver',
            'volume_backend_name': 'meshsan',
            'meshsan_bridge': bridge,
            'meshsan_bridge_token_file': token_file,
            'meshsan_storage_pools': pool,
            'meshsan_bridge_patience': 1,
            **settings,
        }
        lines = [f'{name} = {value}' for name, value in options.items()]
        with open(file, 'w', encoding='utf-8') as out:
            out.write('\n'.join([
                '[DEFAULT]', 'enabled_backends = meshsan', 'transport_url = fake:/', f'state_path = {directory}',
                '[database]', f'connection = sqlite:///{directory}/cinder.sqlite',
                '[oslo_concurrency]', f'lock_path = {directory}/locks',
                '[coordination]', f'backend_url = file://{directory}/coordination',
                '[meshsan]', *lines, '']))
        CONF([], project='cinder', version=version.version_string(), default_config_files=[file])
        self.config_file = file
        objects.register_all()
        if not os.path.exists(os.path.join(directory, 'cinder.sqlite')):
            migration.db_sync()
        rpc.init(CONF)
        if not coordination.COORDINATOR.started:
            coordination.COORDINATOR.start()
        self.context = context.get_admin_context()
        self.context.project_id = '5f3a1c2d9b7e4f60a1b2c3d4e5f60718'
        self.context.user_id = '0f3a1c2d9b7e4f60a1b2c3d4e5f60718'
        from cinder.volume import manager
        self.manager = manager.VolumeManager(host=host, service_name='meshsan')
        self.driver = self.manager.driver
        self.host = host

    def start(self):
        """What cinder-volume does when it starts."""
        self.driver.do_setup(self.context)
        self.driver.check_for_setup_error()
        self.driver.init_capabilities()
        self.driver.set_initialized()

    def volume(self, size=1, **fields):
        """A volume of Cinder's database; the driver knows nothing of it yet."""
        volume = objects.Volume(
            self.context, size=size, host=f'{self.host}#{self.pool}', status='available', attach_status='detached',
            project_id=self.context.project_id, user_id=self.context.user_id,
            volume_type_id=fields.pop('volume_type_id', None) or self.default_type(), **fields)
        volume.create()
        return volume

    def made(self, size=1, **fields):
        """A volume that exists on MeshSAN too."""
        volume = self.volume(size, **fields)
        update = self.driver.create_volume(volume)
        volume.update(update)
        volume.save()
        return volume

    def default_type(self):
        from cinder.volume import volume_types
        return volume_types.get_default_volume_type(self.context)['id']

    def reserved(self, volume):
        """An attachment as the API reserves it before the host is known."""
        attachment = objects.VolumeAttachment(
            self.context, volume_id=volume.id, attach_status='reserved', attach_mode='rw')
        attachment.create()
        return attachment

    def attach(self, volume, host='compute1', **connector):
        """The whole of an attachment, as Nova asks for it."""
        attachment = self.reserved(volume)
        properties = {'host': host, 'ip': '192.0.2.10', 'mountpoint': '/dev/vdb', **connector}
        info = self.manager.attachment_update(self.context, volume, properties, attachment.id)
        attachment.refresh()
        return attachment, info

    def detach(self, volume, attachment):
        self.manager.attachment_delete(self.context, attachment.id, volume)
        attachment.destroy()


def scratch():
    return tempfile.mkdtemp(prefix='meshsan-cinder-rig-')


assert db_options is not None
