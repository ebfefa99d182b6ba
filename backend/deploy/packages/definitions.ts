// The Debian packages: what each holds, which service it has, on what it depends. It must never hold how they are built.

/** A file of this folder's `files/`, or of the repository, that a package has beside its programs. */
export interface Extra {
  /** Path below the repository. */
  readonly from: string;
  /** Absolute path on the target. */
  readonly to: string;
  readonly executable?: boolean;
}

export interface Service {
  /** Unit, less ".service"; its file is files/units/UNIT.service. */
  readonly unit: string;
  /** System user that is made for it; null: it runs as root, or as a user of another package. */
  readonly user: string | null;
}

/** Modules of Python, from a folder with a pyproject.toml. */
export interface PythonModules {
  /** Path below the repository. */
  readonly from: string;
}

export interface PackageDefinition {
  readonly name: string;
  readonly summary: string;
  /** Paragraphs of the description. */
  readonly about: readonly string[];
  /** Programs of backend/bin (and other compiled entry points below dist/), less ".js". */
  readonly programs: readonly string[];
  /** Folders below dist/ that its programs read at run time. */
  readonly assets: readonly string[];
  /** Commands on the target: path, and the program that it runs. */
  readonly commands: Readonly<Record<string, string>>;
  /** Manual pages below /usr/share/man, less ".gz", and the programs that print them (`--man`). */
  readonly manuals: Readonly<Record<string, string>>;
  readonly service: Service | null;
  readonly depends: readonly string[];
  readonly recommends: readonly string[];
  readonly extras: readonly Extra[];
  /** Symbolic links: path, and where it points. */
  readonly links: Readonly<Record<string, string>>;
  readonly python: PythonModules | null;
  /** Maintainer scripts of its own, below files/maintainer; others come from its service. */
  readonly scripts: Readonly<Partial<Record<'postinst' | 'prerm' | 'postrm', string>>>;
  /** What purging deletes, below files/maintainer; put into the postrm of a service. */
  readonly purge: string | null;
}

export const RUNTIME = 'meshsan-runtime';
/** Where code, libraries and Node lie on the target. */
export const HOME = '/usr/lib/meshsan';
export const FILES = 'backend/deploy/packages/files';

const NOTHING = {
  assets: [],
  commands: {},
  manuals: {},
  service: null,
  recommends: [],
  extras: [],
  links: {},
  python: null,
  scripts: {},
  purge: null,
} as const;

