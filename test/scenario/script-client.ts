// A client host whose requests a story gives one by one. It takes the place of a client of the simulated cluster: same
// host, same GUID, so the MDM gives it that client's volumes. It owns the words of the requests' contents: one number per
// sector.

import { MDM_CLIENT_DEFAULTS } from '../../backend/mdm-client/options.js';
import { ERRNO, IO } from '../../backend/sdc/block-front.js';
import type { BlockFront, BlockVolume, IoKind } from '../../backend/sdc/block-front.js';
import { CLIENT_DEFAULTS } from '../../backend/sdc/options.js';
import { Sdc } from '../../backend/sdc/sdc.js';
import { SIM_GEOMETRY } from '../../backend/sim/client-node.js';
import type { SimCluster } from '../../backend/sim/cluster.js';
import { MDM_PORT } from '../../backend/sim/mdm-company.js';
import { SimProcess } from '../../backend/sim/process.js';

const SECTOR = SIM_GEOMETRY.sectorBytes;

/** A request of the story; `errno` -1: not answered yet. */
export interface StoryRequest {
  readonly kind: IoKind;
  readonly bytes: Uint8Array;
  errno: number;
}

export class ScriptClient implements BlockFront {
  readonly process: SimProcess;
  private readonly sdc: Sdc;
  private readonly volumes: BlockVolume[] = [];
  private readonly requests: StoryRequest[] = [];

  constructor(cluster: SimCluster, number: number) {
    const node = cluster.clients[number - 1];
    const mdmHost = cluster.mdm.process?.host;
    if (node === undefined || mdmHost === undefined)
      throw new Error(`there is no client ${number}`);
    node.kill(false);
    const identity = { role: 'sdc' as const, key: 0, incarnation: 0, run: 0 };
    this.process = new SimProcess(
      cluster.sim,
      node.host,
      `story${number}`,
      200 + number,
      identity,
      0,
    );
    this.sdc = new Sdc(
      {
        links: cluster.network.linksOf(this.process),
        log: cluster.log.of(`story${number}`),
        front: this,
        registered: () => undefined,
      },
      {
        guid: `5D0C0000-0000-0000-0000-0000000000${String(number).padStart(2, '0')}`,
        name: `sdc${number}`,
        addresses: [{ host: node.host.address, role: 'all' }],
        version: 'story',
        zeroGuid: false,
      },
      {
        ...CLIENT_DEFAULTS,
        mdm: {
          ...MDM_CLIENT_DEFAULTS,
          addresses: [{ host: mdmHost.address, port: MDM_PORT }],
          seed: 77 + number,
        },
        geometry: SIM_GEOMETRY,
        ioBytesMax: SIM_GEOMETRY.blockBytes * 4,
        linksPerDevice: 1,
        inFlightPerLinkMax: 16,
        opsMax: 24,
        requestsMax: 16,
        ioTimeoutUs: Infinity,
      },
    );
    this.process.attach(this.sdc);
    this.process.input((nowUs) => {
      this.sdc.start(nowUs);
    });
  }

  get ready(): boolean {
    return this.volumes.length > 0;
  }

  /** Sectors that carry `value`, or a read; the answer lands in what is returned. */
  submit(
    kind: IoKind,
    firstSector: number,
    sectors: number,
    value: number,
    fua: boolean,
  ): StoryRequest {
    const [volume] = this.volumes;
    if (volume === undefined) throw new Error('the client has no volume');
    const request = { kind, bytes: new Uint8Array(sectors * SECTOR), errno: -1 };
    const view = new DataView(request.bytes.buffer);
    if (kind === IO.write)
      for (let sector = 0; sector < sectors; sector++) view.setUint32(sector * SECTOR, value, true);
    const token = this.requests.push(request) - 1;
    this.process.input((nowUs) => {
      const { key } = volume;
      const at = firstSector * SECTOR;
      const length = sectors * SECTOR;
      if (!this.sdc.submit(nowUs, key, kind, at, length, fua, request.bytes, 0, token))
        throw new Error('the client has no room for the request');
    });
    return request;
  }

  /** What a read that was answered saw. */
  static seen(request: StoryRequest): readonly number[] {
    const view = new DataView(request.bytes.buffer);
    const count = request.bytes.length / SECTOR;
    return Array.from({ length: count }, (_, sector) => view.getUint32(sector * SECTOR, true));
  }

  volumeAdded(_nowUs: number, volume: BlockVolume): void {
    this.volumes.push(volume);
  }

  volumeChanged(): void {
    // Stories do not resize.
  }

  volumeRemoved(_nowUs: number, volumeKey: number): void {
    const place = this.volumes.findIndex(({ key }) => key === volumeKey);
    this.volumes.splice(place, 1);
  }

  ioDone(_nowUs: number, token: number, errno: number): void {
    const request = this.requests[token];
    if (request === undefined) throw new Error('an answer to nothing');
    request.errno = errno;
  }

  roomAgain(): void {
    // Stories ask for little at a time.
  }
}

export { ERRNO };
