// Figures of MDMs: how long the REST API is silent when the MDM's process dies, and what I/O notices of that or of having none
// for minutes.

import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import axios from 'axios';

import { ADMIN_NAME, gatewayAddress } from '../../backend/deploy/local/layout.js';
import { until } from '../support/until.js';
import { BASELINE_MS, FAILOVER_MS, STEADY, WARM_MS, ms, sayEffect } from './figure-bench.js';
import type { Bench } from './figure-bench.js';
import type { Rig } from './rig.js';

const API_TRIES = 3;
const API_GAP_MS = 50;

/** Asks the REST API until it answers a question for which it must ask the MDM. */
class ApiProbe {
  readonly #agent: Agent;
  readonly #base: string;
  readonly #authorization: string;

  private constructor(agent: Agent, base: string, token: string) {
    this.#agent = agent;
    this.#base = base;
    this.#authorization = `Basic ${Buffer.from(`:${token}`).toString('base64')}`;
  }

  static async make({ paths, layout }: Rig): Promise<ApiProbe> {
    const base = `https://${gatewayAddress(layout)}:${layout.gatewayPort}/api`;
    const agent = new Agent({ ca: readFileSync(paths.caFile), keepAlive: true });
    const auth = { username: ADMIN_NAME, password: readFileSync(paths.password, 'utf8').trim() };
    const settings = { httpsAgent: agent, proxy: false, auth } as const;
    const { data } = await axios.get<string>(`${base}/login`, settings);
    return new ApiProbe(agent, base, data);
  }

  /** Asks again and again, whether or not earlier questions were answered; resolved at the first good answer. */
  async firstAnswer(broken: AbortSignal): Promise<void> {
    let isAnswered = false;
    await until('the API answers', async () => {
      broken.throwIfAborted();
      void this.#ask().then((isGood) => {
        isAnswered ||= isGood;
      });
      await pause(API_GAP_MS);
      return isAnswered;
    });
  }

  #ask(): Promise<boolean> {
    return new Promise((done) => {
      const request = get(
        `${this.#base}/types/Volume/instances`,
        { agent: this.#agent, headers: { authorization: this.#authorization } },
        (answer) => {
          answer.resume();
          answer.on('end', () => {
            done(answer.statusCode === 200);
          });
        },
      );
      request.on('error', () => {
        done(false);
      });
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The MDM's process is killed: the time until the API answers again, and what I/O notices. */
export async function mdmKilled(bench: Bench): Promise<void> {
  const load = await bench.load(STEADY);
  const probe = await ApiProbe.make(bench.rig);
  const times: number[] = [];
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS / 2);
  const killedMs = Date.now();
  for (let turn = 0; turn < API_TRIES; turn++) {
    const atMs = Date.now();
    bench.rig.keeper.signal('mdm', 'SIGKILL');
    // What is asked from now on only the next one can answer.
    await probe.firstAnswer(bench.options.broken);
    times.push(Date.now() - atMs);
    await bench.wait(FAILOVER_MS / 2);
  }
  probe.close();
  const endMs = Date.now();
  const log = await load.end();
  bench.row('API answers again after', times.map(ms).join(', '));
  sayEffect(bench, log, baselineMs, killedMs, endMs);
}

/** All MDMs are down for minutes. */
export async function mdmAway(bench: Bench): Promise<void> {
  const { minutes } = bench.options;
  const load = await bench.load(STEADY);
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS / 2);
  const fromMs = Date.now();
  const { release } = bench.rig.keeper.hold('mdm');
  await bench.wait(minutes * 60_000);
  const toMs = Date.now();
  release();
  const log = await load.end();
  bench.row('all MDMs down for', `${minutes} min`);
  sayEffect(bench, log, baselineMs, fromMs, toMs);
  await bench.whole();
}
