"""The connectors against an SDC that is played: what os-brick, Nova and Cinder rely on. Run: python3 -m unittest discover.

The privsep daemon is left out (its calls are made directly): it needs root, and the proof with a whole OpenStack has it.
"""
import json
import os
import socket
import stat
import tempfile
import threading
import unittest
from unittest import mock

from os_brick import exception
from os_brick import privileged as brick_privileged
from os_brick.initiator import connector
from oslo_config import cfg

from meshsan_nova import brick
from meshsan_nova import connector as ours
from meshsan_nova import privileged
from meshsan_nova import scaleio

# Without this os-brick starts its daemon through sudo, which an ordinary user cannot.
brick_privileged.default.set_client_mode(False)

SYSTEM = '4d53415600000001'
VOLUME = '4d53415600000007'
GUID = '6C9A2E70-1B3D-4F58-8A61-0D2F4E6A8C90'
PATH = f'/dev/disk/by-id/emc-vol-{SYSTEM}-{VOLUME}'
GIB = 2 ** 30
DATA = {'meshsan_volume_id': VOLUME, 'meshsan_system_id': SYSTEM, 'meshsan_sdc_guid': GUID.lower()}


class Sdc:
    """An SDC with one volume, on a socket of its own."""

    def __init__(self, path):
        self.path = path
        self.mapped = True
        self.attached = False
        self.size = GIB
        self.device_size = GIB
        self.in_use = False
        self.asked = []
        self.rescans_until_mapped = 0
        self.rescans_until_grown = 0
        #: Ids of the systems that it serves; none: it is of a release that served one, and does not say which.
        self.systems = []
        self._listener = None

    def start(self):
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def stop(self):
        if self._listener is not None:
            # Wakes the thread that waits for a connection.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            os.unlink(self.path)
            self._listener = None

    def _serve(self, listener):
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link, link.makefile('rwb') as lines:
                for line in lines:
                    lines.write(json.dumps(self._answer(json.loads(line))).encode() + b'\n')
                    lines.flush()

    def _device(self):
        if not self.attached:
            return None
        return {'volumeId': VOLUME, 'device': '/dev/scinia', 'links': [PATH], 'sizeBytes': self.device_size}

    def _answer(self, request):
        self.asked.append(request)
        word = request['op']
        if word in ('status', 'rescan'):
            if word == 'rescan' and self.rescans_until_mapped > 0:
                self.rescans_until_mapped -= 1
                self.mapped = self.rescans_until_mapped == 0
            if word == 'rescan' and self.rescans_until_grown > 0:
                self.rescans_until_grown -= 1
                if self.rescans_until_grown == 0:
                    self.device_size = self.size
            volume = {'id': VOLUME, 'name': 'v', 'sizeBytes': self.size, 'device': self._device()}
            answer = {'ok': True, 'guid': GUID, 'volumes': [volume] if self.mapped else []}
            if self.systems:
                answer['systems'] = [{'systemId': system} for system in self.systems]
                answer['volumes'] = [dict(volume, systemId=system) for system in self.systems[:2 if self.mapped else 1]]
            return answer
        if word == 'attach':
            self.attached = True
            return {'ok': True, 'device': self._device()}
        if self.in_use and not request['force']:
            return {'ok': False, 'error': f'volume {VOLUME} is in use: /dev/scinia; unmount and close it first'}
        self.attached = False
        return {'ok': True}

    def words(self):
        return [request['op'] for request in self.asked]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.sdc = Sdc(os.path.join(self.folder.name, 'control.sock'))
        self.sdc.start()
        self.addCleanup(self.sdc.stop)
        cfg.CONF.set_override('sdc_control_socket', self.sdc.path, group='meshsan')
        cfg.CONF.set_override('sdc_timeout', 5, group='meshsan')
        self.addCleanup(cfg.CONF.clear_override, 'sdc_control_socket', group='meshsan')
        self.addCleanup(cfg.CONF.clear_override, 'sdc_timeout', group='meshsan')
        privileged.default.set_client_mode(False)
        self.addCleanup(privileged.default.set_client_mode, True)
        brick.register()
        self.connector = connector.InitiatorConnector.factory('MESHSAN', 'sudo')


