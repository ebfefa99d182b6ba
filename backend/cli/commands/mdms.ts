// Commands on MDMs and their cluster, with the original's words.

import type { ClusterQueryReplyBody, MdmMember } from '../../protocol/generated/types.js';
import { ClusterError } from '../../runtime/cluster.js';
import { changed } from '../../runtime/cluster-change.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { hashPassword } from '../../runtime/passwords.js';
import { keyOfId } from '../../core/ids.js';
import { outcome } from '../option.js';
import type { BareRun, Command, Option, Outcome, Run, Values } from '../option.js';
import { UsageError } from '../parser.js';

const MEMBER_PORT = 9011;
const topic = 'MDM cluster';

const ROLES: Readonly<Record<string, 'manager' | 'tieBreaker'>> = {
  manager: 'manager',
  tb: 'tieBreaker',
};
const MODES: Readonly<Record<string, number>> = { '1_node': 1, '3_node': 3, '5_node': 5 };
/** As in the original; it is to be changed at once. */
const FIRST_USER = { name: 'admin', password: 'admin' } as const;

const membersOf = ({ members }: ClusterQueryReplyBody): readonly MdmMember[] =>
  members.filter(({ member }) => member);

/** A heading and the lines of all but the master that are wanted. */
function section(
  reader: ClusterReader,
  title: string,
  members: readonly MdmMember[],
  isWanted: (member: MdmMember) => boolean,
): readonly string[] {
  const lines = members.flatMap((member) => {
    if (member.master || !isWanted(member)) return [];
    const { key, name, host, role, up, version, reason } = member;
    const word = member.member ? '' : `, ${role === 'manager' ? 'Manager' : 'Tie Breaker'}`;
    return [
      `    Name: ${name}, ID: 0x${reader.id(key)}${word}`,
      `        IPs: ${host}, Management IPs: ${host}, Port: ${MEMBER_PORT}`,
      `        Status: ${up ? 'Normal' : 'Disconnected'}${version === '' ? '' : `, Version: ${version}`}`,
      ...(reason === '' ? [] : [`        Reason: ${reason}`]),
    ];
  });
  return lines.length === 0 ? [] : [title, ...lines];
}

/** `State: Normal, Active: 3/3, Replicas: 2/2` */
function clusterHealth(cluster: ClusterQueryReplyBody): {
  readonly state: string;
  readonly text: string;
} {
  if (cluster.mode === 1)
    return { state: 'Normal', text: 'State: Normal, Active: 1/1, Replicas: 1/1' };
  const members = membersOf(cluster);
  const managers = members.filter(({ role }) => role === 'manager');
  const up = members.filter((member) => member.up).length;
  const replicas = managers.filter((member) => member.up).length;
  const state = up === members.length ? 'Normal' : 'Degraded';
  const text = `State: ${state}, Active: ${up}/${members.length}, Replicas: ${replicas}/${managers.length}`;
  return { state, text };
}

async function queryCluster({ reader }: Run): Promise<Outcome> {
  const state = await reader.clusterState();
  const { name } = reader.system;
  const { systemId } = reader;
  const hosts = state.addresses.map(({ host }) => host).join(', ');
  const title = name === '' ? '' : `Name: ${name}, `;
  const health = clusterHealth(state);
  const self = state.members.find(({ master }) => master);
  const { members } = state;
  return outcome(
    [
      'Cluster:',
      `    ${title}Mode: ${state.mode}_node, ${health.text}`,
      'Master MDM:',
      `    Name: ${state.name === '' ? 'mdm' : state.name}, ID: 0x${reader.id(self?.key ?? reader.system.key)}`,
      `        IPs: ${hosts}, Management IPs: ${hosts}, Port: ${MEMBER_PORT}`,
      `        Version: ${state.version}`,
      ...section(
        reader,
        'Slave MDMs:',
        members,
        ({ member, role }) => member && role === 'manager',
      ),
      ...section(
        reader,
        'Tie-Breakers:',
        members,
        ({ member, role }) => member && role !== 'manager',
      ),
      ...section(reader, 'Standby MDMs:', members, ({ member }) => !member),
    ],
    {
      name,
      systemId,
      mode: `${state.mode}_node`,
      state: health.state,
      master: { name: state.name, ips: state.addresses.map(({ host }) => host) },
      version: state.version,
      members: members.map((member) => ({ ...member, id: reader.id(member.key) })),
      ...{ job: state.job, lastJob: state.lastJob, lastReason: state.lastReason },
    },
  );
}

