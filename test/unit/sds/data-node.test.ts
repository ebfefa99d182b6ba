// A data machine alone on a model device: how it begins and how it ends.

import test from 'ava';

import { NO_DISK_TIMES } from '../../../backend/core/disk-meter.js';
import type { DiskTimes } from '../../../backend/core/disk-meter.js';
import type { Links, Log, Region } from '../../../backend/core/ports.js';
import { DataNode } from '../../../backend/sds/data-node.js';
import { DATA_DEFAULTS } from '../../../backend/sds/options.js';
import { DeviceStore } from '../../../backend/sds/store/device-store.js';
import { DEFAULT_STORE_OPTIONS } from '../../../backend/sds/store/defaults.js';
import type { StoreHost } from '../../../backend/sds/store/store.js';

const GEOMETRY = { sectorBytes: 8, blockBytes: 64, chunkBlocks: 8, unitBlocks: 2 };
const SILENT: Log = {
  event: () => undefined,
};

class NoLinks implements Links {
  readonly closed: number[] = [];
  private next = 1;
  identify(): void {
    // Nobody asks.
  }
  connect(): void {
    // Nobody answers.
  }
  newLink(): number {
    return this.next++;
  }
  close(link: number): void {
    this.closed.push(link);
  }
  reserve(_link: number, bytes: number): Region {
    const memory = new Uint8Array(bytes);
    return { bytes: memory, view: new DataView(memory.buffer), at: 0 };
  }
  resume(): void {
    // Nothing was refused.
  }
  pendingBytes(): number {
    return 0;
  }
}

/** A disk whose every operation succeeds, in order, when asked. */
class EasyDisk {
  readonly sizeBytes = 1 << 20;
  private readonly tokens: number[] = [];
  write(token: number): void {
    this.tokens.push(token);
  }
  read(token: number, _offset: number, bytes: Uint8Array, at: number, length: number): void {
    bytes.fill(0, at, at + length);
    this.tokens.push(token);
  }
  writeDurable(token: number): void {
    this.tokens.push(token);
  }
  flush(token: number): void {
    this.tokens.push(token);
  }
  times(): DiskTimes {
    return NO_DISK_TIMES;
  }
  drain(node: DataNode): void {
    for (let token = this.tokens.shift(); token !== undefined; token = this.tokens.shift())
      node.diskDone(1, token, true);
  }
}

test('a device without our signature is refused, once, and nothing goes on after that', (t) => {
  const ends: string[] = [];
  const disk = new EasyDisk();
  const node = new DataNode(
    {
      links: new NoLinks(),
      log: SILENT,
      openStore: (host: StoreHost) =>
        new DeviceStore(
          disk,
          GEOMETRY,
          { ...DEFAULT_STORE_OPTIONS, allocate: (length) => new Uint8Array(length) },
          host,
        ),
      ended: (end, reason) => {
        ends.push(`${end}: ${reason}`);
      },
    },
    { sdsKey: 1, dataPort: 7073, version: 'test', bootId: 'boot' },
    { ...DATA_DEFAULTS, mdmAddresses: [], seed: 1 },
  );
  node.start(0);
  disk.drain(node);
  node.endBatch(2);
  t.is(ends.length, 1);
  t.regex(ends[0] ?? '', /^refused: /);
  node.stop(3);
  node.tick(4);
  t.is(ends.length, 1);
  t.is(node.nextDeadlineUs(), Infinity);
});
