// Owns the command line of `npm run openstack`: flags, their checks, and the text of --help.
import path from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT, RunError } from './progress.js';
import { CORE_STATE, DEFAULT_STATE } from './state.js';

/** Parts of the proof with instances: one per backend, and live migration. */
export const PARTS = ['meshsan', 'powerflex', 'migration'] as const;
export type Part = (typeof PARTS)[number];

export type Verb = 'up' | 'core' | 'down' | 'purge' | 'help';

export interface Options {
  readonly verb: Verb;
  /** State directory, absolute. */
  readonly state: string;
  /** An existing cluster's directory, absolute; without it the cloud starts a cluster of its own. */
  readonly cluster?: string;
  readonly json: boolean;
  /** Parts of the proof with instances; all, if nobody names some. */
  readonly only: readonly Part[];
}

export const HELP = `npm run openstack -- [FLAGS]

Brings up a real OpenStack (Keystone, Glance, Placement, Cinder, Nova with libvirt and QEMU, neutron-server, and the
MariaDB, RabbitMQ and memcached they need) from Debian 12's packages on loopback addresses, with two backends, Cinder's
own unmodified PowerFlex driver and MeshSAN's, and proves the life of volumes with real instances by the openstack
command. Without a flag it leaves the cloud running. Run it as root on Debian 12.

  --core           the short proof: Keystone and Cinder only, brought up, proved, stopped and removed again
  --down           stops the cloud and the cluster that was started with it; its data stays
  --purge          --down, then removes the state and restores every file that was changed outside of it
                   (packages stay; it says how to remove those that were installed)
  --cluster DIR    use the running cluster described by DIR/cluster.json instead of starting one (for instances it
                   must have been started with --attach --scini --cinder-bridge)
  --state DIR      where the cloud lives (default ${DEFAULT_STATE}, with --core ${CORE_STATE})
  --only A,B       only these parts of the proof: ${PARTS.join(', ')}; none: bring up, prove nothing
  --json           prints the result as one JSON document on standard output, progress on standard error
  --help           prints this

Exit codes: 0 done, 1 failed, 2 wrong flags, 3 this machine cannot do it (not Debian 12, not root, a port in use),
130 interrupted.`;

const FLAGS = {
  core: { type: 'boolean' },
  down: { type: 'boolean' },
  purge: { type: 'boolean' },
  cluster: { type: 'string' },
  state: { type: 'string' },
  only: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Reads the flags; an unknown or conflicting one is a RunError with exit code 2. */
export function parseOptions(argv: readonly string[]): Options {
  let values: ReturnType<typeof parseFlags>;
  try {
    values = parseFlags(argv);
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
  const verbs = (['core', 'down', 'purge'] as const).filter((verb) => values[verb] === true);
  if (verbs.length > 1)
    throw usage(`--${verbs.join(' and --')} exclude each other; give one of them`);
  const verb: Verb = values.help === true ? 'help' : (verbs[0] ?? 'up');
  if (values.cluster !== undefined && verb !== 'up' && verb !== 'core')
    throw usage(
      `--cluster has no meaning with --${verb}: a cluster that this command did not start is left alone`,
    );
  for (const flag of ['cluster', 'state'] as const)
    if (values[flag] === '') throw usage(`--${flag} needs a directory`);
  return {
    verb,
    state: path.resolve(values.state ?? (verb === 'core' ? CORE_STATE : DEFAULT_STATE)),
    ...(values.cluster === undefined ? {} : { cluster: path.resolve(values.cluster) }),
    json: values.json === true,
    only: partsOf(values.only, verb),
  };
}

function partsOf(text: string | undefined, verb: Verb): readonly Part[] {
  if (text === undefined) return PARTS;
  if (verb !== 'up')
    throw usage('--only belongs to the proof with instances: it goes with no other verb');
  const names = text === 'none' ? [] : text.split(',');
  const unknown = names.filter((name) => !PARTS.some((part) => part === name));
  if (unknown.length > 0)
    throw usage(`--only ${unknown.join(',')}: there are ${PARTS.join(', ')}, or none`);
  return PARTS.filter((part) => names.includes(part));
}

function parseFlags(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: false, strict: true })
    .values;
}

function usage(why: string): RunError {
  return new RunError(`${why}\nnpm run openstack -- --help shows the flags.`, EXIT.usage);
}
