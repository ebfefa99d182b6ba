// What happens to read caches: an operator switches them and changes their sizes, memory cannot be had, or its bits flip. It
// must never touch what is on a disk.

import { KEEP_POOL } from './operator-policies.js';
import type { Strike } from './trouble.js';

/** Sizes that an operator sets, in MiB. */
const SIZES = [128, 128, 256, 1024] as const;

/** One of all that can be done about a cache. */
export const setCache: Strike = ({ cluster: { operator, swarm }, server, prng, say }) => {
  if (swarm.cacheBlocks === 0) return false;
  const what = prng.pick(['size', 'sds', 'pool', 'writes', 'volume', 'flip', 'refuse'] as const);
  const target = server();
  const { number, device } = target;
  const memory = device.cacheMemory;
  const on = prng.chance(2, 3);
  const mib = prng.pick(SIZES);
  const volume = prng.pick(operator.volumes);
  if (what === 'flip') {
    if (memory?.flip(prng) !== true) return false;
    say(`flips bits in the read cache of server ${number}`);
    return true;
  }
  if (what === 'refuse') {
    if (memory === null) return false;
    say(`has no memory for the read cache of server ${number}`);
    memory.refusals += 1;
    return true;
  }
  say(`sets a read cache: ${what} ${on ? 'on' : 'off'} ${mib} MiB`);
  operator.soon(0, (nowUs) => {
    const { admin, policyWork, serverWork } = operator;
    const pool = { ...KEEP_POOL, key: policyWork.poolKey };
    const done = (): void => undefined;
    const sdsKey = serverWork.keyOf(target);
    if (what === 'pool') admin.ask(nowUs, 'SET_STORAGE_POOL', { ...pool, rmcache: on }, done);
    else if (what === 'writes') {
      const cacheWrites = on ? 'cached' : 'passthrough';
      admin.ask(nowUs, 'SET_STORAGE_POOL', { ...pool, cacheWrites }, done);
    } else if (what === 'volume')
      admin.ask(nowUs, 'SET_VOLUME_CACHE', { key: volume.key, rmcache: on }, done);
    else if (sdsKey !== 0) {
      const change = what === 'size' ? { enabled: null, mib } : { enabled: on, mib: null };
      admin.ask(nowUs, 'SET_SDS_CACHE', { key: sdsKey, ...change }, done);
    }
  });
  return true;
};
