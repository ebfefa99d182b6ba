"""Judge: PyPowerFlex, the client below Ansible's PowerFlex collection, with its certificate check switched on."""
import logging
import uuid

import PyPowerFlex
from PyPowerFlex import exceptions
from PyPowerFlex.objects.gen1 import storage_pool as pools
from PyPowerFlex.objects.gen1 import volume as volumes

from judge import GIB_IN_KB, Judge, sources_are_as_published

judge = Judge()
cluster = judge.cluster
prefix = 'pf-' + uuid.uuid4().hex[:8]
Refused = exceptions.PowerFlexClientException
THIN = volumes.VolumeType.thin
ONLY_ME = volumes.RemoveMode.only_me


def connect(password):
    client = PyPowerFlex.PowerFlexClient(
        gateway_address=cluster.host, gateway_port=cluster.port, username=cluster.username, password=password,
        verify_certificate=True, certificate_path=cluster.ca_file, log_level=logging.CRITICAL)
    client.initialize()
    return client


def says(text):
    return lambda error: text in error.message


class Found:
    """What earlier checks found."""

    client = system = domain = pool = sdc = volume = None


@judge.check('its sources are as published')
def _():
    return sources_are_as_published('PyPowerFlex')


@judge.check('a wrong password is refused')
def _():
    # The client raises a plain Exception here.
    judge.raises(Exception, lambda: connect('not ' + cluster.password), lambda error: '401' in str(error))


@judge.check('login and version')
def _():
    Found.client = connect(cluster.password)
    return Found.client.system.api_version(cached=False)


LOGIN = ['login and version']


@judge.check('system, gateway configuration and MDM cluster', needs=LOGIN)
def _():
    systems = Found.client.system.get()
    assert [one['id'] for one in systems] == [cluster.system_id], systems
    Found.system = Found.client.system.get(entity_id=cluster.system_id)
    assert Found.client.system.get_gateway_configuration_details()['mdmAddresses']
    mdm = Found.client.system.get_mdm_cluster_details()
    assert mdm['clusterMode'] == 'OneNode' and mdm['master']['id'], mdm


@judge.check('protection domain by name, its SDSs and pools', needs=LOGIN)
def _():
    [Found.domain] = Found.client.protection_domain.get(filter_fields={'name': cluster.protection_domain})
    assert len(Found.client.protection_domain.get_sdss(Found.domain['id'])) == 3
    [Found.pool] = Found.client.protection_domain.get_storage_pools(
        Found.domain['id'], filter_fields={'name': cluster.storage_pool})


POOL = ['protection domain by name, its SDSs and pools']


@judge.check('storage pool: devices, SDSs, statistics', needs=POOL)
def _():
    wanted = Found.pool['id']
    assert len(Found.client.storage_pool.get_devices(wanted)) >= 3
    assert len(Found.client.storage_pool.get_sdss(wanted)) == 3
    assert Found.client.storage_pool.get_statistics(wanted)['maxCapacityInKb'] > 0


@judge.check('every statistic that the client knows of pools and volumes', needs=POOL)
def _():
    of_pools = Found.client.utility.get_statistics_for_all_storagepools()
    assert of_pools[Found.pool['id']]['maxCapacityInKb'] > 0
    Found.client.utility.get_statistics_for_all_volumes()
    return f'{len(of_pools[Found.pool["id"]])} properties of a pool'


@judge.check('selected statistics of system, domain, SDSs, devices, SDCs', needs=POOL)
def _():
    assert Found.client.system.query_selected_statistics(properties=['numOfSds', 'maxCapacityInKb'])['numOfSds'] == 3
    domains = Found.client.protection_domain.query_selected_statistics(['numOfSds'], ids=[Found.domain['id']])
    assert domains[Found.domain['id']]['numOfSds'] == 3, domains
    assert len(Found.client.sds.query_selected_statistics(['maxCapacityInKb'])) == 3
    assert len(Found.client.device.query_selected_statistics(['maxCapacityInKb'])) >= 3
    assert len(Found.client.sdc.query_selected_statistics(['numOfMappedVolumes'])) >= 1


@judge.check('an unknown statistic is refused, and named', needs=POOL)
def _():
    judge.raises(Refused, lambda: Found.client.volume.query_selected_statistics(['noSuchStatistic']),
                 says('noSuchStatistic'))


@judge.check('SDSs and their devices are in their normal state', needs=LOGIN)
def _():
    for sds in Found.client.sds.get():
        assert sds['sdsState'] == 'Normal' and sds['mdmConnectionState'] == 'Connected', sds
        assert Found.client.sds.get_devices(sds['id'], fields=['deviceState']) == [{'deviceState': 'Normal'}]


