import test from 'ava';
import { readFacts } from '../../../backend/deploy/environment/astute.js';
import type { Environment } from '../../../backend/deploy/environment/model.js';
import { planManagers, suffices } from '../../../backend/deploy/plan/managers.js';
import type {
  AgentSeen,
  ClusterRequest,
  ClusterView,
  MdmView,
} from '../../../backend/deploy/plan/model.js';
import { factsText, fixture } from '../../support/deploy-facts.js';

const STORE = { name: 'etcd-server', version: '3.4.23-4+b4', state: 'installed' };
const READY: AgentSeen = { fault: null, packages: [STORE], failed: [] };
const LACKS: AgentSeen = { fault: null, packages: [], failed: [] };

/** Controllers node-1, node-2, ... at 10.0.0.1, ...; the first of the list is the primary one. */
function environmentOf(...uids: readonly number[]): Environment {
  const nodes = uids.map((uid, index) => ({
    ...{ uid, roles: [index === 0 ? 'primary-controller' : 'controller'] },
    ...{ management: `10.0.0.${uid}`, storage: `10.1.0.${uid}` },
  }));
  const compute = [101, 102, 103].map((uid) => ({
    ...{ uid, roles: ['compute'], management: `10.0.0.${uid}`, storage: `10.1.0.${uid}` },
  }));
  const made = fixture({ nodes: [...nodes, ...compute] });
  return readFacts('astute.yaml', factsText('8.0', made, uids[0] ?? 0)).environment;
}

const mdm = (uid: number, more: Partial<MdmView> = {}): MdmView => ({
  ...{ name: `node-${uid}`, host: `10.0.0.${uid}`, role: 'manager', member: true },
  ...{ master: false, up: true, ...more },
});
const breaker = (uid: number, more: Partial<MdmView> = {}): MdmView =>
  mdm(uid, { role: 'tieBreaker', ...more });
const alone = mdm(1, { master: true });

const viewOf = (mdms: readonly MdmView[]): ClusterView => ({
  ...{ systemId: 'a', systemName: 's', mdms, approval: 'none', domains: [], pools: [] },
  ...{ sds: [], sdcs: [], users: [], degradedCombs: 0, unavailableCombs: 0 },
});

interface Planned {
  readonly requests: readonly ClusterRequest[];
  readonly notes: string;
}

function planned(
  environment: Environment,
  mdms: readonly MdmView[],
  {
    gone = [],
    agents = new Map(),
  }: { gone?: readonly string[]; agents?: Map<string, AgentSeen> } = {},
): Planned {
  const all = new Map(
    environment.nodes.map(({ managementAddress }) => [
      managementAddress,
      agents.get(managementAddress) ?? READY,
    ]),
  );
  const { steps, notes } = planManagers(environment, viewOf(mdms), all, gone);
  return {
    requests: steps.flatMap((step) => (step.kind === 'cluster' ? [step.request] : [])),
    notes: notes.join('\n'),
  };
}

const short = (requests: readonly ClusterRequest[]): string[] =>
  requests.map((request) => {
    switch (request.op) {
      case 'addStandby':
        return `+${request.name} ${request.role}`;
      case 'removeStandby':
        return `-${request.name}`;
      case 'switchOwnership':
        return `master ${request.name}`;
      case 'switchCluster':
        return `${request.mode}: +[${request.add.join()}] -[${request.remove.join()}]${request.allowFailed ? ' failed' : ''}`;
      default:
        return request.op;
    }
  });

