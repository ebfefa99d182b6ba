"""Where the bridge has what a call of Cinder is about."""
from cinder import exception
from cinder.volume import volume_utils

from meshsan_cinder.client import quoted


def volume_path(volume):
    # After a migration the name follows the volume that the data came to lie on.
    return f'/v1/volumes/{quoted(volume.name_id)}'


def snapshot_path(snapshot):
    return f'/v1/snapshots/{quoted(snapshot.id)}'


def pool_path(name):
    domain, pool = name.split(':')
    return f'/v1/pools/{quoted(domain)}/{quoted(pool)}'


def pool_of(volume):
    name = volume_utils.extract_host(volume.host, level='pool') or ''
    if len(name.split(':')) != 2:
        raise exception.VolumeBackendAPIException(
            data=f'{volume.host} names no storage pool as protection-domain:storage-pool')
    return name.split(':')
