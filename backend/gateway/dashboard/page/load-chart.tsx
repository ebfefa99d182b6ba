// A live chart of reads and writes over the last minutes. It owns the samples on screen; the gateway keeps no history.

import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

const HEIGHT = 190;
/** Even a chart that has just begun spans a minute, so that its slopes mean something. */
const SPAN_SECONDS_MIN = 60;
/** Steps of the axis of bytes: 1, 2, 4 ... so that its labels are round. */
export const BYTE_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);

export interface LoadSample {
  readonly atMs: number;
  readonly read: number;
  readonly write: number;
}

interface LoadChartProps {
  readonly title: string;
  readonly figure: string;
  readonly samples: readonly LoadSample[];
  readonly show: (value: number) => string;
  /** Steps that the vertical axis may have; none given: decimal ones. */
  readonly steps?: readonly number[];
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString('en-GB');
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function optionsOf(
  width: number,
  show: (value: number) => string,
  steps: readonly number[] | undefined,
): uPlot.Options {
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
  };
  const line = (label: string, stroke: string): uPlot.Series => ({
    label,
    stroke,
    width: 2,
    fill: `${stroke}22`,
    points: { show: false },
    value: (_, value: number | null) => (value === null ? '–' : show(value)),
  });
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - SPAN_SECONDS_MIN), max] },
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
    },
    axes: [
      { ...axis, values: (_, values) => values.map(timeOf), space: 90 },
      {
        ...axis,
        size: 78,
        values: (_, values) => values.map(show),
        ...(steps === undefined ? {} : { incrs: [...steps] }),
      },
    ],
    series: [
      { label: 'Time', value: (_, value: number | null) => (value === null ? '–' : timeOf(value)) },
      line('Read', colour('--read')),
      line('Write', colour('--write')),
    ],
  };
}

function dataOf(samples: readonly LoadSample[]): uPlot.AlignedData {
  return [
    samples.map(({ atMs }) => atMs / 1000),
    samples.map(({ read }) => read),
    samples.map(({ write }) => write),
  ];
}

export function LoadChart({ title, figure, samples, show, steps }: LoadChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  useEffect(() => {
    const box = place.current;
    if (box === null) return undefined;
    const plot = new uPlot(optionsOf(box.clientWidth, show, steps), [[], [], []], box);
    chart.current = plot;
    const watcher = new ResizeObserver(() => {
      plot.setSize({ width: box.clientWidth, height: HEIGHT });
    });
    watcher.observe(box);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [show, steps]);
  useEffect(() => {
    chart.current?.setData(dataOf(samples));
  }, [samples]);
  return (
    <section class="panel chart" aria-label={title}>
      <h2>
        {title} <span class="figure">{figure}</span>
      </h2>
      <div ref={place} class="plot" />
    </section>
  );
}
