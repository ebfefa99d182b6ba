// How command lines are read.

import test from 'ava';

import { COMMANDS } from '../../../backend/cli/commands.js';
import { UsageError, parseArguments } from '../../../backend/cli/parser.js';

function parse(line: string): { name: string; values: Record<string, string> } {
  const parsed = parseArguments(
    line.split(' ').filter((word) => word !== ''),
    COMMANDS,
  );
  if ('help' in parsed) throw new Error('help');
  return { name: parsed.command.name, values: Object.fromEntries(parsed.values) };
}

const refusal = (line: string): string => {
  try {
    parse(line);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return 'accepted';
};

test('reads a verb and its options in any order, with global options in front', (t) => {
  const wanted = {
    name: 'add_volume',
    values: {
      storage_pool_id: '4d53415600000001',
      size_gb: '8',
      mdm_ip: '10.0.0.1',
      i_am_sure: '',
    },
  };
  t.deepEqual(
    parse(
      '--mdm_ip 10.0.0.1 --add_volume --size_gb 8 --storage_pool_id 4d53415600000001 --i_am_sure',
    ),
    wanted,
  );
  t.deepEqual(
    parse(
      '--add_volume --storage_pool_id 4d53415600000001 --i_am_sure --size_gb=8 --mdm_ip=10.0.0.1',
    ),
    wanted,
  );
});

test('compares names without case and by unique prefix, the exact name first', (t) => {
  t.is(parse('--QUERY_ALL').name, 'query_all');
  t.is(parse('--query_all_volume').name, 'query_all_volumes');
  t.is(parse('--add_sds --sds_ip 10.0.0.1 --protection_domain_name pd').name, 'add_sds');
  t.deepEqual(parse('--query_sdc --SDC_name host1').values, { sdc_name: 'host1' });
  t.deepEqual(parse('--login --user admin --pass x').values, { username: 'admin', password: 'x' });
  t.regex(refusal('--query_s'), /^Ambiguous command --query_s: --query_storage_pool/);
});

test('reads the dashes that web pages put in place of two hyphens', (t) => {
  for (const dash of ['\u2013', '\u2014', '\u2013\u2013', '-\u2013', '\u2212\u2212'])
    t.deepEqual(parse(`${dash}login ${dash}username admin ${dash}password x`), {
      name: 'login',
      values: { username: 'admin', password: 'x' },
    });
});

test('takes a value that begins with a dash, but not another option, for a value', (t) => {
  t.is(parse('--login --username admin --password --secret').values['password'], '--secret');
  t.is(parse('--login --username admin --password -5').values['password'], '-5');
  t.regex(refusal('--login --username --password x'), /--username needs a value: NAME/);
  t.regex(refusal('--login --username'), /--username needs a value/);
});

test('refuses what it does not know, naming what is near', (t) => {
  t.is(refusal('--qery_all'), 'Unknown command --qery_all. Did you mean --query_all?');
  t.is(
    refusal('--add_volume --storage_pool_nam p --size_bg 8'),
    'Unknown option --size_bg. Did you mean --size_gb?',
  );
  t.regex(refusal('--query_all extra'), /Unexpected "extra"/);
  t.is(refusal(''), 'No command given');
  t.regex(refusal('query_all'), /Unexpected "query_all"/);
});

test('refuses conflicting, repeated and missing options', (t) => {
  t.is(
    refusal('--remove_volume --volume_id 4d53415600000001 --volume_name v'),
    'Options --volume_id and --volume_name exclude each other',
  );
  t.is(refusal('--remove_volume'), 'One of --volume_id, --volume_name is needed');
  t.is(refusal('--rename_volume --volume_name v'), 'Option --new_name is missing');
  t.is(
    refusal('--rename_volume --volume_name v --volume_name w --new_name x'),
    'Option --volume_name is given twice',
  );
  t.is(
    refusal('--unmap_volume_from_sdc --volume_name v --all_sdcs --sdc_name s'),
    'Options --sdc_name and --all_sdcs exclude each other',
  );
  t.regex(refusal('--query_all --json=yes'), /--json takes no value/);
});

test('every command has its own name, and no option is also a global one', (t) => {
  const names = COMMANDS.map(({ name }) => name);
  t.is(new Set(names).size, names.length);
  for (const command of COMMANDS) {
    const options = command.options.flatMap(({ name, aliases }) => [name, ...(aliases ?? [])]);
    t.is(new Set(options).size, options.length, command.name);
    for (const taken of ['help', 'json', 'mdm_ip', 'i_am_sure'])
      t.false(options.includes(taken), command.name);
  }
});
