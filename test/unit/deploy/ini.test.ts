import test from 'ava';
import { extendIniList, iniText, iniValue, setIni } from '../../../backend/deploy/plan/ini.js';

const TEXT = `# top
[DEFAULT]
# enabled_backends = commented
enabled_backends = lvm,
    nfs
debug = True

[lvm]
volume_group = cinder-volumes
`;

test('values, also over several lines; comments do not count', (t) => {
  t.is(iniValue(TEXT, 'DEFAULT', 'enabled_backends'), 'lvm, nfs');
  t.is(iniValue(TEXT, 'lvm', 'volume_group'), 'cinder-volumes');
  t.is(iniValue(TEXT, 'lvm', 'debug'), null);
  t.is(iniValue(TEXT, 'none', 'x'), null);
  t.is(iniValue('a = 1\na = 2\n', 'DEFAULT', 'a'), '2');
});

test('a list is extended, never replaced, and only once', (t) => {
  const once = extendIniList(TEXT, 'DEFAULT', 'enabled_backends', 'meshsan');
  t.is(iniValue(once, 'DEFAULT', 'enabled_backends'), 'lvm,nfs,meshsan');
  t.is(extendIniList(once, 'DEFAULT', 'enabled_backends', 'meshsan'), once);
  t.true(once.includes('# enabled_backends = commented\n'));
  t.true(once.includes('debug = True\n\n[lvm]\nvolume_group = cinder-volumes\n'));
});

test('a new option goes to its section, a new section to the end', (t) => {
  const text = setIni(setIni(TEXT, 'lvm', 'lvm_type', 'thin'), 'meshsan', 'san_ip', '10.0.0.1');
  t.true(
    text.endsWith(
      'volume_group = cinder-volumes\nlvm_type = thin\n\n[meshsan]\nsan_ip = 10.0.0.1\n',
    ),
  );
  t.is(setIni(text, 'meshsan', 'san_ip', '10.0.0.1'), text);
  t.is(setIni('', 'DEFAULT', 'a', 'b').trim(), '[DEFAULT]\na = b');
});

test('dollar signs in values are doubled', (t) => {
  t.is(iniText('pa$$w$rd'), 'pa$$$$w$$rd');
});
