// A simulated server: an address, a clock with its own offset and rate, power. It must never know what runs on it.

export class SimHost {
  readonly index: number;
  readonly address: string;
  /** Changes when the power comes back. */
  boots = 1;
  powered = true;
  private readonly rate: number;
  private readonly offsetUs: number;

  /**
   * @param ratePpm - how much faster than true time its clock runs, in millionths
   * @param offsetUs - what its clock shows at time 0
   */
  constructor(index: number, address: string, ratePpm: number, offsetUs: number) {
    this.index = index;
    this.address = address;
    this.rate = 1 + ratePpm / 1_000_000;
    this.offsetUs = offsetUs;
  }

  get bootId(): string {
    return `boot-${this.index}-${this.boots}`;
  }

  localUs(globalUs: number): number {
    return this.offsetUs + Math.floor(globalUs * this.rate);
  }

  /** First instant at which the host's clock shows at least `localUs`. */
  globalUs(localUs: number): number {
    let globalUs = Math.ceil((localUs - this.offsetUs) / this.rate);
    // Rounding of the division may end up one short.
    if (this.localUs(globalUs) < localUs) globalUs += 1;
    return globalUs;
  }
}
