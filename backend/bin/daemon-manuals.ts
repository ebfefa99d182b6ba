// The manuals of the services: what each is, its one flag, its options from the table, its files. It must never start one.

import { VERSION } from '../core/version.js';
import { OPTIONS } from '../protocol/tables/options.js';
import type { OptionRow } from '../protocol/tables/options.js';
import { UsageError, readFlags } from '../runtime/flags.js';
import { manualAnswer } from '../runtime/manual.js';
import type { Manual, ManualRow } from '../runtime/manual.js';
import type { OptionProcess } from '../runtime/options-schema.js';

interface Daemon {
  readonly summary: string;
  readonly about: readonly string[];
  /** Keys of the configuration that hold options, and whose they are. */
  readonly options: Readonly<Record<string, OptionProcess>>;
  /** Keys of the configuration that are no options of the table. */
  readonly settings?: readonly ManualRow[];
  readonly files: readonly ManualRow[];
  readonly exits: readonly ManualRow[];
  readonly seeAlso: readonly string[];
}

const FAILED: ManualRow = { term: '1', about: 'failed; the reason is on standard error' };
const SECRET: ManualRow = { term: '/etc/meshsan/secret', about: 'secret of the system, root only' };

const DAEMONS = {
  mdm: {
    summary: 'metadata manager of a MeshSAN system',
    about: [
      'Keeps the configuration of a system and decides which server holds what. It is never in the path of I/O; a command is answered after its metadata store has flushed it.',
    ],
    options: { options: 'mdm' },
    files: [SECRET, { term: '/var/lib/meshsan/mdm/store', about: 'metadata' }],
    exits: [],
    seeAlso: ['scli(1)', 'meshsan-setup(8)'],
  },
  sds: {
    summary: 'storage server of a node',
    about: [
      'Owns the disks of a node: serves reads and writes of the volumes on them and keeps their second copies on other nodes. It starts one data process for each device and looks for devices by their signature.',
    ],
    options: { options: 'sds', dataOptions: 'sdsData' },
    files: [
      SECRET,
      { term: '/var/lib/meshsan/sds', about: 'state; devices that are files lie here' },
    ],
    exits: [{ term: '20', about: 'of a data process: the device failed' }],
    seeAlso: ['scli(1)', 'meshsan-setup(8)'],
  },
  sdc: {
    summary: 'client of a host: volumes as block devices and NBD sockets',
    about: [
      'Offers the volumes that are mapped to this host and routes their I/O to the storage servers. Block devices are held by a process of their own, which outlives this one: it may be stopped, killed and upgraded while volumes are in use.',
    ],
    options: { options: 'sdc' },
    files: [
      SECRET,
      {
        term: '/var/lib/meshsan/sdc/drv_cfg.txt',
        about: 'systems of this host; drv_cfg changes it',
      },
      { term: '/run/meshsan-sdc/nbd/ID.sock', about: 'NBD socket of a mapped volume' },
      { term: '/run/meshsan-sdc/nbd/SLOT/ID.sock', about: 'the same of a system that was added' },
      { term: '/dev/disk/by-id/emc-vol-SYSTEM-VOLUME', about: 'block device of a mapped volume' },
    ],
    exits: [],
    seeAlso: ['drv_cfg(1)', 'meshsan-setup(8)'],
  },
  gateway: {
    summary: 'REST interface and dashboard of a MeshSAN system',
    about: [
      'Speaks the REST interface of ScaleIO and PowerFlex over TLS. It keeps no state: any number of gateways with the same secret accept the tokens of each other.',
    ],
    options: {},
    files: [SECRET, { term: '/run/meshsan-gateway/ca.pem', about: 'certificate of its authority' }],
    exits: [],
    seeAlso: ['meshsan-setup(8)'],
  },
  lia: {
    summary: 'agent of a node',
    about: [
      'Reports what is installed and running on its node and which devices it has, starts and stops services of MeshSAN, installs package files for which the enrolled signer vouches, and makes support bundles. Both ends of a connection prove that they know the token; nothing else is answered.',
      'Jobs are done one after the other, each in a unit of its own, and written down before they begin: an agent that was killed, upgraded, or whose node was started again says what became of each.',
    ],
    options: { options: 'lia' },
    files: [
      { term: '/etc/meshsan/lia-token', about: 'token of the agents of a system: 64 hex digits' },
      { term: '/etc/meshsan/lia-signer.pem', about: 'public key of who vouches for package files' },
      {
        term: '/var/lib/meshsan/lia',
        about: 'journal of jobs, package files that were handed over',
      },
    ],
    exits: [],
    seeAlso: ['meshsan-lia(1)', 'meshsan-setup(8)'],
  },
  sentinel: {
    summary: 'small steady user of each pool that says when it is starved',
    about: [
      'Reads and writes one block of 4 KiB at a steady low rate on a small thin volume of its own in each pool, through the client of this host, and verifies what it reads. When a request takes longer than a bound, or none is answered at all, the alert SENTINEL_STARVED of the pool begins; it ends when all requests were fast for a while. SENTINEL_MISMATCH: something was read that was never written. SENTINEL_SILENT: its volume is mapped, and it does nothing.',
      'Ended in order, it unmaps its volumes and says nothing more. What is left of it are the volumes sentinel.CLIENT.POOL, to be removed as any other.',
    ],
    options: {},
    settings: [
      {
        term: 'username',
        about: 'user of the system in whose name it makes and maps its volumes (admin)',
      },
      { term: 'pools', about: 'names of the pools that are watched (all)' },
      { term: 'intervalMs', about: 'from one read and write to the next (100, 10 to 1000)' },
      { term: 'boundMs', about: 'a request that takes longer is starved (3000, 10 to 600000)' },
      {
        term: 'clearMs',
        about:
          'so long every request takes less than half of the bound until the alert ends (30000, 100 to 3600000)',
      },
    ],
    files: [SECRET],
    exits: [],
    seeAlso: ['meshsan-sdc(8)', 'scli(1)', 'meshsan-setup(8)'],
  },
} as const satisfies Readonly<Record<string, Daemon>>;

