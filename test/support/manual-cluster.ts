// The processes of a local cluster started one by one by a test, with two further MDMs beside the first: who runs, and when, is
// the test's. It owns what it started, and ends it by its process id.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { planOf } from '../../backend/deploy/local/configs.js';
import type { ProcessPlan, ProcessRole } from '../../backend/deploy/local/configs.js';
import { pathsOf, readLayout } from '../../backend/deploy/local/layout.js';
import type { Paths } from '../../backend/deploy/local/layout.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { addMdms, formCluster, memberPid } from '../chaos/mdms.js';

export class ManualCluster {
  readonly plans: readonly ProcessPlan[];
  private readonly paths: Paths;
  private readonly running = new Map<string, ChildProcess>();

  /** @param dir - of a local cluster that was made and stopped */
  constructor(dir: string, mdms: number) {
    this.paths = pathsOf(dir);
    const layout = readLayout(this.paths);
    const plans = planOf(this.paths, layout, false);
    addMdms(this.paths, layout, plans, mdms);
    this.plans = plans;
  }

  plan(name: string): ProcessPlan {
    const plan = this.plans.find((one) => one.name === name);
    if (plan === undefined) throw new Error(`there is no ${name}`);
    return plan;
  }

  names(role: ProcessRole): string[] {
    return this.plans.filter((plan) => plan.role === role).map(({ name }) => name);
  }

  start(...names: readonly string[]): void {
    for (const name of names) {
      const { program, configFile } = this.plan(name);
      const log = openSync(join(this.paths.dir, `${name}.log`), 'a');
      const args = [program, '--config', configFile];
      this.running.set(name, spawn(process.execPath, args, { stdio: ['ignore', 'ignore', log] }));
      closeSync(log);
    }
  }

  pid(name: string): number {
    return this.running.get(name)?.pid ?? 0;
  }

  /** Ends processes and waits until they are gone. */
  async end(signal: NodeJS.Signals, ...names: readonly string[]): Promise<void> {
    await Promise.all(
      names.map(async (name) => {
        const child = this.running.get(name);
        this.running.delete(name);
        if (child?.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGCONT');
        child.kill(signal);
        await ended;
      }),
    );
  }

  /** Takes the further MDMs in, and switches to the cluster of all. */
  async form(): Promise<void> {
    const session = this.session(...this.names('mdm'));
    try {
      await formCluster(session, this.plans);
    } finally {
      session.close();
    }
  }

  /** With some of the MDMs. */
  session(...names: readonly string[]): MdmSession {
    return new MdmSession({
      addresses: names.map((name) => {
        const { address: host, port } = this.plan(name);
        return { host, port };
      }),
      secret: readSecretFile(this.paths.secret),
      log: { event: () => undefined },
    });
  }

  /** Everything that was started, members of etcd among it. */
  async cleanUp(): Promise<void> {
    const members = this.names('mdm').map((name) => memberPid(this.plan(name).stateDir));
    await this.end('SIGKILL', ...this.running.keys());
    for (const pid of members)
      try {
        if (pid > 0) process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
  }
}
