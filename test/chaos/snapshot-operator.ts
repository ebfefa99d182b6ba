// An operator of snapshots under trouble: takes them of two volumes at once, gives them to clients, has them read and written,
// reverts the volumes to them and removes them in any order. It owns what the history learns of that, as the simulator's operator
// does (sim/operator-snapshots.ts); the verdict is the checkers'.

import { setTimeout as pause } from 'node:timers/promises';

import type { Prng } from '../../backend/core/prng.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { readPlaces, writePlace } from './chains.js';
import type { Chains } from './chains.js';
import { openAgain } from './nbd-client.js';
import type { Requests } from './requests.js';
import type { Made, Member, SnapshotCommands } from './snapshot-commands.js';

/** Numbers of volumes in the history: those below stand for other things. */
const KEYS_FROM = 1000;
const PAUSE_MS = 400;
const GROUPS_MAX = 4;
/** A client that does not come back for so long is another one's failure. */
const CLIENT_MS = 30_000;

export interface SnapshotCounts {
  taken: number;
  /** Points that the cluster gave up, as it may. */
  refused: number;
  read: number;
  reverted: number;
  removed: number;
}

/** Two volumes, or snapshots of both as of one moment. */
interface Pair {
  readonly members: readonly [Member, Member];
  readonly groupKey: number;
}

/** A command of which nobody knows what came of it. */
interface Attempt {
  readonly names: readonly [string, string];
  readonly startUs: number;
  /** What the volumes held when it was asked. */
  readonly sources: readonly [number, number];
}

const beganUs = (): number => Math.floor(performance.now() * 1000);
const endedUs = (): number => Math.ceil(performance.now() * 1000);
const numberOf = ({ key }: Pick<Member, 'key'>): number => KEYS_FROM + key;

