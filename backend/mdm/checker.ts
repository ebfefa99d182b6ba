// Compares the metadata with what the devices carry: asks every device what it remembers of combs, and looks at what it
// reports of volumes. It owns the question that is under way; it must never change anything.

import { compareGenerations, isInSync, memberIndex } from '../cluster-map/entry.js';
import { formatId } from '../core/ids.js';
import type { LinkId, Micros } from '../core/ports.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type {
  CombEntry,
  CombMemory,
  CombsRememberedBody,
  CommandResults,
  Finding,
} from '../protocol/generated/types.js';
import { CombsHeard } from './combs-heard.js';
import type { Engine } from './engine.js';
import type { Runs } from './runs.js';
import { NO_LINK } from './runs.js';
import type { Sessions } from './sessions.js';
import { layerKeys } from './vtree-usage.js';

const PATIENCE_US = 20_000_000;
const NOTHING = { deviceKey: 0, poolKey: 0, comb: 0, combs: 0, volumeKey: 0 } as const;

export type Checked = CommandResults['CHECK_METADATA'];
type Done = (nowUs: Micros, checked: Checked) => void;

interface Check {
  readonly findings: Finding[];
  readonly deadlineUs: Micros;
  readonly done: Done[];
  combs: number;
  devices: number;
  total: number;
}

export class Checker {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly heard: CombsHeard;
  private check: Check | null = null;
  /** Layers of all volumes as of the check. */
  private known: ReadonlySet<number> = new Set();

  constructor(engine: Engine, runs: Runs, sessions: Sessions) {
    this.engine = engine;
    this.runs = runs;
    this.heard = new CombsHeard(
      sessions,
      (...page) => {
        this.page(...page);
      },
      () => {
        if (this.check !== null) this.check.devices += 1;
      },
    );
  }

  /** Begins, or joins what is under way. */
  run(nowUs: Micros, done: Done): void {
    if (this.check !== null) {
      this.check.done.push(done);
      return;
    }
    this.check = {
      ...{ findings: [], deadlineUs: nowUs + PATIENCE_US, done: [done] },
      ...{ combs: 0, devices: 0, total: 0 },
    };
    const { state } = this.engine;
    this.known = layerKeys(state);
    for (const { key, poolKey, state: stage, failure } of state.devices.values()) {
      const run = this.runs.devices.get(key);
      const isThere = run?.status === 'alive' && run.link !== NO_LINK;
      const why = failure === '' ? '' : `: ${failure}`;
      if (!isThere)
        this.found({
          ...{ ...NOTHING, kind: 'deviceMissing', deviceKey: key, poolKey },
          reason: `device ${this.id(key)} is not connected (${stage})${why}`,
        });
      else if (!this.heard.ask(key, run.link))
        this.found({
          ...{ ...NOTHING, kind: 'deviceSilent', deviceKey: key, poolKey },
          reason: `the software of device ${this.id(key)} cannot say what it remembers`,
        });
      if (isThere) this.volumes(key, poolKey);
    }
    this.copies();
    this.doubtful();
    this.endIfTold(nowUs);
  }

  told(nowUs: Micros, deviceKey: number, link: LinkId, body: CombsRememberedBody): void {
    if (this.check === null) return;
    this.heard.told(deviceKey, link, body);
    this.endIfTold(nowUs);
  }

  tick(nowUs: Micros): void {
    if (this.check === null || nowUs < this.check.deadlineUs) return;
    for (const key of [...this.heard.open]) {
      this.heard.forget(key);
      this.found({
        ...{ ...NOTHING, kind: 'deviceSilent', deviceKey: key },
        poolKey: this.engine.state.devices.get(key)?.poolKey ?? 0,
        reason: `device ${this.id(key)} did not say what it remembers`,
      });
    }
    this.endIfTold(nowUs);
  }

  nextDeadlineUs(): Micros {
    return this.check?.deadlineUs ?? Infinity;
  }

  private id(key: number): string {
    return formatId(this.engine.state.system.idPrefix, key);
  }

