// Drives the machine of an agent's jobs: does what it asks for on this node and hands back what was found. It must never
// decide anything itself.

import type { Log } from '../core/ports.js';
import { Jobs } from '../lia/jobs.js';
import type { JobFacts } from '../lia/jobs.js';
import type { InstallFacts } from '../lia/install-plan.js';
import type { Job, JobRequest, UnitFacts } from '../protocol/lia.js';
import { LIMITS } from '../protocol/tables/limits.js';
import { installedPackages, isLowerVersion } from '../runtime/node-agent/debian.js';
import type { JobStore } from '../runtime/node-agent/job-store.js';
import { PackageError } from '../runtime/node-agent/package-store.js';
import type { PackageStore } from '../runtime/node-agent/package-store.js';
import {
  leftTransients,
  lookAtTransient,
  releaseTransient,
  serviceStates,
  startTransient,
} from '../runtime/node-agent/systemd.js';
import type { Transient } from '../runtime/node-agent/systemd.js';

const UNIT_PREFIX = 'meshsan-lia-job-';
const LOOK_MS = 300;

export interface JobPlace {
  readonly jobs: JobStore;
  readonly packages: PackageStore;
  readonly bootId: string;
  readonly jobTimeoutSeconds: number;
  readonly log: Log;
}

export class JobRunner {
  readonly machine: Jobs;
  readonly #place: JobPlace;
  #timer: NodeJS.Timeout | null = null;

  constructor(place: JobPlace) {
    this.#place = place;
    const { jobs, log } = place;
    this.machine = new Jobs(
      {
        save: (job) => {
          jobs.save(job);
          log.event('info', 'lia.job', { id: job.id, state: job.state, message: job.message });
        },
        forget: (id) => {
          jobs.forget(id);
        },
        ask: (job) => {
          this.#answer(
            job,
            () => this.#facts(job.request),
            (facts) => {
              this.machine.facts(Date.now(), job.id, facts);
            },
          );
        },
        launch: (job, argv) => {
          this.#answer(job, () => this.#launch(job, argv), this.#looked(job));
        },
        look: (job) => {
          this.#timer = setTimeout(() => {
            this.#answer(job, () => this.#look(job), this.#looked(job));
          }, LOOK_MS);
        },
        release: (job) => {
          this.#released(releaseTransient(this.#transient(job.id).unit));
        },
      },
      place.bootId,
    );
  }

  /** Goes on with what an earlier agent left. */
  async resume(): Promise<void> {
    const kept = this.#place.jobs.load();
    const open = kept.filter(({ state }) => state === 'running');
    const names = new Set(open.map(({ id }) => this.#transient(id).unit));
    for (const unit of await leftTransients(UNIT_PREFIX))
      if (!names.has(unit)) await releaseTransient(unit);
    this.machine.resume(kept);
  }

  /** Leaves jobs to the next agent: their programs go on. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Whatever cannot be done or seen ends the job, with the reason; what the machine itself throws ends the agent. */
  #answer<T>(job: Job, find: () => Promise<T>, hand: (found: T) => void): void {
    find().then(hand, (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      this.machine.stuck(Date.now(), job.id, reason);
    });
  }

  #looked(job: Job): (unit: UnitFacts) => void {
    return (unit) => {
      this.machine.looked(Date.now(), job.id, unit);
    };
  }

  /** A unit that stays only takes a little memory; the next start of the agent looks for it again. */
  #released(done: Promise<void>): void {
    done.catch((error: unknown) => {
      this.#place.log.event('warn', 'lia.unit.kept', { reason: String(error) });
    });
  }

  #transient(id: string): Transient {
    return { unit: `${UNIT_PREFIX}${id}`, outputFile: this.#place.jobs.outputFile(id) };
  }

  async #launch(job: Job, argv: readonly string[]): Promise<UnitFacts> {
    const { packages, jobTimeoutSeconds } = this.#place;
    await startTransient(this.#transient(job.id), packages.dir, jobTimeoutSeconds, argv);
    return this.#look(job);
  }

  #look(job: Job): Promise<UnitFacts> {
    const bytesMax = LIMITS.liaJobOutputCharsMax.value;
    return lookAtTransient(this.#transient(job.id), bytesMax);
  }

  async #facts(request: JobRequest): Promise<JobFacts> {
    if (request.kind === 'install') return this.#installFacts(request.packages);
    const [service] = await serviceStates([request.unit], 0);
    return { kind: 'service', state: service?.state ?? 'absent' };
  }

  async #installFacts(wanted: readonly string[]): Promise<InstallFacts> {
    const installed = await installedPackages('meshsan-*');
    try {
      const rows: InstallFacts['wanted'][number][] = [];
      for (const sha256 of wanted) {
        const kept = await this.#place.packages.verified(sha256);
        const own = installed.find(
          ({ name, state }) => name === kept.name && state === 'installed',
        );
        const isDowngrade = own !== undefined && (await isLowerVersion(kept.version, own.version));
        rows.push({ ...kept, isDowngrade });
      }
      return { kind: 'install', wanted: rows, installed, fault: null };
    } catch (error) {
      if (!(error instanceof PackageError)) throw error;
      return { kind: 'install', wanted: [], installed, fault: error.message };
    }
  }
}