@judge.check('SDC by GUID, renamed and back', needs=LOGIN)
def _():
    [Found.sdc] = Found.client.sdc.get(filter_fields={'sdcGuid': cluster.sdc_guid})
    before = Found.sdc['name']
    Found.client.sdc.rename(Found.sdc['id'], f'{prefix}-sdc')
    assert Found.client.sdc.get(entity_id=Found.sdc['id'])['name'] == f'{prefix}-sdc'
    if before is not None:
        Found.client.sdc.rename(Found.sdc['id'], before)


@judge.check('types without members here are empty lists', needs=LOGIN)
def _():
    for kind in ('fault_set', 'snapshot_policy', 'acceleration_pool', 'replication_consistency_group',
                 'replication_pair', 'sdt'):
        assert getattr(Found.client, kind).get() == [], kind


@judge.check('create: 1 GiB becomes 8', needs=POOL)
def _():
    Found.volume = Found.client.volume.create(Found.pool['id'], 1, name=f'{prefix}-a', volume_type=THIN)
    assert Found.volume['sizeInKb'] == 8 * GIB_IN_KB, Found.volume
    assert Found.volume['name'] == f'{prefix}-a' and Found.volume['mappedSdcInfo'] is None, Found.volume


VOLUME = ['create: 1 GiB becomes 8']


@judge.check('list: by name, by id, in the pool; chosen fields', needs=VOLUME)
def _():
    wanted = Found.volume['id']
    assert [one['id'] for one in Found.client.volume.get(filter_fields={'name': f'{prefix}-a'})] == [wanted]
    assert Found.client.volume.get(entity_id=wanted, fields=('id', 'name')) == {'id': wanted, 'name': f'{prefix}-a'}
    assert wanted in [one['id'] for one in Found.client.storage_pool.get_volumes(Found.pool['id'])]


@judge.check('create: a name in use, size 0, a negative size, a long name, an unknown pool are refused', needs=VOLUME)
def _():
    before = len(Found.client.volume.get())
    create = Found.client.volume.create
    judge.raises(Refused, lambda: create(Found.pool['id'], 8, name=f'{prefix}-a'), says('already in use'))
    judge.raises(Refused, lambda: create(Found.pool['id'], 0, name=f'{prefix}-b'), says('size'))
    judge.raises(Refused, lambda: create(Found.pool['id'], -8, name=f'{prefix}-b'), says('volumeSizeInGb'))
    judge.raises(Refused, lambda: create(Found.pool['id'], 8, name='n' * 32), says('31'))
    judge.raises(Refused, lambda: create('ffffffffffffffff', 8, name=f'{prefix}-b'), says('Storage Pool'))
    assert len(Found.client.volume.get()) == before, 'a refused request left a volume behind'


@judge.check('extend: 8 to 16; smaller and odd sizes are refused', needs=VOLUME)
def _():
    assert Found.client.volume.extend(Found.volume['id'], 16)['sizeInKb'] == 16 * GIB_IN_KB
    judge.raises(Refused, lambda: Found.client.volume.extend(Found.volume['id'], 8), says('can only be increased'))
    judge.raises(Refused, lambda: Found.client.volume.extend(Found.volume['id'], 17), says('8 GB'))


@judge.check('rename', needs=VOLUME)
def _():
    Found.client.volume.rename(Found.volume['id'], f'{prefix}-renamed')
    assert Found.client.volume.get(entity_id=Found.volume['id'])['name'] == f'{prefix}-renamed'
    Found.client.volume.rename(Found.volume['id'], f'{prefix}-a')


SDC = ['SDC by GUID, renamed and back']


@judge.check('map, seen on the volume, on the SDC and in the statistics; again is refused', needs=VOLUME + SDC)
def _():
    mapped = Found.client.volume.add_mapped_sdc(Found.volume['id'], sdc_id=Found.sdc['id'], access_mode='ReadWrite')
    assert [one['sdcId'] for one in mapped['mappedSdcInfo']] == [Found.sdc['id']], mapped
    assert Found.volume['id'] in [one['id'] for one in Found.client.sdc.get_mapped_volumes(Found.sdc['id'])]
    assert Found.client.volume.get_statistics(Found.volume['id'])['numOfMappedSdcs'] == 1
    judge.raises(Refused, lambda: Found.client.volume.add_mapped_sdc(Found.volume['id'], sdc_id=Found.sdc['id']),
                 says('already mapped'))


MAPPED = ['map, seen on the volume, on the SDC and in the statistics; again is refused']


