"""Calls of Cinder for volumes and snapshots that exist on MeshSAN: what it takes over (manage) and gives up (unmanage). Nothing of
their content changes, only the name. A snapshot is taken over as one of the volume that it is a snapshot of.
"""
from cinder import exception
from cinder.volume import volume_utils

from meshsan_cinder.paths import pool_of, pool_path, snapshot_path, volume_path


def _reference(existing_ref, what):
    if isinstance(existing_ref, dict):
        if existing_ref.get('source-id'):
            return {'id': existing_ref['source-id']}
        if existing_ref.get('source-name'):
            return {'name': existing_ref['source-name']}
    raise exception.ManageExistingInvalidReference(
        existing_ref=existing_ref, reason=f'give source-id or source-name of a {what} of MeshSAN')


def _size(found, existing_ref):
    if found['reason'] is not None:
        raise exception.ManageExistingInvalidReference(existing_ref=existing_ref, reason=found['reason'])
    return found['sizeGib']


def _entry(found, cinder_id, pool):
    return {
        'reference': {'source-id': found['meshsanId']},
        'size': found['sizeGib'],
        'safe_to_manage': found['reason'] is None,
        'reason_not_safe': found['reason'],
        'cinder_id': cinder_id,
        'extra_info': {'name': found['name'], 'pool': pool},
    }


class ExistingCalls:
    """A part of the driver, which asks the bridge (_call)."""

    def manage_existing(self, volume, existing_ref):
        self._refuse_what_is_not_kept(volume)
        domain, pool = pool_of(volume)
        managed = self._call('POST', f'{volume_path(volume)}/manage', {
            'domain': domain, 'pool': pool, 'reference': _reference(existing_ref, 'volume')})
        return {'provider_id': managed['meshsanId']}

    def manage_existing_get_size(self, volume, existing_ref):
        return _size(self._call('POST', f'{pool_path(":".join(pool_of(volume)))}/inspect',
                                {'reference': _reference(existing_ref, 'volume')}, existing_ref=existing_ref),
                     existing_ref)

    def get_manageable_volumes(self, cinder_volumes, marker, limit, offset, sort_keys, sort_dirs):
        entries = [_entry(found, found['volumeId'], name)
                   for name in self.configuration.meshsan_storage_pools
                   for found in self._call('GET', f'{pool_path(name)}/volumes')['volumes']]
        return volume_utils.paginate_entries_list(entries, marker, limit, offset, sort_keys, sort_dirs)

    def unmanage(self, volume):
        self._call('POST', f'{volume_path(volume)}/unmanage')

    def manage_existing_snapshot(self, snapshot, existing_ref):
        managed = self._call('POST', f'{snapshot_path(snapshot)}/manage', {
            'volumeId': snapshot.volume.name_id, 'reference': _reference(existing_ref, 'snapshot')},
            existing_ref=existing_ref)
        return {'provider_id': managed['meshsanId']}

    def manage_existing_snapshot_get_size(self, snapshot, existing_ref):
        return _size(self._call('POST', f'{volume_path(snapshot.volume)}/inspect-snapshot',
                                {'reference': _reference(existing_ref, 'snapshot')}, existing_ref=existing_ref),
                     existing_ref)

    def get_manageable_snapshots(self, cinder_snapshots, marker, limit, offset, sort_keys, sort_dirs):
        entries = []
        for name in self.configuration.meshsan_storage_pools:
            for found in self._call('GET', f'{pool_path(name)}/snapshots')['snapshots']:
                source = {'source-id': found['volumeId']} if found['volumeId'] else None
                entries.append({**_entry(found, found['snapshotId'], name), 'source_reference': source})
        return volume_utils.paginate_entries_list(entries, marker, limit, offset, sort_keys, sort_dirs)

    def unmanage_snapshot(self, snapshot):
        self._call('POST', f'{snapshot_path(snapshot)}/unmanage')
