// The only doors between the deciding machines and the world. It owns the shapes of effects and of their completions;
// it must never hold an implementation: runtime/ implements these ports on an operating system, sim/ in virtual time.
//
// How machines and shells work together:
//  * A machine is a class without I/O. Every input is a method whose first argument is `nowUs`. It runs to completion
//    and never blocks. Effects are calls on the ports given at construction; a port only notes or performs the effect
//    and never calls back into the machine before the running input method has returned.
//  * Completions arrive as later inputs, possibly before the next outside event. The shell drains them in order.
//  * The shell calls `tick(nowUs)` when `nextDeadlineUs()` has passed, and flushes the transmit buffers of all links
//    after a batch of inputs: one write per socket per batch.
//  * Same inputs, same effects: no clock, no randomness, no iteration order that depends on anything else.

import type { DiskTimes } from './disk-meter.js';

/** Microseconds on a monotonic clock of this process; an integer below 2^53. */
export type Micros = number;

/** Names a link for the life of the process; never reused. */
export type LinkId = number;

/** Names an operation that the asker awaits; chosen by the machine. */
export type Token = number;

/** What a component is; the words of the `role` choices of the protocol. */
export type Role = 'mdm' | 'sds' | 'sdsData' | 'sdc' | 'admin' | 'lia';

/** Who is at the other end of an authenticated link. */
export interface Peer {
  readonly role: Role;
  /** Object key, 0 where it has none yet. */
  readonly key: number;
  /** Life of the process or device. */
  readonly incarnation: number;
  /** Client run number, 0 where none. */
  readonly run: number;
  /** Number of this link between the two, and its epoch (C10). */
  readonly link: number;
  readonly linkEpoch: number;
  /** Protocol version that both speak, and the features that both use. */
  readonly version: number;
  readonly features: number;
  /** IP address of the other end as this host sees it; for approval and messages. */
  readonly host?: string;
}

/** What a process says of itself on links that open from now on. */
export interface OwnIdentity {
  /** Object key, 0 while it has none. */
  readonly key: number;
  /** Life of the process or device. */
  readonly incarnation: number;
  /** Client run number, 0 where none. */
  readonly run: number;
  /** 16 hex digits, or empty while it belongs to no system. */
  readonly systemId: string;
}

/** Whom a machine wants to reach. */
export interface LinkTarget {
  readonly role: Role;
  /** Object key that must answer, 0: any. */
  readonly key: number;
  /** Tried in order until one answers. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** What the machine says of itself on this link, beside the shell's fixed identity. */
  readonly link: number;
  readonly linkEpoch: number;
}

/** A place in a buffer: `bytes[at ..]`, with a view on the same memory for numbers. Reused; never keep it. */
export interface Region {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
}

/**
 * Authenticated, ordered, lossless-while-up connections that carry frames. Inputs that answer it, on the machine:
 * `linkUp(nowUs, link, peer)`, `linkDown(nowUs, link, reason)`, and
 * `frame(nowUs, link, bytes, view, at, bodyBytes): boolean` with the header at `at` and the body behind it, valid only
 * during the call. The header is checked; control bodies' CRC too. `false` means "not taken": the shell keeps the
 * frame and everything behind it, and offers it again after `resume(link)`.
 */
export interface Links {
  /** Changes what this process says of itself; links that are up keep what was said. The role is the shell's. */
  identify(identity: OwnIdentity): void;
  /** Starts to connect. The outcome is `linkUp`, or `linkDown` with the reason. */
  connect(link: LinkId, target: LinkTarget): void;
  /** A fresh number for `connect`. */
  newLink(): LinkId;
  /** Ends a link now; no further input comes from it, not even `linkDown`. */
  close(link: LinkId): void;
  /**
   * Room for one frame of header and body in the link's transmit buffer. The caller fills all of it before its input
   * method returns. On a link that went down meanwhile the frame goes nowhere: `linkDown` is on its way.
   */
  reserve(link: LinkId, frameBytes: number): Region;
  /** Offers frames again that were not taken. */
  resume(link: LinkId): void;
  /** Bytes handed over and not yet accepted by the network, to bound what a slow reader holds. */
  pendingBytes(link: LinkId): number;
}

/**
 * A device as bytes. Completion: `diskDone(nowUs, token, ok)` on the machine. Memory given to `write` and `read` belongs
 * to the disk until then. Writes that are in flight together must not overlap, nor overlap a read in flight.
 * A completed write is in the cache of the host (or, opened direct, of the device); only `flush` makes it durable:
 * a completed flush covers every write that completed before the flush was submitted. Any failure is for good (C14).
 */