@judge.check('limits: set and lifted', needs=MAPPED)
def _():
    def limits(**wanted):
        after = Found.client.volume.set_mapped_sdc_limits(Found.volume['id'], Found.sdc['id'], **wanted)
        return after['mappedSdcInfo'][0]['limitIops'], after['mappedSdcInfo'][0]['limitBwInMbps']

    assert limits(iops_limit=500, bandwidth_limit=20480) == (500, 20)
    assert limits(iops_limit=0, bandwidth_limit=0) == (0, 0)


@judge.check('a mapped volume refuses removal', needs=MAPPED)
def _():
    judge.raises(Refused, lambda: Found.client.volume.delete(Found.volume['id'], ONLY_ME), says('mapped'))


@judge.check('unmap by id; again is refused; unmap from all', needs=MAPPED)
def _():
    volume = Found.volume['id']
    assert Found.client.volume.remove_mapped_sdc(volume, sdc_id=Found.sdc['id'])['mappedSdcInfo'] is None
    judge.raises(Refused, lambda: Found.client.volume.remove_mapped_sdc(volume, sdc_id=Found.sdc['id']),
                 says('not mapped'))
    Found.client.volume.add_mapped_sdc(volume, sdc_guid=cluster.sdc_guid)
    assert Found.client.volume.remove_mapped_sdc(volume, all_sdcs=True)['mappedSdcInfo'] is None


@judge.check('a snapshot of two volumes: two volumes of one group, each below its source', needs=VOLUME)
def _():
    client = Found.client
    other = client.volume.create(Found.pool['id'], 8, name=f'{prefix}-b', volume_type=THIN)['id']
    sources = [Found.volume['id'], other]
    made = client.system.snapshot_volumes(
        cluster.system_id, [{'volumeId': source, 'snapshotName': f'{prefix}-s{index}'}
                            for index, source in enumerate(sources)])
    views = [client.volume.get(entity_id=one) for one in made['volumeIdList']]
    assert [one['ancestorVolumeId'] for one in views] == sources, views
    assert [one['vtreeId'] for one in views] == sources, views
    assert [one['name'] for one in views] == [f'{prefix}-s0', f'{prefix}-s1'], views
    for one in views:
        assert one['volumeType'] == 'Snapshot' and one['consistencyGroupId'] == made['snapshotGroupId'], one
        assert one['mappedSdcInfo'] is None and one['accessModeLimit'] == 'ReadWrite', one
    assert client.volume.query_selected_statistics(['numOfChildVolumes', 'childVolumeIds'], ids=[other])[other] == {
        'numOfChildVolumes': 1, 'childVolumeIds': [made['volumeIdList'][1]]}
    assert client.utility.get_statistics_for_all_storagepools()[Found.pool['id']]['numOfSnapshots'] == 2
    for one in made['volumeIdList'] + [other]:
        client.volume.delete(one, ONLY_ME)


@judge.check('snapshots: a name in use, an unknown volume, retention are refused, and leave nothing behind', needs=VOLUME)
def _():
    before = len(Found.client.volume.get())

    def snapshot(volume=Found.volume['id'], name=f'{prefix}-s', **more):
        return lambda: Found.client.system.snapshot_volumes(
            cluster.system_id, [{'volumeId': Found.volume['id'], 'snapshotName': f'{prefix}-good'},
                                {'volumeId': volume, 'snapshotName': name}][volume == Found.volume['id']:], **more)

    judge.raises(Refused, snapshot(name=f'{prefix}-a'), says('already in use'))
    judge.raises(Refused, snapshot(volume='ffffffffffffffff'), says('Could not find the volume'))
    judge.raises(Refused, snapshot(retention_period='99999999'), says('retentionPeriodInMin must be at most'))
    judge.raises(Refused, snapshot(access_mode='Mine'), says('accessModeLimit must be ReadWrite or ReadOnly'))
    assert len(Found.client.volume.get()) == before, 'a refused snapshot left a volume behind'


