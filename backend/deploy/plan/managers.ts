// The plan of the MDM cluster: who is taken in, who takes part as what, who leaves. Whoever takes part stays where he is as
// long as the numbers are right, so that a second run changes nothing. It must never plan fewer members than there are
// because somebody is away.

import { STORE_PACKAGE } from '../../protocol/lia.js';
import { controllersOf } from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import type {
  AgentSeen,
  ClusterRequest,
  ClusterView,
  MdmView,
  Observation,
  Step,
} from './model.js';

export { STORE_PACKAGE };

/** Learners, without which members cannot be exchanged online, came with this version of etcd. */
const STORE_VERSION_MIN = [3, 4] as const;
export const STORE_VERSION_TEXT = STORE_VERSION_MIN.join('.');

/** Managers and tie-breakers of each mode, as in the original; the largest first. */
const SHAPES = [
  { mode: 5, managers: 3, tieBreakers: 2 },
  { mode: 3, managers: 2, tieBreakers: 1 },
  { mode: 1, managers: 1, tieBreakers: 0 },
] as const;
type Shape = (typeof SHAPES)[number];
type MdmRole = MdmView['role'];

const ROLE_WORD = { manager: 'manager', tieBreaker: 'tie-breaker' } as const;

/** Whether a version of Debian's etcd is new enough. */
export function suffices(version: string | null | undefined): boolean {
  const [, major = '0', minor = '0'] = /^(?:\d+:)?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  const [majorMin, minorMin] = STORE_VERSION_MIN;
  return Number(major) > majorMin || (Number(major) === majorMin && Number(minor) >= minorMin);
}

function shapeFor(count: number): Shape {
  return SHAPES.find(({ mode }) => mode <= Math.max(1, count)) ?? SHAPES[2];
}

const shapeText = ({ mode, managers, tieBreakers }: Shape): string =>
  mode === 1
    ? 'one manager'
    : `${managers} managers, ${tieBreakers} tie-breaker${tieBreakers > 1 ? 's' : ''}`;

/** Who is what in the MDM cluster of a new deployment, by name. */
export function managersOf(environment: Environment): Readonly<Record<string, string>> {
  const controllers = controllersOf(environment);
  const { managers, tieBreakers } = shapeFor(controllers.length);
  const duties = controllers.map(({ name }, index): [string, string] => {
    if (index < managers) return [name, 'manager'];
    return [name, index < managers + tieBreakers ? 'tie-breaker' : 'standby'];
  });
  return Object.fromEntries(duties);
}

/** The same for people. */
export function managersText(environment: Environment): string {
  const duties = Object.entries(managersOf(environment)).map(([name, duty]) => `${name} ${duty}`);
  return `MDM cluster: ${duties.join(', ')}`;
}

/** Why the MDM of a controller could not take part in a cluster; null: it could. */
function storeFault(agent: AgentSeen | undefined): string | null {
  if (agent === undefined) return 'its agent was not asked';
  if (agent.fault !== null) return `its agent cannot be asked: ${agent.fault}`;
  const found = agent.packages.find(
    ({ name, state }) => name === STORE_PACKAGE && state === 'installed',
  );
  if (found === undefined) return `${STORE_PACKAGE} is not installed`;
  return suffices(found.version)
    ? null
    : `its ${STORE_PACKAGE} is ${found.version}, ${STORE_VERSION_TEXT} is needed`;
}

interface Candidate {
  readonly name: string;
  readonly host: string;
}

interface Arrangement {
  readonly shape: Shape;
  readonly leaving: readonly MdmView[];
  readonly entering: readonly (Candidate & { readonly role: MdmRole })[];
  /** False: no entering of anybody makes these numbers, roles would have to change. */
  readonly complete: boolean;
}

/** The order in which members stay: the master first, then who is there, then as the controllers stand. */
function byWorth(order: readonly Candidate[]): (one: MdmView, other: MdmView) => number {
  const place = ({ host }: MdmView): number => {
    const index = order.findIndex((node) => node.host === host);
    return index < 0 ? order.length : index;
  };
  const worth = (mdm: MdmView): number => (mdm.master ? 2 : 0) + (mdm.up ? 1 : 0);
  return (one, other) => worth(other) - worth(one) || place(one) - place(other);
}

