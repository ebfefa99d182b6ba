"""os-brick's view of a volume of MeshSAN: mapped by the bridge, made a block device by the SDC of this host."""
import os
import time

from os_brick import exception
from os_brick.initiator.connectors import base
from oslo_log import log as logging

from meshsan_nova import host
from meshsan_nova import sdc

LOG = logging.getLogger(__name__)

SEARCH_PATH = '/dev/disk/by-id'
#: Property of a connector by which the bridge knows the SDC of the host.
GUID_PROPERTY = 'meshsan_sdc_guid'
_POLL_SECONDS = 0.1


class MeshSANConnector(base.BaseLinuxConnector):
    """Attaches and detaches volumes that Cinder has mapped to this host."""

    @staticmethod
    def get_connector_properties(root_helper, *args, **kwargs):
        """Names the SDC of this host; a host whose SDC does not answer has no property, and the bridge asks by name."""
        try:
            return {GUID_PROPERTY: host.guid()}
        except sdc.SdcUnreachable as error:
            LOG.warning('The SDC of this host does not answer: %s', error)
            return {}

    def get_search_path(self):
        return SEARCH_PATH

    def get_volume_paths(self, connection_properties):
        path = device_path(connection_properties)
        return [path] if os.path.exists(path) else []

    def connect_volume(self, connection_properties):
        """Makes the block device.

        :param connection_properties: `data` of Cinder's connection information
        :returns: type and path, as os-brick's other connectors
        """
        volume_id = connection_properties['meshsan_volume_id']
        wanted = connection_properties.get('meshsan_sdc_guid')
        try:
            if wanted and wanted.lower() != host.guid():
                raise exception.BrickException(
                    message=f'MeshSAN volume {volume_id} was mapped to the SDC {wanted}, which is not that of this host')
            device = host.attach(volume_id, connection_properties['meshsan_system_id'])
        except (sdc.SdcRefusal, sdc.SdcUnreachable) as error:
            raise exception.BrickException(message=f'MeshSAN: {error}') from error
        path = device_path(connection_properties)
        if path not in device['links']:
            raise exception.BrickException(
                message=f'MeshSAN volume {volume_id} is {device["device"]} on this host, but not {path}')
        LOG.info('MeshSAN volume %s is %s.', volume_id, path)
        return {'type': 'block', 'path': path}

    def disconnect_volume(self, connection_properties, device_info, force=False, ignore_errors=False):
        """Takes the block device away: first here, then Cinder takes the mapping away."""
        volume_id = connection_properties['meshsan_volume_id']
        try:
            host.detach(volume_id, connection_properties['meshsan_system_id'], force)
        except (sdc.SdcRefusal, sdc.SdcUnreachable) as error:
            if force and ignore_errors:
                LOG.warning('MeshSAN volume %s: %s', volume_id, error)
                return
            raise exception.BrickException(message=f'MeshSAN: {error}') from error

    def extend_volume(self, connection_properties):
        """The size of the block device in bytes, after the SDC has heard of the present one."""
        volume_id = connection_properties['meshsan_volume_id']
        deadline = time.monotonic() + host.patience()
        while True:
            try:
                facts = host.volume(volume_id, connection_properties['meshsan_system_id'])
            except (sdc.SdcRefusal, sdc.SdcUnreachable) as error:
                raise exception.BrickException(message=f'MeshSAN: {error}') from error
            if facts is None or facts['device'] is None:
                raise exception.BrickException(message=f'MeshSAN volume {volume_id} is not attached to this host')
            if facts['device']['sizeBytes'] == facts['sizeBytes']:
                return facts['sizeBytes']
            if time.monotonic() > deadline:
                raise exception.BrickException(
                    message=f'MeshSAN volume {volume_id} has {facts["sizeBytes"]} bytes, its device stays at '
                            f'{facts["device"]["sizeBytes"]}')
            time.sleep(_POLL_SECONDS)


def device_path(connection_properties):
    """The name of a volume that is the same on every host."""
    system = connection_properties['meshsan_system_id']
    volume_id = connection_properties['meshsan_volume_id']
    return f'{SEARCH_PATH}/emc-vol-{system}-{volume_id}'