/** What the cluster is after the requests, as the MDM would do them. @throws Error at what it would refuse */
function after(mdms: readonly MdmView[], requests: readonly ClusterRequest[]): MdmView[] {
  let now = [...mdms];
  for (const request of requests)
    switch (request.op) {
      case 'addStandby': {
        const { name, host, role } = request;
        if (now.some((one) => one.host === host)) throw new Error(`${host} twice`);
        now.push({ name, host, role, member: false, master: false, up: true });
        break;
      }
      case 'removeStandby':
        if (now.some(({ name, member }) => name === request.name && member))
          throw new Error(`${request.name} takes part`);
        now = now.filter(({ name }) => name !== request.name);
        break;
      case 'switchOwnership':
        now = now.map((one) => ({ ...one, master: one.name === request.name }));
        break;
      case 'switchCluster': {
        const { add, remove, mode } = request;
        now = now.map((one) => ({
          ...one,
          member: (one.member && !remove.includes(one.name)) || add.includes(one.name),
        }));
        const members = now.filter(({ member }) => member);
        const managers = members.filter(({ role }) => role === 'manager').length;
        const wanted = { 1: 1, 3: 2, 5: 3 }[mode];
        if (members.length !== mode || managers !== wanted)
          throw new Error(`${mode}_node would have ${members.length} members`);
        if (!members.some(({ master }) => master)) throw new Error('the master leaves');
        break;
      }
      default:
        throw new Error(request.op);
    }
  return now;
}

test('three controllers: two managers and a tie-breaker; a second run changes nothing', (t) => {
  const environment = environmentOf(1, 2, 3);
  const { requests, notes } = planned(environment, [alone]);
  t.deepEqual(short(requests), [
    '+node-2 manager',
    '+node-3 tieBreaker',
    '3: +[node-2,node-3] -[]',
  ]);
  t.is(notes, '');
  t.deepEqual(planned(environment, after([alone], requests)).requests, []);
});

test('five controllers: three and two; a sixth stands by; four are three and a standby', (t) => {
  const five = planned(environmentOf(1, 2, 3, 4, 5), [alone]).requests;
  t.deepEqual(short(five), [
    ...['+node-2 manager', '+node-3 manager', '+node-4 tieBreaker', '+node-5 tieBreaker'],
    '5: +[node-2,node-3,node-4,node-5] -[]',
  ]);
  const six = planned(environmentOf(1, 2, 3, 4, 5, 6), [alone]).requests;
  t.deepEqual(short(six).slice(-1), ['+node-6 manager']);
  t.deepEqual(
    planned(environmentOf(1, 2, 3, 4, 5, 6), after([alone], six)).requests,
    [],
    'once more',
  );
  const four = planned(environmentOf(1, 2, 3, 4), [alone]).requests;
  t.deepEqual(short(four).slice(-2), ['3: +[node-2,node-3] -[]', '+node-4 manager']);
});

test('whoever takes part stays, also when another controller is the primary one', (t) => {
  const three = [alone, mdm(2), breaker(3)];
  t.deepEqual(planned(environmentOf(3, 1, 2), three).requests, []);
  const grown = planned(environmentOf(3, 1, 2, 4, 5), three).requests;
  t.deepEqual(short(grown), [
    ...['+node-4 manager', '+node-5 tieBreaker'],
    '5: +[node-4,node-5] -[]',
  ]);
  t.deepEqual(planned(environmentOf(3, 1, 2, 4, 5), after(three, grown)).requests, []);
});

test('a controller that left is replaced in its role, and forgotten; also one that is away', (t) => {
  const three = [alone, mdm(2), breaker(3, { up: false })];
  const gone = ['node-3'];
  const { requests } = planned(environmentOf(1, 2, 4), three, { gone });
  t.deepEqual(short(requests), ['+node-4 tieBreaker', '3: +[node-4] -[node-3] failed', '-node-3']);
  t.deepEqual(planned(environmentOf(1, 2, 4), after(three, requests)).requests, []);
  // Without an entry in the record nobody left: an operator may have added it.
  const other = planned(environmentOf(1, 2, 4), three);
  t.regex(other.notes, /MDM node-3 is not of this environment; it is left alone/);
  t.false(short(other.requests).some((text) => text.includes('-node-3')));
});

test('the master leaves after another manager took over', (t) => {
  const three = [alone, mdm(2), breaker(3)];
  const { requests } = planned(environmentOf(2, 3, 4), three, { gone: ['node-1'] });
  t.deepEqual(short(requests), [
    ...['+node-4 manager', 'master node-2', '3: +[node-4] -[node-1]', '-node-1'],
  ]);
  t.notThrows(() => after(three, requests));
});

