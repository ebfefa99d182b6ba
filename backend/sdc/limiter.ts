// Requests of limited mappings, until they may begin. It owns who waits and for how long; it must never send anything.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';

import { IO } from './block-front.js';
import { CutQueue } from './cut-queue.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Request } from './op.js';

const MARKS = { held: mark('sdc: a request waited for the limit of its mapping') };

/** The data path, as far as this work needs it. */
interface DataPath {
  /** A request may begin. */
  begin(nowUs: Micros, request: Request): void;
  /** Its time counts from now on: a limit makes requests wait, never fail. */
  renew(nowUs: Micros, request: Request): void;
}

export class Limiter {
  private readonly path: DataPath;
  /** Who waits, in order of arrival, by volume: those that had to wait once, until they are unmapped. */
  private readonly lines = new Map<MappedVolume, CutQueue>();
  private nextUs: Micros = Infinity;

  constructor(path: DataPath) {
    this.path = path;
  }

  /** Begins a request of a volume, or keeps it until its turn comes. */
  submit(nowUs: Micros, volume: MappedVolume, request: Request): void {
    const { throttle } = volume;
    if (throttle.isLimited && isCounted(request)) {
      const line = this.lines.get(volume);
      if (line?.first != null || throttle.dueUs() > nowUs) {
        this.hold(volume, line, request);
        return;
      }
      throttle.take(nowUs, movedBytes(request));
    }
    this.path.begin(nowUs, request);
  }

  private hold(volume: MappedVolume, known: CutQueue | undefined, request: Request): void {
    MARKS.held.hits++;
    const line = known ?? new CutQueue();
    if (known === undefined) this.lines.set(volume, line);
    line.push(request);
    this.nextUs = Math.min(this.nextUs, volume.throttle.dueUs());
  }

  /** The limits of a mapping changed. */
  changed(nowUs: Micros, volume: MappedVolume): void {
    if (this.lines.has(volume)) this.nextUs = nowUs;
  }

  /** The mapping is gone, and its requests are answered. */
  forget(volume: MappedVolume): void {
    this.lines.delete(volume);
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.nextUs) return;
    this.nextUs = Infinity;
    for (const [volume, line] of this.lines) {
      this.release(nowUs, volume, line);
      if (line.first !== null) this.nextUs = Math.min(this.nextUs, volume.throttle.dueUs());
    }
  }

  nextDeadlineUs(): Micros {
    return this.nextUs;
  }

  /** Whether a request still waits for its limit: then its time counts from now on. */
  excuses(nowUs: Micros, request: Request): boolean {
    const { volume } = request;
    if (volume === null || request.queue === null) return false;
    if (request.queue !== this.lines.get(volume)) return false;
    volume.counters.throttledMicros += nowUs - request.startedUs;
    this.path.renew(nowUs, request);
    return true;
  }

  private release(nowUs: Micros, { throttle, counters }: MappedVolume, line: CutQueue): void {
    for (let { first } = line; first !== null; { first } = line) {
      if (throttle.isLimited && throttle.dueUs() > nowUs) return;
      line.shift();
      throttle.take(nowUs, movedBytes(first));
      counters.throttledOps += 1;
      counters.throttledMicros += nowUs - first.startedUs;
      this.path.renew(nowUs, first);
      this.path.begin(nowUs, first);
    }
  }
}

/** Flushes and descriptions move nothing that limits are about. */
function isCounted({ kind }: Request): boolean {
  return kind !== IO.flush && kind !== IO.describe;
}

/** Zeroes and discards count as requests: their bytes go nowhere. */
function movedBytes({ kind, lengthBytes }: Request): number {
  return kind === IO.read || kind === IO.write ? lengthBytes : 0;
}
