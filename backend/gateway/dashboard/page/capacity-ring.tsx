// The capacity ring: used, spare, unused and unreachable, which add up to the total.

import type { JSX } from 'preact';

import type { Capacity } from '../shapes.js';

import { bytes, percent } from './format.js';

const RADIUS = 15.915;
/** With this radius the circumference is 100, so that percentages are lengths. */
const WHOLE = 100;

const PARTS = [
  { key: 'usedBytes', name: 'Used', style: 'used' },
  { key: 'spareBytes', name: 'Spare', style: 'spare' },
  { key: 'unusedBytes', name: 'Unused', style: 'unused' },
  { key: 'unreachableBytes', name: 'Unreachable', style: 'unreachable' },
] as const;

export function CapacityRing({ capacity }: { readonly capacity: Capacity }): JSX.Element {
  const { totalBytes } = capacity;
  let before = 0;
  const arcs = PARTS.map(({ key, style }) => {
    const length = totalBytes === 0 ? 0 : (WHOLE * capacity[key]) / totalBytes;
    const arc = (
      <circle
        key={key}
        class={`arc ${style}`}
        cx="21"
        cy="21"
        r={RADIUS}
        stroke-dasharray={`${length} ${WHOLE - length}`}
        stroke-dashoffset={WHOLE / 4 - before}
      />
    );
    before += length;
    return arc;
  });
  return (
    <section class="panel capacity" aria-label="Capacity">
      <h2>Capacity</h2>
      <div class="ring-and-legend">
        <svg viewBox="0 0 42 42" class="ring" role="img" aria-label="Capacity ring">
          <circle class="arc empty" cx="21" cy="21" r={RADIUS} />
          {arcs}
          <text x="21" y="20.5" class="ring-figure">
            {percent(capacity.usedBytes, totalBytes)}
          </text>
          <text x="21" y="25" class="ring-caption">
            of {bytes(totalBytes)} raw
          </text>
        </svg>
        <dl class="legend">
          <dt>Total</dt>
          <dd data-capacity="totalBytes">{bytes(totalBytes)}</dd>
          {PARTS.map(({ key, name, style }) => (
            <>
              <dt class={`key ${style}`}>{name}</dt>
              <dd data-capacity={key}>{bytes(capacity[key])}</dd>
            </>
          ))}
        </dl>
      </div>
    </section>
  );
}
