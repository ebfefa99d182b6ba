"""Judge: os-brick's ScaleIO connector, which runs on compute hosts: its conversation with the gateway.

The connector's class is used as it is. For the conversation with the gateway two things of the host are given from
outside, by overriding the methods that ask for them: the SDC's GUID (asked of /dev/scini) and the directory in which the
device appears. The last checks, which need root, override nothing: Cinder has mapped the volume, MeshSAN's SDC makes it
a block device, and os-brick finds it where it looks.
"""
import json
import mmap
import os
import shutil
import socket
import tempfile
import uuid

import requests
from oslo_concurrency import lockutils
from oslo_config import cfg

import os_brick
from judge import Judge, Skip, sources_are_as_published
from os_brick import exception
from os_brick.initiator.connectors import scaleio

judge = Judge()
cluster = judge.cluster
base = f'https://{cluster.host}:{cluster.port}/api'
workplace = tempfile.mkdtemp(prefix='meshsan-judge-')
cfg.CONF([], project='judge', default_config_files=[])
os_brick.setup(cfg.CONF)
lockutils.set_defaults(workplace)


class Connector(scaleio.ScaleIOConnector):
    """The connector on a host whose SDC has the cluster's GUID."""

    def _get_guid(self, log_error=True):
        return cluster.sdc_guid.lower() + '\n'  # Older connectors read it from a file, with its line end.

    def get_search_path(self):
        return workplace


class Made:
    volume = None
    # Base64 names hold characters that a URL must not: two of them in this one.
    name = 'OB+/' + uuid.uuid4().hex[:8] + '=='


def rest(method, path, body=None):
    """A request beside os-brick, with a session of its own."""
    token = requests.get(f'{base}/login', auth=(cluster.username, cluster.password), verify=cluster.ca_file).json()
    answer = requests.request(method, base + path, json=body, auth=('', token), verify=cluster.ca_file)
    assert answer.status_code == 200, answer.text
    return answer.json()


def mappings():
    return rest('GET', f"/instances/Volume::{Made.volume}")['mappedSdcInfo']


def properties(**changes):
    """What a driver of the Zed release hands to os-brick; the password as before connector.conf came."""
    return {
        'scaleIO_volname': Made.name, 'scaleIO_volume_id': Made.volume, 'hostIP': None,
        'serverIP': cluster.host, 'serverPort': cluster.port, 'serverUsername': cluster.username,
        'serverPassword': cluster.password, 'serverToken': None, 'iopsLimit': None, 'bandwidthLimit': None,
        'verify_certificate': True, 'certificate_path': cluster.ca_file, **changes}


def connect(**changes):
    return Connector('sudo').connect_volume(properties(**changes))


def disconnect(**changes):
    Connector('sudo').disconnect_volume(properties(**changes), None)


@judge.check('its sources are as published')
def _():
    return sources_are_as_published('os-brick')


@judge.check('a volume to attach')
def _():
    pools = rest('GET', '/types/StoragePool/instances')
    pool = next(one for one in pools if one['name'] == cluster.storage_pool)
    Made.volume = rest('POST', '/types/Volume/instances', {
        'name': Made.name, 'storagePoolId': pool['id'], 'protectionDomainId': pool['protectionDomainId'],
        'volumeSizeInKb': '8388608', 'volumeType': 'ThinProvisioned'})['id']
    open(os.path.join(workplace, f'emc-vol-{cluster.system_id}-{Made.volume}'), 'w', encoding='ascii').close()


@judge.check('connect: logs in after a 401, maps by GUID', needs=['a volume to attach'])
def _():
    device = connect()
    assert device['path'].endswith(f'/emc-vol-{cluster.system_id}-{Made.volume}'), device
    assert len(mappings()) == 1, mappings()


CONNECTED = ['connect: logs in after a 401, maps by GUID']


@judge.check('connect again: already mapped is fine', needs=CONNECTED)
def _():
    connect()
    assert len(mappings()) == 1, mappings()


@judge.check('connect with limits: they are on the mapping', needs=CONNECTED)
def _():
    connect(iopsLimit='300', bandwidthLimit='5120')
    [mapping] = mappings()
    assert (mapping['limitIops'], mapping['limitBwInMbps']) == (300, 5), mapping


@judge.check('disconnect: unmapped; again: not mapped is fine', needs=CONNECTED)
def _():
    disconnect()
    assert mappings() is None
    disconnect()


