// THE route table of the gateway, put together from the topics. Literal paths stand before generic ones.

import { ATTACHMENT_ROUTES } from './endpoints/attachments.js';
import { ALERT_ROUTES } from './endpoints/alerts.js';
import { CACHING_ROUTES } from './endpoints/caching.js';
import { CONFIGURATION_ROUTES } from './endpoints/configuration.js';
import { COPYING_ROUTES } from './endpoints/copying.js';
import { SCANNER_ROUTES } from './endpoints/scanner.js';
import { MDM_ROUTES } from './endpoints/mdms.js';
import { DASHBOARD_ROUTES } from './endpoints/dashboard.js';
import { GENERIC_ROUTES } from './endpoints/generic.js';
import { HOST_ROUTES } from './endpoints/hosts.js';
import { SNAPSHOT_POLICY_ROUTES } from './endpoints/snapshot-policies.js';
import { SNAPSHOT_ROUTES } from './endpoints/snapshots.js';
import { STATISTICS_ROUTES } from './endpoints/statistics.js';
import { UNSUPPORTED_ROUTES } from './endpoints/unsupported.js';
import { VOLUME_ROUTES } from './endpoints/volumes.js';
import { EMPTY_TYPES, TYPES } from './object-types.js';
import type { Route } from './route.js';

export const ROUTES: readonly Route[] = [
  ...VOLUME_ROUTES,
  ...SNAPSHOT_ROUTES,
  ...SNAPSHOT_POLICY_ROUTES,
  ...ATTACHMENT_ROUTES,
  ...CONFIGURATION_ROUTES,
  ...COPYING_ROUTES,
  ...CACHING_ROUTES,
  ...SCANNER_ROUTES,
  ...MDM_ROUTES,
  ...HOST_ROUTES,
  ...STATISTICS_ROUTES,
  ...ALERT_ROUTES,
  ...UNSUPPORTED_ROUTES,
  ...DASHBOARD_ROUTES,
  ...GENERIC_ROUTES,
];

function bodyOf({ schema }: Route): string {
  const properties = Object.keys((schema?.['properties'] ?? {}) as object);
  const required = (schema?.['required'] ?? []) as readonly string[];
  const optional = properties.filter((name) => !required.includes(name));
  return [...required, ...optional.map((name) => `${name}?`)].join(', ');
}

const CONVENTIONS = `# REST interface

Made from the route table (\`backend/gateway/routes.ts\`); the test of the table compares.

* \`GET /api/login\` with HTTP Basic (user, password) answers a token as a JSON string. Every other call takes it as the
  password of HTTP Basic (the user is ignored) or as \`Authorization: Bearer\`. \`POST /rest/auth/login\` takes
  \`{"username", "password"}\` and answers \`{"access_token", "refresh_token"}\`. \`GET /api/version\` needs no token.
* A token is signed and good at every gateway of the system. It ends 8 hours after login, and with the user or the
  password it was got for. \`GET /api/logout\` and 10 minutes without use end it at the gateway that saw them; another
  gateway may take it until its 8 hours are over. Gateways share no state, so more is not possible.
* After five wrong passwords in a row for a user from one address, further logins from there are refused unchecked for
  1, 2, 4 ... 60 seconds.
* Success is always 200 with JSON; actions answer \`{}\`. Failure is \`{"message", "httpStatusCode", "errorCode"}\`.
* A listening address holds 1,024 connections. One more takes the place of the oldest that never sent a whole request,
  otherwise of the one that has waited longest for its next; a connection whose request is being answered stays.
* In requests numbers may be strings, booleans "TRUE", "True", "true" or JSON's own; null means absent; unknown keys are
  ignored. A body has at most 1 MiB.
* Creation of a volume rounds its size up to 8 GiB; a new size must be a multiple of 8 GiB and not smaller. With
  \`sizeGranularityInGb: 1\` both go by 1 GiB.
* Each mapping has a generation, never used again for its volume. \`removeMappedSdc\` with \`mappingGeneration\` takes away
  only that one. \`holdMappedSdc\` maps a volume unless it is mapped and notes a \`holder\`; \`releaseMappedSdc\` strikes the
  holder out and unmaps when nobody else is noted; both answer \`mappingGeneration\` and whether others share it.
* Snapshots of all volumes that one \`snapshotVolumes\` names are as of one moment, and none is there before all are; it answers
  when they are, or with the reason why not (error 32: nothing was changed, it may be asked again). They are volumes like any other:
  written, mapped, enlarged, snapshots of them made. \`createSnapshot\` and \`createThinClone\` are other names of it. More than 126 in a
  VTree are error 182, with \`details\`. \`overwriteVolumeContent\` wants both volumes unmapped and of one size.
* A snapshot policy makes snapshots of its source volumes as of one moment every \`autoSnapshotCreationCadenceInMin\` and removes what
  its levels do not retain: a level keeps the latest so many as it has, each as far apart as all that the level before it retains; at most
  6 levels and 60 snapshots. A run that fails is an alert, and the next one is made as planned; runs that nobody was there for are made
  up for by one. A locked auto snapshot stays and is marked when its time is over; one that is mapped stays until it is not.
* A secure snapshot (\`retentionPeriodInMin\`, \`setSnapshotSecurity\`, \`secureSnapshots\` of a policy) is read-only and can be neither removed
  nor written over nor made less secure by anybody before \`secureSnapshotExpTime\` (error 736), also not with its V-tree or its policy.
  That time goes by as MDMs run: while there is none it stands still, and a clock that is set ahead does not end it early.
* \`removeVolume\` takes \`removeMode\`: \`ONLY_ME\` (what was a snapshot of it stays), \`INCLUDING_DESCENDANTS\`, \`DESCENDANTS_ONLY\` or
  \`WHOLE_VTREE\`; all that it names goes, or nothing.
* \`confirmVTree\` (administrators), after a restore of metadata that is older than a snapshot: the volumes of the VTree are served as
  the metadata has them.
* Names in \`getByName\` may be percent-encoded once or twice. GUIDs are read in any case, trimmed. The GUID of zeroes is
  what os-brick sees on a host whose kernel has no CUSE: it stands for the only approved SDC that declares it; where two
  do, the request is refused and both are named.
* Without a token: \`GET /health/live\` (this process answers), \`GET /health/ready\` (200 when the MDM answers, otherwise
  503). \`GET /metrics\` for Prometheus takes name and password of any user by HTTP Basic, or a token. \`GET /dashboard/\` is
  the page for people.
* \`backupMetadata\` (administrators) answers \`systemId, systemName, takenAtMs, objects, commit, sizeInBytes\` and \`content\`, which
  is in base64 the file that meshsan-mdm-restore reads, up to 64 MiB of it. \`raiseClusterVersion\` ends an upgrade, without \`version\`
  with the newest that the gateway knows.
* A client that asks for \`version=2.0\` or older in \`Accept\` gets four fields per mapping in \`mappedSdcInfo\`.
`;

/** The reference page of the interface. */
export function routesPage(): string {
  const rows = ROUTES.map((route) => {
    const body = bodyOf(route);
    return `| ${route.method} | \`${route.path}\` | ${body === '' ? '' : `\`${body}\``} |`;
  });
  return [
    CONVENTIONS,
    `\`{type}\` is one of ${[...TYPES.keys()].join(', ')}. Lists of ${EMPTY_TYPES.join(', ')} are empty.`,
    '',
    '| method | path | body |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
