// Objects as clients read them: the fields that each client cannot live without, and links that lead somewhere.

import test from 'ava';

import { at } from '../support/gateway-harness.js';
import type { GatewayHarness } from '../support/gateway-harness.js';
import { startWithVolumes } from '../support/gateway-samples.js';

let gateway: GatewayHarness;
test.before(async () => {
  gateway = await startWithVolumes();
});
test.after.always(() => gateway.stop());

type Form = 'string' | 'number' | 'boolean' | 'array' | 'text or null';

function formOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return value === null ? 'null' : typeof value;
}

/** Fields that pyscaleio's validators and the structures of goscaleio need, by type. */
const NEEDED: Readonly<Record<string, Readonly<Record<string, Form>>>> = {
  System: {
    id: 'string',
    name: 'string',
    installId: 'string',
    swid: 'string',
    systemVersionName: 'string',
    restrictedSdcModeEnabled: 'boolean',
    restrictedSdcMode: 'string',
    daysInstalled: 'number',
    capacityAlertHighThresholdPercent: 'number',
    capacityAlertCriticalThresholdPercent: 'number',
    capacityTimeLeftInDays: 'string',
    maxCapacityInGb: 'string',
    enterpriseFeaturesEnabled: 'boolean',
    isInitialLicense: 'boolean',
    defaultIsVolumeObfuscated: 'boolean',
    remoteReadOnlyLimitState: 'boolean',
    mdmMode: 'string',
    mdmClusterState: 'string',
    mdmManagementIPList: 'array',
    mdmManagementPort: 'number',
    primaryMdmActorIpList: 'array',
    primaryMdmActorPort: 'number',
    secondaryMdmActorIpList: 'array',
    secondaryMdmActorPort: 'number',
    tiebreakerMdmIpList: 'array',
    tiebreakerMdmActorPort: 'number',
    perfProfile: 'string',
  },
  ProtectionDomain: {
    id: 'string',
    name: 'string',
    systemId: 'string',
    protectionDomainState: 'string',
    rebuildNetworkThrottlingEnabled: 'boolean',
    rebalanceNetworkThrottlingEnabled: 'boolean',
    overallIoNetworkThrottlingEnabled: 'boolean',
    rfcacheEnabled: 'boolean',
  },
  StoragePool: {
    id: 'string',
    name: 'string',
    protectionDomainId: 'string',
    checksumEnabled: 'boolean',
    useRfcache: 'boolean',
    useRmcache: 'boolean',
    zeroPaddingEnabled: 'boolean',
    dataLayout: 'string',
    sparePercentage: 'number',
    rebuildEnabled: 'boolean',
    rebalanceEnabled: 'boolean',
    rmcacheWriteHandlingMode: 'string',
    numOfParallelRebuildRebalanceJobsPerDevice: 'number',
    rebuildIoPriorityPolicy: 'string',
    rebalanceIoPriorityPolicy: 'string',
    mediaType: 'text or null',
  },
  Sds: {
    id: 'string',
    name: 'string',
    protectionDomainId: 'string',
    ipList: 'array',
    port: 'number',
    sdsState: 'string',
    membershipState: 'string',
    mdmConnectionState: 'string',
    drlMode: 'string',
    rmcacheEnabled: 'boolean',
    rmcacheSizeInKb: 'number',
    rmcacheFrozen: 'boolean',
    isOnVmWare: 'boolean',
    faultSetId: 'text or null',
  },
  Device: {
    id: 'string',
    name: 'text or null',
    deviceCurrentPathname: 'string',
    deviceOriginalPathname: 'string',
    deviceCurrentPathName: 'string',
    deviceState: 'string',
    errorState: 'string',
    capacityLimitInKb: 'number',
    maxCapacityInKb: 'number',
    sdsId: 'string',
    storagePoolId: 'string',
  },
  Sdc: {
    id: 'string',
    name: 'text or null',
    sdcGuid: 'string',
    sdcIp: 'string',
    sdcApproved: 'boolean',
    mdmConnectionState: 'string',
    systemId: 'string',
    onVmWare: 'boolean',
    osType: 'string',
  },
  Volume: {
    id: 'string',
    name: 'string',
    sizeInKb: 'number',
    storagePoolId: 'string',
    useRmcache: 'boolean',
    volumeType: 'string',
    vtreeId: 'string',
    ancestorVolumeId: 'text or null',
    consistencyGroupId: 'text or null',
    creationTime: 'number',
    isObfuscated: 'boolean',
    mappingToAllSdcsEnabled: 'boolean',
  },
  VTree: { id: 'string', name: 'string', baseVolumeId: 'string', storagePoolId: 'string' },
};

for (const [type, fields] of Object.entries(NEEDED)) {
  test(`${type} has every field that clients need, in its list and alone`, async (t) => {
    const { json } = await gateway.get(`/api/types/${type}/instances`);
    const first = at(json, 0);
    for (const [name, form] of Object.entries(fields)) {
      const found = formOf(at(first, name));
      const right = form === 'text or null' ? ['string', 'null'].includes(found) : found === form;
      t.true(right, `${type}.${name} is ${found}, wanted ${form}`);
    }
    const alone = await gateway.get(`/api/instances/${type}::${String(at(first, 'id'))}`);
    t.deepEqual(alone.json, first);
    const chosen = await gateway.post(`/api/types/${type}/instances/action/queryBySelectedIds`, {
      ids: [at(first, 'id')],
    });
    t.deepEqual(chosen.json, [first]);
  });

  test(`every link of a ${type} leads somewhere`, async (t) => {
    const { json } = await gateway.get(`/api/types/${type}/instances`);
    const links = at(json, 0, 'links') as readonly { rel: string; href: string }[];
    const self = links.find(({ rel }) => rel === 'self');
    t.is(self?.href, `/api/instances/${type}::${String(at(json, 0, 'id'))}`);
    t.true(links.some(({ rel }) => rel === `/api/${type}/relationship/Statistics`));
    for (const { rel, href } of links) {
      const answer = await gateway.get(href);
      t.is(answer.status, 200, href);
      const isObject = rel === 'self' || rel.endsWith('/Statistics') || rel.includes('/parent/');
      t.is(Array.isArray(answer.json), !isObject, rel);
    }
  });
}
