// What a run leaves behind: a rolling hash over every (time, node, input, effect), and, when asked, readable lines. It
// must never influence a run: a run with lines and one without have the same hash.

/** Kinds of things that a trace mixes in. */
export const TRACE = {
  frameIn: 1,
  frameOut: 2,
  linkUp: 3,
  linkDown: 4,
  tick: 5,
  disk: 6,
  commit: 7,
  submit: 8,
  ioDone: 9,
  fault: 10,
  connect: 11,
  close: 12,
} as const;

export class Trace {
  private high = 0x243f6a88;
  private low = 0x85a308d3;
  private readonly print: ((line: string) => void) | null;

  /** @param print - takes readable lines; null: none are made */
  constructor(print: ((line: string) => void) | null) {
    this.print = print;
  }

  /** Whether lines are wanted: whoever makes them asks first. */
  get verbose(): boolean {
    return this.print !== null;
  }

  line(timeUs: number, who: string, what: string): void {
    if (this.print !== null)
      this.print(`${(timeUs / 1000).toFixed(3).padStart(12)} ${who.padEnd(10)} ${what}`);
  }

  mix(kind: number, timeUs: number, node: number, value: number): void {
    this.word(kind * 0x10000 + node);
    this.word(timeUs % 0x100000000);
    this.word(value);
  }

  /** Mixes the header of a frame; its checksum fields stand for the body. */
  header(view: DataView, at: number): void {
    for (let offset = 0; offset < 64; offset += 4) this.word(view.getInt32(at + offset, true));
  }

  word(value: number): void {
    const one = Math.imul(this.low ^ value, 0xcc9e2d51);
    const two = Math.imul(this.high + ((one << 15) | (one >>> 17)), 0x1b873593);
    this.low = (this.low + two) ^ ((this.high << 7) | (this.high >>> 25));
    this.high = two ^ (one >>> 13);
  }

  /** 16 hex digits. */
  digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.high) + hex(this.low);
  }
}
