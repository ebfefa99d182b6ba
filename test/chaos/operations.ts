// What an operator does to servers under load: takes a device into the pool and out again, sends a server into maintenance and
// back. It owns these two; whatever the MDM refuses for a reason is left undone, and said.

import { closeSync, ftruncateSync, openSync, rmSync } from 'node:fs';

import { ADMIN_NAME } from '../../backend/deploy/local/layout.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { until } from '../support/until.js';
import type { Heal } from './network.js';
import type { Rig } from './rig.js';

const DEVICE_BYTES = 2 ** 30;
/** Little lies on a device here: what takes longer does not end. */
const DONE_MS = 120_000;

const nothing: Heal = () => Promise.resolve();

/** Asks until there is an answer; null: refused. */
async function insist<T extends object>(
  what: string,
  say: (text: string) => void,
  ask: () => Promise<T | null>,
): Promise<T | null> {
  const answer = await until<T | 'refused'>(
    what,
    async () => {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        const { class: kind } = error.info;
        if (kind === 'retry' || kind === 'maybe') return null;
        say(`${what}: refused: ${error.message}`);
        return 'refused';
      }
    },
    DONE_MS,
  );
  return answer === 'refused' ? null : answer;
}

/** Gives a server one more device; it is removed again, with what came to lie on it. */
export async function addDevice(
  rig: Rig,
  server: string,
  number: number,
  say: (text: string) => void,
): Promise<Heal> {
  const { mdm } = rig;
  const name = `extra${number}`;
  const path = rig.onDisk(server, name);
  const file = openSync(path, 'wx', 0o600);
  ftruncateSync(file, DEVICE_BYTES);
  closeSync(file);
  const find = async () => (await mdm.query('device')).find((device) => device.path === path);
  const added = await insist(`${server} gets another device`, say, async () => {
    // An answer may have been lost.
    const known = await find();
    if (known !== undefined) return known;
    const sds = (await mdm.query('sds')).find((one) => one.name === server);
    const [pool] = await mdm.query('storagePool');
    if (sds === undefined || pool === undefined) throw new Error(`no server is named ${server}`);
    const device = { poolKey: pool.key, path, name, force: false };
    await mdm.command('ADD_DEVICE', ADMIN_NAME, { sdsKey: sds.key, device });
    return (await find()) ?? null;
  });
  if (added === null) return nothing;
  const { key } = added;
  return async () => {
    say(`removing the other device of ${server}`);
    await insist(`the other device of ${server} is gone`, say, async () => {
      const device = (await mdm.query('device', [key]))[0];
      if (device === undefined) return {};
      if (!device.removing) await mdm.command('REMOVE_DEVICE', ADMIN_NAME, { key, force: false });
      return null;
    });
    rmSync(path, { force: true });
  };
}

/** Sends a server into maintenance; it comes back. */
export async function maintain(
  rig: Rig,
  server: string,
  maintenance: 'instant' | 'protected',
  say: (text: string) => void,
): Promise<Heal> {
  const { mdm } = rig;
  const find = async () => {
    const sds = (await mdm.query('sds')).find((one) => one.name === server);
    if (sds === undefined) throw new Error(`no server is named ${server}`);
    return sds;
  };
  const { key } = await until('the MDM answers', () => find().catch(() => null));
  const entered = await insist(`${server} goes into maintenance`, say, async () => {
    if ((await find()).maintenance === 'none')
      await mdm.command('ENTER_MAINTENANCE', ADMIN_NAME, { key, maintenance });
    return {};
  });
  if (entered === null) return nothing;
  return async () => {
    say(`${server} comes back from maintenance`);
    await until(
      `${server} is back from maintenance`,
      async () => {
        try {
          const sds = await find();
          if (sds.maintenance === 'none') return true;
          if (sds.maintenanceStage !== 'exiting') {
            const abort = sds.maintenanceStage === 'entering';
            await mdm.command('EXIT_MAINTENANCE', ADMIN_NAME, { key, abort, force: false });
          }
        } catch (error) {
          // It may not be connected yet, or have come a stage further meanwhile.
          if (!(error instanceof ClusterError)) throw error;
        }
        return null;
      },
      DONE_MS,
    );
  };
}
