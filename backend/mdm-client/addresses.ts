// Where MDMs may be and which of them is tried first. It must never connect.

import { mark } from '../core/marks.js';
import type { LinkTarget } from '../core/ports.js';
import type { ErrorDetail } from '../protocol/generated/types.js';

const MARKS = {
  notMaster: mark('mdm-client: an MDM said that it is not the master'),
  redirected: mark('mdm-client: followed the word of a standby to the master'),
};

export class MdmAddresses {
  private all: LinkTarget['addresses'];
  private first = 0;
  /** Who answered last, as far as the shell knows it. */
  private peerHost = '';

  constructor(all: LinkTarget['addresses']) {
    this.all = all;
  }

  /** Takes other addresses; false: whoever answered last is not among them. */
  replace(all: LinkTarget['addresses']): boolean {
    this.all = all;
    this.first = 0;
    return all.some(({ host }) => host === this.peerHost);
  }

  /** There is somebody else to turn to. */
  get several(): boolean {
    return this.all.length > 1;
  }

  /** All addresses in the order in which they are to be tried. */
  inOrder(): LinkTarget['addresses'] {
    const first = this.first % Math.max(1, this.all.length);
    return [...this.all.slice(first), ...this.all.slice(0, first)];
  }

  /** @param host - IP address of the other end of the link that came up */
  reached(host: string | undefined): void {
    this.peerHost = host ?? '';
  }

  /** The address at the other end comes last from now on. */
  avoid(): void {
    const at = this.all.findIndex(({ host }) => host === this.peerHost);
    this.first = (at < 0 ? this.first : at) + 1;
  }

  /** A standby says who is master, as far as it knows. */
  redirect(details: readonly ErrorDetail[]): void {
    MARKS.notMaster.hits++;
    const place = details.find(({ name }) => name === 'master')?.value;
    const at = this.all.findIndex(({ host, port }) => `${host} ${port}` === place);
    if (at < 0) {
      this.avoid();
      return;
    }
    MARKS.redirected.hits++;
    this.first = at;
  }
}