@judge.check('by name, with / + = in it, doubly encoded', needs=['a volume to attach'])
def _():
    connect(scaleIO_volume_id=None)
    assert len(mappings()) == 1
    disconnect(scaleIO_volume_id=None)
    assert mappings() is None


@judge.check('a forged token leads to a new login', needs=['a volume to attach'])
def _():
    connect(serverToken='Zm9yZ2VkOnRva2Vu')
    disconnect(serverToken='Zm9yZ2VkOnRva2Vu')
    assert mappings() is None


@judge.check('the SDC by its address', needs=['a volume to attach'])
def _():
    mine = next(one for one in rest('GET', '/types/Sdc/instances')
                if one['sdcGuid'].upper() == cluster.sdc_guid.upper())
    connector = Connector('sudo')
    connector.get_config(properties(hostIP=mine['sdcIp']))
    assert connector._get_client_id() == mine['id']


@judge.check('an unknown volume is an error', needs=['a volume to attach'])
def _():
    judge.raises(exception.BrickException, lambda: connect(scaleIO_volume_id='ffffffffffffffff'))


def sdc_control(**request):
    """Asks the SDC of this host, as an SDC that attaches every mapped volume does by itself."""
    with open(os.path.join(cluster.directory, 'config', 'sdc.json'), encoding='utf-8') as file:
        address = json.load(file)['controlSocket']
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(60)
        control.connect(address)
        control.sendall(json.dumps(request).encode() + b'\n')
        answer = json.loads(control.makefile('rb').readline())
    assert answer['ok'], answer
    return answer


def as_mapped_by_cinder():
    """What a driver of today hands to os-brick: it has mapped the volume already."""
    return {'scaleIO_volname': Made.name, 'scaleIO_volume_id': Made.volume, 'sdc_guid': cluster.sdc_guid}


class Direct:
    """Reads and writes of a device that go past the page cache."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.page = mmap.mmap(-1, 65536)  # Aligned, as O_DIRECT wants it.

    def write(self, data, offset):
        self.page[:len(data)] = data
        assert os.pwritev(self.file, [self.page], offset) == len(data)
        os.fsync(self.file)

    def read(self, offset):
        assert os.preadv(self.file, [self.page], offset) == len(self.page)
        return bytes(self.page)

    def close(self):
        os.close(self.file)


@judge.check('attached: found under /dev/disk/by-id, written and read back', needs=['a volume to attach'])
def _():
    if os.geteuid() != 0:
        raise Skip('attaching a block device needs root')
    sdc = next(one for one in rest('GET', '/types/Sdc/instances') if one['sdcGuid'].upper() == cluster.sdc_guid.upper())
    rest('POST', f'/instances/Volume::{Made.volume}/action/addMappedSdc',
         {'sdcId': sdc['id'], 'allowMultipleMappings': 'True'})
    sdc_control(op='attach', volume=Made.volume)
    info = scaleio.ScaleIOConnector('sudo').connect_volume(as_mapped_by_cinder())
    assert info['path'] == f'/dev/disk/by-id/emc-vol-{cluster.system_id}-{Made.volume}', info
    pattern = os.urandom(65536)
    device = Direct(info['path'])
    assert os.lseek(device.file, 0, os.SEEK_END) == 8 << 30, 'not the size of the volume'
    assert device.read(1 << 30) == bytes(65536), 'not zeroes where nothing was written'
    device.write(pattern, 1 << 30)
    device.close()
    again = Direct(info['path'])
    assert again.read(1 << 30) == pattern
    again.close()


@judge.check('detached: the device is gone', needs=['attached: found under /dev/disk/by-id, written and read back'])
def _():
    scaleio.ScaleIOConnector('sudo').disconnect_volume(as_mapped_by_cinder(), None)
    sdc_control(op='detach', volume=Made.volume, force=False)
    assert not os.path.lexists(f'/dev/disk/by-id/emc-vol-{cluster.system_id}-{Made.volume}')
    rest('POST', f'/instances/Volume::{Made.volume}/action/removeMappedSdc', {'allSdcs': ''})
    sdc_control(op='release')


@judge.check('the volume is removed', needs=['a volume to attach'])
def _():
    if mappings() is not None:  # Left by a check that failed.
        rest('POST', f'/instances/Volume::{Made.volume}/action/removeMappedSdc', {'allSdcs': ''})
    rest('POST', f'/instances/Volume::{Made.volume}/action/removeVolume', {'removeMode': 'ONLY_ME'})


shutil.rmtree(workplace)