export const PACKAGES: readonly PackageDefinition[] = [
  {
    ...NOTHING,
    name: RUNTIME,
    summary: 'MeshSAN storage: runtime shared by all roles',
    about: [
      'MeshSAN pools the local disks of ordinary servers into mirrored, elastic block volumes for OpenStack.',
      'This package holds Node, the libraries and the code that its roles share, and meshsan-setup, which writes the configuration of a node.',
    ],
    programs: ['backend/bin/setup'],
    commands: { '/usr/sbin/meshsan-setup': 'backend/bin/setup' },
    manuals: { 'man8/meshsan-setup.8': 'backend/bin/setup' },
    depends: ['python3:any'],
    extras: [
      {
        from: `${FILES}/libexec/io-flusher`,
        to: `${HOME}/libexec/io-flusher`,
        executable: true,
      },
      { from: 'backend/docs/packages.md', to: '/usr/share/doc/meshsan-runtime/packages.md' },
      {
        from: 'backend/docs/configuration.md',
        to: '/usr/share/doc/meshsan-runtime/configuration.md',
      },
    ],
    scripts: { postrm: 'runtime.postrm' },
  },
  {
    ...NOTHING,
    name: 'meshsan-mdm',
    summary: 'MeshSAN storage: metadata manager',
    about: [
      'The metadata manager keeps the configuration of a MeshSAN system and decides which server holds what. It is never in the path of I/O.',
    ],
    programs: ['backend/bin/mdm', 'backend/bin/mdm-restore'],
    commands: { '/usr/sbin/meshsan-mdm-restore': 'backend/bin/mdm-restore' },
    manuals: {
      'man8/meshsan-mdm.8': 'backend/bin/mdm',
      'man8/meshsan-mdm-restore.8': 'backend/bin/mdm-restore',
    },
    service: { unit: 'meshsan-mdm', user: 'meshsan-mdm' },
    depends: [],
    // For clusters of several MDMs; the service of that package is not used.
    recommends: ['meshsan-cli', 'etcd-server (>= 3.4)'],
    purge: 'mdm.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-sds',
    summary: 'MeshSAN storage: storage server',
    about: [
      'The storage server owns the disks of a node: it serves reads and writes of the volumes on them and keeps their second copies on other nodes.',
    ],
    programs: ['backend/bin/sds', 'backend/bin/sds-data'],
    manuals: { 'man8/meshsan-sds.8': 'backend/bin/sds' },
    service: { unit: 'meshsan-sds', user: 'meshsan-sds' },
    depends: [],
    purge: 'sds.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-sdc',
    summary: 'MeshSAN storage: client',
    about: [
      'The client offers the volumes that are mapped to a host as block devices and as NBD sockets, and routes their I/O to the storage servers.',
    ],
    programs: [
      'backend/bin/sdc',
      'backend/bin/sdc-holder',
      'backend/bin/drv-cfg',
      'backend/bin/sdc-release',
    ],
    commands: { '/usr/bin/drv_cfg': 'backend/bin/drv-cfg' },
    manuals: { 'man1/drv_cfg.1': 'backend/bin/drv-cfg', 'man8/meshsan-sdc.8': 'backend/bin/sdc' },
    service: { unit: 'meshsan-sdc', user: null },
    depends: ['mount', 'python3:any'],
    extras: [
      {
        from: `${FILES}/libexec/nbd-device`,
        to: `${HOME}/libexec/nbd-device`,
        executable: true,
      },
    ],
    scripts: { prerm: 'sdc.prerm' },
    purge: 'sdc.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-gateway',
    summary: 'MeshSAN storage: REST gateway and dashboard',
    about: [
      'The gateway speaks the REST interface of ScaleIO and PowerFlex over TLS, so that their clients (such as Cinder) work with MeshSAN unmodified.',
    ],
    programs: ['backend/bin/gateway'],
    assets: ['backend/gateway/dashboard/page'],
    manuals: { 'man8/meshsan-gateway.8': 'backend/bin/gateway' },
    service: { unit: 'meshsan-gateway', user: 'meshsan-gateway' },
    depends: [],
    purge: 'gateway.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-lia',
    summary: 'MeshSAN storage: agent of a node',
    about: [
      'The agent reports what is installed and running on its node and which devices it has, starts and stops services of MeshSAN, installs packages for which an enrolled signer vouches, and makes support bundles. meshsan-lia asks agents.',
    ],
    programs: ['backend/bin/lia', 'backend/bin/lia-devices', 'backend/bin/meshsan-lia'],
    commands: { '/usr/bin/meshsan-lia': 'backend/bin/meshsan-lia' },
    manuals: {
      'man1/meshsan-lia.1': 'backend/bin/meshsan-lia',
      'man8/meshsan-lia.8': 'backend/bin/lia',
    },
    service: { unit: 'meshsan-lia', user: null },
    depends: [],
    purge: 'lia.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-sentinel',
    summary: 'MeshSAN storage: small steady user that says when a pool is starved',
    about: [
      'The sentinel reads and writes a small volume of its own in each pool, at a steady low rate through the client of its host, verifies what it reads, and raises an alert when it is starved.',
    ],
    programs: ['backend/bin/sentinel'],
    manuals: { 'man8/meshsan-sentinel.8': 'backend/bin/sentinel' },
    service: { unit: 'meshsan-sentinel', user: null },
    depends: ['meshsan-sdc'],
    purge: 'sentinel.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-cli',
    summary: 'MeshSAN storage: command line of administrators',
    about: ['scli manages a MeshSAN system with the commands and flags of ScaleIO.'],
    programs: ['backend/bin/scli'],
    commands: { '/usr/bin/scli': 'backend/bin/scli' },
    manuals: { 'man1/scli.1': 'backend/bin/scli' },
    depends: [],
    scripts: { postrm: 'cli.postrm' },
  },
  {
    ...NOTHING,
    name: 'meshsan-deploy',
    summary: 'MeshSAN storage: deployer',
    about: [
      'meshsan-deploy brings MeshSAN to the nodes of an OpenStack environment, from the facts that Fuel writes or from an inventory, and changes only what differs.',
    ],
    programs: ['backend/bin/deploy'],
    commands: { '/usr/sbin/meshsan-deploy': 'backend/bin/deploy' },
    manuals: { 'man8/meshsan-deploy.8': 'backend/bin/deploy' },
    depends: [],
  },
  {
    ...NOTHING,
    name: 'meshsan-cinder-bridge',
    summary: 'MeshSAN storage: Cinder driver and its service',
    about: [
      'The driver runs in cinder-volume and translates its calls into requests; the service beside it owns names, sizes, retries and the ledger of attachments.',
    ],
    programs: ['cinder-bridge/bin/cinder-bridge'],
    commands: { '/usr/bin/cinder-bridge': 'cinder-bridge/bin/cinder-bridge' },
    manuals: {
      'man8/cinder-bridge.8': 'cinder-bridge/bin/cinder-bridge',
      'man8/meshsan-cinder-known.8': 'cinder-bridge/bin/known-manual',
    },
    service: { unit: 'meshsan-cinder-bridge', user: null },
    depends: ['python3:any'],
    recommends: ['cinder-volume'],
    extras: [
      { from: 'cinder-bridge/README.md', to: '/usr/share/doc/meshsan-cinder-bridge/README.md' },
    ],
    python: { from: 'cinder-bridge/python' },
    purge: 'bridge.purge',
  },
  {
    ...NOTHING,
    name: 'meshsan-nova-hooks',
    summary: 'MeshSAN storage: what compute hosts need',
    about: [
      'The libvirt volume driver and the os-brick connector by which Nova uses volumes of MeshSAN, loaded through an entry point of nova-compute; rules for udev, LVM and multipath; the paths at which programs look for the original client.',
    ],
    programs: [],
    depends: ['python3:any', 'meshsan-sdc'],
    recommends: ['nova-compute'],
    extras: [
      { from: 'nova-hooks/README.md', to: '/usr/share/doc/meshsan-nova-hooks/README.md' },
      {
        from: 'nova-hooks/etc/lvm/meshsan-lvmlocal.conf',
        to: '/usr/share/doc/meshsan-nova-hooks/examples/lvmlocal.conf',
      },
      {
        from: 'nova-hooks/etc/udev/rules.d/60-meshsan.rules',
        to: '/lib/udev/rules.d/60-meshsan.rules',
      },
      {
        from: 'nova-hooks/etc/modules-load.d/meshsan.conf',
        to: '/usr/lib/modules-load.d/meshsan.conf',
      },
      {
        from: 'nova-hooks/etc/multipath/conf.d/meshsan.conf',
        to: '/etc/multipath/conf.d/meshsan.conf',
      },
      ...['nova', 'cinder'].map((service) => ({
        from: `nova-hooks/etc/${service}/rootwrap.d/meshsan.filters`,
        to: `/etc/${service}/rootwrap.d/meshsan.filters`,
      })),
    ],
    links: {
      '/opt/emc/scaleio/sdc/bin/drv_cfg': '/usr/bin/drv_cfg',
      '/bin/emc/scaleio/drv_cfg': '/usr/bin/drv_cfg',
    },
    python: { from: 'nova-hooks/python' },
    scripts: { postinst: 'hooks.postinst', prerm: 'hooks.prerm', postrm: 'hooks.postrm' },
  },
];