/** Options that name MDMs: by id, name or address. */
function mdmRef(
  prefix: string,
  about: string,
  required: boolean,
  aliases: readonly string[] = [],
): Option[] {
  return ['id', 'name', 'ip'].map((form) => ({
    name: `${prefix}_${form}`,
    aliases: aliases.map((alias) => `${alias}_${form}`),
    value: form.toUpperCase(),
    about: `${about} by ${form}`,
    group: prefix,
    required,
  }));
}

/** MDMs that options name, each a list with commas. @throws ClusterError MDM_NOT_FOUND */
async function mdmsOf({ reader, values }: Run, prefix: string): Promise<MdmMember[]> {
  const { members } = await reader.clusterState();
  return ['id', 'name', 'ip'].flatMap((form) =>
    listIn(values, `${prefix}_${form}`).map((text) => {
      const bare = text.replace(/^0x/i, '');
      const found = members.find(({ key, name, host }) => {
        if (form === 'id') return key === keyOfId(reader.system.idPrefix, bare);
        return form === 'name' ? name === text : host === text;
      });
      if (found === undefined) throw ClusterError.named('MDM_NOT_FOUND');
      return found;
    }),
  );
}

function listIn(values: Values, option: string): readonly string[] {
  return (values.get(option) ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
}

/** @throws ClusterError MDM_ROLE_WRONG when one is something else */
function keysAs(mdms: readonly MdmMember[], role: 'manager' | 'tieBreaker'): number[] {
  const other = mdms.find((mdm) => mdm.role !== role);
  if (other !== undefined)
    throw ClusterError.named(
      'MDM_ROLE_WRONG',
      `${other.name} is a ${other.role === 'manager' ? 'manager' : 'tie-breaker'}`,
    );
  return mdms.map(({ key }) => key);
}

const CHANGE_OPTIONS: readonly Option[] = [
  ...mdmRef('add_slave_mdm', 'standby managers that become members', false, ['add_secondary_mdm']),
  ...mdmRef('add_tb', 'standby tie-breakers that become members', false),
  ...mdmRef('remove_slave_mdm', 'managers that leave', false, ['remove_secondary_mdm']),
  ...mdmRef('remove_tb', 'tie-breakers that leave', false),
  { name: 'allow_leave_failed', about: 'members that leave may be out of reach' },
];

async function change(run: Run, mode: number): Promise<void> {
  const add = [
    ...keysAs(await mdmsOf(run, 'add_slave_mdm'), 'manager'),
    ...keysAs(await mdmsOf(run, 'add_tb'), 'tieBreaker'),
  ];
  const remove = [
    ...keysAs(await mdmsOf(run, 'remove_slave_mdm'), 'manager'),
    ...keysAs(await mdmsOf(run, 'remove_tb'), 'tieBreaker'),
  ];
  const allowFailed = run.values.has('allow_leave_failed');
  const params = { mode, add, remove, allowFailed };
  const { job } = await run.cluster.command('SWITCH_CLUSTER', run.user, params);
  await changed(run.cluster, job);
}

async function switchMode(run: Run): Promise<Outcome> {
  const mode = MODES[run.values.get('cluster_mode') ?? ''];
  if (mode === undefined)
    throw new UsageError(`--cluster_mode must be one of ${Object.keys(MODES).join(', ')}`);
  await change(run, mode);
  return outcome('Successfully switched the cluster mode', { mode: `${mode}_node` });
}

async function replace(run: Run): Promise<Outcome> {
  const { mode } = await run.reader.clusterState();
  await change(run, mode);
  return outcome('Successfully replaced the cluster MDM');
}

async function addStandby(run: Run): Promise<Outcome> {
  const { values, reader } = run;
  const [host] = listIn(values, 'new_mdm_ip');
  const role = ROLES[values.get('mdm_role') ?? ''];
  if (role === undefined)
    throw new UsageError(`--mdm_role must be one of ${Object.keys(ROLES).join(', ')}`);
  const { key } = await run.cluster.command('ADD_STANDBY_MDM', run.user, {
    ...{ name: values.get('new_mdm_name') ?? '', host: host ?? '', role },
    ...{ port: 0, clientPort: 0, peerPort: 0, clean: values.has('force_clean') },
  });
  const id = reader.id(key);
  return outcome(`Successfully added a standby MDM. Object ID ${id}`, { id });
}

async function removeStandby(run: Run): Promise<Outcome> {
  const [mdm] = await mdmsOf(run, 'remove_mdm');
  await run.cluster.command('REMOVE_STANDBY_MDM', run.user, { key: mdm?.key ?? 0 });
  return outcome('Successfully removed the standby MDM');
}

async function switchOwnership(run: Run): Promise<Outcome> {
  const [mdm] = await mdmsOf(run, 'new_master_mdm');
  await run.cluster.command('SWITCH_MDM_OWNERSHIP', run.user, { key: mdm?.key ?? 0 });
  return outcome('Successfully switched the MDM ownership');
}

async function rename(run: Run): Promise<Outcome> {
  const [mdm] = await mdmsOf(run, 'target_mdm');
  const name = run.values.get('new_name') ?? '';
  await run.cluster.command('RENAME_MDM', run.user, { key: mdm?.key ?? 0, name });
  return outcome(`Successfully renamed MDM to ${name}`);
}

async function createCluster({ values, create }: BareRun): Promise<Outcome> {
  const [host] = listIn(values, 'master_mdm_ip');
  const { name, password } = FIRST_USER;
  await create(host ?? '', {
    name: values.get('system_name') ?? 'meshsan',
    mdmName: values.get('master_mdm_name') ?? '',
    adminName: name,
    ...(await hashPassword(password)),
  });
  return outcome('Successfully created the MDM Cluster');
}

const accepted = (name: string, value = 'X'): Option => ({
  ...{ name, value, about: 'accepted and not needed' },
});

export const MDM_COMMANDS: readonly Command[] = [
  {
    name: 'create_mdm_cluster',
    topic,
    about: 'make a system, on an MDM that has none; its first user is admin, password admin',
    options: [
      {
        name: 'master_mdm_ip',
        aliases: ['primary_mdm_ip'],
        value: 'IP[,IP]',
        about: 'where that MDM is',
        required: true,
      },
      { name: 'master_mdm_name', aliases: ['primary_mdm_name'], value: 'NAME', about: 'its name' },
      { name: 'system_name', value: 'NAME', about: 'name of the system (meshsan)' },
      { name: 'accept_license', about: 'accepted and not needed' },
      accepted('master_mdm_management_ip', 'IP'),
      accepted('primary_mdm_management_ip', 'IP'),
      accepted('cluster_virtual_ip', 'IP'),
      accepted('master_mdm_virtual_ip_interface', 'NAME'),
    ],
    bare: createCluster,
    run: () => Promise.reject(ClusterError.named('ALREADY_CONFIGURED')),
  },
  {
    name: 'query_cluster',
    topic,
    about: 'the MDM cluster',
    open: true,
    options: [],
    run: queryCluster,
  },
  {
    name: 'add_standby_mdm',
    topic,
    about: 'take an MDM in that has no system; it takes part once the mode is switched',
    options: [
      { name: 'new_mdm_ip', value: 'IP[,IP]', about: 'where it is', required: true },
      { name: 'mdm_role', value: 'ROLE', about: Object.keys(ROLES).join(', '), required: true },
      { name: 'new_mdm_name', value: 'NAME', about: 'at most 31 characters' },
      {
        name: 'force_clean',
        about: 'although it kept something of an MDM cluster that is no more',
      },
      accepted('new_mdm_port', 'PORT'),
      accepted('new_mdm_management_ip', 'IP'),
      accepted('new_mdm_virtual_ip_interface', 'NAME'),
    ],
    run: addStandby,
  },
  {
    name: 'remove_standby_mdm',
    topic,
    about: 'forget an MDM that takes no part',
    options: mdmRef('remove_mdm', 'the MDM', true),
    run: removeStandby,
  },
  {
    name: 'switch_cluster_mode',
    topic,
    about: 'change how many members the cluster has',
    sure: 'The metadata will be kept by other nodes.',
    options: [
      {
        ...{ name: 'cluster_mode', value: 'MODE', required: true },
        about: `afterwards: ${Object.keys(MODES).join(', ')}`,
      },
      ...CHANGE_OPTIONS,
    ],
    run: switchMode,
  },
  {
    name: 'replace_cluster_mdm',
    topic,
    about: 'replace members of the cluster by standbys',
    options: CHANGE_OPTIONS,
    run: replace,
  },
  {
    name: 'switch_mdm_ownership',
    topic,
    about: 'make another manager the master',
    options: mdmRef('new_master_mdm', 'the manager', true, ['new_primary_mdm']),
    run: switchOwnership,
  },
  {
    name: 'rename_mdm',
    topic,
    about: 'rename an MDM',
    options: [
      ...mdmRef('target_mdm', 'the MDM', true),
      { name: 'new_name', value: 'NAME', about: 'at most 31 characters', required: true },
    ],
    run: rename,
  },
];
