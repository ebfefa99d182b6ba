"""Cinder's driver for MeshSAN. Each call becomes one request to the bridge; nothing is decided here.

What a connector is told besides: a volume comes as driver_volume_type `meshsan` to a host whose connector names its SDC
(property `meshsan_sdc_guid`, which MeshSAN's package for compute hosts adds), and as `local`, with the same path, to any
other host.
"""
import hashlib
import os
import socket
import time
import uuid

from cinder import context as cinder_context
from cinder import exception
from cinder import interface
from cinder import objects
from cinder.volume import configuration
from cinder.volume import driver
from cinder.volume import volume_types
from cinder.volume import volume_utils
from oslo_config import cfg
from oslo_log import log as logging

from meshsan_cinder import __version__
from meshsan_cinder import limits
from meshsan_cinder.client import BridgeClient, BridgeError, quoted
from meshsan_cinder.existing import ExistingCalls
from meshsan_cinder.groups import GroupCalls
from meshsan_cinder.paths import pool_of, pool_path, snapshot_path, volume_path

LOG = logging.getLogger(__name__)

OPTIONS = [
    cfg.StrOpt('meshsan_bridge',
               default='/run/meshsan-cinder-bridge/bridge.sock',
               help='The cinder-bridge service: absolute path of its unix socket, or host:port on loopback.'),
    cfg.StrOpt('meshsan_bridge_token_file',
               default='/etc/meshsan/cinder-bridge-token',
               help='File with the token that the bridge holds too: 64 hex digits, mode 0600, owned by the user '
                    'that cinder-volume runs as.'),
    cfg.ListOpt('meshsan_storage_pools',
                default=[],
                help='Storage pools, as protection-domain:storage-pool. Each becomes a pool of this backend.'),
    cfg.BoolOpt('meshsan_thin_provision',
                default=True,
                help='Whether volumes are thin where their type does not say provisioning:type.'),
    cfg.IntOpt('meshsan_bridge_timeout',
               default=120, min=5,
               help='Seconds that one request to the bridge may take.'),
    cfg.IntOpt('meshsan_bridge_patience',
               default=10, min=0,
               help='Seconds for which a bridge that does not answer is asked again.'),
    cfg.IntOpt('meshsan_device_timeout',
               default=20, min=0,
               help='Seconds to wait for the device of a volume that this host itself attaches.'),
]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)

#: What the driver writes into a connector: Cinder keeps it with the attachment and gives it back at the detach.
HOLDER = 'meshsan_holder'
GENERATION = 'meshsan_generation'
#: Property of a connector whose host can use driver_volume_type meshsan.
SDC_GUID = 'meshsan_sdc_guid'


