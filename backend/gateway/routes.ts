// THE route table of the gateway, put together from the topics. Literal paths stand before generic ones.

import { CONFIGURATION_ROUTES } from './endpoints/configuration.js';
import { GENERIC_ROUTES } from './endpoints/generic.js';
import { HOST_ROUTES } from './endpoints/hosts.js';
import { STATISTICS_ROUTES } from './endpoints/statistics.js';
import { VOLUME_ROUTES } from './endpoints/volumes.js';
import type { Route } from './route.js';

export const ROUTES: readonly Route[] = [
  ...VOLUME_ROUTES,
  ...CONFIGURATION_ROUTES,
  ...HOST_ROUTES,
  ...STATISTICS_ROUTES,
  ...GENERIC_ROUTES,
];