  private found(finding: Finding): void {
    const { check } = this;
    if (check === null) return;
    check.total += 1;
    if (check.findings.length < LIMIT.queryItemsMax) check.findings.push(finding);
  }

  private volumes(deviceKey: number, poolKey: number): void {
    const { state } = this.engine;
    for (const [volumeKey, bytes] of this.runs.devices.get(deviceKey)?.volumes.bytes ?? []) {
      if (bytes === 0 || this.known.has(volumeKey)) continue;
      if (state.tombstones.get(volumeKey) !== undefined) continue;
      this.found({
        ...{ ...NOTHING, kind: 'volumeUnknown', deviceKey, poolKey, volumeKey },
        reason: `device ${this.id(deviceKey)} has ${bytes} bytes of volume ${this.id(volumeKey)}, which the metadata does not know; they are kept`,
      });
    }
  }

  private doubtful(): void {
    for (const { key, vtreeKey, poolKey, name, doubtful } of this.engine.state.volumes.values())
      if (doubtful)
        this.found({
          ...{ ...NOTHING, kind: 'volumeDoubtful', poolKey, volumeKey: key },
          reason: `volume ${name} is served to nobody: devices hold layers of its V-tree ${this.id(vtreeKey)} that the restored metadata does not know; restore a later backup, or confirm that V-tree, which loses what was written to them`,
        });
  }

  private copies(): void {
    for (const [poolKey, entries] of this.engine.state.combs.pooled()) {
      const without = entries.filter(
        (entry) =>
          !entry.members.some((member, at) => isInSync(entry, at) && this.runs.isGood(member)),
      );
      const [first] = without;
      if (first === undefined) continue;
      this.found({
        ...{ ...NOTHING, kind: 'noCopy', poolKey, comb: first.index, combs: without.length },
        reason: `${without.length} combs of pool ${this.id(poolKey)} have no copy in sync that is up`,
      });
    }
  }

  private page(
    deviceKey: number,
    poolKey: number,
    from: number,
    through: number,
    memories: readonly CombMemory[],
  ): void {
    const { check } = this;
    if (check === null) return;
    const entries = this.engine.state.combs.ofPool(poolKey);
    const remembered = new Map(memories.map((memory) => [memory.entry.index, memory.entry]));
    const last = Math.min(through, entries.length - 1);
    for (let index = from; index <= last; index++) {
      const entry = entries[index];
      if (entry === undefined) continue;
      const told = remembered.get(index);
      if (told !== undefined) check.combs += 1;
      const kind = difference(entry, told, deviceKey);
      if (kind === null) continue;
      this.found({
        ...{ ...NOTHING, kind, deviceKey, poolKey, comb: index, combs: 1 },
        reason: `comb ${index} of pool ${this.id(poolKey)}: the metadata has generation ${generationText(entry)}, device ${this.id(deviceKey)} ${told === undefined ? 'knows nothing of it' : `has ${generationText(told)}`}`,
      });
    }
  }

  private endIfTold(nowUs: Micros): void {
    const { check } = this;
    if (check === null || [...this.heard.open].length > 0) return;
    this.check = null;
    const { combs, devices, total, findings } = check;
    for (const done of check.done)
      done(nowUs, { restoring: false, combs, devices, total, findings });
  }
}

const generationText = ({ generation }: CombEntry): string =>
  `${generation.epoch}.${generation.number}`;

/** How what a device remembers differs from the committed entry; null: it does not, or the news is on its way. */
function difference(
  entry: CombEntry,
  told: CombEntry | undefined,
  deviceKey: number,
): Finding['kind'] | null {
  const place = memberIndex(entry, deviceKey);
  if (told === undefined) return place >= 0 && isInSync(entry, place) ? 'combLacking' : null;
  const order = compareGenerations(told.generation, entry.generation);
  if (order > 0) return 'deviceNewer';
  // Who is no member any more is told no entries.
  if (order < 0) return place >= 0 && isInSync(entry, place) ? 'deviceOlder' : null;
  return JSON.stringify(told) === JSON.stringify(entry) ? null : 'entryDiffers';
}
