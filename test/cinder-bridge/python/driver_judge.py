"""Judge: MeshSAN's Cinder driver inside Debian's Cinder (its volume manager, objects and database), through the bridge,
against a cluster of processes. Arguments: directory of the cluster, a scratch directory, socket of a second bridge that
knows two gateways, the bridge's program.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid

import cinder_rig
from cinder_rig import ELSEWHERE, Rig

import eventlet
import requests
from cinder import exception
from cinder import objects
from cinder import utils as cinder_utils
from cinder.volume import group_types
from cinder.volume import qos_specs
from cinder.volume import volume_types
from judge import Judge, Skip

judge = Judge()
cluster = judge.cluster
SCRATCH, SECOND_BRIDGE, PROGRAM = sys.argv[2:5]
NODE = os.environ.get('NODE', 'node')
POOL = f'{cluster.protection_domain}:{cluster.storage_pool}'
BASE = f'https://{cluster.host}:{cluster.port}/api'

with open(os.path.join(cluster.directory, 'cluster.json'), encoding='utf-8') as content:
    BRIDGE = json.load(content)['cinderBridge']
settings = {'token_file': BRIDGE['tokenFile'], 'pool': POOL}
NOBODY = os.path.join(SCRATCH, 'nobody.sock')
IMPOSTOR = os.path.join(SCRATCH, 'impostor.sock')
WRONG_TOKEN = os.path.join(SCRATCH, 'wrong-token')
with open(os.open(WRONG_TOKEN, os.O_CREAT | os.O_WRONLY, 0o600), 'w', encoding='ascii') as content:
    content.write('ab' * 32)
CONFIG_FILE = cinder_rig.configure(SCRATCH, {
    'meshsan': {'bridge': BRIDGE['socket'], 'patience': 30, **settings},
    'second': {'bridge': SECOND_BRIDGE, 'patience': 30, **settings},
    'down': {'bridge': NOBODY, 'patience': 0, **settings},
    'impostor': {'bridge': IMPOSTOR, 'patience': 0, **settings},
    'stranger': {'bridge': BRIDGE['socket'], 'patience': 0, 'pool': POOL, 'token_file': WRONG_TOKEN},
})
rig = Rig('meshsan', POOL)


def rest(method, path, body=None):
    """A request beside the driver."""
    token = requests.get(f'{BASE}/login', auth=(cluster.username, cluster.password), verify=cluster.ca_file).json()
    answer = requests.request(method, BASE + path, json=body, auth=('', token), verify=cluster.ca_file)
    assert answer.status_code == 200, answer.text
    return answer.json()


def on_meshsan(volume):
    """The volume as the gateway shows it, whatever Cinder thinks; None: it is not there."""
    return next((one for one in rest('GET', '/types/Volume/instances') if one['id'] == volume.provider_id), None)


def generations(volume):
    return [one['mappingGeneration'] for one in on_meshsan(volume)['mappedSdcInfo'] or []]


def ledger(volume):
    found = rest('POST', '/types/Volume/instances/action/queryAttachments', {'volumeIds': [volume.provider_id]})
    return sorted(one['holder'] for one in found)


def processes(role):
    """The pids in this role, as the supervisor reports them: none between the end of one and the start of the next."""
    with open(os.path.join(cluster.directory, 'cluster.json'), encoding='utf-8') as file:
        return [one['pid'] for one in json.load(file)['processes'] if one['role'] == role]


def process(role):
    [pid] = processes(role)
    return pid


def until(what, probe, seconds=60):
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f'waited in vain: {what}'
        eventlet.sleep(0.05)


def kill(role):
    """Ends the process as a crash would, and waits for its successor's pid, so that the next kill meets that one."""
    pid = process(role)
    os.kill(pid, signal.SIGKILL)
    until(f'{role} runs again', lambda: processes(role) not in ([], [pid]))


class Stopped:
    """A process that hangs for as long as the block lasts."""

    def __init__(self, role):
        self.pid = process(role)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


@judge.check('the driver starts: bridge, token, pools')
def _():
    rig.start()
    assert rig.driver.initialized


START = ['the driver starts: bridge, token, pools']


@judge.check('statistics: capacity, features, nothing that is not kept', needs=START)
def _():
    stats = rig.driver.get_volume_stats(refresh=True)
    [pool] = stats['pools']
    assert pool['pool_name'] == POOL and pool['total_capacity_gb'] >= pool['free_capacity_gb'] > 0, pool
    assert pool['thin_provisioning_support'] and pool['multiattach'] and pool['online_extend_support']
    assert pool['QoS_support'] and pool['consistent_group_snapshot_enabled'], pool
    assert pool['max_over_subscription_ratio'] == 20.0, pool
    return pool


@judge.check('create: exactly 1 GiB and 3 GiB; the same again is the same volume', needs=START)
def _():
    for size in (1, 3):
        volume = rig.made(size)
        assert on_meshsan(volume)['sizeInKb'] == size << 20, on_meshsan(volume)
        before = len(rest('GET', '/types/Volume/instances'))
        assert rig.driver.create_volume(volume)['provider_id'] == volume.provider_id
        assert len(rest('GET', '/types/Volume/instances')) == before
        rig.remove(volume)


