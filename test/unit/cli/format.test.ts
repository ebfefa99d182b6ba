// Numbers as the original prints them.

import test from 'ava';

import { bandwidthText, sizeText, trafficLine, wholeGb } from '../../../backend/cli/format.js';
import { roundedSize } from '../../../backend/cli/commands/volumes.js';

test('sizes show their unit and the next smaller one', (t) => {
  t.is(sizeText(0), '0 Bytes');
  t.is(sizeText(512), '512 Bytes');
  t.is(sizeText(399_769), '390.4 KB (399769 Bytes)');
  t.is(sizeText(8 * 2 ** 30), '8.0 GB (8192 MB)');
  t.is(sizeText(568 * 2 ** 30), '568.0 GB (581632 MB)');
  t.is(sizeText(2 ** 40), '1.0 TB (1024 GB)');
  t.is(wholeGb(320_072_933_376), '298 GB');
});

test('traffic shows operations and bytes per second behind a name of 41 columns', (t) => {
  const value = { numSeconds: 5, totalWeightInKb: 1952, numOccured: 95 };
  t.is(bandwidthText(value), '19 IOPS 390.4 KB (399770 Bytes) per-second');
  const nothing = { numSeconds: 0, totalWeightInKb: 0, numOccured: 0 };
  t.is(
    trafficLine('Primary-reads', nothing),
    `${'Primary-reads'.padEnd(41)}0 IOPS 0 Bytes per-second`,
  );
});

test('a size rounds up to a multiple of 8 and says so; anything else is refused', (t) => {
  t.deepEqual(roundedSize('8'), { gib: 8, lines: [] });
  t.deepEqual(roundedSize('50'), { gib: 56, lines: ['Rounding up volume size to 56 GB'] });
  for (const wrong of ['0', '-8', 'eight', '', '1.5']) t.throws(() => roundedSize(wrong));
});
