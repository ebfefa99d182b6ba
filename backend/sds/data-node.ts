/* eslint-disable @typescript-eslint/no-unused-vars */
// The data machine: everything that the process of one device decides. It owns the wiring of its parts and the order of
// its inputs; each part owns its topic. It must never do I/O, nor know how a device is laid out.

import type { LinkId, Links, Log, Machine, Micros, Peer, Token } from '../core/ports.js';
import type { DataIdentity, DataOptions } from './options.js';
import type { Store, StoreHost, StoreIdentity, StoreStatus } from './store/store.js';

/** How a data process ends; the shell ends with it. */
export type DataEnd = 'closed' | 'refused' | 'failed';

/** The doors of a data machine. */
export interface DataPorts {
  readonly links: Links;
  readonly log: Log;
  /** Makes the store over the device; the host is the machine. */
  openStore(host: StoreHost): Store;
  /** The machine is done for good: closed as asked, not our device, or the device failed (C14). */
  ended(end: DataEnd, reason: string): void;
}

export class DataNode implements Machine, StoreHost {
  private readonly store: Store;
  private readonly identity: DataIdentity;

  constructor(ports: DataPorts, identity: DataIdentity, _options: DataOptions) {
    this.identity = identity;
    this.store = ports.openStore(this);
  }

  /** Begins: the store recovers, then the machine looks for the MDM. Once, before any other input. */
  start(nowUs: Micros): void {
    this.store.start(nowUs, this.identity.bootId);
  }

  /** Ends cleanly: nothing new is admitted, everything becomes durable, then `ended('closed')`. */
  stop(nowUs: Micros): void {
    this.store.close(nowUs);
  }

  linkUp(_nowUs: Micros, _link: LinkId, _peer: Peer): void {
    throw new Error('not reached before the parts are wired');
  }

  linkDown(_nowUs: Micros, _link: LinkId, _reason: string): void {
    throw new Error('not reached before the parts are wired');
  }

  frame(
    _nowUs: Micros,
    _link: LinkId,
    _bytes: Uint8Array,
    _view: DataView,
    _at: number,
    _bodyBytes: number,
  ): boolean {
    return true;
  }

  /** Completion of the disk that the store was opened over. */
  diskDone(nowUs: Micros, token: Token, ok: boolean): void {
    this.store.diskDone(nowUs, token, ok);
  }

  tick(nowUs: Micros): void {
    this.store.tick(nowUs);
  }

  /** Ends a batch of inputs: one write to the log, one acknowledgement per link. */
  endBatch(nowUs: Micros): void {
    this.store.endBatch(nowUs);
  }

  nextDeadlineUs(): Micros {
    return this.store.nextDeadlineUs();
  }

  storeOpened(_nowUs: Micros, _identity: StoreIdentity): void {
    throw new Error('not reached before the parts are wired');
  }

  storeRefused(_nowUs: Micros, _reason: string): void {
    throw new Error('not reached before the parts are wired');
  }

  storeProgress(_nowUs: Micros): void {
    throw new Error('not reached before the parts are wired');
  }

  storeRead(
    _nowUs: Micros,
    _token: Token,
    _status: StoreStatus,
    _badMaskLow: number,
    _badMaskHigh: number,
  ): void {
    throw new Error('not reached before the parts are wired');
  }

  storeDescribed(_nowUs: Micros, _token: Token, _status: StoreStatus): void {
    throw new Error('not reached before the parts are wired');
  }

  storeFailed(_nowUs: Micros, _reason: string): void {
    throw new Error('not reached before the parts are wired');
  }

  opIdNeeded(_run: number, _opLow: number, _opHigh: number): boolean {
    return true;
  }
}
