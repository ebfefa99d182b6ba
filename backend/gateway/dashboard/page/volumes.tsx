// The table of volumes: searched and paged by the gateway, because there may be thousands.

import type { JSX } from 'preact';
import { useCallback, useState } from 'preact/hooks';

import type { VolumeList, VolumeRow } from '../shapes.js';

import { LIMITED_COLUMN, LOAD_COLUMNS } from './components.js';
import { bytes, count } from './format.js';
import { call } from './gateway.js';
import { usePolling } from './polling.js';
import { Bar, Table } from './table.js';
import type { Column } from './table.js';

const PAGE_ROWS = 50;
/** Deeper ones stand as far to the right as this. */
const STEPS_MAX = 12;

/** A snapshot stands below its source, one step to the right. */
function nameCell({ name, id, vtreeId, ancestor, depth }: VolumeRow): JSX.Element {
  const of = ancestor === '' ? '' : `, snapshot of ${ancestor}`;
  const step =
    depth === 0 ? '' : `${'\u00a0\u00a0\u00a0'.repeat(Math.min(depth, STEPS_MAX) - 1)}\u2514 `;
  return (
    <span title={`${id}${of}, VTree ${vtreeId}`}>
      {step}
      {name === '' ? id : name}
    </span>
  );
}

const COLUMNS: readonly Column<VolumeRow>[] = [
  { title: 'Volume', cell: nameCell },
  { title: 'Pool', cell: ({ pool }) => pool },
  {
    title: 'Type',
    cell: ({ provisioning, isSnapshot }) => (isSnapshot ? 'snapshot' : provisioning),
  },
  {
    title: 'Allocated',
    cell: ({ usedBytes, sizeBytes }) => (
      <Bar
        part={usedBytes}
        whole={sizeBytes}
        label={`${bytes(usedBytes)} of ${bytes(sizeBytes)}`}
      />
    ),
  },
  { title: 'Own data', isFigure: true, cell: ({ ownBytes }) => bytes(ownBytes) },
  {
    title: 'Mapped to',
    cell: ({ mappings }) =>
      mappings.length === 0
        ? '–'
        : mappings.map(({ sdcId, sdc, access, generation }) => (
            <span key={sdcId} class="mapping" title={`generation ${generation}, ${access}`}>
              {sdc}
            </span>
          )),
  },
  ...LOAD_COLUMNS,
  LIMITED_COLUMN,
  { title: 'Created', cell: ({ createdAtMs }) => new Date(createdAtMs).toLocaleString() },
];

interface VolumesProps {
  readonly everyMs: number;
  readonly onLoginNeeded: () => void;
}

export function Volumes({ everyMs, onLoginNeeded }: VolumesProps): JSX.Element {
  const [search, setSearch] = useState('');
  const [offset, setOffset] = useState(0);
  const ask = useCallback(
    (signal: AbortSignal) =>
      call<VolumeList>('/api/dashboard/volumes', { search, offset, limit: PAGE_ROWS }, signal),
    [search, offset],
  );
  const { value, failure } = usePolling(ask, everyMs, onLoginNeeded);
  const total = value?.total ?? 0;
  return (
    <>
      <div class="table-tools">
        <input
          type="search"
          placeholder="Name or id"
          aria-label="Search volumes"
          value={search}
          onInput={({ currentTarget }) => {
            setSearch(currentTarget.value);
            setOffset(0);
          }}
        />
        <span class="muted">
          {total === 0 ? '' : `${offset + 1}–${Math.min(offset + PAGE_ROWS, total)} of `}
          {count(total)}
        </span>
        <button
          type="button"
          disabled={offset === 0}
          onClick={() => {
            setOffset(Math.max(0, offset - PAGE_ROWS));
          }}
        >
          Previous
        </button>
        <button
          type="button"
          disabled={offset + PAGE_ROWS >= total}
          onClick={() => {
            setOffset(offset + PAGE_ROWS);
          }}
        >
          Next
        </button>
      </div>
      {failure !== null && <p class="failure">{failure}</p>}
      {value !== null && (
        <Table
          columns={COLUMNS}
          rows={value.rows}
          total={value.rows.length}
          keyOf={({ id }) => id}
          empty={search === '' ? 'There is no volume yet' : 'No volume matches'}
        />
      )}
    </>
  );
}
