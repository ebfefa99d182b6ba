"""The way into nova-compute.

nova-compute makes one of every class that the namespace nova.compute.monitors.cpu names, right after its virtualization
driver, and before it looks up the first volume driver. It then complains once in its log that it could not load this one,
because it is no monitor of Nova's own; by then the work is done.
"""
from oslo_log import log as logging

from meshsan_nova import __version__, PROTOCOL
from meshsan_nova import brick

LOG = logging.getLogger(__name__)

DRIVER = 'meshsan_nova.volume.LibvirtMeshSANVolumeDriver'


class Hook:
    """Registers what this package brings when nova-compute makes one."""

    def __init__(self, resource_tracker):
        register()
        LOG.info('Volumes of MeshSAN can be attached (meshsan-nova %s).', __version__)


def register():
    """Makes Nova's libvirt driver and os-brick know these volumes; twice is the same as once."""
    # Imported here: whoever asks for the version of this package need not have Nova.
    from nova.virt.libvirt import driver
    driver.VOLUME_DRIVERS[PROTOCOL] = DRIVER
    brick.register()
