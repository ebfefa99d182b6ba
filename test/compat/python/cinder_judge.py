"""Judge: the newest Cinder's PowerFlex driver, its class driven directly: no database, no message bus, no services."""
import os
import shutil
import tempfile
import uuid

from oslo_config import cfg
from oslo_log import log as logging

from judge import Judge, GIB_IN_KB, sources_are_as_published

from cinder import context, exception, objects

objects.register_all()  # Cinder's services do this before they import a driver.
from cinder import coordination  # noqa: E402
from cinder.volume import configuration  # noqa: E402
from cinder.volume.drivers.dell_emc.powerflex import driver  # noqa: E402
from cinder.volume.drivers.dell_emc.powerflex import utils as flex_utils  # noqa: E402

judge = Judge()
cluster = judge.cluster
BACKEND = 'judge'
POOL = f'{cluster.protection_domain}:{cluster.storage_pool}'
ctxt = context.get_admin_context()


workplace = tempfile.mkdtemp(prefix='meshsan-judge-')


def configure():
    """Sets up the driver from a backend section as an operator writes it, in a directory that only this user enters."""
    path = os.path.join(workplace, 'cinder.conf')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join([
            '[DEFAULT]',
            f'enabled_backends = {BACKEND}',
            f'state_path = {workplace}',
            '[coordination]',
            f'backend_url = file://{workplace}',
            f'[{BACKEND}]',
            f'volume_backend_name = {BACKEND}',
            f'san_ip = {cluster.host}',
            f'san_login = {cluster.username}',
            'san_password = ' + cluster.password.replace('$', '$$'),
            f'powerflex_rest_server_port = {cluster.port}',
            f'powerflex_storage_pools = {POOL}',
            'driver_ssl_cert_verify = true',
            f'driver_ssl_cert_path = {cluster.ca_file}',
            '']))
    logging.register_options(cfg.CONF)
    cfg.CONF([], project='cinder', default_config_files=[path])
    coordination.COORDINATOR.start()
    settings = configuration.Configuration(driver.powerflex_opts, config_group=BACKEND)
    made = driver.PowerFlexDriver(configuration=settings, host=f'judge@{BACKEND}')
    made.do_setup(ctxt)
    return made


def new_volume(size_gib):
    """A volume object as Cinder's manager hands it to a driver: not yet in any backend."""
    return objects.Volume(
        ctxt, id=str(uuid.uuid4()), size=size_gib, host=f'judge@{BACKEND}#{POOL}', name_id=None, provider_id=None,
        volume_type_id=None, volume_type=None, replication_status=None, glance_metadata={},
        volume_attachment=objects.VolumeAttachmentList(objects=[]), snapshots=objects.SnapshotList(objects=[]))


class Made:
    driver = volume = None


def rest():
    return Made.driver._get_client()


def on_meshsan():
    return rest().query_volume(Made.volume.provider_id)


connector = {'host': 'judge', 'ip': '127.0.0.1', 'sdc_guid': cluster.sdc_guid}


@judge.check('its sources are as published')
def _():
    return sources_are_as_published('cinder')


@judge.check('do_setup: logs in')
def _():
    Made.driver = configure()
    assert isinstance(rest().rest_token, str), f'token: {rest().rest_token!r}'
    return f'driver {Made.driver.VERSION}'


@judge.check('check_for_setup_error: version, domain, pool, zero padding', needs=['do_setup: logs in'])
def _():
    Made.driver.check_for_setup_error()
    assert not rest().check_powerflex_ec_version(), 'taken for erasure coding'
    assert rest().is_volume_creation_safe(cluster.protection_domain, cluster.storage_pool)
    return f'gateway version {rest().query_rest_api_version()}'


READY = ['check_for_setup_error: version, domain, pool, zero padding']


