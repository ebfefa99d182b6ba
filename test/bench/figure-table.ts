// Owns how figures that are sentences are printed: the machine, then a row for each. Pure.
import type { MachineDescription } from './machine.js';

export interface Figure {
  readonly figure: string;
  readonly what: string;
  readonly value: string;
}

/** Renders figures as markdown, ending with a newline. */
export function renderFigures(machine: MachineDescription, rows: readonly Figure[]): string {
  const { cpuModel, cores, memoryGib, kernel, nodeVersion, filesystem, load, commit } = machine;
  return [
    `${cpuModel}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}, Node ${nodeVersion}, ${filesystem.type}; load before: ${load.join(', ')}; commit ${commit ?? 'unknown'}`,
    '',
    '| figure | what | value |',
    '| --- | --- | --- |',
    ...rows.map(({ figure, what, value }) => `| ${figure} | ${what} | ${value} |`),
    '',
  ].join('\n');
}