export interface Disk {
  readonly sizeBytes: number;
  write(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void;
  /** As `write`, and durable when it completes, by itself: it says nothing about any other write. */
  writeDurable(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void;
  read(token: Token, offsetBytes: number, bytes: Uint8Array, at: number, lengthBytes: number): void;
  flush(token: Token): void;
  /** How long its operations took so far. */
  times(): DiskTimes;
}

/** One change of the metadata store; a null value removes the key. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/**
 * The MDM's memory. One commit is atomic and durable before it is reported. Completion: `committed(nowUs, token,
 * outcome)` on the machine, in the order of submission.
 * 'done': flushed. 'conflict': the master key or the previous sequence is not what the caller expected; nothing
 * changed. 'full': the store takes nothing until somebody makes room; nothing changed. 'unknown': ask again or step
 * down. The content at the start is given to the machine by the shell.
 */
export interface MetadataStore {
  commit(token: Token, term: number, previousSequence: number, changes: readonly Change[]): void;
  /**
   * Of a store that several MDMs reach: asks whether the caller was still master at a moment after this call. Completion
   * as of a commit. Without it nobody else can be master.
   */
  confirm?(token: Token): void;
}

export type CommitOutcome = 'done' | 'conflict' | 'full' | 'unknown';

/** An MDM as others know it. */
export interface MdmPlace {
  readonly name: string;
  /** Where its clients reach it. */
  readonly host: string;
  readonly port: number;
}

/** Who is master, as a shared store has it. */
export interface MasterView {
  /** Of the MDM that took the master key last, 0: nobody ever did. */
  readonly term: number;
  readonly master: MdmPlace | null;
  /** It goes up or changes whenever that master shows that it lives; never the same again. */
  readonly life: string;
  /** The master gave the key up: to the MDM of this name, or, empty, to any. null: it did not. */
  readonly heir: string | null;
}

/** What a master begins with. */
export interface TakenContent {
  readonly term: number;
  readonly sequence: number;
  readonly entries: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
}

/**
 * A store that several MDMs reach, one of which is master: the one that took the master key last. Every completion is an
 * input of the machine, {@link SharedStoreInputs}, with the token; at most one request of each kind is under way.
 */
export interface SharedStore extends Required<MetadataStore> {
  /** Reads who is master. */
  look(token: Token): void;
  /** Takes the master key if the master showed no life since `seen`; then reads the content. */
  take(token: Token, seen: MasterView, claim: MdmPlace): void;
  /** Shows that this master lives. */
  beat(token: Token): void;
  /** Gives the master key up, so that another MDM need not wait. Nothing else may be under way; no completion. */
  release(heir: string): void;
  /** Forgets what is under way: no completion of it comes any more, and nothing is sent again. */
  abandon(): void;
}

export interface SharedStoreInputs {
  /** `view` null: the store did not answer. */
  looked(nowUs: Micros, token: Token, view: MasterView | null): void;
  /** `content` is there with outcome 'done'. */
  taken(nowUs: Micros, token: Token, outcome: CommitOutcome, content: TakenContent | null): void;
  beaten(nowUs: Micros, token: Token, outcome: CommitOutcome): void;
  committed(nowUs: Micros, token: Token, outcome: CommitOutcome): void;
}

/** Words that a machine says to operators: an event name from a registry and fields; never secrets, never per I/O. */
export interface Log {
  event(
    level: 'debug' | 'info' | 'warn' | 'error',
    name: string,
    fields: Readonly<Record<string, string | number | boolean>>,
  ): void;
}

/** What every machine offers its shell. */
export interface Machine {
  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void;
  linkDown(nowUs: Micros, link: LinkId, reason: string): void;
  frame(
    nowUs: Micros,
    link: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean;
  tick(nowUs: Micros): void;
  /** After a batch of inputs, before the shell flushes the links: the place for work that is cheaper for many at once. */
  endBatch?(nowUs: Micros): void;
  /** When `tick` wants to be called next; Infinity: never. */
  nextDeadlineUs(): Micros;
}

/** Where caches have their memory from. */
export interface CacheMemory {
  /** Whether so much may be taken in all, with something left for everybody else on the host. */
  hasRoom(totalBytes: number): boolean;
  /** Zeroed memory with a buffer of its own, or null: it cannot be had. */
  take(lengthBytes: number): Uint8Array | null;
  /** Gives it back to the system at once; nobody may look at it any more. */
  give(bytes: Uint8Array): void;
}
