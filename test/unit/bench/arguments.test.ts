// The command line of the benchmark: what is accepted means what the help says, and every mistake
// is refused with the option's name before anything runs.
import test from 'ava';

import { UsageError } from '../../../backend/runtime/flags.js';
import { HELP, SNAPSHOT_FIGURES, parseArguments } from '../../bench/arguments.js';
import { JOBS } from '../../bench/jobs.js';

test('no words measure everything with the defaults', (t) => {
  t.deepEqual(parseArguments([]), {
    action: 'measure',
    jsonFile: null,
    jobs: JOBS,
    modes: ['media', 'device', 'memory'],
    runs: 3,
    runtimeS: 5,
    sizeBytes: 2 * 1024 ** 3,
    quietS: 0,
    peers: false,
    clusterDir: null,
    workDir: '.bench',
  });
});

test('every option of a measurement is taken', (t) => {
  const options = parseArguments([
    ...[
      '--json',
      'out.json',
      '--jobs',
      'seqread-1m-qd8,randwrite-4k-qd32',
      '--modes',
      'memory,media',
    ],
    ...['--runs', '7', '--runtime=20', '--size', '512MiB', '--quiet', '30', '--peers'],
    ...['--cluster', '/srv/c', '--dir', '/data'],
  ]);
  t.like(options, {
    action: 'measure',
    jsonFile: 'out.json',
    modes: ['media', 'memory'],
    runs: 7,
    runtimeS: 20,
    sizeBytes: 512 * 1024 ** 2,
    quietS: 30,
    peers: true,
    clusterDir: '/srv/c',
    workDir: '/data',
  });
  const names = options.action === 'measure' ? options.jobs.map((job) => job.name) : [];
  t.deepEqual(names, ['randwrite-4k-qd32', 'seqread-1m-qd8'], 'large sequential jobs come last');
});

test('--modes none measures only the floor', (t) => {
  t.like(parseArguments(['--modes', 'none']), { action: 'measure', modes: [] });
});

test('--help wins, and names every option and job', (t) => {
  t.deepEqual(parseArguments(['--help', '--runs', '2']), { action: 'help' });
  const options = ['json', 'table', 'jobs', 'modes', 'runs', 'runtime', 'size', 'quiet', 'peers'];
  for (const option of [...options, 'cluster', 'dir', 'help'])
    t.true(HELP.includes(`--${option} `));
  for (const job of JOBS) t.true(HELP.includes(job.name));
});

test('--table goes alone', (t) => {
  t.deepEqual(parseArguments(['--table', 'old.json']), { action: 'table', file: 'old.json' });
  t.throws(() => parseArguments(['--table', 'old.json', '--peers']), {
    instanceOf: UsageError,
    message: /--table .* alone, without --peers/,
  });
});

test('--snapshots measures only what snapshots cost, ten times unless told otherwise', (t) => {
  t.deepEqual(parseArguments(['--snapshots', 'all']), {
    action: 'snapshots',
    figures: SNAPSHOT_FIGURES,
    volumes: 1000,
    runs: 10,
    jsonFile: null,
    workDir: '.bench',
  });
  t.like(parseArguments(['--snapshots', 'creation,pause', '--volumes', '64', '--runs', '3']), {
    figures: ['creation', 'pause'],
    volumes: 64,
    runs: 3,
  });
  for (const option of ['snapshots', 'volumes']) t.true(HELP.includes(`--${option} `));
});

test('--limits measures only limits, on the ways that are named', (t) => {
  t.deepEqual(parseArguments(['--limits', 'all', '--json', 'l.json']), {
    action: 'limits',
    transports: ['nbd', 'qemu', 'device'],
    runtimeS: 5,
    jsonFile: 'l.json',
    workDir: '.bench',
  });
  t.like(parseArguments(['--limits', 'qemu,nbd', '--runtime', '3']), {
    transports: ['qemu', 'nbd'],
    runtimeS: 3,
  });
  t.true(HELP.includes('--limits '));
});

const REFUSED: readonly (readonly [words: string[], message: RegExp])[] = [
  [['--snapshots', 'pauses'], /--snapshots takes pause, first-write, creation; "pauses"/],
  [['--snapshots', 'all', '--volumes', '1025'], /--volumes must be .* from 1 to 1024, not "1025"/],
  [['--snapshots', 'all', '--peers'], /--snapshots measures only snapshots, without --peers/],
  [['--volumes', '8'], /--volumes belongs to --snapshots/],
  [['--speed', '9'], /--speed is not known; there are --json/],
  [['out.json'], /out\.json/],
  [['--json'], /--json/],
  [['--json', ''], /--json needs a path/],
  [['--json', '--peers'], /--json/],
  [['--peers=yes'], /--peers/],
  [['--runs', '0'], /--runs must be a whole number from 1 to 100, not "0"/],
  [['--runs', '101'], /--runs .*"101"/],
  [['--runs=-1'], /--runs .*"-1"/],
  [['--runs', '1.5'], /--runs .*"1\.5"/],
  [['--runs', '3', '--runs', '4'], /--runs is given more than once/],
  [['--runtime', 'ten'], /--runtime must be a whole number from 1 to 3600, not "ten"/],
  [['--quiet', '3601'], /--quiet must be a whole number from 0 to 3600, not "3601"/],
  [['--size', '2'], /--size 2: not a size in whole MiB, like 512M/],
  [['--size', '0G'], /--size 0G: outside 64M to 1T/],
  [['--size', '99.1M'], /--size 99\.1M: not a size in whole MiB/],
  [['--size', '63M'], /outside 64M to 1T/],
  [['--size', '2T'], /outside 64M to 1T/],
  [['--size', '2G3'], /--size 2G3/],
  [['--jobs', 'randwrite'], /no job is named randwrite; jobs are randwrite-4k-qd1, /],
  [['--jobs', 'randwrite-4k-qd1,'], /an item of the list is empty/],
  [['--jobs', 'randread-4k-qd1,randread-4k-qd1'], /--jobs names randread-4k-qd1 twice/],
  [['--modes', 'fast'], /fast is not one of media, device, memory/],
  [['--modes', 'media,none'], /none is not one of/],
  [['--limits', 'iscsi'], /--limits takes nbd, qemu, device; "iscsi" is none of them/],
  [['--limits', 'nbd', '--runs', '2', '--peers'], /--limits .*without --runs, --peers/],
  [['--cluster', 'd', '--modes', 'none'], /--cluster DIR contradicts --modes none/],
];

for (const [words, message] of REFUSED)
  test(`refuses ${JSON.stringify(words)}`, (t) => {
    t.throws(() => parseArguments(words), { instanceOf: UsageError, message });
  });
