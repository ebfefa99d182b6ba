"""Nova's libvirt driver for volumes of MeshSAN: a block device, attached and detached by the connector of this package."""
from os_brick.initiator import connector
from oslo_log import log as logging

from nova import utils
from nova.virt.libvirt.volume import volume as libvirt_volume

from meshsan_nova import brick
from meshsan_nova import PROTOCOL

LOG = logging.getLogger(__name__)


class LibvirtMeshSANVolumeDriver(libvirt_volume.LibvirtBaseVolumeDriver):
    """Keeps nothing: what is attached is known to the SDC, which outlives nova-compute."""

    def __init__(self, host):
        super().__init__(host, is_block_dev=False)
        brick.register()
        self.connector = connector.InitiatorConnector.factory(PROTOCOL.upper(), utils.get_root_helper())

    def get_config(self, connection_info, disk_info):
        conf = super().get_config(connection_info, disk_info)
        conf.source_type = 'block'
        conf.source_path = connection_info['data']['device_path']
        conf.driver_io = 'native'
        return conf

    def connect_volume(self, connection_info, instance):
        device = self.connector.connect_volume(connection_info['data'])
        connection_info['data']['device_path'] = device['path']
        LOG.debug('Attached %s', device, instance=instance)

    def disconnect_volume(self, connection_info, instance, force=False):
        self.connector.disconnect_volume(connection_info['data'], None, force=force)
        super().disconnect_volume(connection_info, instance, force=force)

    def extend_volume(self, connection_info, instance, requested_size):
        size = self.connector.extend_volume(connection_info['data'])
        LOG.debug('Extended %s to %s', connection_info['data']['device_path'], size, instance=instance)
        return size
