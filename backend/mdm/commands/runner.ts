// From a decoded command to its answer: who asks, may he, what does it change, and what does the answer wait for. A
// refused command leaves nothing behind.

import type { LinkId, Micros } from '../../core/ports.js';
import { encodeCommandAnswer } from '../../protocol/control.js';
import type { Command, CommandName } from '../../protocol/control.js';
import { ERR } from '../../protocol/generated/constants.js';
import type { CommandParams, CommandResults, User } from '../../protocol/generated/types.js';
import { COMMANDS } from '../../protocol/tables/commands.js';
import type { CommandRow } from '../../protocol/tables/commands.js';
import type { Additions } from '../additions.js';
import { Backups } from '../backups.js';
import type { Checked, Checker } from '../checker.js';
import type { Cuts } from '../cuts.js';
import type { Drains } from '../drains.js';
import type { Engine } from '../engine.js';
import { refuse, refuseWith, RefusalWhenDrained } from '../refusal.js';
import type { Refusal } from '../refusal.js';
import { replaceCombs } from '../replacement.js';
import type { Sessions } from '../sessions.js';
import type { NodeReport } from '../cluster-plan.js';
import type { Reshaper } from '../reshaper.js';
import type { SecureClock } from '../secure-clock.js';
import { ATTACHMENT_COMMANDS } from './attachments.js';
import type { CommandContext, Handlers, Seen, Wait } from './context.js';
import { DOMAIN_COMMANDS, POOL_COMMANDS, SYSTEM_COMMANDS } from './domains.js';
import { SCANNER_COMMANDS } from './scanner.js';
import { MAINTENANCE_COMMANDS } from './maintenance.js';
import { SDC_COMMANDS } from './sdcs.js';
import { MDM_COMMANDS } from './mdms.js';
import { METADATA_COMMANDS } from './metadata.js';
import { POLICY_COMMANDS } from './policies.js';
import { SNAPSHOT_COMMANDS } from './snapshots.js';
import { SDS_MOVE_COMMANDS } from './sds-moves.js';
import { DEVICE_COMMANDS, SDS_COMMANDS } from './sds.js';
import { UPGRADE_COMMANDS } from './upgrade.js';
import { mayAsk, USER_COMMANDS } from './users.js';
import { MAPPING_COMMANDS, VOLUME_COMMANDS } from './volumes.js';

const HANDLERS: Handlers<CommandName> = {
  ...DOMAIN_COMMANDS,
  ...POOL_COMMANDS,
  ...SCANNER_COMMANDS,
  ...SYSTEM_COMMANDS,
  ...SDS_COMMANDS,
  ...SDS_MOVE_COMMANDS,
  ...DEVICE_COMMANDS,
  ...MAINTENANCE_COMMANDS,
  ...VOLUME_COMMANDS,
  ...SNAPSHOT_COMMANDS,
  ...POLICY_COMMANDS,
  ...MAPPING_COMMANDS,
  ...ATTACHMENT_COMMANDS,
  ...SDC_COMMANDS,
  ...USER_COMMANDS,
  ...MDM_COMMANDS,
  ...METADATA_COMMANDS,
  ...UPGRADE_COMMANDS,
};

/** They are judged by what all MDMs say of themselves now. */
const ASKS_MDMS: ReadonlySet<CommandName> = new Set([
  'SWITCH_CLUSTER',
  'SWITCH_MDM_OWNERSHIP',
  'RAISE_CLUSTER_VERSION',
]);

interface Asked {
  readonly link: LinkId;
  readonly tag: number;
  readonly command: Command;
  /** What the node that the command names said of itself, or why it did not. */
  readonly probed: NodeReport | string;
  /** What was found for a command that compares. */
  readonly checked?: Checked;
}

export class CommandRunner {
  private readonly engine: Engine;
  private readonly sessions: Sessions;
  private readonly drains: Drains;
  private readonly additions: Additions;
  private readonly cuts: Cuts;
  private readonly reshaper: Reshaper;
  private readonly checker: Checker;
  private readonly secureClock: SecureClock;
  private readonly seen: Seen;
  private readonly backups = new Backups();

  constructor(
    engine: Engine,
    sessions: Sessions,
    drains: Drains,
    additions: Additions,
    cuts: Cuts,
    reshaper: Reshaper,
    checker: Checker,
    secureClock: SecureClock,
    seen: Seen,
  ) {
    this.engine = engine;
    this.sessions = sessions;
    this.drains = drains;
    this.additions = additions;
    this.cuts = cuts;
    this.reshaper = reshaper;
    this.checker = checker;
    this.secureClock = secureClock;
    this.seen = seen;
  }

  /** Runs a command and answers it on its link. */
  run(nowUs: Micros, link: LinkId, tag: number, command: Command): void {
    if (ASKS_MDMS.has(command.name)) {
      this.reshaper.refresh(nowUs, (at) => {
        this.begin(at, { link, tag, command, probed: '' });
      });
      return;
    }
    if (command.name === 'CHECK_METADATA') {
      this.checker.run(nowUs, (at, checked) => {
        this.begin(at, { link, tag, command, probed: '', checked });
      });
      return;
    }
    if (command.name !== 'ADD_STANDBY_MDM') {
      this.begin(nowUs, { link, tag, command, probed: '' });
      return;
    }
    const { params } = command;
    const { port, clientPort, peerPort } = this.engine.options;
    const node = {
      ...params,
      ...{ key: 1, member: false, port: params.port === 0 ? port : params.port },
      ...{ clientPort, peerPort },
    };
    this.reshaper.probe(nowUs, node, (at, probed) => {
      this.begin(at, { link, tag, command, probed });
    });
  }