export class SnapshotOperator {
  readonly counts: SnapshotCounts = { taken: 0, refused: 0, read: 0, reverted: 0, removed: 0 };
  readonly #commands: SnapshotCommands;
  readonly #requests: Requests;
  readonly #chains: Chains;
  readonly #random: Prng;
  #groups: readonly Pair[] = [];
  #attempts: readonly Attempt[] = [];
  #volumes: Pair = {
    members: [
      { key: 0, client: 0 },
      { key: 0, client: 1 },
    ],
    groupKey: 0,
  };
  #number = 0;
  #ends = false;
  #work: Promise<void> | null = null;

  constructor(commands: SnapshotCommands, requests: Requests, chains: Chains, random: Prng) {
    this.#commands = commands;
    this.#requests = requests;
    this.#chains = chains;
    this.#random = random;
  }

  /** @param names - of the two volumes: the first one is mapped to the first client, the second to the second */
  async start(names: readonly [string, string]): Promise<void> {
    const known = await this.#commands.volumes();
    const [first, second] = names.map((name) => known.find((volume) => volume.name === name));
    if (first === undefined || second === undefined) throw new Error('the volumes are not there');
    const members = [
      { key: first.key, client: 0 },
      { key: second.key, client: 1 },
    ] as const;
    this.#volumes = { members, groupKey: 0 };
    await this.#goOn();
    this.#work = this.#run().catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      this.#requests.faults.push(`the operator of snapshots: ${text}`);
    });
  }

  /** Whatever it does is brought to its end; the chains end, too. */
  async stop(): Promise<void> {
    this.#ends = true;
    await this.#work;
    await this.#chains.stop();
  }

  /** Reads both volumes and all snapshots that there are. */
  async readAll(): Promise<void> {
    for (const { members } of [this.#volumes, ...this.#groups])
      for (const member of members) await this.#look(member, false);
  }

  async #run(): Promise<void> {
    while (!this.#ends) {
      await pause(this.#random.below(PAUSE_MS));
      await this.#settle();
      const dice = this.#random.below(100);
      const group = this.#groups.length === 0 ? null : this.#random.pick(this.#groups);
      if (group === null || (dice < 55 && this.#groups.length < GROUPS_MAX)) await this.#take();
      else if (dice < 75)
        for (const member of group.members) await this.#look(member, this.#random.chance(1, 2));
      else if (dice < 82) await this.#revert(group);
      else await this.#remove(group);
    }
    await this.#settle();
  }

  async #take(): Promise<void> {
    const { history } = this.#requests;
    const { members } = this.#volumes;
    const number = ++this.#number;
    const names = [`point${number}-first`, `point${number}-second`] as const;
    const sources = [
      history.contentOf(numberOf(members[0])),
      history.contentOf(numberOf(members[1])),
    ] as const;
    const attempt = { names, sources, startUs: beganUs() };
    const items = [
      { volumeKey: members[0].key, name: names[0] },
      { volumeKey: members[1].key, name: names[1] },
    ];
    try {
      await this.#adopt(attempt, await this.#commands.snapshot(items));
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.counts.refused++;
      // An answer may have been lost, and the command done all the same.
      this.#attempts = [...this.#attempts, attempt];
    }
  }

  /** Looks whether there are snapshots of commands that were not answered well. */
  async #settle(): Promise<void> {
    if (this.#attempts.length === 0) return;
    const known = await this.#commands.volumes();
    for (const attempt of this.#attempts) {
      const found = attempt.names.flatMap((name) => known.find((one) => one.name === name) ?? []);
      if (found.length === 1)
        throw new Error(`of a group of two snapshots there is only ${String(found[0]?.name)}`);
      if (found.length === 0) continue;
      this.#attempts = this.#attempts.filter((one) => one !== attempt);
      this.counts.refused--;
      const keys = found.map(({ key }) => key);
      await this.#adopt(attempt, { keys, groupKey: found[0]?.groupKey ?? 0 });
    }
  }

  /** There are snapshots, since some moment between the command and now. */
  async #adopt({ startUs, sources }: Attempt, { groupKey, keys }: Made): Promise<void> {
    const { history } = this.#requests;
    const [first = 0, second = 0] = keys;
    const members = [
      { key: first, client: this.#random.below(2) },
      { key: second, client: this.#random.below(2) },
    ] as const;
    for (const [at, member] of members.entries())
      history.joinTree(numberOf(member), numberOf(this.#volumes.members[at] ?? member));
    const pairs = members.map((member, at) => ({
      ...{ source: sources[at] ?? 0, target: history.contentOf(numberOf(member)) },
    }));
    history.cuts.push({ startUs, endUs: endedUs(), pairs });
    this.counts.taken++;
    for (const member of members) await this.#commands.map(member);
    this.#groups = [...this.#groups, { members, groupKey }];
  }

  /** Reads a volume or snapshot, and writes to it. */
  async #look(member: Member, writes: boolean): Promise<void> {
    const socket = await this.#commands.socketOf(member);
    const deadline = performance.now() + CLIENT_MS;
    const nbd = await openAgain(socket, () => performance.now() > deadline);
    if (nbd === null) return;
    const place = { volume: numberOf(member), client: member.client };
    if (await readPlaces(this.#requests, nbd, place)) {
      this.counts.read++;
      if (writes) await writePlace(this.#requests, nbd, place, this.#random);
    }
    nbd.close();
  }

  /** Both volumes get what they held at that moment; nobody has them meanwhile. */
  async #revert(group: Pair): Promise<void> {
    const { history } = this.#requests;
    await this.#chains.pause();
    const all = [...this.#volumes.members, ...group.members];
    for (const member of all) {
      await this.#commands.unmap(member);
      // What was not answered before this happened by now, or never does.
      history.fence(numberOf(member), member.client, 1, endedUs());
    }
    for (const [at, volume] of this.#volumes.members.entries()) {
      const from = group.members[at] ?? volume;
      const startUs = beganUs();
      await this.#commands.revert(volume, from);
      const source = history.contentOf(numberOf(from));
      const target = history.newContent(numberOf(volume));
      history.cuts.push({ startUs, endUs: endedUs(), pairs: [{ source, target }] });
      this.counts.reverted++;
    }
    for (const member of all) await this.#commands.map(member);
    await this.#goOn();
  }

  async #remove(group: Pair): Promise<void> {
    this.#groups = this.#groups.filter((one) => one !== group);
    for (const member of group.members) await this.#commands.unmap(member);
    if (this.#random.chance(1, 2)) await this.#commands.removeGroup(group.groupKey);
    else
      for (const member of this.#random.chance(1, 2) ? group.members : group.members.toReversed())
        await this.#commands.remove(member);
    this.counts.removed++;
  }

  async #goOn(): Promise<void> {
    const [first, second] = this.#volumes.members;
    const side = async (member: Member) => ({
      socket: await this.#commands.socketOf(member),
      ...{ volume: numberOf(member), client: member.client },
    });
    this.#chains.start(await side(first), await side(second));
  }
}