@judge.check('create again with another size: a clear error, the volume stays', needs=START)
def _():
    volume = rig.made(2)
    volume.size = 4
    judge.raises(exception.VolumeBackendAPIException, lambda: rig.driver.create_volume(volume),
                 lambda error: 'has 2 GiB; asked for were 4 GiB' in str(error))
    assert on_meshsan(volume)['sizeInKb'] == 2 << 20
    rig.remove(volume)


@judge.check('thin and thick by the type of the volume', needs=START)
def _():
    thick = volume_types.create(rig.context, 'thick', {'provisioning:type': 'thick'})
    volume = rig.made(1, volume_type_id=thick['id'])
    assert on_meshsan(volume)['volumeType'] == 'ThickProvisioned'
    host = {'host': volume.host}
    thin = {'id': volume.volume_type_id, 'extra_specs': {'provisioning:type': 'thin'}, 'qos_specs_id': None}
    assert rig.driver.retype(rig.context, volume, thin, {}, host) is False
    same = {'id': volume.volume_type_id, 'extra_specs': {}, 'qos_specs_id': None}
    assert rig.driver.retype(rig.context, volume, same, {}, host) is True
    assert rig.driver.retype(rig.context, volume, same, {}, {'host': 'elsewhere@other#pool'}) is False
    assert rig.driver.migrate_volume(rig.context, volume, {'host': 'x'}) == (False, None)
    rig.remove(volume)
    bad = volume_types.create(rig.context, 'bad', {'provisioning:type': 'fat'})
    judge.raises(exception.InvalidInput, lambda: rig.made(1, volume_type_id=bad['id']))


@judge.check('delete, twice; a volume that never was', needs=START)
def _():
    volume = rig.made()
    rig.driver.delete_volume(volume)
    assert on_meshsan(volume) is None
    rig.driver.delete_volume(volume)
    rig.driver.delete_volume(rig.volume())


@judge.check('extend: free and attached, to the GiB; smaller is refused', needs=START)
def _():
    volume = rig.made(1)
    rig.driver.extend_volume(volume, 2)
    attachment, _info = rig.attach(volume)
    rig.driver.extend_volume(volume, 5)
    rig.driver.extend_volume(volume, 5)
    assert on_meshsan(volume)['sizeInKb'] == 5 << 20
    judge.raises(exception.VolumeBackendAPIException, lambda: rig.driver.extend_volume(volume, 4))
    rig.detach(volume, attachment)
    rig.remove(volume)


@judge.check('attach and detach by the volume manager: the holder lies with the attachment', needs=START)
def _():
    volume = rig.made()
    attachment, info = rig.attach(volume)
    assert info['driver_volume_type'] == 'local', info
    assert info['device_path'] == f'/dev/disk/by-id/emc-vol-{cluster.system_id}-{volume.provider_id}', info
    assert 'password' not in json.dumps(info).lower()
    assert ledger(volume) == [attachment.connector['meshsan_holder']]
    assert generations(volume) == [int(attachment.connector['meshsan_generation'])] == [info['meshsan_generation']]
    rig.detach(volume, attachment)
    assert generations(volume) == [] and ledger(volume) == []
    # Cinder may ask again for what it lost the answer to.
    rig.driver.terminate_connection(volume, attachment.connector)
    rig.remove(volume)


ATTACH = ['attach and detach by the volume manager: the holder lies with the attachment']


@judge.check('a host with our package is answered the type meshsan', needs=ATTACH)
def _():
    volume = rig.made()
    attachment, info = rig.attach(volume, host='unheard-of', meshsan_sdc_guid=cluster.sdc_guid.lower())
    assert info['driver_volume_type'] == 'meshsan' and info['meshsan_sdc_guid'] == cluster.sdc_guid, info
    rig.detach(volume, attachment)
    judge.raises(exception.VolumeBackendAPIException,
                 lambda: rig.attach(volume, meshsan_sdc_guid=str(uuid.uuid4())),
                 lambda error: 'no SDC is known' in str(error))
    assert generations(volume) == []


@judge.check('two instances on one host share the mapping until the second has gone', needs=ATTACH)
def _():
    volume = rig.made()
    one, first = rig.attach(volume)
    two, second = rig.attach(volume)
    assert first['meshsan_generation'] == second['meshsan_generation']
    rig.detach(volume, one)
    assert generations(volume) == [first['meshsan_generation']] and len(ledger(volume)) == 1
    rig.detach(volume, two)
    assert generations(volume) == []
    rig.remove(volume)


@judge.check('a stale detach changes nothing: neither the next attachment nor one that shares', needs=ATTACH)
def _():
    volume = rig.made()
    old, _info = rig.attach(volume)
    stale = dict(old.connector)
    rig.detach(volume, old)
    new, info = rig.attach(volume)
    assert info['meshsan_generation'] > int(stale['meshsan_generation'])
    assert rig.driver.terminate_connection(volume, dict(stale)) is False
    assert generations(volume) == [info['meshsan_generation']]
    # A connector from before an upgrade, which names no holder, does not hit it either.
    rig.driver.terminate_connection(volume, {'host': ELSEWHERE, 'ip': '192.0.2.10'})
    assert generations(volume) == [info['meshsan_generation']]
    rig.detach(volume, new)
    assert generations(volume) == []
    rig.remove(volume)