  private begin(nowUs: Micros, asked: Asked): void {
    const { link, tag } = asked;
    this.engine.run(
      nowUs,
      (at) => {
        this.work(at, asked);
      },
      () => {
        this.sessions.refuse(link, tag, ERR.STORE_FULL);
      },
    );
  }

  private work(nowUs: Micros, asked: Asked): void {
    const { command } = asked;
    const waits: Wait[] = [];
    const outcome = this.engine.attempt(() => {
      const context = this.context(nowUs, asked, waits);
      return execute(context, command.name, command.params as never);
    });
    if ('refusal' in outcome) {
      this.refused(asked, outcome.refusal);
      return;
    }
    this.engine.after((at) => {
      this.await(at, asked, waits, outcome.done);
    });
  }

  /** @throws Refusal PERMISSION_DENIED, CLUSTER_VERSION_LOW */
  private context(nowUs: Micros, asked: Asked, waits: Wait[]): CommandContext {
    const { command, probed, checked = null } = asked;
    const { name, actor } = command;
    const { engine, seen } = this;
    const { state, options } = engine;
    const user: User | undefined = state.users.find((candidate) => candidate.name === actor);
    if (user === undefined || !mayAsk(user.role, COMMANDS[name].needs)) refuse('PERMISSION_DENIED');
    checkVersion(state.system.clusterVersion, COMMANDS[name]);
    const sequence = engine.nextSequence;
    return {
      ...{ nowUs, state, options, seen, sequence, probed, checked },
      backup: (wanted, from) => {
        const present = { term: engine.term, sequence: engine.sequence };
        return this.backups.part(nowUs, state, present, wanted, from);
      },
      storeToken: this.reshaper.storeToken,
      noteProbed: (key) => {
        this.reshaper.noteReport(nowUs, key, probed);
      },
      wallMs: engine.wallMs(nowUs),
      secureNowMs: this.secureClock.nowMs(nowUs),
      secureUntilMs: (minutes) => this.secureClock.untilMs(nowUs, minutes),
      actor: user,
      waitFor: (wait) => waits.push(wait),
      replace: (poolKey) => {
        replaceCombs(state, poolKey, sequence, options.combsPerPair);
      },
    };
  }

  private refused({ link, tag }: Asked, refusal: Refusal): void {
    const { status, details } = refusal;
    const answer = (): void => {
      this.sessions.refuse(link, tag, status, details);
    };
    if (!(refusal instanceof RefusalWhenDrained)) {
      this.engine.after(answer);
      return;
    }
    const { poolKey } = refusal;
    this.engine.after((at) => {
      this.drains.add(at, {
        sequence: this.drains.revokedSequence(poolKey),
        ...{ poolKey, sdcKey: 0 },
        ended: (_, isThrough) => {
          if (isThrough) answer();
          else this.pending(link, tag);
        },
      });
    });
  }

  /** Answers when everything that the answer waits for came about; called as effect. */
  private await(
    nowUs: Micros,
    asked: Asked,
    waits: readonly Wait[],
    result: CommandResults[CommandName],
  ): void {
    const [wait, ...rest] = waits;
    if (wait === undefined) {
      this.answer(asked, result);
      return;
    }
    const { link, tag } = asked;
    const next = (at: Micros): void => {
      this.await(at, asked, rest, result);
    };
    if (wait.kind === 'devices') {
      this.additions.add(nowUs, {
        sdsKey: wait.sdsKey,
        deviceKeys: wait.deviceKeys,
        done: next,
        failed: (_, status, details) => {
          this.sessions.refuse(link, tag, status, details);
        },
      });
      return;
    }
    if (wait.kind === 'cut') {
      this.cuts.begin(nowUs, wait.cutKey, (at, refusal) => {
        if (refusal === null) next(at);
        else this.sessions.refuse(link, tag, refusal.status, refusal.details);
      });
      return;
    }
    if (wait.kind === 'handOver') {
      next(nowUs);
      this.engine.ports.host.handOver?.(nowUs, wait.heir);
      return;
    }
    const { poolKey } = wait;
    const isDrain = wait.kind === 'drain';
    this.drains.add(nowUs, {
      sequence: isDrain ? this.engine.sequence : this.drains.changedSequence(poolKey),
      poolKey,
      sdcKey: isDrain ? wait.sdcKey : 0,
      ended: (at, isThrough) => {
        if (isThrough) next(at);
        else this.pending(link, tag);
      },
    });
  }

  private pending(link: LinkId, tag: number): void {
    const value = 'a device that cannot be reached may not have applied it';
    this.sessions.refuse(link, tag, ERR.PENDING, [{ name: 'reason', value }]);
  }

  private answer({ link, tag, command }: Asked, result: CommandResults[CommandName]): void {
    const version = this.sessions.get(link)?.peer.version;
    if (version === undefined) return;
    const frame = encodeCommandAnswer(command.name, tag, result as never, version);
    this.sessions.sendEncoded(link, frame);
  }
}

function execute<N extends CommandName>(
  context: CommandContext,
  name: N,
  params: CommandParams[N],
): CommandResults[N] {
  return HANDLERS[name](context, params);
}

/** What came with a version is used only once every component knows it. @throws Refusal CLUSTER_VERSION_LOW */
function checkVersion(cluster: number, { since, anyCluster }: CommandRow): void {
  if (since > cluster && anyCluster !== true)
    refuseWith('CLUSTER_VERSION_LOW', { cluster, needed: since });
}