/** Members as they should be in a shape: those that stay, then candidates in their order. */
function arrange(
  shape: Shape,
  staying: readonly MdmView[],
  candidates: readonly Candidate[],
  order: readonly Candidate[],
): Omit<Arrangement, 'leaving'> & { readonly kept: readonly MdmView[] } {
  const sorted = [...staying].sort(byWorth(order));
  const keep = (role: MdmRole, wanted: number): MdmView[] =>
    sorted.filter((mdm) => mdm.role === role).slice(0, wanted);
  const managers = keep('manager', shape.managers);
  const breakers = keep('tieBreaker', shape.tieBreakers);
  const managersMissing = shape.managers - managers.length;
  const breakersMissing = shape.tieBreakers - breakers.length;
  const entering = candidates
    .slice(0, managersMissing + breakersMissing)
    .map((candidate, index) => ({
      ...candidate,
      role: index < managersMissing ? ('manager' as const) : ('tieBreaker' as const),
    }));
  const complete = entering.length === managersMissing + breakersMissing;
  return { shape, kept: [...managers, ...breakers], entering, complete };
}

function modeOf(mdms: readonly MdmView[]): number {
  return mdms.filter(({ member }) => member).length;
}

const clusterStep = (about: string, request: ClusterRequest): Step => ({
  kind: 'cluster',
  about,
  request,
});

/** Steps that take those in who enter, each in its role. */
function admissions(mdms: readonly MdmView[], { entering }: Pick<Arrangement, 'entering'>): Step[] {
  return entering.flatMap(({ name, host, role }): Step[] => {
    const known = mdms.find((mdm) => mdm.host === host);
    if (known?.role === role) return [];
    const add = clusterStep(`MDM ${name} is taken in as standby ${ROLE_WORD[role]}`, {
      ...{ op: 'addStandby', name, host, role },
    });
    if (known === undefined) return [add];
    const forget = clusterStep(`MDM ${known.name} gives up being a ${ROLE_WORD[known.role]}`, {
      ...{ op: 'removeStandby', name: known.name },
    });
    return [forget, add];
  });
}

function switchSteps(mdms: readonly MdmView[], { shape, leaving, entering }: Arrangement): Step[] {
  const steps = admissions(mdms, { entering });
  if (leaving.some(({ master }) => master)) {
    const heir = mdms.find((mdm) => {
      const stays = mdm.member && !leaving.includes(mdm);
      return stays && mdm.up && mdm.role === 'manager';
    });
    if (heir !== undefined)
      steps.push(
        clusterStep(`MDM ${heir.name} becomes the master`, {
          op: 'switchOwnership',
          name: heir.name,
        }),
      );
  }
  const add = entering.map(
    (one) =>
      mdms.find(({ host, role }) => host === one.host && role === one.role)?.name ?? one.name,
  );
  const remove = leaving.map(({ name }) => name);
  const changes = [
    ...add.map((name) => `${name} enters`),
    ...remove.map((name) => `${name} leaves`),
  ];
  steps.push(
    clusterStep(`MDM cluster ${shape.mode}_node (${shapeText(shape)}): ${changes.join(', ')}`, {
      ...{ op: 'switchCluster', mode: shape.mode, add, remove },
      allowFailed: leaving.some(({ up }) => !up),
    }),
  );
  return steps;
}

/** The MDMs after a switch, as far as planning goes on with them. */
function afterSwitch(mdms: readonly MdmView[], made: Arrangement): MdmView[] {
  const left = mdms
    .filter(({ host }) => !made.entering.some((one) => one.host === host))
    .map((mdm) => (made.leaving.includes(mdm) ? { ...mdm, member: false } : mdm));
  const entered = made.entering.map(({ name, host, role }) => ({
    ...{ name: mdms.find((mdm) => mdm.host === host && mdm.role === role)?.name ?? name },
    ...{ host, role, member: true, master: false, up: true },
  }));
  return [...left, ...entered];
}

export interface ManagersPlan {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
}

