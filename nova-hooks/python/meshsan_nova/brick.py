"""Makes os-brick know this package's connectors. Programs that are not nova-compute, as cinder-volume, call register()."""
from os_brick import initiator
from os_brick.initiator import connector
from oslo_config import cfg

from meshsan_nova import privileged
from meshsan_nova import PROTOCOL

CONNECTOR = 'meshsan_nova.connector.MeshSANConnector'
SCALEIO_CONNECTOR = 'meshsan_nova.scaleio.ScaleIOConnector'


def register():
    """Adds the connectors to os-brick's tables, which it looks things up in whenever it makes one."""
    connector._connector_mapping_linux[PROTOCOL.upper()] = CONNECTOR
    if cfg.CONF[privileged.GROUP].scaleio_guid:
        connector._connector_mapping_linux[initiator.SCALEIO] = SCALEIO_CONNECTOR
    if CONNECTOR not in connector.unix_connector_list:
        connector.unix_connector_list.append(CONNECTOR)