@judge.check('statistics: one pool with free space', needs=READY)
def _():
    stats = Made.driver.get_volume_stats(refresh=True)
    pools = {pool['pool_name']: pool for pool in stats['pools']}
    pool = pools[POOL]
    assert pool['total_capacity_gb'] > 0, pool
    assert 0 < pool['free_capacity_gb'] <= pool['total_capacity_gb'], pool
    return f"{pool['free_capacity_gb']} of {pool['total_capacity_gb']} GiB free"


@judge.check('create_volume: 1 GiB becomes 8', needs=READY)
def _():
    Made.volume = new_volume(1)
    update = Made.driver.create_volume(Made.volume)
    assert update['size'] == 8, update
    Made.volume.provider_id = update['provider_id']
    Made.volume.size = update['size']
    seen = on_meshsan()
    assert seen['name'] == flex_utils.id_to_base64(Made.volume.id), seen
    assert seen['sizeInKb'] == 8 * GIB_IN_KB, seen
    assert seen['mappedSdcInfo'] is None, seen


VOLUME = ['create_volume: 1 GiB becomes 8']


@judge.check('create_volume: the same name again is refused', needs=VOLUME)
def _():
    judge.raises(exception.VolumeBackendAPIException, lambda: Made.driver.create_volume(Made.volume),
                 lambda error: 'already in use' in str(error))


@judge.check('create_volume: beyond capacity is refused', needs=READY)
def _():
    judge.raises(exception.VolumeBackendAPIException, lambda: Made.driver.create_volume(new_volume(1 << 30)))


@judge.check('statistics: the volume counts as provisioned', needs=VOLUME)
def _():
    pool = Made.driver.get_volume_stats(refresh=True)['pools'][0]
    assert pool['provisioned_capacity_gb'] >= 8, pool


@judge.check('extend_volume: 8 to 16', needs=VOLUME)
def _():
    Made.driver.extend_volume(Made.volume, 16)
    assert on_meshsan()['sizeInKb'] == 16 * GIB_IN_KB
    Made.volume.size = 16


@judge.check('initialize_connection: maps to the SDC of that GUID', needs=VOLUME)
def _():
    info = Made.driver.initialize_connection(Made.volume, connector)
    assert info['driver_volume_type'] == 'scaleio', info
    assert info['data']['scaleIO_volume_id'] == Made.volume.provider_id, info
    assert info['data']['sdc_guid'] == cluster.sdc_guid, info
    sdc = rest().query_sdc_id_by_guid(cluster.sdc_guid)
    assert [one['sdcId'] for one in on_meshsan()['mappedSdcInfo']] == [sdc]
    assert Made.volume.provider_id in rest().query_sdc_volumes(sdc)


MAPPED = ['initialize_connection: maps to the SDC of that GUID']


@judge.check('initialize_connection: a second time is no error', needs=MAPPED)
def _():
    Made.driver.initialize_connection(Made.volume, connector)
    assert len(on_meshsan()['mappedSdcInfo']) == 1


@judge.check('initialize_connection: an unknown GUID is refused', needs=VOLUME)
def _():
    unknown = dict(connector, sdc_guid='00000000-1111-2222-3333-444444444444')
    judge.raises(exception.VolumeBackendAPIException, lambda: Made.driver.initialize_connection(Made.volume, unknown))


@judge.check('limits of the mapping', needs=MAPPED)
def _():
    sdc = rest().query_sdc_id_by_guid(cluster.sdc_guid)
    rest().set_sdc_limits(Made.volume.provider_id, sdc, bandwidth_limit='10240', iops_limit='400')
    [mapping] = on_meshsan()['mappedSdcInfo']
    assert (mapping['limitIops'], mapping['limitBwInMbps']) == (400, 10), mapping


@judge.check('terminate_connection: unmaps', needs=MAPPED)
def _():
    Made.driver.terminate_connection(Made.volume, connector)
    assert on_meshsan()['mappedSdcInfo'] is None


