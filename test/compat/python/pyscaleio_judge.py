"""Judge: pyscaleio, the Python client for ScaleIO 2.0, with its own models and their validation of every answer."""
import re
import uuid

import pyscaleio
from pyscaleio import exceptions

from judge import GIB_IN_KB, Judge, sources_are_as_published

judge = Judge()
cluster = judge.cluster
host = f'{cluster.host}:{cluster.port}'
prefix = 'ps-' + uuid.uuid4().hex[:8]
GIB = GIB_IN_KB * 1024
client = pyscaleio.ScaleIOClient.from_args(host, cluster.username, cluster.password)
pyscaleio.add_client(client)


def code(*wanted):
    """Accepts a ScaleIOError with one of these error codes."""
    return lambda error: error.error_code in wanted


def says(text):
    return lambda error: text in str(error)


class Found:
    """What earlier checks found."""

    system = domain = pool = sdc = volume = None


@judge.check('its sources are as published')
def _():
    return sources_are_as_published('pyscaleio')


@judge.check('login')
def _():
    client.session.login()
    assert isinstance(client.session.token, str) and client.session.token, client.session.token


@judge.check('a wrong password is refused')
def _():
    wrong = pyscaleio.ScaleIOClient.from_args(host, cluster.username, 'not ' + cluster.password)
    judge.raises(exceptions.ScaleIOAuthError, wrong.session.login)


@judge.check('version', needs=['login'])
def _():
    version = client.get_version()
    assert re.match(r'^\d+(\.\d+)*$', version), version
    return version


@judge.check('a forged token leads to one new login, then an answer', needs=['login'])
def _():
    other = pyscaleio.ScaleIOClient.from_args(host, cluster.username, cluster.password)
    other.session.token = 'Zm9yZ2VkOnRva2Vu'
    assert other.get_instances_of('System'), 'no system'
    assert other.session.token != 'Zm9yZ2VkOnRva2Vu'


@judge.check('all instances', needs=['login'])
def _():
    everything = client.get_all_instances()
    assert isinstance(everything, dict) and everything, everything


@judge.check('system', needs=['login'])
def _():
    systems = pyscaleio.System.all()
    assert [system['id'] for system in systems] == [cluster.system_id], systems
    Found.system = pyscaleio.System.one(cluster.system_id)
    assert Found.system.is_restricted in (True, False)


@judge.check('protection domain', needs=['system'])
def _():
    named = [one for one in pyscaleio.ProtectionDomain.all() if one.name == cluster.protection_domain]
    assert len(named) == 1, named
    Found.domain = pyscaleio.ProtectionDomain.one(named[0]['id'])
    assert Found.domain['systemId'] == cluster.system_id


@judge.check('storage pool, by name and by id', needs=['protection domain'])
def _():
    Found.pool = pyscaleio.StoragePool.one_by_name(cluster.storage_pool, cluster.protection_domain)
    assert Found.pool.name == cluster.storage_pool
    assert Found.pool['protectionDomainId'] == Found.domain['id']
    assert Found.pool['id'] in [one['id'] for one in pyscaleio.StoragePool.all()]


@judge.check('an unknown pool is an error', needs=['protection domain'])
def _():
    judge.raises(exceptions.ScaleIOError,
                 lambda: pyscaleio.StoragePool.one_by_name('no-such-pool', cluster.protection_domain))


@judge.check('SDC: listed, approved, by address', needs=['system'])
def _():
    mine = [sdc for sdc in pyscaleio.Sdc.all() if sdc.guid.upper() == cluster.sdc_guid.upper()]
    assert len(mine) == 1, f'{cluster.sdc_guid} is not among the SDCs'
    Found.sdc = mine[0]
    assert Found.sdc.is_approved and Found.sdc.is_connected
    assert Found.sdc['id'] in [sdc['id'] for sdc in pyscaleio.Sdc.all_approved()]
    assert pyscaleio.Sdc.one_by_ip(Found.sdc.ip)['id'] == Found.sdc['id']


POOL = ['storage pool, by name and by id']


@judge.check('create: 1 GiB becomes 8', needs=POOL)
def _():
    Found.volume = Found.pool.create_volume(1, name=f'{prefix}-a')
    assert Found.volume.name == f'{prefix}-a'
    assert Found.volume.size == 8 * GIB, Found.volume.size
    assert Found.volume.type == pyscaleio.constants.VOLUME_TYPE_THIN
    assert Found.volume['storagePoolId'] == Found.pool['id']
    assert Found.volume['ancestorVolumeId'] is None if 'ancestorVolumeId' in Found.volume else True
    assert len(Found.volume.exports) == 0


VOLUME = ['create: 1 GiB becomes 8']


@judge.check('find: by name, by id, among all', needs=VOLUME)
def _():
    wanted = Found.volume['id']
    assert pyscaleio.Volume.one_by_name(f'{prefix}-a')['id'] == wanted
    assert [one['id'] for one in pyscaleio.Volume.all(instance_ids=wanted)] == [wanted]
    assert wanted in [one['id'] for one in pyscaleio.Volume.all()]
    assert Found.volume.path == f'/dev/disk/by-id/emc-vol-{cluster.system_id}-{wanted}'


@judge.check('create: a name in use is error 99', needs=VOLUME)
def _():
    judge.raises(exceptions.ScaleIOError, lambda: Found.pool.create_volume(8, name=f'{prefix}-a'),
                 code(99), says('Volume name already in use. Please use a different name.'))


