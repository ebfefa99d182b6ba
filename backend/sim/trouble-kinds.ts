// Kinds of trouble, and which of them belong together. It owns their names; it must never do any of them.

/** Kinds of trouble, with the weight of each in this scenario; 0: it never happens. */
export interface TroubleWeights {
  crashData: number;
  crashControl: number;
  crashServer: number;
  powerServer: number;
  powerAll: number;
  crashMdm: number;
  crashClient: number;
  pauseData: number;
  pauseControl: number;
  pauseMdm: number;
  pauseClient: number;
  cutServers: number;
  cutOneWay: number;
  cutClient: number;
  cutMdm: number;
  slowNetwork: number;
  stallLink: number;
  breakLink: number;
  slowDisk: number;
  failDisk: number;
  rot: number;
  lostWrite: number;
  misdirectedWrite: number;
  tornWrite: number;
  lyingFlush: number;
  unmap: number;
  resize: number;
  removeVolume: number;
  takePort: number;
  muteLinks: number;
  slowStore: number;
  ambush: number;
  island: number;
  cutStore: number;
  stopStore: number;
  fillStore: number;
  endMdm: number;
  stayAway: number;
  crashFaultSet: number;
  powerFaultSet: number;
  stayAwayFaultSet: number;
  stopDomain: number;
  stopRebuild: number;
  restServer: number;
  emptyServer: number;
  addServer: number;
  removeServer: number;
  moveServer: number;
  switchMdms: number;
  exchangeMdm: number;
  crashTieBreaker: number;
  ailDisk: number;
  restoreMdm: number;
  setSpare: number;
  setCache: number;
  setLimits: number;
  snapshot: number;
  revertVolume: number;
  lateSwitch: number;
  leaveRevert: number;
  setFullPolicy: number;
  autoSnapshots: number;
}

export type TroubleKind = keyof TroubleWeights;

/** Kinds that may happen in every scenario. */
export const KINDS: readonly TroubleKind[] = [
  'crashData',
  'crashControl',
  'crashServer',
  'powerServer',
  'powerAll',
  'crashMdm',
  'crashClient',
  'pauseData',
  'pauseControl',
  'pauseMdm',
  'pauseClient',
  'cutServers',
  'cutOneWay',
  'cutClient',
  'cutMdm',
  'slowNetwork',
  'stallLink',
  'breakLink',
  'slowDisk',
  'failDisk',
  'rot',
  'lostWrite',
  'misdirectedWrite',
  'tornWrite',
  'lyingFlush',
  'unmap',
  'resize',
  'removeVolume',
];

/** Kinds that are drawn apart, so that the scenarios of seeds stay what they were before these came. */
export const FURTHER_KINDS: readonly TroubleKind[] = [
  'takePort',
  'muteLinks',
  'slowStore',
  'ambush',
  'ambush',
];

/** Kinds of scenarios with several MDMs. */
export const MDM_KINDS: readonly TroubleKind[] = [
  'crashMdm',
  'crashMdm',
  'pauseMdm',
  'pauseMdm',
  'cutStore',
  'cutStore',
  'cutMdm',
  'stopStore',
  'slowStore',
  'fillStore',
  'endMdm',
  'switchMdms',
  'switchMdms',
  'switchMdms',
  'exchangeMdm',
  'crashTieBreaker',
];

/** Kinds that only happen where data is moved. */
export const MOVE_KINDS: readonly TroubleKind[] = [
  'stayAway',
  'stayAway',
  'addServer',
  'removeServer',
];

/** Kinds of what operators decide about, and of what fails together by it; drawn apart as well. */
export const POLICY_KINDS: readonly TroubleKind[] = [
  'crashFaultSet',
  'powerFaultSet',
  'stayAwayFaultSet',
  'stopDomain',
  'restServer',
  'emptyServer',
];

/** Kinds that are drawn each by itself. */
export const SINGLE_KINDS: readonly TroubleKind[] = [
  'island',
  'moveServer',
  'restoreMdm',
  'setSpare',
  'setLimits',
  'stopRebuild',
  'snapshot',
  'revertVolume',
  'lateSwitch',
  'leaveRevert',
  'setCache',
  'setFullPolicy',
  'autoSnapshots',
];

/** Kinds that only happen where the MDM looks for slow devices. */
export const SLOW_KINDS: readonly TroubleKind[] = ['ailDisk'];

/** What makes a copy worthless: while the other one is being taken out, that would be one fault too many. */
export const DISK_FAULTS: readonly TroubleKind[] = [
  'failDisk',
  'rot',
  'lostWrite',
  'misdirectedWrite',
  'tornWrite',
  'lyingFlush',
];

/** Every kind of trouble with weight 0. */
export function noTrouble(): TroubleWeights {
  const weights: Partial<TroubleWeights> = {};
  const moved = [...MOVE_KINDS, ...POLICY_KINDS, ...SLOW_KINDS, ...SINGLE_KINDS];
  const all = [...KINDS, ...FURTHER_KINDS, ...MDM_KINDS, ...moved] as const;
  for (const kind of all) weights[kind] = 0;
  return weights as TroubleWeights;
}
