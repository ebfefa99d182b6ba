// Who may import whom (backend/docs/architecture.md). Imports go strictly down, siblings talk by message, no cycles.
const LAYERS = [
  ['core'],
  ['protocol'],
  ['cluster-map'],
  ['mdm-client'],
  ['mdm', 'sds', 'sdc', 'lia', 'sentinel'],
  ['runtime'],
  ['gateway', 'cli', 'deploy'],
  ['bin', 'sim'],
];
const rules = [];
LAYERS.forEach((rooms, level) => {
  const above = LAYERS.slice(level + 1).flat();
  for (const room of rooms) {
    const siblings = rooms.filter((other) => other !== room);
    const banned = [...above, ...siblings];
    if (banned.length > 0)
      rules.push({
        name: `${room}-imports-down-only`,
        severity: 'error',
        from: { path: `^backend/${room}/` },
        to: { path: `^backend/(${banned.join('|')})/` },
      });
  }
});
module.exports = {
  forbidden: [
    ...rules,
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'shells-know-no-machines',
      comment: 'runtime/ implements ports; bin/ is where shells meet machines.',
      severity: 'error',
      from: { path: '^backend/runtime/' },
      to: { path: '^backend/(mdm|sds|sdc|lia|sentinel)/' },
    },
    {
      name: 'simulator-has-no-shell',
      severity: 'error',
      from: { path: '^backend/sim/' },
      to: { path: '^backend/(runtime|bin|gateway|cli|deploy)/' },
    },
    {
      name: 'cluster-through-the-client',
      comment: 'Gateway, command lines and deployer reach the cluster through mdm-client only.',
      severity: 'error',
      from: { path: '^backend/(gateway|cli|deploy)/' },
      to: { path: '^backend/(mdm|sds|sdc|lia|sentinel)/' },
    },
    {
      name: 'sans-io-imports-no-node-module',
      comment: 'Only the checksum may use node:zlib; the table generator is a build tool.',
      severity: 'error',
      from: {
        path: '^backend/(core|protocol|cluster-map|mdm-client|mdm|sds|sdc|lia|sentinel)/',
        pathNot: '^backend/(core/checksum\\.ts|protocol/generator/)',
      },
      to: { dependencyTypes: ['core', 'npm', 'npm-dev'] },
    },
    {
      name: 'bridge-uses-foundations-only',
      comment: 'The bridge speaks REST: of the backend it may use what every process uses.',
      severity: 'error',
      from: { path: '^cinder-bridge/' },
      to: { path: '^backend/(?!core/|runtime/)' },
    },
    {
      name: 'nobody-imports-the-bridge',
      comment: 'It is a program of its own; who starts it knows its place only.',
      severity: 'error',
      from: { path: '^(backend|fuel-plugin|nova-hooks)/' },
      to: { path: '^cinder-bridge/' },
    },
    {
      name: 'fuel-plugin-is-above-the-deployer',
      comment:
        'It is made from the tables of backend/deploy and imports nothing else of the backend.',
      severity: 'error',
      from: { path: '^fuel-plugin/' },
      to: { path: '^(backend|cinder-bridge|nova-hooks)/', pathNot: '^backend/deploy/' },
    },
    {
      name: 'nothing-imports-the-fuel-plugin',
      severity: 'error',
      from: { path: '^(backend|cinder-bridge|nova-hooks)/' },
      to: { path: '^fuel-plugin/' },
    },
    {
      name: 'product-imports-no-test',
      severity: 'error',
      from: { path: '^(backend|cinder-bridge|fuel-plugin|nova-hooks)/' },
      to: { path: '^test/' },
    },
    {
      name: 'product-imports-no-dev-dependency',
      severity: 'error',
      from: {
        path: '^(backend|cinder-bridge|fuel-plugin|nova-hooks)/',
        pathNot: '^backend/tooling/',
      },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
  },
};
