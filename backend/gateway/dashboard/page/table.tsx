// A table with a heading per column, rows of cells and a line that says when rows are left out.

import type { ComponentChildren, JSX } from 'preact';

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => ComponentChildren;
  /** Figures stand to the right. */
  readonly isFigure?: boolean;
}

interface TableProps<T> {
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly total: number;
  readonly keyOf: (row: T) => string;
  readonly empty: string;
}

export function Table<T>({ columns, rows, total, keyOf, empty }: TableProps<T>): JSX.Element {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  const kind = (column: Column<T>): string => (column.isFigure === true ? 'number' : '');
  return (
    <div class="table">
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} class={kind(column)} scope="col">
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} data-row={keyOf(row)}>
              {columns.map((column) => (
                <td key={column.title} class={kind(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length < total && (
        <p class="muted">
          {rows.length} of {total} shown
        </p>
      )}
    </div>
  );
}

/** A coloured word. */
export function Badge({
  kind,
  children,
}: {
  readonly kind: 'good' | 'warning' | 'bad' | 'neutral';
  readonly children: ComponentChildren;
}): JSX.Element {
  return <span class={`badge ${kind}`}>{children}</span>;
}

/** A bar that is filled to a part of the whole. */
export function Bar({
  part,
  whole,
  label,
}: {
  readonly part: number;
  readonly whole: number;
  readonly label: string;
}): JSX.Element {
  return (
    <span class="bar">
      <progress value={whole === 0 ? 0 : part} max={Math.max(1, whole)} aria-label={label} />
      <span>{label}</span>
    </span>
  );
}
