"""Calls of Cinder for groups whose type has consistent_group_snapshot_enabled: one request for all of a group, so that its
snapshots are of one moment. Other groups are Cinder's own: it goes through their volumes one by one.
"""
from cinder import exception
from cinder.objects import fields
from cinder.volume import volume_utils
from oslo_log import log as logging

LOG = logging.getLogger(__name__)


def _only_consistent(group):
    if not volume_utils.is_group_a_cg_snapshot_type(group):
        raise NotImplementedError()


def _delete_each(members, delete, done, not_done):
    """Deletes what it can. Returns whether anything stayed, and the state of each."""
    updates = []
    for member in members:
        try:
            delete(member)
            updates.append({'id': member.id, 'status': done})
        except (exception.VolumeBackendAPIException, exception.VolumeIsBusy) as error:
            LOG.error('%s of a group was not deleted: %s', member.id, error)
            updates.append({'id': member.id, 'status': not_done})
    return any(update['status'] == not_done for update in updates), updates


class GroupCalls:
    """A part of the driver, which makes snapshots (_snapshot) and copies (_copy) of many volumes by one request."""

    def create_group(self, context, group):
        _only_consistent(group)
        return {'status': fields.GroupStatus.AVAILABLE}

    def update_group(self, context, group, add_volumes=None, remove_volumes=None):
        _only_consistent(group)
        return None, None, None

    def delete_group(self, context, group, volumes):
        _only_consistent(group)
        stayed, updates = _delete_each(
            volumes, self.delete_volume, 'deleted', fields.VolumeStatus.ERROR_DELETING)
        return {'status': fields.GroupStatus.ERROR_DELETING if stayed else fields.GroupStatus.DELETED}, updates

    def create_group_snapshot(self, context, group_snapshot, snapshots):
        _only_consistent(group_snapshot)
        updates = [{'id': snapshot.id, 'status': fields.SnapshotStatus.AVAILABLE, **made}
                   for snapshot, made in zip(snapshots, self._snapshot(snapshots))]
        return {'status': fields.GroupSnapshotStatus.AVAILABLE}, updates

    def delete_group_snapshot(self, context, group_snapshot, snapshots):
        _only_consistent(group_snapshot)
        stayed, updates = _delete_each(
            snapshots, self.delete_snapshot, fields.SnapshotStatus.DELETED, fields.SnapshotStatus.ERROR_DELETING)
        return {'status': fields.GroupSnapshotStatus.ERROR_DELETING if stayed
                else fields.GroupSnapshotStatus.DELETED}, updates

    def create_group_from_src(self, context, group, volumes, group_snapshot=None, snapshots=None,
                              source_group=None, source_vols=None):
        _only_consistent(group)
        sources = ([{'snapshotId': snapshot.id} for snapshot in snapshots] if group_snapshot
                   else [{'volumeId': source.name_id} for source in source_vols])
        updates = [{'id': volume.id, 'status': fields.VolumeStatus.AVAILABLE, **made}
                   for volume, made in zip(volumes, self._copy(list(zip(volumes, sources))))]
        return {'status': fields.GroupStatus.AVAILABLE}, updates