@judge.check('what Cinder itself attaches (copies, backups) has a holder by its host', needs=ATTACH)
def _():
    volume = rig.made()
    # Over RabbitMQ the connector that the driver writes into does not come back.
    rig.driver.initialize_connection(volume, {'host': ELSEWHERE})
    [holder] = ledger(volume)
    assert holder.startswith('host.'), holder
    rig.driver.terminate_connection(volume, {'host': ELSEWHERE})
    assert generations(volume) == []
    rig.driver.initialize_connection(volume, {'host': ELSEWHERE})
    rig.driver.terminate_connection(volume, None, force=True)
    assert generations(volume) == []
    rig.remove(volume)


@judge.check('a host that hangs while attached: its detach and the delete go through', needs=ATTACH)
def _():
    volume = rig.made()
    attachment, _info = rig.attach(volume)
    with Stopped('sdc'):
        rig.detach(volume, attachment)
        assert generations(volume) == []
        rig.remove(volume)
        assert on_meshsan(volume) is None


@judge.check('a host that died, and whose attachment Cinder was made to forget: delete fences it first', needs=ATTACH)
def _():
    volume = rig.made()
    attachment, _info = rig.attach(volume)
    judge.raises(exception.VolumeIsBusy, lambda: rig.driver.delete_volume(volume))
    attachment.destroy()
    with Stopped('sdc'):
        rig.driver.delete_volume(volume)
    assert on_meshsan(volume) is None


@judge.check('the bridge is killed in the middle of calls: every volume is made once', needs=START)
def _():
    before = len(rest('GET', '/types/Volume/instances'))
    volumes = [rig.volume() for _ in range(8)]
    threads = [eventlet.spawn(rig.driver.create_volume, volume) for volume in volumes]
    eventlet.sleep(0.05)
    for _ in range(2):
        kill('cinder-bridge')
    ids = {thread.wait()['provider_id'] for thread in threads}
    assert len(ids) == len(volumes)
    assert len(rest('GET', '/types/Volume/instances')) == before + len(volumes)
    for volume in volumes:
        rig.driver.delete_volume(volume)
    assert len(rest('GET', '/types/Volume/instances')) == before


@judge.check('the bridge is killed in the middle of attachments: one holder each, none left', needs=ATTACH)
def _():
    volumes = [rig.made() for _ in range(4)]
    threads = [eventlet.spawn(rig.attach, volume) for volume in volumes]
    eventlet.sleep(0.1)
    kill('cinder-bridge')
    attachments = [thread.wait()[0] for thread in threads]
    for volume, attachment in zip(volumes, attachments):
        assert ledger(volume) == [attachment.connector['meshsan_holder']]
        rig.detach(volume, attachment)
        assert generations(volume) == []
        rig.remove(volume)


def refused(backend):
    """Every call of a driver whose bridge cannot be used is a VolumeBackendAPIException."""
    other = Rig(backend, POOL)
    other.driver.do_setup(other.context)
    volume = rig.made()
    errors = [judge.raises(exception.VolumeBackendAPIException, work) for work in (
        other.driver.check_for_setup_error,
        lambda: other.driver.create_volume(volume),
        lambda: other.driver.delete_volume(volume),
        lambda: other.driver.extend_volume(volume, 2),
        lambda: other.driver.initialize_connection(volume, {'host': ELSEWHERE}),
        lambda: other.driver.terminate_connection(volume, {'host': ELSEWHERE}),
        lambda: other.driver.get_volume_stats(refresh=True))]
    assert on_meshsan(volume)['sizeInKb'] == 1 << 20 and generations(volume) == []
    rig.remove(volume)
    return str(errors[0])


@judge.check('the bridge is down: VolumeBackendAPIException that says so', needs=START)
def _():
    text = refused('down')
    assert NOBODY in text and 'does not answer' in text, text
    return text


@judge.check('a driver with another token: refused, and the bridge is not believed', needs=START)
def _():
    text = refused('stranger')
    assert 'does not hold the token' in text, text


@judge.check('another program at the socket of the bridge is not believed', needs=START)
def _():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'impostor.py')
    impostor = subprocess.Popen([sys.executable, script, IMPOSTOR])
    try:
        until('the impostor listens', lambda: os.path.exists(IMPOSTOR))
        text = refused('impostor')
        assert 'does not hold the token' in text, text
    finally:
        impostor.kill()
        impostor.wait()


@judge.check('a token file that others can read is refused', needs=START)
def _():
    os.chmod(WRONG_TOKEN, 0o644)
    text = refused('stranger')
    assert 'readable by its owner only' in text, text


@judge.check('a gateway that hangs: the bridge goes on with the other one', needs=START)
def _():
    second = Rig('second', POOL)
    second.start()
    volume = second.made(2)
    with Stopped('gateway'):
        second.driver.extend_volume(volume, 3)
        attachment, _info = second.attach(volume)
        second.detach(volume, attachment)
        second.driver.create_volume(second.volume())
    assert on_meshsan(volume)['sizeInKb'] == 3 << 20
    second.remove(volume)


