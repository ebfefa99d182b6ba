// A FUSE file system as the kernel sees it: opens /dev/fuse, has it mounted, reads requests, writes replies. It owns the
// descriptor and the buffer of requests; it must never look into a request. No synchronous call of this process may touch
// a path below a mount of its own: it would wait for itself.
//
// The kernel wants one read per request and one write per reply on the descriptor. Waiting for requests in threads would
// cost a thread per volume, so the descriptor is watched by the event loop like a socket: Node has no documented way to
// watch a descriptor of any other kind, so the handle class of unix sockets is taken from one (`_handle`, the same in
// Node 20, 22 and 24).

import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { Socket, connect } from 'node:net';
import { execa } from 'execa';
import { isMounted } from './block-device.js';
import type { Loop } from './loop.js';

const COMMAND_MS = 20_000;
const WATCH_MS = 20;
/** Where a program asks the kernel for a character device; only where the kernel has CUSE. */
export const CUSE = '/dev/cuse';

/** A conversation with the kernel, without I/O of its own. */
export interface FuseClient {
  /** Takes one request; false: no room for it now. */
  receive(bytes: Uint8Array, view: DataView, lengthBytes: number): boolean;
}

interface WatchedHandle {
  open(fd: number): number;
}
type HandleClass = new (type: number) => WatchedHandle;
const SOCKET_TYPE = 0;

let handleClass: HandleClass | null = null;

function watchable(): HandleClass {
  if (handleClass !== null) return handleClass;
  const probe = connect({ path: '/nonexistent/meshsan' });
  probe.on('error', () => probe.destroy());
  const { _handle: handle } = probe as unknown as { _handle: { constructor: HandleClass } | null };
  if (handle === null)
    throw new Error(`this version of Node (${process.version}) cannot watch /dev/fuse`);
  handleClass = handle.constructor;
  return handleClass;
}

/** What the kernel refuses in a reply that came too late: its request was interrupted, or the mount is gone. */
const LATE: readonly string[] = ['ENOENT', 'ENODEV'];

export class FuseMount {
  readonly mountPoint: string;
  readonly #fd: number;
  readonly #loop: Loop;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  readonly #client: FuseClient;
  /** Watches the descriptor, and closes it; null until the mount is there: the kernel lets nobody watch earlier. */
  #socket: Socket | null = null;
  /** Length of a request that was not taken yet. */
  #held = 0;
  #open = true;
  #closed = false;

  private constructor(
    device: string,
    mountPoint: string,
    loop: Loop,
    requestBytesMax: number,
    client: (mount: FuseMount) => FuseClient,
  ) {
    this.mountPoint = mountPoint;
    this.#loop = loop;
    this.#buffer = new Uint8Array(requestBytesMax);
    this.#view = new DataView(this.#buffer.buffer);
    this.#fd = openSync(device, constants.O_RDWR | constants.O_NONBLOCK);
    this.#client = client(this);
  }

  /**
   * Mounts a file system of one regular file over a file.
   *
   * @param source - shown as the device in the list of mounts
   * @throws Error when the system has no FUSE or refuses the mount
   */
  static async mount(
    mountPoint: string,
    source: string,
    readOnly: boolean,
    requestBytesMax: number,
    loop: Loop,
    client: (mount: FuseMount) => FuseClient,
  ): Promise<FuseMount> {
    const mount = new FuseMount('/dev/fuse', mountPoint, loop, requestBytesMax, client);
    const options = ['fd=3', 'rootmode=100000', 'user_id=0', 'group_id=0', 'subtype=meshsan'];
    if (readOnly) options.push('ro');
    // The command may look at what it mounted, so requests are answered before it ends.
    const timer = setInterval(() => {
      if (isMounted(mountPoint)) mount.#watch();
    }, WATCH_MS);
    try {
      // -i: no helper; the kernel takes the descriptor that the command inherits.
      await runWith(mount.#fd, 'mount', [
        ...['-i', '-t', 'fuse', '-o', options.join(',')],
        ...[source, mountPoint],
      ]);
      mount.#watch();
    } catch (error) {
      mount.end();
      throw error;
    } finally {
      clearInterval(timer);
    }
    return mount;
  }

  /**
   * Opens /dev/cuse: the kernel asks at once which character device it shall make, and keeps it until `end`.
   *
   * @throws Error when the system has no CUSE
   */
  static character(
    requestBytesMax: number,
    loop: Loop,
    client: (mount: FuseMount) => FuseClient,
  ): FuseMount {
    const mount = new FuseMount(CUSE, '', loop, requestBytesMax, client);
    mount.#watch();
    return mount;
  }

  #watch(): void {
    if (this.#socket !== null) return;
    const Handle = watchable();
    const handle = new Handle(SOCKET_TYPE);
    const code = handle.open(this.#fd);
    if (code !== 0) throw new Error(`/dev/fuse cannot be watched: error ${code}`);
    const settings = {
      handle,
      onread: {
        buffer: this.#buffer,
        callback: (count: number) => this.#received(count),
      },
    };
    const socket = new Socket(settings as ConstructorParameters<typeof Socket>[0]);
    // The end of a mount arrives as an error of the read; there is nothing else to learn from it.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#open = false;
    });
    this.#socket = socket;
    socket.resume();
  }

  /** One reply, in one write. */
  reply(bytes: Uint8Array, at: number, lengthBytes: number): void {
    if (!this.#open) return;
    try {
      writeSync(this.#fd, bytes, at, lengthBytes);
    } catch (error) {
      if (!LATE.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  /** Offers a request again that was not taken. */
  resume(): void {
    if (this.#held > 0 && this.#offer()) this.#socket?.resume();
  }

  /** Ends the connection with the kernel at once; whatever it waits for fails. The mount stays until it is taken away. */
  end(): void {
    this.#open = false;
    if (this.#socket !== null) this.#socket.destroy();
    else if (!this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  #received(count: number): boolean {
    this.#held = count;
    this.#loop.begin();
    const taken = this.#offer();
    this.#loop.end();
    return taken;
  }

  #offer(): boolean {
    if (!this.#client.receive(this.#buffer, this.#view, this.#held)) return false;
    this.#held = 0;
    return true;
  }
}

/** Runs a command that gets a descriptor of this process as its own number 3. */
function runWith(fd: number, command: string, args: readonly string[]): Promise<void> {
  return new Promise((done, failed) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe', fd],
      timeout: COMMAND_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env, LC_ALL: 'C' },
    });
    let words = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      words = (words + chunk).slice(0, 1000);
    });
    child.once('error', failed);
    child.once('close', (code) => {
      if (code === 0) done();
      else failed(new Error(`${command} failed (${String(code)}): ${words.trim()}`));
    });
  });
}

/**
 * Takes a mount away; what still uses it keeps it alive until it lets go.
 * @throws Error when the system refuses
 */
export async function unmountLazily(mountPoint: string): Promise<void> {
  await execa('umount', ['-l', '-i', mountPoint], {
    timeout: COMMAND_MS,
    stdin: 'ignore',
    env: { LC_ALL: 'C' },
  });
}
