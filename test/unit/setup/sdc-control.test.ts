// Requests on the client's control socket where it uses several systems: equal ids, systems that are away, wrong words.

import test from 'ava';
import type { DeviceFacts } from '../../../backend/bin/holder-attachment.js';
import { SdcControl } from '../../../backend/bin/sdc-control.js';
import { ControlRefusal } from '../../../backend/runtime/control-socket.js';

const GUID = '0B5E7C1A-8F52-4A0E-9D3C-5E1F2A3B4C5D';
const VOLUME = '4d53415600000007';
const ONE = '4d53415600000001';
const OTHER = '9a9a9a9a00000001';

/** A system with one volume; both systems here have one of the same id. */
class Played {
  readonly systemId: string;
  isCurrent = true;
  isMapped = true;
  device: DeviceFacts | null = null;
  /** Its servers are away: what is done with its devices does not end. */
  hangs = false;
  readonly attachments = {
    attach: async (volumeId: string): Promise<DeviceFacts> => {
      this.device = {
        ...{ volumeId, systemId: this.systemId, state: 'attached', method: 'fuse' },
        ...{ sizeBytes: 512, device: `/dev/scini-${this.systemId}`, blockDevice: '/dev/loop0' },
        ...{ links: [], connected: true, repeated: 0 },
      };
      return Promise.resolve(this.device);
    },
    detach: async (): Promise<void> => {
      this.device = null;
      return Promise.resolve();
    },
    deviceOf: () => this.device,
    release: async () => Promise.resolve({ kept: this.device === null ? [] : ['in use'] }),
    settled: async () => (this.hangs ? new Promise<void>(() => undefined) : Promise.resolve()),
  };

  constructor(systemId: string) {
    this.systemId = systemId;
  }

  volumes() {
    if (!this.isMapped) return [];
    const { systemId } = this;
    return [
      { id: VOLUME, systemId, name: 'v', sizeBytes: 512, readOnly: false, socket: `/${systemId}` },
    ];
  }
}

class Rig {
  readonly one = new Played(ONE);
  readonly other = new Played(OTHER);
  readonly changes: unknown[][] = [];
  readonly control = new SdcControl(
    { guid: GUID, drvCfgFile: '/var/lib/drv_cfg.txt' },
    {
      usable: [this.one, this.other],
      describe: () =>
        [this.one, this.other].map(({ systemId, isCurrent }) => ({
          ...{ systemId, sdcId: '', approved: true, connected: isCurrent, mdm: [], fault: '' },
        })),
      add: (...words: unknown[]) => void this.changes.push(words),
      modify: (...words: unknown[]) => void this.changes.push(words),
      remove: async (...words: unknown[]) => {
        this.changes.push(words);
        return Promise.resolve();
      },
    },
  );

  async refusal(request: Record<string, unknown>): Promise<string> {
    return this.control.answer(request).then(
      () => 'no refusal',
      (error: unknown) => (error instanceof ControlRefusal ? error.message : 'no ControlRefusal'),
    );
  }
}

test('volumes of one id in two systems are told apart, or refused', async (t) => {
  const rig = new Rig();
  const { volumes } = (await rig.control.answer({ op: 'status' })) as {
    volumes: { socket: string }[];
  };
  t.deepEqual(
    volumes.map(({ socket }) => socket),
    [`/${ONE}`, `/${OTHER}`],
  );
  t.regex(
    await rig.refusal({ op: 'attach', volume: VOLUME }),
    new RegExp(`mapped from systems ${ONE} and ${OTHER}: "system" must say which`),
  );
  await rig.control.answer({ op: 'attach', volume: VOLUME, system: OTHER.toUpperCase() });
  t.is(rig.one.device, null);
  t.is(rig.other.device?.systemId, OTHER);
  t.regex(await rig.refusal({ op: 'detach', volume: VOLUME }), /must say which/);
  await rig.control.answer({ op: 'detach', volume: VOLUME, system: OTHER });
  t.is(rig.other.device, null);
  rig.one.isMapped = false;
  await rig.control.answer({ op: 'attach', volume: VOLUME });
  t.is(rig.other.device?.systemId, OTHER, 'where only one has it, nobody needs to say');
});

test('a system that this host does not use has no volume here', async (t) => {
  const rig = new Rig();
  const system = '1111111100000001';
  t.regex(
    await rig.refusal({ op: 'attach', volume: VOLUME, system }),
    /not mapped to this host from system 1111111100000001/,
  );
  t.deepEqual(await rig.control.answer({ op: 'detach', volume: VOLUME, system }), {});
});

test('a scan waits neither for an MDM that is away nor for its devices', async (t) => {
  const rig = new Rig();
  rig.other.isCurrent = false;
  rig.other.hangs = true;
  const { systems } = (await rig.control.answer({ op: 'rescan' })) as {
    systems: { connected: boolean }[];
  };
  t.deepEqual(
    systems.map(({ connected }) => connected),
    [true, false],
  );
});

test('a release takes the devices of all systems, and says what stays', async (t) => {
  const rig = new Rig();
  await rig.control.answer({ op: 'attach', volume: VOLUME, system: OTHER });
  t.deepEqual(await rig.control.answer({ op: 'release' }), { kept: ['in use'] });
});

test('changes of systems are judged before anything is changed', async (t) => {
  const rig = new Rig();
  const mdm = [{ host: '10.0.0.1', port: 6611 }];
  for (const [request, words] of [
    [{ op: 'addMdm' }, /mdm/],
    [{ op: 'addMdm', mdm: [] }, /mdm/],
    [{ op: 'addMdm', mdm: [{ host: 'mdm1', port: 6611 }] }, /must be an IP address/],
    [{ op: 'addMdm', mdm: [{ host: '10.0.0.1', port: 0 }] }, /port/],
    [{ op: 'addMdm', mdm, secretFile: 'b' }, /secretFile must be an absolute path/],
    [{ op: 'addMdm', mdm, file: '/bin/emc/scaleio/drv_cfg.txt' }, /written to \/var\/lib\/drv_cfg/],
    [{ op: 'modMdm', mdm }, /newMdm/],
    [{ op: 'rmvMdm', mdm, force: 'yes' }, /force/],
    [{ op: 'attach', volume: VOLUME, system: 'one' }, /system/],
  ] as const)
    t.regex(await rig.refusal(request), words);
  t.deepEqual(rig.changes, []);
  await rig.control.answer({ op: 'addMdm', mdm, file: '/var/lib/drv_cfg.txt' });
  await rig.control.answer({ op: 'rmvMdm', mdm });
  t.deepEqual(rig.changes, [
    [mdm, null],
    [mdm, false],
  ]);
});