@judge.check('create: size 0, a negative size, a name over 31 characters, an unknown pool are errors', needs=POOL)
def _():
    before = len(pyscaleio.Volume.all())
    judge.raises(exceptions.ScaleIOError, lambda: Found.pool.create_volume(0, name=f'{prefix}-b'))
    judge.raises(exceptions.ScaleIOError, lambda: Found.pool.create_volume(-8, name=f'{prefix}-b'))
    judge.raises(exceptions.ScaleIOError, lambda: Found.pool.create_volume(8, name='n' * 32))
    judge.raises(exceptions.ScaleIOError, lambda: pyscaleio.Volume.create(8, 'ffffffffffffffff', name=f'{prefix}-b'))
    assert len(pyscaleio.Volume.all()) == before, 'a refused request left a volume behind'


@judge.check('resize: 8 to 16', needs=VOLUME)
def _():
    Found.volume.resize(16)
    Found.volume.update()
    assert Found.volume.size == 16 * GIB, Found.volume.size


@judge.check('resize: smaller, and not a multiple of 8, are errors', needs=['resize: 8 to 16'])
def _():
    judge.raises(exceptions.ScaleIOError, lambda: Found.volume.resize(8))
    judge.raises(exceptions.ScaleIOError, lambda: Found.volume.resize(17))
    Found.volume.update()
    assert Found.volume.size == 16 * GIB, Found.volume.size


@judge.check('rename', needs=VOLUME)
def _():
    Found.volume.rename(f'{prefix}-renamed')
    Found.volume.update()
    assert Found.volume.name == f'{prefix}-renamed'
    judge.raises(exceptions.ScaleIOError, lambda: pyscaleio.Volume.one_by_name(f'{prefix}-a'))
    Found.volume.rename(f'{prefix}-a')


SDC = ['SDC: listed, approved, by address']


@judge.check('map by GUID, seen on the volume', needs=VOLUME + SDC)
def _():
    Found.volume.export(sdc_guid=cluster.sdc_guid)
    Found.volume.update()
    assert Found.sdc in Found.volume.exports, list(Found.volume.exports)
    assert len(Found.volume.exports) == 1


@judge.check('map again is error 81', needs=['map by GUID, seen on the volume'])
def _():
    judge.raises(exceptions.ScaleIOError, lambda: Found.volume.export(sdc_id=Found.sdc['id'], multiple=True), code(81))


@judge.check('map to an unknown SDC is an error', needs=VOLUME)
def _():
    judge.raises(exceptions.ScaleIOError, lambda: Found.volume.export(sdc_id='ffffffffffffffff', multiple=True))


@judge.check('limits: set, kept when left out, lifted with 0', needs=['map by GUID, seen on the volume'])
def _():
    def limits():
        Found.volume.update()
        return Found.volume.exports[0]['limitIops'], Found.volume.exports[0]['limitBwInMbps']

    Found.volume.throttle(sdc_id=Found.sdc['id'], iops=500, mbps=20)
    assert limits() == (500, 20), limits()
    Found.volume.throttle(sdc_guid=cluster.sdc_guid, mbps=0)
    assert limits() == (500, 0), limits()
    Found.volume.throttle(sdc_id=Found.sdc['id'], iops=0)
    assert limits() == (0, 0), limits()


@judge.check('a mapped volume refuses removal, error 104', needs=['map by GUID, seen on the volume'])
def _():
    judge.raises(exceptions.ScaleIOError, Found.volume.delete, code(104))


@judge.check('unmap by id; again is error 84; unmap from all', needs=['map by GUID, seen on the volume'])
def _():
    Found.volume.unexport(sdc_id=Found.sdc['id'])
    Found.volume.update()
    assert len(Found.volume.exports) == 0
    judge.raises(exceptions.ScaleIOError, lambda: Found.volume.unexport(sdc_id=Found.sdc['id']), code(84))
    Found.volume.export(sdc_id=Found.sdc['id'])
    Found.volume.unexport()
    Found.volume.update()
    assert len(Found.volume.exports) == 0


@judge.check('snapshot: a volume of its own below its source', needs=VOLUME)
def _():
    taken = Found.volume.snapshot(f'{prefix}-s')
    assert taken.name == f'{prefix}-s' and taken.type == pyscaleio.constants.VOLUME_TYPE_SNAPSHOT, taken
    assert taken['ancestorVolumeId'] == Found.volume['id'] and taken.size == Found.volume.size
    below = taken.snapshot()
    assert below['ancestorVolumeId'] == taken['id']
    judge.raises(exceptions.ScaleIOError, lambda: Found.volume.snapshot(f'{prefix}-s'), code(99))
    taken.delete()
    below.update()
    assert below['ancestorVolumeId'] == Found.volume['id']
    below.delete()


@judge.check('remove; then it is not found', needs=VOLUME)
def _():
    Found.volume.delete()
    judge.raises(exceptions.ScaleIOError, lambda: pyscaleio.Volume.one(Found.volume['id']))
    judge.raises(exceptions.ScaleIOError, lambda: pyscaleio.Volume.one_by_name(f'{prefix}-a'), says('not'))
    judge.raises(exceptions.ScaleIOError, Found.volume.delete, code(79))
    assert Found.volume['id'] not in [one['id'] for one in pyscaleio.Volume.all()]


@judge.check('a malformed id is an error that says what an id is', needs=['login'])
def _():
    judge.raises(exceptions.ScaleIOError, lambda: pyscaleio.Volume.one('not-an-id'),
                 says('must be a hexadecimal number'))


@judge.check('logout ends the token', needs=['login'])
def _():
    token = client.session.token
    client.session.logout()
    client.session.token = token
    # The client logs in again by itself as soon as the old token is refused.
    client.get_instances_of('System')
    assert client.session.token != token, 'the token is still good after logout'
