// Commands on SDCs.

import { isIP } from 'node:net';

import { normalizeGuid } from '../../core/ids.js';
import type { RuntimeStatus, Sdc } from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { readFacts } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { clientValues } from '../../runtime/statistics/values.js';
import { bandwidthIn } from '../capacity.js';
import {
  bandwidthText,
  connectionState,
  nameOrNone,
  restrictedMode,
  versionText,
} from '../format.js';
import { SDC_REF, needed, sdcOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const topic = 'SDC';
const NEW_NAME: Option = {
  name: 'new_name',
  value: 'NAME',
  about: 'at most 31 characters',
  required: true,
};

function sdcLine(reader: ClusterReader, sdc: Sdc, status: RuntimeStatus | undefined): string {
  const version = versionText(status?.version ?? '');
  const host = sdc.addresses[0]?.host ?? 'N/A';
  return `SDC ID: ${reader.id(sdc.key)} Name: ${nameOrNone(sdc.name)} IP: ${host} State: ${connectionState(status?.liveness)} GUID: ${sdc.guid} OS Type: LINUX [Approved: ${sdc.approved ? 'yes' : 'no'}] Loaded Version: ${version} Installed Version: ${version}`;
}

function trafficOf(facts: Facts, sdc: Sdc): readonly string[] {
  const values = clientValues(facts.ratesBySdc.get(sdc.key) ?? []);
  return [
    `    Read bandwidth:  ${bandwidthText(bandwidthIn(values, 'userDataReadBwc'))}`,
    `    Write bandwidth:  ${bandwidthText(bandwidthIn(values, 'userDataWriteBwc'))}`,
  ];
}

function sdcData(reader: ClusterReader, sdc: Sdc, status: RuntimeStatus | undefined): object {
  return {
    id: reader.id(sdc.key),
    name: sdc.name,
    guid: sdc.guid,
    ips: sdc.addresses.map(({ host }) => host),
    approved: sdc.approved,
    connectionState: connectionState(status?.liveness),
  };
}

async function queryAllSdc(run: Run): Promise<Outcome> {
  const { reader } = run;
  const [facts, statuses] = await Promise.all([readFacts(reader), reader.statusByKey('sdc')]);
  const mode = restrictedMode(reader.system.approval);
  return outcome(
    [
      `MDM restricted SDC mode: ${mode.charAt(0).toUpperCase()}${mode.slice(1)}`,
      `Query all SDC returned ${facts.sdcs.length} SDC nodes.`,
      ...facts.sdcs.flatMap((sdc) => [
        sdcLine(reader, sdc, statuses.get(sdc.key)),
        ...trafficOf(facts, sdc),
        '',
      ]),
    ],
    facts.sdcs.map((sdc) => sdcData(reader, sdc, statuses.get(sdc.key))),
  );
}

async function querySdc(run: Run): Promise<Outcome> {
  const { reader } = run;
  const sdc = needed(await sdcOf(reader, run.values), 'SDC');
  const [facts, statuses] = await Promise.all([readFacts(reader), reader.statusByKey('sdc')]);
  const status = statuses.get(sdc.key);
  const volumes = (facts.mappingsBySdc.get(sdc.key) ?? []).map(({ volumeKey }) => {
    const volume = facts.volumes.find(({ key }) => key === volumeKey);
    return `    Volume ID: ${reader.id(volumeKey)} Name: ${nameOrNone(volume?.name ?? '')}`;
  });
  return outcome(
    [
      sdcLine(reader, sdc, status),
      ...trafficOf(facts, sdc),
      `    ${volumes.length} volumes mapped`,
      ...volumes,
    ],
    sdcData(reader, sdc, status),
  );
}

/** Approves by what the command line names, whether the SDC registered already or not. */
async function approve(run: Run, name: string): Promise<Outcome> {
  const { values } = run;
  const guid = values.get('sdc_guid');
  const host = values.get('sdc_ip');
  const wanted = guid === undefined ? '' : normalizeGuid(guid);
  if (wanted === null) throw new UsageError(`--sdc_guid must be a GUID, is "${guid ?? ''}"`);
  if (host !== undefined && isIP(host) === 0)
    throw new UsageError(`--sdc_ip must be an IP address, is "${host}"`);
  const named = guid === undefined && host === undefined ? await sdcOf(run.reader, values) : null;
  const { key } = await run.cluster.command('APPROVE_SDC', run.user, {
    key: named?.key ?? 0,
    guid: wanted,
    host: host ?? '',
  });
  if (name !== '' && (await run.cluster.query('sdc', [key])).length > 0)
    await run.cluster.command('RENAME_SDC', run.user, { key, name });
  const id = run.reader.id(key);
  return outcome(`Successfully added SDC. Object ID ${id}`, { id });
}

export const CLIENT_COMMANDS: readonly Command[] = [
  {
    name: 'add_sdc',
    topic,
    about: 'approve an SDC by address or GUID, known or not yet',
    options: [
      { name: 'sdc_ip', value: 'IP', about: 'its address', group: 'sdc', required: true },
      { name: 'sdc_guid', value: 'GUID', about: 'its GUID', group: 'sdc', required: true },
      { name: 'sdc_name', value: 'NAME', about: 'new name, where it is known already' },
    ],
    run: (run) => approve(run, run.values.get('sdc_name') ?? ''),
  },
  {
    name: 'approve_sdc',
    topic,
    about: 'approve an SDC',
    options: SDC_REF,
    run: (run) => approve(run, ''),
  },
  {
    name: 'remove_sdc',
    topic,
    about: 'forget a disconnected SDC without mappings',
    options: SDC_REF,
    sure: 'The SDC will be removed.',
    run: async (run) => {
      const sdc = needed(await sdcOf(run.reader, run.values), 'SDC');
      await run.cluster.command('REMOVE_SDC', run.user, { key: sdc.key });
      return outcome(`Successfully removed SDC ${run.reader.id(sdc.key)}`);
    },
  },
  {
    name: 'rename_sdc',
    topic,
    about: 'rename an SDC',
    options: [...SDC_REF, NEW_NAME],
    run: async (run) => {
      const sdc = needed(await sdcOf(run.reader, run.values), 'SDC');
      const name = run.values.get('new_name') ?? '';
      await run.cluster.command('RENAME_SDC', run.user, { key: sdc.key, name });
      return outcome(`Successfully renamed SDC with ID ${run.reader.id(sdc.key)} to ${name}`);
    },
  },
  { name: 'query_sdc', topic, about: 'one SDC', options: SDC_REF, run: querySdc },
  { name: 'query_all_sdc', topic, about: 'all SDCs', options: [], run: queryAllSdc },
];