export type DaemonName = keyof typeof DAEMONS;

function optionRow(key: string, name: string, row: OptionRow): ManualRow {
  const bounds = row.type === 'number' ? `, ${row.min} to ${row.max}` : '';
  return { term: `${key}.${name}`, about: `${row.about} (${row.default}${bounds})` };
}

function optionRows(options: Readonly<Record<string, OptionProcess>>): ManualRow[] {
  const table: readonly (readonly [string, OptionRow])[] = Object.entries(OPTIONS);
  return Object.entries(options).flatMap(([key, process]) =>
    table
      .filter(([, row]) => row.of.includes(process))
      .map(([name, row]) => optionRow(key, name, row)),
  );
}

function daemonManual(name: DaemonName): Manual {
  const { summary, about, options, settings = [], files, exits, seeAlso }: Daemon = DAEMONS[name];
  const rows = [...settings, ...optionRows(options)];
  return {
    name: `meshsan-${name}`,
    section: 8,
    summary,
    synopsis: [
      `systemctl start meshsan-${name}`,
      `/usr/lib/meshsan/bin/node /usr/lib/meshsan/backend/bin/${name}.js --config FILE`,
    ],
    description: about,
    parts: [
      {
        title: 'Flags',
        rows: [
          { term: '--config FILE', about: 'configuration in JSON, readable by its owner only' },
          { term: '--help', about: 'this text' },
          { term: '--man', about: 'this text as a manual page' },
        ],
      },
      ...(rows.length === 0 ? [] : [{ title: 'Configuration', rows }]),
      {
        title: 'Files',
        rows: [
          {
            term: `/etc/meshsan/${name}.json`,
            about: `configuration, written by meshsan-setup ${name}`,
          },
          ...files,
        ],
      },
      {
        title: 'Exit codes',
        rows: [
          { term: '0', about: 'ended on request' },
          FAILED,
          { term: '2', about: 'the configuration is refused' },
          { term: '3', about: 'an address or port is in use' },
          ...exits,
        ],
      },
    ],
    seeAlso,
  };
}

/**
 * The configuration that a service is started with. Answers `--help` and `--man` itself.
 *
 * @returns null when that was all that was wanted
 * @throws UsageError
 */
export function daemonConfigFile(name: DaemonName): string | null {
  const args = process.argv.slice(2);
  const text = manualAnswer(args, daemonManual(name), VERSION);
  if (text !== null) {
    process.stdout.write(text);
    return null;
  }
  const { config } = readFlags(args, { config: { type: 'string' } });
  if (config === null) throw new UsageError(`Use: ${name} --config FILE`);
  return config;
}
