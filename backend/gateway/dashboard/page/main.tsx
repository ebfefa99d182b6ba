// The dashboard: login, then one screen that stays fresh. It shows and changes nothing.

import { render } from 'preact';
import type { JSX } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';

import 'uplot/dist/uPlot.min.css';
import './style.css';

import type { Overview } from '../shapes.js';

import { Alerts } from './alerts.js';
import type { Alert } from './alerts.js';
import { CapacityRing } from './capacity-ring.js';
import { Clients, Devices, Pools, Servers } from './components.js';
import { bytes, count } from './format.js';
import { call, isLoggedIn, logOut } from './gateway.js';
import { Health } from './health.js';
import { BYTE_STEPS, LoadChart } from './load-chart.js';
import type { LoadSample } from './load-chart.js';
import { Login } from './login.js';
import { usePolling } from './polling.js';
import type { Fresh } from './polling.js';
import { Volumes } from './volumes.js';

const EVERY_MS = 2_000;
const ALERTS_EVERY_MS = 5_000;
/** Ten minutes. */
const SAMPLES_MAX = 300;

const TABS = ['Volumes', 'Pools', 'SDSs', 'Devices', 'SDCs'] as const;
type Tab = (typeof TABS)[number];

const askOverview = (signal: AbortSignal): Promise<Overview> =>
  call('/api/dashboard/overview', {}, signal);
const askAlerts = (signal: AbortSignal): Promise<readonly Alert[]> =>
  call('/api/types/Alert/instances', undefined, signal);
const perSecond = (value: number): string => `${bytes(value)}/s`;

interface History {
  readonly operations: readonly LoadSample[];
  readonly bandwidth: readonly LoadSample[];
}

function useHistory(overview: Overview | null): History {
  const [history, setHistory] = useState<History>({ operations: [], bandwidth: [] });
  useEffect(() => {
    if (overview === null) return;
    const { atMs, load } = overview;
    const longer = (samples: readonly LoadSample[], sample: LoadSample): readonly LoadSample[] =>
      [...samples, sample].slice(-SAMPLES_MAX);
    setHistory(({ operations, bandwidth }) => ({
      operations: longer(operations, { atMs, read: load.readOps, write: load.writeOps }),
      bandwidth: longer(bandwidth, { atMs, read: load.readBytes, write: load.writeBytes }),
    }));
  }, [overview]);
  return history;
}

function Header({
  overview,
  failure,
  onLeave,
}: {
  readonly overview: Overview | null;
  readonly failure: string | null;
  readonly onLeave: () => void;
}): JSX.Element {
  const name = overview?.system.name ?? '';
  return (
    <header>
      <h1>MeshSAN</h1>
      <span title={overview?.system.id}>{name === '' ? overview?.system.id : name}</span>
      <span
        class={failure === null ? 'muted' : 'failure'}
        role="status"
        data-fresh={failure === null}
      >
        {overview !== null && `as of ${new Date(overview.atMs).toLocaleTimeString('en-GB')}`}
        {failure !== null && ` (${failure}; trying again)`}
      </span>
      <span class="grow" />
      <span class="muted">
        {overview?.user.name} ({overview?.user.role})
      </span>
      <button
        type="button"
        onClick={() => {
          // Leaving works without the gateway as well: the token is already forgotten here.
          logOut().finally(onLeave).catch(console.warn);
        }}
      >
        Log out
      </button>
    </header>
  );
}

function Tables({
  overview,
  onLoginNeeded,
}: {
  readonly overview: Overview;
  readonly onLoginNeeded: () => void;
}): JSX.Element {
  const [tab, setTab] = useState<Tab>('Volumes');
  const totals: Readonly<Record<Tab, number>> = {
    Volumes: overview.volumes.total,
    Pools: overview.pools.total,
    SDSs: overview.sds.total,
    Devices: overview.devices.total,
    SDCs: overview.sdcs.total,
  };
  return (
    <section class="panel tables">
      <nav role="tablist">
        {TABS.map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={name === tab}
            onClick={() => {
              setTab(name);
            }}
          >
            {name} <span class="figure">{count(totals[name])}</span>
          </button>
        ))}
      </nav>
      <div role="tabpanel" data-tab={tab}>
        {tab === 'Volumes' && <Volumes everyMs={EVERY_MS} onLoginNeeded={onLoginNeeded} />}
        {tab === 'Pools' && <Pools overview={overview} />}
        {tab === 'SDSs' && <Servers overview={overview} />}
        {tab === 'Devices' && <Devices overview={overview} />}
        {tab === 'SDCs' && <Clients overview={overview} />}
      </div>
    </section>
  );
}

function Screen({
  overview,
  alerts,
  onLoginNeeded,
}: {
  readonly overview: Overview;
  readonly alerts: Fresh<readonly Alert[]>;
  readonly onLoginNeeded: () => void;
}): JSX.Element {
  const { operations, bandwidth } = useHistory(overview);
  const { load } = overview;
  return (
    <main>
      <CapacityRing capacity={overview.capacity} />
      <Health overview={overview} />
      <Alerts alerts={alerts} />
      <LoadChart
        title="IOPS"
        figure={`${count(load.readOps)} read, ${count(load.writeOps)} write`}
        samples={operations}
        show={count}
      />
      <LoadChart
        title="Bandwidth"
        figure={`${perSecond(load.readBytes)} read, ${perSecond(load.writeBytes)} write`}
        samples={bandwidth}
        show={perSecond}
        steps={BYTE_STEPS}
      />
      <Tables overview={overview} onLoginNeeded={onLoginNeeded} />
    </main>
  );
}

function Dashboard({ onLoginNeeded }: { readonly onLoginNeeded: () => void }): JSX.Element {
  const { value, failure } = usePolling(askOverview, EVERY_MS, onLoginNeeded);
  const alerts = usePolling(askAlerts, ALERTS_EVERY_MS, onLoginNeeded);
  return (
    <>
      <Header overview={value} failure={failure} onLeave={onLoginNeeded} />
      {value === null ? (
        <p class="empty">Reading the state of the system …</p>
      ) : (
        <Screen overview={value} alerts={alerts} onLoginNeeded={onLoginNeeded} />
      )}
    </>
  );
}

function App(): JSX.Element {
  const [isInside, setInside] = useState(isLoggedIn());
  const enter = useCallback(() => {
    setInside(true);
  }, []);
  const leave = useCallback(() => {
    setInside(false);
  }, []);
  return isInside ? <Dashboard onLoginNeeded={leave} /> : <Login onDone={enter} />;
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