@judge.check('terminate_connection: without a connector unmaps from all', needs=['terminate_connection: unmaps'])
def _():
    Made.driver.initialize_connection(Made.volume, connector)
    Made.driver.terminate_connection(Made.volume, None)
    assert on_meshsan()['mappedSdcInfo'] is None


@judge.check('update_migrated_volume: renames', needs=VOLUME)
def _():
    other = str(uuid.uuid4())
    rest().rename_volume(Made.volume, other)
    assert on_meshsan()['name'] == flex_utils.id_to_base64(other)
    rest().rename_volume(Made.volume, Made.volume.id)


@judge.check('manageable volumes: lists it with its size', needs=VOLUME)
def _():
    listed = Made.driver.get_manageable_volumes([], None, 1000, 0, ['size'], ['asc'])
    mine = [one for one in listed if one['reference']['source-id'] == Made.volume.provider_id]
    assert len(mine) == 1 and mine[0]['size'] == on_meshsan()['sizeInKb'] // GIB_IN_KB, listed


def new_snapshot(of):
    return objects.Snapshot(ctxt, id=str(uuid.uuid4()), volume_id=of.id, volume=of, volume_size=of.size)


def view(thing):
    return rest().query_volume(thing.provider_id)


@judge.check('create_snapshot, volume from it, larger too, and a clone', needs=VOLUME)
def _():
    snapshot = new_snapshot(Made.volume)
    snapshot.provider_id = Made.driver.create_snapshot(snapshot)['provider_id']
    seen = view(snapshot)
    assert seen['ancestorVolumeId'] == Made.volume.provider_id and seen['volumeType'] == 'Snapshot', seen
    assert seen['name'] == flex_utils.id_to_base64(snapshot.id), seen
    made = []
    for size, source, create in ((16, snapshot, Made.driver.create_volume_from_snapshot),
                                 (20, snapshot, Made.driver.create_volume_from_snapshot),
                                 (16, Made.volume, Made.driver.create_cloned_volume)):
        volume = new_volume(size)
        update = create(volume, source)
        volume.provider_id, volume.size = update['provider_id'], update['size']
        assert view(volume)['sizeInKb'] == volume.size * GIB_IN_KB, view(volume)
        made.append(volume)
    assert [one.size for one in made] == [16, 24, 16]
    # Cinder deletes a snapshot whose volumes live on.
    Made.driver.delete_snapshot(snapshot)
    judge.raises(exception.VolumeBackendAPIException, lambda: view(snapshot))
    assert view(made[0])['ancestorVolumeId'] == Made.volume.provider_id
    for volume in made:
        Made.driver.delete_volume(volume)


@judge.check('revert_to_snapshot', needs=VOLUME)
def _():
    snapshot = new_snapshot(Made.volume)
    snapshot.provider_id = Made.driver.create_snapshot(snapshot)['provider_id']
    Made.driver.revert_to_snapshot(ctxt, Made.volume, snapshot)
    Made.driver.delete_snapshot(snapshot)


@judge.check('the 127th snapshot is SnapshotLimitReached', needs=VOLUME)
def _():
    volume = new_volume(8)
    volume.provider_id = Made.driver.create_volume(volume)['provider_id']
    taken = []
    for _ in range(126):
        snapshot = new_snapshot(volume)
        snapshot.provider_id = Made.driver.create_snapshot(snapshot)['provider_id']
        taken.append(snapshot)
    judge.raises(exception.SnapshotLimitReached, lambda: Made.driver.create_snapshot(new_snapshot(volume)))
    Made.driver.delete_volume(volume)
    for snapshot in taken:
        Made.driver.delete_snapshot(snapshot)


@judge.check('delete_volume: mapped or not, gone; again is no error', needs=VOLUME)
def _():
    Made.driver.initialize_connection(Made.volume, connector)
    Made.driver.delete_volume(Made.volume)
    judge.raises(exception.VolumeBackendAPIException, on_meshsan)
    Made.driver.delete_volume(Made.volume)


shutil.rmtree(workplace)
# The driver's token thread would keep this process.
os._exit(0)
