// What may be installed on a node, and what of a configuration a support bundle shows.

import test from 'ava';

import { bundleParts, withoutSecrets } from '../../../backend/lia/bundle.js';
import { planInstall } from '../../../backend/lia/install-plan.js';
import type { InstallFacts, WantedPackage } from '../../../backend/lia/install-plan.js';

const wanted = (name: string, version: string, more: Partial<WantedPackage> = {}) => ({
  ...{ sha256: name.padEnd(64, '0'), name, version, architecture: 'all', bytes: 1 },
  isDowngrade: false,
  ...more,
});
const RUNTIME = { name: 'meshsan-runtime', version: '1.0', state: 'installed' };
const SDS = { name: 'meshsan-sds', version: '1.0', state: 'installed' };
const base: InstallFacts = { kind: 'install', wanted: [], fault: null, installed: [RUNTIME, SDS] };

const REFUSED: readonly (readonly [string, Partial<InstallFacts>, RegExp])[] = [
  ['a file that is not trusted', { fault: 'the file was changed' }, /the file was changed/],
  ['a foreign package', { wanted: [wanted('openssh-server', '2.0')] }, /none of our packages/],
  [
    'another architecture',
    { wanted: [wanted('meshsan-sds', '2.0', { architecture: 'arm64' })] },
    /is for arm64; this node takes all, amd64/,
  ],
  [
    'a package twice',
    { wanted: [wanted('meshsan-sds', '2.0'), wanted('meshsan-sds', '2.0')] },
    /is given twice/,
  ],
  [
    'two versions',
    { wanted: [wanted('meshsan-sds', '2.0'), wanted('meshsan-runtime', '2.1')] },
    /of 2\.0 and 2\.1; a node has one version/,
  ],
  [
    'a set that would leave another version beside it',
    { wanted: [wanted('meshsan-sds', '2.0')] },
    /meshsan-runtime 1\.0 would be left: bring 2\.0 of it too/,
  ],
  [
    'a lower version',
    {
      installed: [RUNTIME],
      wanted: [wanted('meshsan-runtime', '0.9', { isDowngrade: true })],
    },
    /0\.9 is lower than what is installed of meshsan-runtime/,
  ],
];

for (const [name, change, words] of REFUSED)
  test(`refused: ${name}`, (t) => {
    const plan = planInstall({ ...base, ...change }, false);
    t.regex('refused' in plan ? plan.refused : '', words);
  });

test('only what is not there is installed; a lower version where it was asked for', (t) => {
  const both = [wanted('meshsan-runtime', '1.0'), wanted('meshsan-cli', '1.0')];
  const plan = planInstall({ ...base, wanted: both }, false);
  t.deepEqual('missing' in plan ? plan.missing.map(({ name }) => name) : null, ['meshsan-cli']);
  const lower = [wanted('meshsan-runtime', '0.9', { isDowngrade: true })];
  const down = planInstall({ ...base, installed: [RUNTIME], wanted: lower }, true);
  t.true('missing' in down);
  const half = { ...SDS, state: 'half-configured' };
  const again = planInstall(
    { ...base, installed: [RUNTIME, half], wanted: [wanted('meshsan-sds', '1.0')] },
    false,
  );
  t.is('missing' in again ? again.missing.length : 0, 1, 'half of a package is none');
});

test('a bundle shows no secret of a configuration, and where the secrets lie', (t) => {
  const config = {
    name: 'm1',
    secretFile: '/etc/meshsan/secret',
    initialAdmin: { name: 'admin', saltHex: '00', hashHex: 'ff' },
    list: [{ password: 'x', port: 1 }],
    token: 'y',
    tls: { privateKey: 'z', signingKey: 'k', deviceKey: 7 },
    options: { leaseMs: 1000 },
  };
  t.deepEqual(withoutSecrets(config), {
    name: 'm1',
    secretFile: '/etc/meshsan/secret',
    initialAdmin: { name: 'admin', saltHex: '[withheld]', hashHex: '[withheld]' },
    list: [{ password: '[withheld]', port: 1 }],
    token: '[withheld]',
    tls: { privateKey: '[withheld]', signingKey: '[withheld]', deviceKey: 7 },
    options: { leaseMs: 1000 },
  });
  const paths = bundleParts(24).map((part) => ('path' in part ? part.path : ''));
  t.false(paths.some((path) => /secret|password|token|\.pem/.test(path)));
});
