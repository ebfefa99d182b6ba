// Which SDC serves a host.

import test from 'ava';

import { BridgeError } from '../../../cinder-bridge/bridge-error.js';
import type { MeshSdc } from '../../../cinder-bridge/gateway/cluster.js';
import { sdcOfHost } from '../../../cinder-bridge/hosts.js';
import type { HostFacts, HostRules } from '../../../cinder-bridge/hosts.js';

const guid = (digit: number): string => `${'0'.repeat(7)}${digit}-0000-0000-0000-000000000000`;

function sdc(
  digit: number,
  name: string | null,
  sdcIps: readonly string[],
  approved = true,
): MeshSdc {
  return {
    id: `s${digit}`,
    name,
    sdcGuid: guid(digit),
    sdcIps,
    sdcApproved: approved,
    mdmConnectionState: 'Connected',
  };
}

const SDCS = [
  sdc(1, 'compute1', ['10.0.0.1']),
  sdc(2, null, ['10.0.0.2', '10.1.0.2']),
  sdc(3, 'compute3', ['10.0.0.3'], false),
  sdc(4, 'far', ['10.0.0.9']),
  sdc(5, 'near', ['10.0.0.9']),
];
const NO_RULES: HostRules = { hosts: {}, defaultSdcGuid: null };

const idOf = (facts: HostFacts, rules: HostRules = NO_RULES): string =>
  sdcOfHost(facts, rules, SDCS).id;

function reason(facts: HostFacts, rules: HostRules = NO_RULES): string {
  try {
    return `found ${idOf(facts, rules)}`;
  } catch (error) {
    if (error instanceof BridgeError && error.code === 'notFound') return error.message;
    throw error;
  }
}

test('by GUID, by configuration, by name, by address, by default: in this order', (t) => {
  const rules = { hosts: { compute1: guid(2) }, defaultSdcGuid: guid(4) };
  t.is(idOf({ host: 'compute1', sdcGuid: `{${guid(1)}}` }, rules), 's1');
  t.is(idOf({ host: 'compute1' }, rules), 's2');
  t.is(idOf({ host: 'compute1.example.org' }, rules), 's2');
  t.is(idOf({ host: 'COMPUTE1.example.org' }), 's1');
  t.is(idOf({ host: 'elsewhere', ip: '10.1.0.2' }, rules), 's2');
  t.is(idOf({ host: 'compute1', ip: '10.0.0.2' }), 's1');
  t.is(idOf({ host: 'elsewhere', ip: '192.0.2.1' }, rules), 's4');
});

test('nothing is guessed', (t) => {
  t.regex(reason({ host: 'elsewhere' }), /no SDC is known for host elsewhere: name its GUID/);
  t.regex(reason({ host: 'x', ip: '192.0.2.1' }), /host x \(192\.0\.2\.1\)/);
  t.regex(reason({ host: 'x', ip: '10.0.0.9' }), /several SDCs .*: far, near/);
  t.regex(reason({ host: 'compute3' }), /not approved/);
  // A GUID that is named and unknown is an error, not a reason to try the next way.
  t.regex(reason({ host: 'compute1', sdcGuid: guid(8) }), /by the GUID that the host names/);
  t.regex(reason({ host: 'compute1' }, { ...NO_RULES, hosts: { compute1: guid(8) } }), /"hosts"/);
});