@judge.check('active/active: two drivers and two bridges attach and detach one volume at the same time', needs=ATTACH)
def _():
    second = Rig('second', POOL)
    second.start()
    volume = rig.made()

    def often(one):
        for _ in range(6):
            attachment, info = one.attach(volume)
            assert info['meshsan_generation'] in generations(volume), 'the mapping of an attachment is gone'
            one.detach(volume, attachment)

    for thread in [eventlet.spawn(often, one) for one in (rig, second, rig, second)]:
        thread.wait()
    assert generations(volume) == [] and ledger(volume) == []
    made = [eventlet.spawn(one.driver.create_volume, volume) for one in (rig, second)]
    assert {thread.wait()['provider_id'] for thread in made} == {volume.provider_id}
    rig.remove(volume)


def operator(*arguments):
    """The bridge's command for operators, fed with what Cinder's database says."""
    known = subprocess.run(
        [sys.executable, '-m', 'meshsan_cinder.known', '--config-file', CONFIG_FILE, '--backend', cinder_rig.HOST],
        check=True, capture_output=True, text=True).stdout
    config = os.path.join(cluster.directory, 'config', 'cinder-bridge.json')
    done = subprocess.run(
        [NODE, PROGRAM, *arguments, '--config', config, '--known', '-', '--min-age', '0', '--json'],
        input=known, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stderr
    return done.returncode, json.loads(done.stdout)


@judge.check('orphans are reported and repaired: a lost detach, a mapping by hand, a volume of nobody', needs=ATTACH)
def _():
    lost, by_hand, alive, gone = rig.made(), rig.made(), rig.made(), rig.made()
    attachment, _info = rig.attach(lost)
    kept, info = rig.attach(alive)
    attachment.destroy()
    rest('POST', f'/instances/Volume::{by_hand.provider_id}/action/addMappedSdc', {'guid': cluster.sdc_guid})
    gone.destroy()
    code, report = operator('orphans')
    found = {(one['kind'], one['volumeId']) for one in report['findings']}
    assert code == 4
    assert {('holderWithoutAttachment', lost.id), ('mappingWithoutHolder', by_hand.id),
            ('volumeUnknownToCinder', gone.id)} <= found, report
    assert not any(volume == alive.id for _kind, volume in found), report
    operator('repair', '--dry-run')
    assert generations(lost) != []
    operator('repair')
    assert generations(lost) == [] and generations(by_hand) == []
    assert generations(alive) == [info['meshsan_generation']], 'a repair took a good attachment away'
    assert on_meshsan(gone) is not None, 'a repair removed a volume'
    _code, after = operator('orphans')
    assert [one['kind'] for one in after['findings'] if one['volumeId'] in (lost.id, by_hand.id)] == []
    rig.detach(alive, kept)
    rig.driver.delete_volume(gone)
    for volume in (lost, by_hand, alive):
        rig.remove(volume)


@judge.check('manage and unmanage: by id, by name; what cannot be managed is said', needs=START)
def _():
    pool = next(one for one in rest('GET', '/types/StoragePool/instances') if one['name'] == cluster.storage_pool)
    name = 'hand-' + uuid.uuid4().hex[:8]
    made = rest('POST', '/types/Volume/instances', {
        'name': name, 'storagePoolId': pool['id'], 'volumeSizeInKb': str(8 << 20), 'volumeType': 'ThinProvisioned'})
    reference = {'source-id': made['id']}
    volume = rig.volume(8)
    assert rig.driver.manage_existing_get_size(volume, {'source-name': name}) == 8
    judge.raises(exception.ManageExistingInvalidReference,
                 lambda: rig.driver.manage_existing_get_size(volume, {'source-id': 'f' * 16}))
    for wrong in ({}, {'name': name}, 'x'):
        judge.raises(exception.ManageExistingInvalidReference,
                     lambda wrong=wrong: rig.driver.manage_existing_get_size(volume, wrong))
    listed = rig.driver.get_manageable_volumes([], None, 100, 0, ['size'], ['asc'])
    assert any(one['reference'] == reference and one['safe_to_manage'] for one in listed), listed
    volume.update(rig.driver.manage_existing(volume, reference))
    volume.save()
    listed = rig.driver.get_manageable_volumes([], None, 100, 0, ['size'], ['asc'])
    assert any(one['cinder_id'] == volume.id and not one['safe_to_manage'] for one in listed), listed
    other = rig.volume(8)
    judge.raises(exception.ManageExistingInvalidReference,
                 lambda: rig.driver.manage_existing_get_size(other, reference))
    rig.driver.unmanage(volume)
    rig.driver.unmanage(volume)
    assert on_meshsan(volume)['name'].startswith('former-')
    again = rig.volume(8)
    again.update(rig.driver.manage_existing(again, reference))
    rig.driver.delete_volume(again)


def new_snapshot(volume, **fields):
    """A snapshot of Cinder's database; the driver knows nothing of it yet."""
    snapshot = objects.Snapshot(
        rig.context, volume_id=volume.id, volume_size=volume.size, status='creating', user_id=rig.context.user_id,
        project_id=rig.context.project_id, volume_type_id=volume.volume_type_id, **fields)
    snapshot.create()
    return snapshot


def taken(volume):
    """A snapshot that exists on MeshSAN too."""
    snapshot = new_snapshot(volume)
    snapshot.update(rig.driver.create_snapshot(snapshot))
    snapshot.save()
    return snapshot


@judge.check('manage and unmanage of snapshots: by id, by name, of their own volume only', needs=START)
def _():
    volume, other = rig.made(1), rig.made(1)
    name = 'hand-' + uuid.uuid4().hex[:8]
    [by_hand] = rest('POST', '/instances/System/action/snapshotVolumes', {
        'snapshotDefs': [{'volumeId': volume.provider_id, 'snapshotName': name}]})['volumeIdList']
    reference = {'source-id': by_hand}
    driver = rig.driver

    def listed():
        found = driver.get_manageable_snapshots([], None, 100, 0, ['size'], ['asc'])
        return next(one for one in found if one['reference'] == reference)

    snapshot, stranger = new_snapshot(volume), new_snapshot(other)
    assert driver.manage_existing_snapshot_get_size(snapshot, {'source-name': name}) == 1
    for wrong in ({}, {'name': name}, 'x', {'source-id': 'f' * 16}, {'source-id': volume.provider_id}):
        judge.raises(exception.ManageExistingInvalidReference,
                     lambda wrong=wrong: driver.manage_existing_snapshot_get_size(snapshot, wrong))
    for call in (driver.manage_existing_snapshot_get_size, driver.manage_existing_snapshot):
        judge.raises(exception.ManageExistingInvalidReference, lambda call=call: call(stranger, reference),
                     lambda error: 'is no snapshot of the volume' in str(error))
    entry = listed()
    assert entry['safe_to_manage'] and entry['source_reference'] == {'source-id': volume.id}, entry
    update = driver.manage_existing_snapshot(snapshot, reference)
    assert update == driver.manage_existing_snapshot(snapshot, reference) == {'provider_id': by_hand}
    snapshot.update(update)
    snapshot.save()
    entry = listed()
    assert entry['cinder_id'] == snapshot.id and not entry['safe_to_manage'], entry
    copy = rig.volume(1)
    copy.update(driver.create_volume_from_snapshot(copy, snapshot))
    rig.remove(copy)
    driver.unmanage_snapshot(snapshot)
    driver.unmanage_snapshot(snapshot)
    assert on_meshsan(snapshot)['name'].startswith('former-')
    again = new_snapshot(volume)
    again.update(driver.manage_existing_snapshot(again, reference))
    again.save()
    driver.delete_snapshot(again)
    assert on_meshsan(again) is None and on_meshsan(volume) is not None
    for one in (snapshot, stranger, again):
        one.destroy()
    for one in (volume, other):
        rig.remove(one)


@judge.check('snapshots that only Cinder or only MeshSAN has are reported, and left as they are', needs=START)
def _():
    volume = rig.made(1)
    good, unknown, missing = taken(volume), taken(volume), taken(volume)
    for one in (good, missing):
        one.status = 'available'
        one.save()
    unknown.destroy()
    rest('POST', f'/instances/Volume::{missing.provider_id}/action/removeVolume', {'removeMode': 'ONLY_ME'})
    code, report = operator('orphans')
    found = {(one['kind'], one['snapshotId']) for one in report['findings']}
    assert code == 4 and {('snapshotUnknownToCinder', unknown.id), ('snapshotMissing', missing.id)} <= found, report
    assert not any(snapshot == good.id for _kind, snapshot in found), report
    operator('repair')
    assert on_meshsan(unknown) is not None, 'a repair removed a snapshot'
    for one in (good, unknown):
        rig.driver.delete_snapshot(one)
    for one in (good, missing):
        one.destroy()
    rig.remove(volume)


@judge.check('snapshot; the same again is the same one; deleted, twice', needs=START)
def _():
    volume = rig.made(2)
    snapshot = taken(volume)
    seen = on_meshsan(snapshot)
    assert seen['ancestorVolumeId'] == volume.provider_id and seen['sizeInKb'] == 2 << 20, seen
    before = len(rest('GET', '/types/Volume/instances'))
    assert rig.driver.create_snapshot(snapshot) == {'provider_id': snapshot.provider_id}
    assert len(rest('GET', '/types/Volume/instances')) == before
    rig.driver.delete_snapshot(snapshot)
    assert on_meshsan(snapshot) is None and on_meshsan(volume) is not None
    rig.driver.delete_snapshot(snapshot)
    rig.driver.delete_snapshot(new_snapshot(volume))
    rig.remove(volume)
    judge.raises(exception.VolumeBackendAPIException, lambda: taken(rig.volume()),
                 lambda error: 'there is no volume' in str(error))


@judge.check('volumes of a snapshot and of a volume, larger too; deleted in any order', needs=START)
def _():
    volume = rig.made(1)
    snapshot = taken(volume)
    made = []
    for size, create, source in ((1, rig.driver.create_volume_from_snapshot, snapshot),
                                 (3, rig.driver.create_volume_from_snapshot, snapshot),
                                 (1, rig.driver.create_cloned_volume, volume),
                                 (4, rig.driver.create_cloned_volume, volume)):
        copy = rig.volume(size)
        update = create(copy, source)
        assert create(copy, source) == update, 'the same again is another volume'
        copy.update(update)
        copy.save()
        assert on_meshsan(copy)['sizeInKb'] == size << 20, on_meshsan(copy)
        assert on_meshsan(copy)['vtreeId'] == volume.provider_id
        made.append(copy)
    # Cinder deletes a snapshot whose volumes live on, and a volume whose clones do.
    rig.driver.delete_snapshot(snapshot)
    rig.remove(volume)
    assert all(on_meshsan(copy) is not None for copy in made)
    late = taken(made[0])
    attachment, _info = rig.attach(made[0])
    rig.detach(made[0], attachment)
    rig.driver.delete_snapshot(late)
    for copy in made:
        rig.remove(copy)
    smaller = rig.made(2)
    judge.raises(exception.VolumeBackendAPIException,
                 lambda: rig.driver.create_cloned_volume(rig.volume(1), smaller),
                 lambda error: 'a copy of 1 GiB is smaller' in str(error))
    kind = volume_types.create(rig.context, 'thick-copies', {'provisioning:type': 'thick'})
    judge.raises(exception.InvalidInput,
                 lambda: rig.driver.create_cloned_volume(rig.volume(2, volume_type_id=kind['id']), smaller),
                 lambda error: 'without provisioning:type=thick' in str(error))
    rig.remove(smaller)


@judge.check('revert, twice; not under a host', needs=START)
def _():
    volume = rig.made(1)
    snapshot = taken(volume)
    attachment, _info = rig.attach(volume)
    judge.raises(exception.VolumeIsBusy, lambda: rig.driver.revert_to_snapshot(rig.context, volume, snapshot))
    rig.detach(volume, attachment)
    rig.driver.revert_to_snapshot(rig.context, volume, snapshot)
    rig.driver.revert_to_snapshot(rig.context, volume, snapshot)
    gone = new_snapshot(volume)
    judge.raises(exception.VolumeBackendAPIException,
                 lambda: rig.driver.revert_to_snapshot(rig.context, volume, gone),
                 lambda error: 'there is no snapshot' in str(error))
    rig.driver.delete_snapshot(snapshot)
    rig.remove(volume)


@judge.check('as many snapshots as a V-tree may have; the next one is SnapshotLimitReached', needs=START)
def _():
    volume = rig.made(1)
    for _round in range(126):
        rest('POST', '/instances/System/action/snapshotVolumes', {'snapshotDefs': [{'volumeId': volume.provider_id}]})
    judge.raises(exception.SnapshotLimitReached, lambda: taken(volume), lambda error: 'too many' in str(error))
    judge.raises(exception.SnapshotLimitReached, lambda: rig.driver.create_cloned_volume(rig.volume(1), volume))
    rest('POST', f'/instances/Volume::{volume.provider_id}/action/removeVolume', {'removeMode': 'WHOLE_VTREE'})


def new_group(kind, volumes=()):
    group = objects.Group(rig.context, user_id=rig.context.user_id, project_id=rig.context.project_id, status='creating',
                          host=rig.host, group_type_id=kind['id'], name='group')
    group.create()
    for volume in volumes:
        volume.group_id = group.id
        volume.save()
    return group


@judge.check('group snapshots are of one moment; groups of them and of groups; other groups are left to Cinder', needs=START)
def _():
    kind = group_types.create(rig.context, 'consistent', {'consistent_group_snapshot_enabled': '<is> True'})
    volumes = [rig.made(1), rig.made(2)]
    group = new_group(kind, volumes)
    assert rig.driver.create_group(rig.context, group)['status'] == 'available'
    group.update({'status': 'available'})
    group.save()
    rig.driver.update_group(rig.context, group, volumes, [])
    group_snapshot = objects.GroupSnapshot(
        rig.context, group_id=group.id, group_type_id=kind['id'], user_id=rig.context.user_id,
        project_id=rig.context.project_id, status='creating')
    group_snapshot.create()
    snapshots = [new_snapshot(volume) for volume in volumes]
    state, updates = rig.driver.create_group_snapshot(rig.context, group_snapshot, snapshots)
    assert state == {'status': 'available'} and [one['id'] for one in updates] == [one.id for one in snapshots]
    for snapshot, update in zip(snapshots, updates):
        snapshot.provider_id = update['provider_id']
        snapshot.save()
    seen = [on_meshsan(snapshot) for snapshot in snapshots]
    # One call of the cluster made them: that is what makes them one moment.
    assert len({one['consistencyGroupId'] for one in seen}) == 1 and seen[0]['consistencyGroupId'], seen
    assert [one['ancestorVolumeId'] for one in seen] == [volume.provider_id for volume in volumes]
    for sources in ({'group_snapshot': group_snapshot, 'snapshots': snapshots},
                    {'source_group': group, 'source_vols': volumes}):
        copies = [rig.volume(1), rig.volume(3)]
        state, updates = rig.driver.create_group_from_src(rig.context, new_group(kind, copies), copies, **sources)
        assert state == {'status': 'available'}, state
        for copy, update in zip(copies, updates):
            assert update['id'] == copy.id, updates
            copy.provider_id = update['provider_id']
        seen = [on_meshsan(copy) for copy in copies]
        assert [one['sizeInKb'] >> 20 for one in seen] == [1, 3], seen
        assert len({one['consistencyGroupId'] for one in seen}) == 1, seen
        for copy in copies:
            rig.remove(copy)
    state, updates = rig.driver.delete_group_snapshot(rig.context, group_snapshot, snapshots)
    assert state == {'status': 'deleted'} and all(one['status'] == 'deleted' for one in updates), (state, updates)
    assert [on_meshsan(snapshot) for snapshot in snapshots] == [None, None]
    attachment, _info = rig.attach(volumes[1])
    state, updates = rig.driver.delete_group(rig.context, group, volumes)
    assert state == {'status': 'error_deleting'}, state
    assert [one['status'] for one in updates] == ['deleted', 'error_deleting'], updates
    rig.detach(volumes[1], attachment)
    assert rig.driver.delete_group(rig.context, group, volumes)[0] == {'status': 'deleted'}
    plain = new_group(group_types.create(rig.context, 'plain', {}))
    judge.raises(NotImplementedError, lambda: rig.driver.create_group(rig.context, plain))


def limits_now(volume):
    return [(one['limitIops'], one['limitBwInKbps']) for one in on_meshsan(volume)['mappedSdcInfo'] or []]


@judge.check('limits of volume types: of the mapping, grown with the volume, changed by retype', needs=START)
def _():
    kind = volume_types.create(rig.context, 'limited', {'maxIOPSperGB': '500'})
    specs = qos_specs.create(rig.context, 'limits', {'consumer': 'back-end', 'maxBWSperGB': '256', 'maxIOPS': '1200'})
    qos_specs.associate_qos_with_type(rig.context, specs.id, kind['id'])
    volume = rig.made(2, volume_type_id=kind['id'])
    attachment, _info = rig.attach(volume)
    assert limits_now(volume) == [(1000, 512)], limits_now(volume)
    rig.driver.extend_volume(volume, 8)
    assert limits_now(volume) == [(1200, 2048)], limits_now(volume)
    other = volume_types.create(rig.context, 'other-limits', {'maxBWS': '1500'})
    wanted = {'id': other['id'], 'extra_specs': {'maxBWS': '1500'}, 'qos_specs_id': None}
    assert rig.driver.retype(rig.context, volume, wanted, {}, {'host': volume.host}) is True
    assert limits_now(volume) == [(0, 2048)], limits_now(volume)
    none = {'id': other['id'], 'extra_specs': {}, 'qos_specs_id': None}
    assert rig.driver.retype(rig.context, volume, none, {}, {'host': volume.host}) is True
    assert limits_now(volume) == [(0, 0)], limits_now(volume)
    rig.detach(volume, attachment)
    assert rig.driver.retype(rig.context, volume, wanted, {}, {'host': volume.host}) is True
    # ScaleIO's driver takes them from specs of any consumer.
    qos_specs.update(rig.context, specs.id, {'consumer': 'front-end'})
    attachment, _info = rig.attach(volume)
    assert limits_now(volume) == [(1200, 2048)], limits_now(volume)
    rig.detach(volume, attachment)
    rig.remove(volume)


@judge.check('limits and encryption that nobody would keep are refused', needs=START)
def _():
    def refused(name, specs, words, consumer='back-end'):
        kind = volume_types.create(rig.context, name, {})
        made = qos_specs.create(rig.context, name, {'consumer': consumer, **specs})
        qos_specs.associate_qos_with_type(rig.context, made.id, kind['id'])
        before = len(rest('GET', '/types/Volume/instances'))
        judge.raises(exception.InvalidInput, lambda: rig.made(1, volume_type_id=kind['id']),
                     lambda error: words in str(error))
        assert len(rest('GET', '/types/Volume/instances')) == before
        return kind, made

    _kind, specs = refused('libvirt', {'total_iops_sec': '100'}, 'may hold maxIOPS, maxBWS')
    refused('both', {'read_bytes_sec': '100'}, 'use consumer=front-end', consumer='both')
    refused('words', {'maxIOPS': 'many'}, 'maxIOPS must be a whole number')
    refused('negative', {'maxBWSperGB': '-1'}, 'maxBWSperGB must be a whole number')
    refused('few', {'maxIOPS': '10'}, 'maxIOPS must be 0 or at least 11')
    refused('huge', {'maxIOPSperGB': '4294967296'}, 'maxIOPSperGB must be a whole number')
    qos_specs.update(rig.context, specs.id, {'consumer': 'front-end'})
    rig.remove(rig.made(1, volume_type_id=_kind['id']))
    judge.raises(exception.InvalidInput, lambda: rig.made(1, encryption_key_id=str(uuid.uuid4())))


class Images:
    """Stands for Glance's client: holds the bytes of images."""

    temp_images = None

    def __init__(self, content=b''):
        self.content = content

    def show(self, _context, image_id):
        return {'id': image_id, 'size': len(self.content), 'disk_format': 'raw', 'container_format': 'bare',
                'properties': {}, 'status': 'active', 'name': 'image'}

    def get_location(self, _context, _image_id):
        return None, None

    def download(self, _context, _image_id, data=None, **_):
        if data is None:
            return iter([self.content])
        data.write(self.content)
        return None

    def update(self, _context, _image_id, _meta, data=None, **_):
        self.content = b''.join(iter(lambda: data.read(1 << 20), b''))


@judge.check('image to volume and volume to image, over the block device of this host', needs=ATTACH)
def _():
    if os.geteuid() != 0 or 'ATTACHED' not in os.environ:
        raise Skip('needs root: the SDC makes block devices')
    host = socket.gethostname()
    assert host, 'this host has a name'
    cinder_utils.get_root_helper = lambda: 'env'
    pattern = os.urandom(3 << 20)
    volume = rig.made(1)
    rig.driver.copy_image_to_volume(rig.context, volume, Images(pattern), str(uuid.uuid4()))
    assert generations(volume) == [] and ledger(volume) == [], 'the copy left its attachment'
    images = Images()
    meta = {'id': str(uuid.uuid4()), 'disk_format': 'raw', 'container_format': 'bare'}
    rig.driver.copy_volume_to_image(rig.context, volume, images, meta)
    assert len(images.content) == 1 << 30, len(images.content)
    assert images.content[:len(pattern)] == pattern
    assert images.content.count(0, len(pattern)) == (1 << 30) - len(pattern), 'more than the image is not zero'
    assert generations(volume) == []
    rig.remove(volume)


@judge.check('what a snapshot, a clone and a reverted volume hold', needs=ATTACH)
def _():
    if os.geteuid() != 0 or 'ATTACHED' not in os.environ:
        raise Skip('needs root: the SDC makes block devices')
    first, second = os.urandom(1 << 20), os.urandom(1 << 20)

    def write(volume, pattern):
        rig.driver.copy_image_to_volume(rig.context, volume, Images(pattern), str(uuid.uuid4()))

    def holds(volume, pattern):
        images = Images()
        meta = {'id': str(uuid.uuid4()), 'disk_format': 'raw', 'container_format': 'bare'}
        rig.driver.copy_volume_to_image(rig.context, volume, images, meta)
        return images.content[:len(pattern)] == pattern and len(images.content) == volume.size << 30

    volume = rig.made(1)
    write(volume, first)
    snapshot = taken(volume)
    write(volume, second)
    old, new = rig.volume(2), rig.volume(1)
    old.update(rig.driver.create_volume_from_snapshot(old, snapshot))
    new.update(rig.driver.create_cloned_volume(new, volume))
    for copy in (old, new):
        copy.save()
    assert holds(old, first) and holds(new, second)
    rig.driver.revert_to_snapshot(rig.context, volume, snapshot)
    assert holds(volume, first) and holds(new, second)
    rig.driver.delete_snapshot(snapshot)
    rig.remove(volume)
    assert holds(old, first) and holds(new, second)
    rig.remove(old)
    rig.remove(new)


@judge.check("Cinder's own copy between two volumes (migration, retype), and the name that the volume has then", needs=ATTACH)
def _():
    if os.geteuid() != 0 or 'ATTACHED' not in os.environ:
        raise Skip('needs root: the SDC makes block devices')
    pattern = os.urandom(1 << 20)
    source, target = rig.made(1), rig.made(1)
    rig.driver.copy_image_to_volume(rig.context, source, Images(pattern), str(uuid.uuid4()))
    rig.manager._copy_volume_data(rig.context, source, target)
    # What Cinder does last: the volume keeps its id and is found under the new one's name.
    rig.driver.delete_volume(source)
    source._name_id = target.id
    source.provider_id = target.provider_id
    source.save()
    images = Images()
    meta = {'id': str(uuid.uuid4()), 'disk_format': 'raw', 'container_format': 'bare'}
    rig.driver.copy_volume_to_image(rig.context, source, images, meta)
    assert images.content[:len(pattern)] == pattern
    rig.driver.extend_volume(source, 2)
    assert on_meshsan(target)['sizeInKb'] == 2 << 20
    assert generations(target) == []
    rig.driver.delete_volume(source)
    assert on_meshsan(target) is None


@judge.check('a backup of a free volume reads the volume itself, one of a volume in use a clone of it', needs=ATTACH)
def _():
    volume = rig.made()
    backup = objects.Backup(rig.context, volume_id=volume.id, user_id=rig.context.user_id,
                            project_id=rig.context.project_id, status='creating', host='controller')
    backup.create()
    device, is_snapshot = rig.driver.get_backup_device(rig.context, backup)
    assert device.id == volume.id and not is_snapshot
    volume.status = 'backing-up'
    volume.previous_status = 'in-use'
    volume.save()
    attachment, _info = rig.attach(volume)
    device, is_snapshot = rig.driver.get_backup_device(rig.context, backup)
    assert device.id != volume.id and not is_snapshot
    assert on_meshsan(device)['ancestorVolumeId'] == volume.provider_id, on_meshsan(device)
    rig.remove(device)
    rig.detach(volume, attachment)
    rig.remove(volume)
