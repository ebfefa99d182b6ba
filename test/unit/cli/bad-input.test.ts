// Bad command lines of scli: each is refused with a message that names the option or the field and says what would be
// right, and nothing of the cluster changes.

import test from 'ava';

import { ScliHarness } from '../../support/scli-harness.js';

const POOL = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'pool1'] as const;
/** Wrong use of the command line. What the MDM refuses is tested with real processes. */
const USAGE = 1;

type Case = readonly [words: readonly string[], message: RegExp];

const add = (...words: readonly string[]): readonly string[] => ['--add_volume', ...POOL, ...words];
const sized = (size: string): readonly string[] => add('--volume_name', 'v', `--size_gb=${size}`);
const addPool = (...words: readonly string[]): readonly string[] => [
  ...['--add_storage_pool', '--protection_domain_name', 'pd1', '--storage_pool_name', 'p'],
  ...words,
];
const addSds = (...words: readonly string[]): readonly string[] => [
  ...['--add_sds', ...POOL, '--sds_name', 's', '--device_path', '/dev/sdx', ...words],
];
const limits = (...words: readonly string[]): readonly string[] => [
  ...['--set_sdc_volume_limits', '--volume_name', 'taken', '--sdc_name', 's', ...words],
];
const wholeSize = /--size_gb must be a whole number of gigabytes from 1 to 1048576, is "/;

const CASES: readonly Case[] = [
  ...['0', '-8', 'many', '8.5', '0x8', '', '9'.repeat(30), '1048577'].map((size): Case => [
    sized(size),
    wholeSize,
  ]),
  [['--frobnicate'], /Unknown command --frobnicate/],
  [['--add_volumme'], /Unknown command --add_volumme/],
  [add('--size_gb', '8', '--bogus'), /Unknown option --bogus/],
  [add('--size_gb', '8', 'stray'), /Unexpected "stray"/],
  [add('--size_gb', '8', '--size_gb', '16'), /--size_gb is given twice/],
  [
    add('--size_gb', '8', '--thin_provisioned', '--thick_provisioned'),
    /--thin_provisioned and --thick_provisioned exclude each other/,
  ],
  [add('--volume_name', 'v'), /--size_gb is missing/],
  [add('--size_gb', '8', '--volume_name', ''), /--volume_name needs a value: NAME/],
  [add('--size_gb', '8', '--volume_name='), /--volume_name needs a value: NAME/],
  [limits('--iops_limit', '4294967296'), /--iops_limit must be .* from 0 to 4294967295, is "4294/],
  [limits('--bandwidth_limit', '4194304'), /--bandwidth_limit must be .* from 0 to 4194303, is/],
  [['--map_volume_to_sdc', '--volume_name', 'taken'], /One of --sdc_id, --sdc_name/],
  [
    ['--map_volume_to_sdc', '--volume_name', 'taken', '--sdc_guid', 'nonsense'],
    /--sdc_guid must have the form 8-4-4-4-12 in hex digits, is "nonsense"/,
  ],
  [['--remove_volume', '--volume_id', 'zzz'], /zzz is not an id: 16 hex digits/],
  [['--add_protection_domain'], /--protection_domain_name is missing/],
  [['--add_storage_pool', '--protection_domain_name', 'pd1'], /--storage_pool_name is missing/],
  [addPool('--media_type', 'Tape'), /--media_type must be one of HDD.*is "Tape"/],
  [addPool('--durability', 'none'), /--durability must be one of media.*is "none"/],
  [addPool('--spare_percentage', '91'), /--spare_percentage must be .* from 0 to 90/],
  [addPool('--spare_percentage', 'x'), /--spare_percentage must be .* is "x"/],
  [addSds(), /--sds_ip is missing/],
  [addSds('--sds_ip', 'not-an-ip'), /--sds_ip: not-an-ip is not an IP address/],
  [addSds('--sds_ip', '10.0.0.9', '--sds_port', '70000'), /--sds_port .* 65535/],
];

test('every bad command line is refused by name, and changes nothing', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const made = await scli.run(...add('--size_gb', '16', '--volume_name', 'taken'));
  t.is(made.code, 0, made.err.join());
  const before = JSON.stringify(scli.cluster.tables);
  for (const [words, message] of CASES) {
    const printed = await scli.run(...words);
    const what = words.join(' ').slice(0, 200);
    t.is(printed.code, USAGE, `${what}: ${[...printed.err, ...printed.out].join(' ')}`);
    t.regex(printed.err.join('\n'), message, what);
    t.deepEqual(printed.out, [], what);
    t.is(JSON.stringify(scli.cluster.tables), before, what);
  }
});
