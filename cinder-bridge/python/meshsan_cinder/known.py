"""Prints, as JSON, what Cinder's database knows of one MeshSAN backend: `cinder-bridge orphans --known` compares it.

It only reads.
"""
import argparse
import json
import sys

from cinder import context
from cinder import objects
from cinder import version
from cinder.common import config  # noqa: F401 (registers Cinder's options)
from oslo_config import cfg

from meshsan_cinder.driver import GENERATION, HOLDER

#: In these states a volume or snapshot need not exist on the storage.
UNSETTLED = {'creating', 'downloading', 'error', 'deleting', 'error_deleting', 'error_managing', 'managing',
             'error_managing_deleting', 'maintenance', 'migrating', 'unmanaging'}


def known(backend):
    """Volumes, attachments and snapshots of host@backend, whatever pool they lie in."""
    ctxt = context.get_admin_context()
    volumes = [volume for volume in objects.VolumeList.get_all(ctxt)
               if (volume.host or '').split('#')[0] == backend]
    attachments = []
    for volume in volumes:
        for one in objects.VolumeAttachmentList.get_all_by_volume_id(ctxt, volume.id):
            connector = one.connector or {}
            attachments.append({
                'attachmentId': one.id,
                'volumeId': volume.name_id,
                'host': one.attached_host or connector.get('host') or '',
                'holder': connector.get(HOLDER) or '',
                'generation': int(connector.get(GENERATION) or 0),
            })
    return {'volumes': [{'volumeId': volume.name_id, 'settled': volume.status not in UNSETTLED}
                        for volume in volumes],
            'attachments': attachments,
            'snapshots': [{'snapshotId': snapshot.id, 'volumeId': volume.name_id,
                           'settled': snapshot.status not in UNSETTLED}
                          for volume in volumes
                          for snapshot in objects.SnapshotList.get_all_for_volume(ctxt, volume.id)]}


def main(argv=None):
    parser = argparse.ArgumentParser(prog='meshsan-cinder-known', description=__doc__)
    parser.add_argument('--config-file', action='append', default=[], metavar='FILE',
                        help='configuration of cinder-volume (default /etc/cinder/cinder.conf); may be repeated')
    parser.add_argument('--backend', required=True, metavar='HOST@BACKEND',
                        help='as `openstack volume service list` shows it')
    arguments = parser.parse_args(argv)
    cfg.CONF([], project='cinder', version=version.version_string(),
             default_config_files=arguments.config_file or ['/etc/cinder/cinder.conf'])
    objects.register_all()
    json.dump(known(arguments.backend), sys.stdout)
    print()
    return 0


if __name__ == '__main__':
    sys.exit(main())
