// `npm run compat`: runs the judges against a cluster, prints what each found, counts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { listOf, readFlags, runTool, UsageError } from '../../backend/runtime/flags.js';
import { readCluster, startCluster, stopCluster } from '../openstack/meshsan.js';
import { EXIT, Progress, RunError } from '../openstack/progress.js';
import { JUDGES, runJudge, type Judge, type Verdict } from './judges.js';

const HELP = `npm run compat -- [FLAGS]

Drives foreign, unmodified clients of ScaleIO against MeshSAN's gateway and counts what holds:
${JUDGES.map((judge) => `  ${judge.name.padEnd(12)}${judge.about}`).join('\n')}

  --cluster DIR    the running cluster described by DIR/cluster.json (default: one is started and stopped again)
  --only A,B       only these judges
  --json           prints the result as one JSON document on standard output, progress on standard error
  --help           prints this

The clients are installed once, below ~/.cache/meshsan/compat.
Exit codes: 0 every check passed, 1 one failed, 2 wrong flags, 3 this machine cannot do it.
`;

interface Options {
  readonly cluster?: string;
  readonly judges: readonly Judge[];
  readonly json: boolean;
}

function parseOptions(args: readonly string[]): Options {
  const { cluster, only, json } = readFlags(args, {
    cluster: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean' },
  });
  const names = JUDGES.map(({ name }) => name);
  const wanted = only === null ? names : listOf('--only', only, names);
  if (cluster === '') throw new UsageError('--cluster needs a directory');
  return {
    ...(cluster === null ? {} : { cluster: path.resolve(cluster) }),
    judges: JUDGES.filter(({ name }) => wanted.includes(name)),
    json,
  };
}

/** Runs the judges one after another against a running cluster. */
async function judge(options: Options, clusterDir: string, progress: Progress): Promise<Verdict[]> {
  readCluster(clusterDir);
  const verdicts: Verdict[] = [];
  for (const one of options.judges) {
    const verdict = await runJudge(one, clusterDir, (text) => {
      progress.say(text);
    });
    for (const { check, ok, detail, skipped } of verdict.checks) {
      const outcome = skipped === undefined ? (ok ? 'ok  ' : 'FAIL') : 'skip';
      const short =
        ok && detail !== undefined ? ` (${detail})` : skipped === undefined ? '' : `: ${skipped}`;
      progress.say(`${outcome} ${one.name}: ${check}${short}`);
      if (outcome === 'FAIL' && detail !== undefined)
        progress.print(detail.replace(/^/gm, '          '));
    }
    verdicts.push(verdict);
  }
  return verdicts;
}

/** Starts a cluster for the judges, and leaves nothing of it. */
async function judgeOwnCluster(options: Options, progress: Progress): Promise<Verdict[]> {
  const home = mkdtempSync(path.join(tmpdir(), 'meshsan-compat-'));
  const dir = path.join(home, 'cluster');
  const log = path.join(home, 'meshsan.log');
  try {
    await progress.step('MeshSAN answers', () => startCluster(dir, log));
    return await judge(options, dir, progress);
  } finally {
    await stopCluster(dir, log);
    rmSync(home, { recursive: true, force: true });
  }
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  const { json } = options;
  const progress = new Progress(json ? process.stderr : process.stdout);
  try {
    const verdicts = await (options.cluster === undefined
      ? judgeOwnCluster(options, progress)
      : judge(options, options.cluster, progress));
    const checks = verdicts.flatMap((verdict) => verdict.checks);
    const skipped = checks.filter((check) => check.skipped !== undefined).length;
    const passed = checks.filter((check) => check.ok).length;
    const failed = checks.length - passed - skipped;
    progress.print(
      `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`,
    );
    if (json)
      process.stdout.write(`${JSON.stringify({ passed, failed, skipped, verdicts }, null, 2)}\n`);
    return failed === 0 ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    process.stderr.write(`ERROR: ${error.message}\n`);
    return error.exitCode;
  }
}

await runTool(HELP, main);