@judge.check('snapshot policy: made, changed, paused, given a volume, its statistics; refusals; removed', needs=VOLUME)
def _():
    policies = Found.client.snapshot_policy
    name = f'{prefix}-policy'
    made = policies.create(60, [24, 7], name=name, paused=False, snapshot_access_mode='ReadOnly', secure_snapshots=False)
    assert (made['name'], made['snapshotPolicyState'], made['maxVTreeAutoSnapshots']) == (name, 'Active', 31), made
    of = made['id']
    judge.raises(Refused, lambda: policies.create(60, [2], name=name), says('already exists'))
    judge.raises(Refused, lambda: policies.create(0, [2], name=f'{prefix}-b'), says('cadence'))
    judge.raises(Refused, lambda: policies.create(60, [61], name=f'{prefix}-b'), says('out of range'))
    changed = policies.modify(of, 30, [2, 4, 6])
    assert changed['numOfRetainedSnapshotsPerLevel'] == [2, 4, 6], changed
    assert changed['autoSnapshotCreationCadenceInMin'] == 30, changed
    assert policies.pause(of)['snapshotPolicyState'] == 'Paused'
    assert policies.resume(of)['snapshotPolicyState'] == 'Active'
    policies.rename(of, f'{name}2')
    assert policies.get(entity_id=of)['name'] == f'{name}2'
    volume = Found.volume['id']
    assert policies.add_source_volume(of, volume)['numOfSourceVolumes'] == 1
    judge.raises(Refused, lambda: policies.add_source_volume(of, volume), says('already a source volume'))
    assert Found.client.volume.get(entity_id=volume)['snplIdOfSourceVolume'] == of
    statistics = policies.get_statistics(of)
    assert statistics['srcVolIds'] == [volume] and statistics['numOfAutoSnapshots'] == 0, statistics
    chosen = policies.query_selected_statistics(['numOfSrcVols'], ids=[of])
    assert chosen == {of: {'numOfSrcVols': 1}}, chosen
    judge.raises(Refused, lambda: policies.delete(of), says('has source volumes'))
    judge.raises(Refused, lambda: Found.client.volume.delete(volume, ONLY_ME), says('source volume of a snapshot policy'))
    judge.raises(Refused, lambda: Found.client.volume.lock_auto_snapshot(volume), says('not an auto snapshot'))
    left = policies.remove_source_volume(of, volume, 'Remove')
    assert left['numOfSourceVolumes'] == 0, left
    policies.delete(of)
    assert policies.get(filter_fields={'id': of}) == []


@judge.check('removal modes: descendants, with descendants, the whole V-tree', needs=VOLUME)
def _():
    client = Found.client
    base = client.volume.create(Found.pool['id'], 8, name=f'{prefix}-t', volume_type=THIN)['id']

    def snapshot(source):
        return client.system.snapshot_volumes(cluster.system_id, [{'volumeId': source}])['volumeIdList'][0]

    def left():
        return {one['id'] for one in client.volume.get() if one['vtreeId'] == base}

    child = snapshot(base)
    grandchild = snapshot(child)
    client.volume.delete(child, volumes.RemoveMode.descendants_only)
    assert left() == {base, child}, left()
    grandchild = snapshot(child)
    client.volume.delete(child, ONLY_ME)
    assert left() == {base, grandchild}, left()
    assert client.volume.get(entity_id=grandchild)['ancestorVolumeId'] == base
    great = snapshot(grandchild)
    client.volume.delete(grandchild, volumes.RemoveMode.including_descendants)
    assert left() == {base}, (left(), great)
    snapshot(snapshot(base))
    client.volume.delete(base, volumes.RemoveMode.whole_vtree)
    assert left() == set(), left()


@judge.check('a protection domain and a pool: made, changed, removed', needs=LOGIN)
def _():
    client = Found.client
    domain = client.protection_domain.create(f'{prefix}-d')
    pool = client.storage_pool.create(media_type=pools.MediaType.hdd, protection_domain_id=domain['id'],
                                      name=f'{prefix}-p', use_rmcache=True, spare_percentage=10)
    client.storage_pool.rename(pool['id'], f'{prefix}-q')
    assert client.storage_pool.set_spare_percentage(pool['id'], 20)['sparePercentage'] == 20
    assert client.storage_pool.set_media_type(pool['id'], pools.MediaType.ssd)['mediaType'] == 'SSD'
    assert client.storage_pool.set_checksum_enabled(pool['id'], True)['checksumEnabled'] is True
    judge.raises(Refused, lambda: client.protection_domain.delete(domain['id']), says('Storage Pools'))
    client.storage_pool.delete(pool['id'])
    fault_set = client.fault_set.create(domain['id'], name=f'{prefix}-f')
    assert client.fault_set.get_sdss(fault_set['id']) == []
    client.fault_set.delete(fault_set['id'])
    client.protection_domain.rename(domain['id'], f'{prefix}-e')
    client.protection_domain.delete(domain['id'])


@judge.check('remove; then it is not found', needs=VOLUME)
def _():
    Found.client.volume.delete(Found.volume['id'], ONLY_ME)
    judge.raises(Refused, lambda: Found.client.volume.get(entity_id=Found.volume['id']), says('Could not find'))
    judge.raises(Refused, lambda: Found.client.volume.delete(Found.volume['id'], ONLY_ME), says('Could not find'))


@judge.check('a malformed id is an error that says what an id is', needs=LOGIN)
def _():
    judge.raises(Refused, lambda: Found.client.volume.get(entity_id='not-an-id'),
                 says('must be a hexadecimal number'))
