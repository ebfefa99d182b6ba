// The network of a rig: a bridge in the namespace in which this program runs, and one namespace per node on it. It owns
// what is made there and what is lost on the way; it must only run in a namespace that was made for it, so that nothing
// of the host is touched and everything goes with the program.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { execa } from 'execa';

import { until } from '../support/until.js';

const BRIDGE = 'chaos0';
const LINK = 'eth0';
const START_MS = 20_000;

/** A node of a rig, by one address of its own. */
export interface NodeAddress {
  readonly name: string;
  readonly host: string;
}

interface Node extends NodeAddress {
  /** Keeps the namespace while no process of the product is in it. */
  readonly holder: ChildProcess;
  readonly pid: number;
}

/** Undoes a disturbance. */
export type Heal = () => Promise<void>;

/** Rules of a node's packet filter, as iptables takes them behind -A and -D. */
type Rule = readonly string[];

const namespaceOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`);

export class Network {
  readonly #nodes = new Map<string, Node>();

  private constructor() {
    // Made by `make` only.
  }

  /**
   * @param network - first three parts of all addresses
   * @param nodes - each gets a namespace
   */
  static async make(network: string, nodes: readonly NodeAddress[]): Promise<Network> {
    const made = new Network();
    await execa('ip', ['link', 'set', 'lo', 'up']);
    await execa('ip', ['link', 'add', BRIDGE, 'type', 'bridge']);
    try {
      await execa('ip', ['address', 'add', `${network}.254/24`, 'dev', BRIDGE]);
      await execa('ip', ['link', 'set', BRIDGE, 'up']);
      for (const [index, node] of nodes.entries()) await made.#add(node, index);
    } catch (error) {
      await made.close();
      throw error;
    }
    return made;
  }

  async #add({ name, host }: NodeAddress, index: number): Promise<void> {
    const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    const { pid } = holder;
    if (pid === undefined) throw new Error('unshare does not start');
    this.#nodes.set(name, { name, host, holder, pid });
    const own = readlinkSync('/proc/self/ns/net');
    await until(`${name} has a network`, () => namespaceOf(pid) !== own, START_MS);
    const end = `node${index}`;
    const pair = ['link', 'add', end, 'type', 'veth', 'peer', 'name', LINK, 'netns', String(pid)];
    await execa('ip', pair);
    await execa('ip', ['link', 'set', end, 'master', BRIDGE, 'up']);
    await this.#within(name, 'ip', 'link', 'set', 'lo', 'up');
    await this.#within(name, 'ip', 'address', 'add', `${host}/24`, 'dev', LINK);
    await this.#within(name, 'ip', 'link', 'set', LINK, 'up');
  }

  #node(name: string): Node {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node is named ${name}`);
    return node;
  }

  /** Words before a command that is to run on a node; the command keeps the process. */
  entering(name: string): string[] {
    return ['nsenter', `--net=/proc/${this.#node(name).pid}/ns/net`, '--'];
  }

  async #within(name: string, ...command: string[]): Promise<void> {
    const [program = '', ...args] = [...this.entering(name), ...command];
    await execa(program, args);
  }

  /** Loses packets by rules of one node's filter. */
  async #lose(name: string, rules: readonly Rule[]): Promise<Heal> {
    for (const rule of rules) await this.#within(name, 'iptables', '-w', '-A', ...rule);
    return async () => {
      for (const rule of rules) await this.#within(name, 'iptables', '-w', '-D', ...rule);
    };
  }

  /**
   * Cuts a node off from others.
   *
   * @param direction - `in`: it hears nothing of them; `out`: they hear nothing of it; `both`
   */
  async cut(
    name: string,
    others: readonly string[],
    direction: 'both' | 'in' | 'out',
  ): Promise<Heal> {
    const hosts = others.map((other) => this.#node(other).host);
    const heard = hosts.map((host) => ['INPUT', '-s', host, '-j', 'DROP']);
    const said = hosts.map((host) => ['OUTPUT', '-d', host, '-j', 'DROP']);
    return this.#lose(name, [
      ...(direction === 'out' ? [] : heard),
      ...(direction === 'in' ? [] : said),
    ]);
  }

  /** Nothing of a node comes or goes; its links stay, and what was sent is sent again later. */
  stall(name: string): Promise<Heal> {
    const ends = [
      ['INPUT', '-i', LINK],
      ['OUTPUT', '-o', LINK],
    ];
    return this.#lose(
      name,
      ends.map((rule) => [...rule, '-j', 'DROP']),
    );
  }

  /** Loses a part of what a node is sent. */
  loss(name: string, percent: number): Promise<Heal> {
    const share = ['-m', 'statistic', '--mode', 'random', '--probability', String(percent / 100)];
    return this.#lose(name, [['INPUT', '-i', LINK, ...share, '-j', 'DROP']]);
  }

  /** Clogs what a node sends: a narrow link, before which packets wait for up to 0.4 s. */
  async slow(name: string, kbitPerS: number): Promise<Heal> {
    const shape = ['tbf', 'rate', `${kbitPerS}kbit`, 'burst', '16kb', 'latency', '400ms'];
    await this.#within(name, 'tc', 'qdisc', 'add', 'dev', LINK, 'root', ...shape);
    return () => this.#within(name, 'tc', 'qdisc', 'del', 'dev', LINK, 'root');
  }

  /** What a node has received from others so far. */
  receivedBytes(name: string): number {
    const lines = readFileSync(`/proc/${this.#node(name).pid}/net/dev`, 'utf8').split('\n');
    const line = lines.find((one) => one.trim().startsWith(`${LINK}:`)) ?? '';
    return Number(line.split(':')[1]?.trim().split(/\s+/)[0]);
  }

  /** Takes everything away; a node's namespace goes with the last process in it. */
  async close(): Promise<void> {
    for (const { holder } of this.#nodes.values()) holder.kill('SIGKILL');
    this.#nodes.clear();
    await execa('ip', ['link', 'del', BRIDGE]);
  }
}