test('somebody who is away, or cannot be replaced, makes no smaller cluster', (t) => {
  const three = [alone, mdm(2, { up: false }), breaker(3)];
  t.deepEqual(planned(environmentOf(1, 2, 3), three).requests, []);
  const agents = new Map([['10.0.0.4', LACKS]]);
  const held = planned(environmentOf(1, 3, 4), three, { gone: ['node-2'], agents });
  t.deepEqual(held.requests, []);
  t.regex(held.notes, /MDM node-2 left the environment and nobody can take its place/);
});

test('fewer controllers: five become three', (t) => {
  const five = [alone, mdm(2), mdm(3), breaker(4), breaker(5)];
  const { requests } = planned(environmentOf(1, 2, 4), five, { gone: ['node-3', 'node-5'] });
  t.deepEqual(short(requests), ['3: +[] -[node-3,node-5]', '-node-3', '-node-5']);
  t.deepEqual(planned(environmentOf(1, 2, 4), after(five, requests)).requests, []);
});

test('a role that nobody else can take goes by way of a single MDM', (t) => {
  const five = [alone, mdm(2), mdm(3), breaker(4), breaker(5)];
  const { requests } = planned(environmentOf(1, 4, 5), five, { gone: ['node-2', 'node-3'] });
  const now = after(five, requests);
  t.deepEqual(now.map(({ name, role, member }) => `${name} ${role} ${member}`).sort(), [
    'node-1 manager true',
    'node-4 manager true',
    'node-5 tieBreaker true',
  ]);
  t.deepEqual(planned(environmentOf(1, 4, 5), now).requests, []);
});

test('without etcd on enough controllers it stays one MDM, and says why', (t) => {
  const old: AgentSeen = { ...READY, packages: [{ ...STORE, version: '3.3.25+dfsg-7' }] };
  const away: AgentSeen = { fault: 'nobody listens there', packages: [], failed: [] };
  const agents = new Map([
    ['10.0.0.2', old],
    ['10.0.0.3', away],
  ]);
  const { requests, notes } = planned(environmentOf(1, 2, 3), [alone], { agents });
  t.deepEqual(requests, []);
  t.regex(notes, /stays 1_node instead of 3_node/);
  t.regex(notes, /node-2: its etcd-server is 3.3.25\+dfsg-7, 3.4 is needed/);
  t.regex(notes, /node-3: its agent cannot be asked: nobody listens there/);
  const first = planned(environmentOf(1, 2, 3), [alone], {
    agents: new Map([['10.0.0.1', LACKS]]),
  });
  t.deepEqual(first.requests, []);
  t.regex(first.notes, /node-1: etcd-server is not installed/);
});

test('with five controllers of which two lack etcd there are three members', (t) => {
  const agents = new Map([
    ['10.0.0.2', LACKS],
    ['10.0.0.4', LACKS],
  ]);
  const { requests, notes } = planned(environmentOf(1, 2, 3, 4, 5), [alone], { agents });
  t.deepEqual(short(requests), [
    ...['+node-3 manager', '+node-5 tieBreaker', '3: +[node-3,node-5] -[]'],
  ]);
  t.regex(notes, /stays 3_node instead of 5_node/);
});

test('a standby that is known in the right role enters under its name of the moment', (t) => {
  const renamed = mdm(2, { name: 'second', member: false });
  const wrong = mdm(3, { member: false });
  const { requests } = planned(environmentOf(1, 2, 3), [alone, renamed, wrong]);
  t.deepEqual(short(requests), [...['-node-3', '+node-3 tieBreaker', '3: +[second,node-3] -[]']]);
});

test('versions of etcd', (t) => {
  for (const right of ['3.4.0', '3.4.23-4+b4', '3.5.16', '4.0', '1:3.10.2'])
    t.true(suffices(right));
  for (const wrong of ['3.3.25+dfsg-7', '2.2.5', '', null, undefined]) t.false(suffices(wrong));
});
