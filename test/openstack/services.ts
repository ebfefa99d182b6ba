// Starts and stops the services of a cloud in their order. It owns no row of their tables.
import { Daemons, type Daemon } from './processes.js';
import { EXIT, RunError } from './progress.js';
import { connects, type Service } from './service.js';
import { computeServices } from './services-compute.js';
import { CORE_SERVICES } from './services-core.js';
import type { CloudState } from './state.js';

/** Generous: the machine may be busy with other things. */
const ANSWER_SECONDS = 240;

function daemonsOf(state: CloudState): Daemons {
  return new Daemons(state.run, state.log);
}

/** All services of a cloud. */
function servicesOf(state: CloudState): readonly Service[] {
  return state.scope === 'core' ? CORE_SERVICES : [...CORE_SERVICES, ...computeServices(state)];
}

/** Starts all services of a stage and waits until they answer. What runs already is left alone. */
export async function startStage(state: CloudState, stage: Service['stage']): Promise<void> {
  const daemons = daemonsOf(state);
  const services = servicesOf(state).filter((service) => service.stage === stage);
  for (const service of services)
    if (daemons.find(service.name) === undefined) daemons.start(daemonOf(state, service));
  await Promise.all(services.map((service) => ready(state, service)));
}

function daemonOf(state: CloudState, service: Service): Daemon {
  return {
    name: service.name,
    user: service.user,
    command: service.command(state),
    ...(service.env === undefined ? {} : { env: service.env(state) }),
  };
}

function ready(state: CloudState, service: Service): Promise<void> {
  return daemonsOf(state).ready(
    service.name,
    ANSWER_SECONDS,
    () => service.answers?.(state) ?? Promise.resolve(true),
  );
}

/** Ends a service and starts it again. */
export async function restartService(state: CloudState, name: string): Promise<void> {
  const service = servicesOf(state).find((one) => one.name === name);
  if (service === undefined) throw new RunError(`there is no service ${name}`);
  const daemons = daemonsOf(state);
  await daemons.stop(name, service.graceSeconds);
  daemons.start(daemonOf(state, service));
  await ready(state, service);
}

/** Refuses to start a cloud whose ports other programs have, before anything is done. */
export async function refuseTakenPorts(state: CloudState): Promise<void> {
  const daemons = daemonsOf(state);
  for (const service of servicesOf(state).filter(({ name }) => daemons.find(name) === undefined))
    for (const port of service.ports?.(state) ?? [])
      if (await connects(state.address, port))
        throw new RunError(
          `${service.name}: another program listens on ${state.address}:${port}; end it, or give --state another directory`,
          EXIT.unfit,
        );
}

/** Stops every service, last started first; services of one stage together. */
export async function stopServices(state: CloudState): Promise<void> {
  const daemons = daemonsOf(state);
  for (const stage of ['compute', 'cloud', 'identity'] as const)
    await Promise.all(
      servicesOf(state)
        .filter((service) => service.stage === stage)
        .map((one) => daemons.stop(one.name, one.graceSeconds)),
    );
  const ground = servicesOf(state)
    .filter((service) => service.stage === 'ground')
    .reverse();
  // epmd stays until the broker that is registered with it is gone.
  await Promise.all(
    ground
      .filter((one) => one.name !== 'epmd')
      .map((one) => daemons.stop(one.name, one.graceSeconds)),
  );
  await daemons.stop('epmd', 5);
}

/** Each service with its pid, if it runs. */
export function serviceProcesses(state: CloudState): { name: string; pid: number | null }[] {
  const daemons = daemonsOf(state);
  return servicesOf(state).map(({ name }) => ({ name, pid: daemons.find(name)?.pid ?? null }));
}

export function serviceLog(state: CloudState, name: string): string {
  return daemonsOf(state).logFile(name);
}