class ConnectorTest(Case):
    def test_factory_makes_ours(self):
        self.assertIsInstance(self.connector, ours.MeshSANConnector)

    def test_registering_twice_is_registering_once(self):
        brick.register()
        self.assertEqual(1, connector.unix_connector_list.count(brick.CONNECTOR))

    def test_the_host_names_its_sdc(self):
        properties = connector.get_connector_properties('sudo', '127.0.0.1', False, False, host='compute1')
        self.assertEqual(GUID.lower(), properties['meshsan_sdc_guid'])

    def test_a_host_without_sdc_has_no_such_property(self):
        self.sdc.stop()
        self.assertEqual({}, ours.MeshSANConnector.get_connector_properties('sudo'))

    def test_connect(self):
        self.assertEqual({'type': 'block', 'path': PATH}, self.connector.connect_volume(DATA))
        self.assertTrue(self.sdc.attached)

    def test_connect_twice_is_the_same_device(self):
        self.assertEqual(self.connector.connect_volume(DATA), self.connector.connect_volume(DATA))

    def test_connect_waits_for_a_mapping_that_is_on_its_way(self):
        self.sdc.mapped = False
        self.sdc.rescans_until_mapped = 3
        self.assertEqual(PATH, self.connector.connect_volume(DATA)['path'])

    def test_connect_refuses_what_is_not_mapped_and_names_it(self):
        self.sdc.mapped = False
        cfg.CONF.set_override('sdc_timeout', 1, group='meshsan')
        with self.assertRaisesRegex(exception.BrickException, f'{VOLUME} is not mapped to this host'):
            self.connector.connect_volume(DATA)
        self.assertNotIn('attach', self.sdc.words())

    def test_connect_refuses_a_mapping_of_another_host(self):
        other = dict(DATA, meshsan_sdc_guid='00000000-0000-0000-0000-000000000001')
        with self.assertRaisesRegex(exception.BrickException, 'not that of this host'):
            self.connector.connect_volume(other)
        self.assertNotIn('attach', self.sdc.words())

    def test_connect_waits_for_an_sdc_that_restarts(self):
        self.connector.connect_volume(DATA)
        self.sdc.stop()
        again = threading.Timer(1, self.sdc.start)
        again.start()
        self.addCleanup(again.join)
        self.connector.disconnect_volume(DATA, None)
        self.assertFalse(self.sdc.attached)

    def test_without_an_sdc_the_reason_is_told(self):
        self.sdc.stop()
        cfg.CONF.set_override('sdc_timeout', 1, group='meshsan')
        with self.assertRaisesRegex(exception.BrickException, 'control.sock'):
            self.connector.connect_volume(dict(DATA, meshsan_sdc_guid=None))

    def test_disconnect(self):
        self.connector.connect_volume(DATA)
        self.connector.disconnect_volume(DATA, None)
        self.assertFalse(self.sdc.attached)
        self.connector.disconnect_volume(DATA, None)

    def test_one_of_two_volumes_of_one_id_is_named_by_its_system(self):
        self.sdc.systems = ['9a9a9a9a00000001', SYSTEM]
        self.connector.connect_volume(DATA)
        self.assertEqual({'op': 'attach', 'volume': VOLUME, 'system': SYSTEM}, self.sdc.asked[-1])
        self.connector.disconnect_volume(DATA, None)
        self.assertEqual(SYSTEM, self.sdc.asked[-1]['system'])

    def test_the_volume_of_another_system_is_not_taken(self):
        self.sdc.systems = ['9a9a9a9a00000001', SYSTEM]
        self.sdc.mapped = False
        cfg.CONF.set_override('sdc_timeout', 1, group='meshsan')
        with self.assertRaisesRegex(exception.BrickException, f'{VOLUME} is not mapped to this host'):
            self.connector.connect_volume(DATA)

    def test_disconnect_leaves_a_device_that_is_in_use(self):
        self.connector.connect_volume(DATA)
        self.sdc.in_use = True
        with self.assertRaisesRegex(exception.BrickException, 'in use: /dev/scinia'):
            self.connector.disconnect_volume(DATA, None)
        self.assertTrue(self.sdc.attached)
        self.connector.disconnect_volume(DATA, None, force=True)
        self.assertFalse(self.sdc.attached)

    def test_extend_waits_for_the_device_to_grow(self):
        self.connector.connect_volume(DATA)
        self.sdc.size = 2 * GIB
        self.sdc.rescans_until_grown = 3
        self.assertEqual(2 * GIB, self.connector.extend_volume(DATA))

    def test_extend_of_what_is_not_attached_is_an_error(self):
        with self.assertRaisesRegex(exception.BrickException, 'not attached'):
            self.connector.extend_volume(DATA)

    def test_an_answer_that_makes_no_sense_is_an_error(self):
        with mock.patch.object(self.sdc, '_answer', return_value=['x']):
            cfg.CONF.set_override('sdc_timeout', 1, group='meshsan')
            with self.assertRaisesRegex(exception.BrickException, 'makes no sense'):
                self.connector.disconnect_volume(DATA, None)


class ScaleIOTest(Case):
    def test_the_original_stays_unless_asked_for(self):
        self.assertNotIsInstance(connector.InitiatorConnector.factory('SCALEIO', 'sudo'), scaleio.ScaleIOConnector)

    def make(self):
        original = connector._connector_mapping_linux['SCALEIO']
        self.addCleanup(connector._connector_mapping_linux.__setitem__, 'SCALEIO', original)
        cfg.CONF.set_override('scaleio_guid', True, group='meshsan')
        self.addCleanup(cfg.CONF.clear_override, 'scaleio_guid', group='meshsan')
        brick.register()
        return connector.InitiatorConnector.factory('SCALEIO', 'sudo')

    def test_factory_makes_ours(self):
        self.assertIsInstance(self.make(), scaleio.ScaleIOConnector)

    def test_the_guid_is_that_of_the_sdc_where_scini_is_a_file(self):
        with mock.patch('meshsan_nova.scaleio.os.stat', return_value=mock.Mock(st_mode=stat.S_IFREG)):
            self.assertEqual(GUID.lower(), self.make()._get_guid())

    def test_a_character_device_is_asked_itself(self):
        with mock.patch('meshsan_nova.scaleio.os.stat', return_value=mock.Mock(st_mode=stat.S_IFCHR)), \
                mock.patch('os_brick.privileged.scaleio.get_guid', return_value='from the device'):
            self.assertEqual('from the device', self.make()._get_guid())


if __name__ == '__main__':
    unittest.main()
