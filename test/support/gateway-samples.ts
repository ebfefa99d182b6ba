// A gateway in front of a memory cluster with a thin volume, which is mapped and busy, and a thick one.

import { GatewayHarness, at } from './gateway-harness.js';

export async function startWithVolumes(): Promise<GatewayHarness> {
  const gateway = await GatewayHarness.start();
  const pool = at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id');
  const volumes = '/api/types/Volume/instances';
  await gateway.post(volumes, {
    storagePoolId: pool,
    name: 'thin',
    volumeSizeInKb: '8388608',
    volumeType: 'ThinProvisioned',
  });
  await gateway.post(volumes, { storagePoolId: pool, name: 'thick', volumeSizeInKb: '16777216' });
  const [thin] = gateway.cluster.tables.volume;
  const [sdc] = gateway.cluster.tables.sdc;
  if (thin === undefined || sdc === undefined) throw new Error('no volume or SDC');
  await gateway.cluster.command('MAP_VOLUME', 'admin', {
    volumeKey: thin.key,
    sdcKey: sdc.key,
    allowMultiple: false,
    access: 'readWrite',
  });
  gateway.cluster.volumeUsage.push({
    volumeKey: thin.key,
    rawBytes: 2 * 2 ** 30,
    netBytes: 2 ** 30,
    sharedNetBytes: 0,
  });
  gateway.cluster.rates.push({
    key: thin.key,
    readOps: 10,
    readBytes: 40_960,
    writeOps: 5,
    writeBytes: 20_480,
    trimOps: 0,
    trimBytes: 0,
    readMicros: 2_000,
    writeMicros: 1_500,
    throttledOps: 3,
    throttledMicros: 90_000,
    ...{ cachedReadOps: 7, cachedReadBytes: 70_000 },
  });
  return gateway;
}
