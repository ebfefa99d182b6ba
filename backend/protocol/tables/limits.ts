// THE table of hard limits. Relations between limits are asserted where the table is loaded (generated/limits checks).
// It must never hold a default that an operator may change: those are options.

export interface LimitRow {
  readonly value: number;
  /** Why this number. */
  readonly why: string;
}

export const LIMITS = {
  blockBytes: {
    value: 4096,
    why: 'unit of checksum and linearizability; the physical sector that hosts see',
  },
  sectorBytes: { value: 512, why: 'logical sector that hosts see' },
  chunkBytes: {
    value: 1048576,
    why: 'unit of placement: small enough to spread a volume, large enough for 64 bytes of index',
  },
  unitBytes: {
    value: 65536,
    why: 'unit of allocation of snapshot layers and of redirected large writes',
  },
  ioBytesMax: {
    value: 262144,
    why: 'one frame occupies a connection for about 0.1 ms; larger requests are cut',
  },
  frameHeaderBytes: { value: 64, why: 'carries the ids of C1 and C10 in one cache line' },
  frameBodyBytesMax: { value: 1048576, why: 'bounds the receive buffer of a link' },
  nbdRequestBytesMax: {
    value: 33554432,
    why: 'what clients of the NBD protocol may send without asking',
  },
  nameBytesMax: { value: 31, why: 'of the original; its clients encode longer names' },
  hostBytesMax: { value: 45, why: 'longest text form of an IPv6 address' },
  guidBytesMax: { value: 36, why: '8-4-4-4-12' },
  pathBytesMax: { value: 1024, why: 'of a device' },
  reasonBytesMax: { value: 512, why: 'a sentence for people' },
  addressesMax: { value: 8, why: 'of the original' },
  combMembersMax: { value: 4, why: 'two copies, and two more while data moves' },
  combCountLog2Max: {
    value: 20,
    why: 'about a million combs: 1,024 SDSs with 100 devices each way',
  },
  concurrentCopiesMax: { value: 20, why: 'of the original' },
  copyKbpsMin: {
    value: 1024,
    why: 'a chunk a second: with less, nothing would ever be whole again',
  },
  scannerKbpsMin: { value: 10, why: 'of the original' },
  scannerKbpsMax: { value: 10_240, why: 'of the original: more would be felt by clients' },
  scanBlocksMax: { value: 256, why: 'a chunk' },
  combsPerPage: { value: 256, why: 'a page of the store stays below 20 KiB' },
  devicesPerSdsMax: { value: 64, why: 'data ports 7073 to 7136' },
  replacedDevicesMax: {
    value: 8,
    why: 'who changes his mind more often before a disk is formatted waits until it is',
  },
  usageSamplesMax: {
    value: 80,
    why: 'of a pool: two hours in steps of ten minutes, a day in hours, a week in six hours',
  },
  sdsMax: { value: 1024, why: 'of the original' },
  volumesMax: { value: 65536, why: 'more than the original: 32,768' },
  cutVolumesMax: { value: 1024, why: 'volumes of one consistency group' },
  cacheMiBMin: { value: 128, why: 'of the original' },
  cacheMiBMax: { value: 307200, why: '300 GiB, of the original' },
  cachedReadBytesMax: {
    value: 131072,
    why: 'of the original: larger reads go through whole volumes, and would push out what is read again',
  },
  layersPerVolumeMax: {
    value: 2048,
    why: 'a snapshot adds one; what merges have not taken out yet counts',
  },
  snapshotsPerVtreeMax: { value: 1024, why: 'layers of a volume stay below their limit' },
  sdcMax: { value: 2048, why: 'more than the original: 1,024' },
  attachmentsPerVolumeMax: {
    value: 1024,
    why: 'all instances that share a volume, on all hosts',
  },
  holderBytesMax: { value: 64, why: 'a UUID with a word before it' },
  snapshotPoliciesMax: { value: 1000, why: 'of the original' },
  policyLevelsMax: { value: 6, why: 'of the original' },
  policySnapshotsMax: { value: 60, why: 'of the original: what a policy retains of one volume' },
  policyCadenceMinMax: { value: 1051200, why: 'two years' },
  secureMinutesMax: { value: 52560000, why: 'a hundred years: what is secure cannot be undone' },
  mappingsPerVolumeMax: { value: 1024, why: 'one per SDC' },
  volumeSectorsMax: { value: 2199023255552, why: '1 PiB, as in the original' },
  mdmsMax: { value: 16, why: 'five members and standbys for each of them' },
  domainsMax: { value: 256, why: 'of the original' },
  faultSetsPerDomainMax: { value: 64, why: 'of the original' },
  sdsPerFaultSetMax: { value: 64, why: 'of the original' },
  poolsMax: { value: 1024, why: 'of the original' },
  usersMax: { value: 256, why: 'of the original' },
  openOpsMax: { value: 4096, why: 'operations of a client that wait while later ones are settled' },
  combOpsMax: { value: 4096, why: 'operations of one comb in one frame; more take more frames' },
  queryItemsMax: { value: 1000, why: 'a page of a query stays far below the largest frame' },
  backupPairsMax: { value: 4096, why: 'and as few as fit into a frame' },
  countersMax: { value: 512, why: 'one report stays below 64 KiB' },
  copyJobKindsMax: { value: 16, why: 'five are known' },
  clientInFlightMax: { value: 1024, why: 'operations of one client on one link' },
  deviceInFlightMax: { value: 4096, why: 'operations that one data process has admitted' },
  linksPerProcessMax: { value: 4096, why: 'sdcMax clients plus peers' },
  liaPackageBytesMax: {
    value: 268435456,
    why: 'a package file that is handed to the agent of a node; the largest, with Node, has 40 MiB',
  },
  liaPackagesMax: { value: 32, why: 'package files that an agent keeps: two versions of all' },
  liaJobsMax: { value: 256, why: 'jobs that an agent remembers, the oldest are forgotten' },
  liaJobsWaitingMax: { value: 16, why: 'one at a time is done; more waiting is a mistake' },
  liaJobOutputCharsMax: { value: 8192, why: 'the end of what a job printed says why it failed' },
  liaRequestBytesMax: { value: 65536, why: 'a job that names all packages stays below 8 KiB' },
  liaConnectionsMax: { value: 64, why: 'managers and operators of one node at the same time' },
  liaDevicesMax: { value: 1024, why: 'block devices in a report' },
  deviceCombsMin: {
    value: 8192,
    why: 'combs whose entries the smallest device keeps: 1 MiB of pages',
  },
  deviceCombsMax: {
    value: 262144,
    why: 'combs whose entries a device keeps at most: 32 MiB of pages, all of them resident',
  },
  deviceBytesMin: { value: 1073741824, why: '1 GiB: below it the reserves would eat the device' },
} as const satisfies Record<string, LimitRow>;