@interface.volumedriver
class MeshSANDriver(ExistingCalls, GroupCalls, driver.VolumeDriver):
    """MeshSAN through its bridge."""

    VERSION = __version__
    VENDOR = 'MeshSAN'
    CI_WIKI_NAME = 'MeshSAN_CI'
    SUPPORTED = True
    # The bridge and the driver keep no state: names are made of uuids, the ledger lies in the cluster.
    SUPPORTS_ACTIVE_ACTIVE = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)
        self._bridge = None
        self._features = None

    @staticmethod
    def get_driver_options():
        return OPTIONS

    # Start.

    def do_setup(self, context):
        settings = self.configuration
        self._bridge = BridgeClient(
            settings.meshsan_bridge, settings.meshsan_bridge_token_file,
            timeout=settings.meshsan_bridge_timeout, patience=settings.meshsan_bridge_patience)

    def check_for_setup_error(self):
        if not self.configuration.meshsan_storage_pools:
            raise exception.InvalidConfigurationValue(option='meshsan_storage_pools', value='')
        for name in self.configuration.meshsan_storage_pools:
            if len(name.split(':')) != 2:
                raise exception.InvalidConfigurationValue(option='meshsan_storage_pools', value=name)
        self._features = self._call('GET', '/v1/features')
        for name in self.configuration.meshsan_storage_pools:
            self._call('GET', f'{pool_path(name)}/capacity')

    # Capacity and features.

    def _update_volume_stats(self):
        settings = self.configuration
        self._stats = {
            'volume_backend_name': settings.safe_get('volume_backend_name') or 'meshsan',
            'vendor_name': self.VENDOR,
            'driver_version': self.VERSION,
            'storage_protocol': 'meshsan',
            # A new volume reads as zeroes, so a copy may leave zeroes out, and thin volumes stay thin.
            'sparse_copy_volume': True,
            'pools': [self._pool_stats(name) for name in settings.meshsan_storage_pools],
        }

    def _pool_stats(self, name):
        capacity = self._call('GET', f'{pool_path(name)}/capacity')
        settings = self.configuration
        return {
            'pool_name': name,
            'total_capacity_gb': capacity['totalGib'],
            'free_capacity_gb': capacity['freeGib'],
            'provisioned_capacity_gb': capacity['provisionedGib'],
            'total_volumes': capacity['volumes'],
            'reserved_percentage': settings.safe_get('reserved_percentage') or 0,
            'max_over_subscription_ratio': volume_utils.get_max_over_subscription_ratio(
                settings.safe_get('max_over_subscription_ratio')),
            'thin_provisioning_support': self._feature('thin'),
            'thick_provisioning_support': self._feature('thick'),
            'multiattach': self._feature('multiattach'),
            'online_extend_support': self._feature('extendAttached'),
            'QoS_support': self._feature('qos'),
            'consistent_group_snapshot_enabled': self._feature('groupSnapshots'),
            'backend_state': 'up',
        }

    # Volumes.

    def create_volume(self, volume):
        self._refuse_what_is_not_kept(volume)
        domain, pool = pool_of(volume)
        made = self._call('PUT', volume_path(volume), {
            'domain': domain, 'pool': pool, 'sizeGib': volume.size, 'provisioning': self._provisioning(volume)})
        return {'provider_id': made['meshsanId']}

    def delete_volume(self, volume):
        attached = bool(_attachments(volume))
        self._call('DELETE', volume_path(volume), {'unmapLeftovers': not attached})

    def extend_volume(self, volume, new_size):
        self._call('POST', f'{volume_path(volume)}/extend', {'sizeGib': int(new_size)})

    def create_snapshot(self, snapshot):
        [made] = self._snapshot([snapshot])
        return made

    def delete_snapshot(self, snapshot):
        self._call('DELETE', snapshot_path(snapshot))

    def create_volume_from_snapshot(self, volume, snapshot):
        [made] = self._copy([(volume, {'snapshotId': snapshot.id})])
        return made

    def create_cloned_volume(self, volume, src_vref):
        [made] = self._copy([(volume, {'volumeId': src_vref.name_id})])
        return made

    def revert_to_snapshot(self, context, volume, snapshot):
        self._call('POST', f'{volume_path(volume)}/revert', {'snapshotId': snapshot.id})

    def retype(self, context, volume, new_type, diff, host):
        """True when the volume is what the new type wants already, or its limits could be made so; else Cinder moves it."""
        if host['host'] != volume.host or diff.get('encryption'):
            return False
        extra_specs = new_type.get('extra_specs') or {}
        allowed = limits.of_type(new_type['id'] if new_type.get('qos_specs_id') else None, extra_specs)
        wanted = extra_specs.get('provisioning:type')
        if wanted is not None and wanted != self._provisioning(volume):
            return False
        self._call('POST', f'{volume_path(volume)}/limits', {'limits': allowed})
        return True

    def migrate_volume(self, context, volume, host):
        # The cluster does not move volumes between pools yet: Cinder copies.
        return False, None

    # What groups do, too (groups.py): one request, as of one moment.

    def _snapshot(self, snapshots):
        """Snapshots as of one moment, all or none."""
        made = self._call('POST', '/v1/snapshots', {'snapshots': [
            {'snapshotId': snapshot.id, 'volumeId': snapshot.volume.name_id} for snapshot in snapshots]})
        return [{'provider_id': one['meshsanId']} for one in made['snapshots']]

    def _copy(self, copies):
        """Volumes with the content of sources as of one moment, all or none."""
        specs = []
        for volume, source in copies:
            self._refuse_what_is_not_kept(volume)
            if _extra_specs(volume).get('provisioning:type') == 'thick':
                raise exception.InvalidInput(reason='a volume that is made of a snapshot or volume shares its data and is '
                                                    'thin: use a type without provisioning:type=thick')
            domain, pool = pool_of(volume)
            specs.append({'volumeId': volume.name_id, 'domain': domain, 'pool': pool, 'source': source, 'sizeGib': volume.size})
        made = self._call('POST', '/v1/copies', {'copies': specs})
        return [{'provider_id': one['meshsanId']} for one in made['volumes']]

    # Exports: nothing is exported before a host asks.

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    # Connections.

    def validate_connector(self, connector):
        if not connector.get('host'):
            raise exception.InvalidConnectorException(missing='host')

    def initialize_connection(self, volume, connector, **kwargs):
        holder = _new_holder(volume, connector)
        request = {'host': connector['host'],
                   'accessMode': 'ReadOnly' if connector.get('mode') == 'ro' else 'ReadWrite'}
        if connector.get('ip'):
            request['ip'] = connector['ip']
        if connector.get(SDC_GUID):
            request['sdcGuid'] = connector[SDC_GUID]
        wanted = limits.of_volume(volume)
        if any(wanted.values()):
            request['limits'] = wanted
        attached = self._call('PUT', f'{volume_path(volume)}/attachments/{quoted(holder)}', request)
        if holder == _host_holder(connector):
            # Cinder uses one connector for both volumes of a copy: what is true of one only must not be in it.
            connector.pop(HOLDER, None)
            connector.pop(GENERATION, None)
        else:
            # Cinder stores the connector after this call, and gives it back at the detach.
            connector[HOLDER] = holder
            connector[GENERATION] = str(attached['generation'])
        path = attached['devicePath']
        knows_type = bool(connector.get(SDC_GUID))
        if not knows_type and connector['host'] in (socket.gethostname(), socket.getfqdn()):
            self._wait_for(path)
        return {
            'driver_volume_type': 'meshsan' if knows_type else 'local',
            'data': {
                'device_path': path,
                'meshsan_volume_id': attached['meshsanId'],
                'meshsan_system_id': attached['systemId'],
                'meshsan_sdc_guid': attached['sdcGuid'],
                'meshsan_generation': attached['generation'],
                'size_gib': attached['sizeGib'],
                'access_mode': 'ro' if request['accessMode'] == 'ReadOnly' else 'rw',
                'discard': True,
            },
        }

    def terminate_connection(self, volume, connector, **kwargs):
        if connector is None:
            self._call('DELETE', f'{volume_path(volume)}/attachments')
            return False
        holder = connector.get(HOLDER) or _host_holder(connector)
        result = self._call('DELETE', f'{volume_path(volume)}/attachments/{quoted(holder)}',
                            {'generation': int(connector.get(GENERATION) or 0)})
        if result['outcome'] == 'stale':
            LOG.warning('Volume %s: %s at host %s was detached or replaced before; nothing was changed.',
                        volume.id, holder, connector.get('host'))
        # True tells Cinder that others on the host go on using the connection.
        return result['outcome'] == 'kept'

    # Parts.

    def _wait_for(self, path):
        deadline = time.monotonic() + self.configuration.meshsan_device_timeout
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                LOG.warning('%s did not appear: does the SDC of this host attach mapped volumes?', path)
                return
            time.sleep(0.1)

    def _provisioning(self, volume):
        wanted = _extra_specs(volume).get('provisioning:type')
        if wanted is None:
            return 'thin' if self.configuration.meshsan_thin_provision else 'thick'
        if wanted not in ('thin', 'thick'):
            raise exception.InvalidInput(reason=f'provisioning:type must be thin or thick, not {wanted}')
        return wanted

    def _refuse_what_is_not_kept(self, volume):
        """A promise of the volume's type that nobody would keep is refused, not ignored."""
        if volume.encryption_key_id and not self._feature('encryption'):
            raise exception.InvalidInput(reason='MeshSAN volumes of encrypted types are not supported yet')
        limits.of_volume(volume)

    def _feature(self, name):
        if self._features is None:
            self._features = self._call('GET', '/v1/features')
        return bool(self._features.get(name))

    def _call(self, method, path, body=None, existing_ref=None):
        """One request; the bridge's refusals become exceptions that Cinder understands."""
        try:
            return self._bridge.call(method, path, body)
        except BridgeError as error:
            if existing_ref is not None and error.code in ('notFound', 'conflict', 'invalid'):
                raise exception.ManageExistingInvalidReference(
                    existing_ref=existing_ref, reason=error.message) from error
            if error.code == 'unsupported':
                raise NotImplementedError(error.message) from error
            if error.code == 'snapshotLimit':
                raise exception.SnapshotLimitReached(message=f'MeshSAN: {error.message}') from error
            if error.code == 'busy':
                raise exception.VolumeIsBusy(message=error.message) from error
            raise exception.VolumeBackendAPIException(data=f'MeshSAN: {error.message} ({error.code})') from error


def _extra_specs(volume):
    return volume_types.get_volume_type_extra_specs(volume.volume_type_id) if volume.volume_type_id else {}


def _attachments(volume):
    """Attachments as Cinder's database has them now."""
    return objects.VolumeAttachmentList.get_all_by_volume_id(cinder_context.get_admin_context(), volume.id)


def _host_holder(connector):
    """Whoever attaches without an attachment record of Cinder's (an image copy, a backup) is known by its host."""
    return 'host.' + hashlib.sha256(connector['host'].encode()).hexdigest()[:32]


def _new_holder(volume, connector):
    """An attachment that is being made has a record without a connector: then it gets a name of its own."""
    if any(not attachment.connector for attachment in _attachments(volume)):
        return f'attach.{uuid.uuid4()}'
    return _host_holder(connector)