/** The next change of the cluster; null: it is as it should be, or cannot be made so. */
function nextChange(
  mdms: readonly MdmView[],
  order: readonly Candidate[],
  able: readonly Candidate[],
  gone: readonly string[],
): Arrangement | null {
  const members = mdms.filter(({ member }) => member);
  const staying = members.filter(({ name }) => !gone.includes(name));
  const candidates = able.filter(({ host }) => !members.some((mdm) => mdm.host === host));
  const strangers = staying.filter(({ host }) => !order.some((node) => node.host === host));
  const wanted = shapeFor(order.length + strangers.length);
  const reachable = shapeFor(staying.length + candidates.length);
  // Somebody who is away is no reason for fewer members; a controller that the environment has no more is.
  const shape = reachable.mode >= wanted.mode ? wanted : reachable;
  if (shape.mode < members.length && wanted.mode >= members.length) return null;
  const found = arrange(shape, staying, candidates, order);
  const leaving = members.filter((mdm) => !found.kept.includes(mdm));
  if (leaving.length + found.entering.length === 0) return null;
  if (found.complete) return { ...found, leaving };
  if (members.length === 1) return null;
  // Whoever has the other role must stop taking part before he gets this one: by way of a single MDM.
  const alone = arrange(SHAPES[2], staying, [], order);
  return { ...alone, leaving: members.filter((mdm) => !alone.kept.includes(mdm)) };
}

/** More changes than this in one run would be a fault of the plan. */
const CHANGES_MAX = 3;

/**
 * The MDM cluster of an environment: three controllers are two managers and a tie-breaker, five are three and two, further
 * ones stand by. Controllers without etcd stay out, with a note that says why.
 *
 * @param gone - names of nodes that left the environment
 */
export function planManagers(
  environment: Environment,
  view: ClusterView,
  agents: Observation['agents'],
  gone: readonly string[],
): ManagersPlan {
  const controllers = controllersOf(environment);
  const order = controllers.map(candidateOf);
  const faults = controllers.flatMap((node): [EnvironmentNode, string][] => {
    const takesPart = view.mdms.some((mdm) => mdm.member && mdm.host === node.managementAddress);
    const fault =
      takesPart && modeOf(view.mdms) > 1 ? null : storeFault(agents.get(node.managementAddress));
    return fault === null ? [] : [[node, fault]];
  });
  // A single MDM without etcd cannot begin a cluster.
  const able = controllers.filter((node) => !faults.some(([faulty]) => faulty === node));
  const first = view.mdms.find(({ member }) => member);
  const isStuck =
    modeOf(view.mdms) === 1 && !able.some((node) => node.managementAddress === first?.host);
  const candidates = isStuck ? [] : able.map(candidateOf);
  const steps: Step[] = [];
  let mdms: readonly MdmView[] = view.mdms;
  for (let count = 0; count < CHANGES_MAX; count++) {
    const change = nextChange(mdms, order, candidates, gone);
    if (change === null) break;
    steps.push(...switchSteps(mdms, change));
    mdms = afterSwitch(mdms, change);
  }
  for (const { name, member } of mdms)
    if (gone.includes(name) && !member)
      steps.push(
        clusterStep(`MDM ${name} is forgotten, its node left the environment`, {
          ...{ op: 'removeStandby', name },
        }),
      );
  const spare = candidates.filter(({ host }) => !mdms.some((mdm) => mdm.host === host));
  steps.push(...admissions(mdms, { entering: spare.map((one) => ({ ...one, role: 'manager' })) }));
  return { steps, notes: notesOf(mdms, order, faults, gone) };
}

const candidateOf = ({ name, managementAddress }: EnvironmentNode): Candidate => ({
  ...{ name, host: managementAddress },
});

function notesOf(
  mdms: readonly MdmView[],
  order: readonly Candidate[],
  faults: readonly (readonly [EnvironmentNode, string])[],
  gone: readonly string[],
): string[] {
  const members = mdms.filter(({ member }) => member);
  const mode = members.length;
  const missing = members.filter(({ name }) => gone.includes(name));
  const strangers = mdms.filter(
    ({ host, name }) => !order.some((node) => node.host === host) && !gone.includes(name),
  );
  const why = faults.map(([{ name }, fault]) => `${name}: ${fault}`).join('; ');
  return [
    ...(mode < shapeFor(order.length).mode && faults.length > 0
      ? [
          `the MDM cluster stays ${mode}_node instead of ${shapeFor(order.length).mode}_node (${why})${mode === 1 ? '; while the only MDM is away nothing can be changed, volumes go on' : ''}`,
        ]
      : []),
    ...missing.map(
      ({ name }) =>
        `MDM ${name} left the environment and nobody can take its place; it stays a member`,
    ),
    ...strangers.map(({ name }) => `MDM ${name} is not of this environment; it is left alone`),
  ];
}
