// Runs the compatibility judges: foreign clients of ScaleIO, unmodified and pinned. A judge prints one JSON line per check.
// It must never hand a password to a process in an argument: judges read cluster.json and the password file themselves.
import path from 'node:path';
import { execa } from 'execa';
import { readCluster } from '../openstack/meshsan.js';
import { RunError } from '../openstack/progress.js';
import { HERE, goJudge, pythonClient } from './clients.js';

interface PythonJudge {
  readonly name: string;
  readonly about: string;
  /** File in requirements/, which is also the identity of the virtual environment. */
  readonly requirements: string;
  readonly script: string;
  /** Directory in python/ whose sitecustomize gives the client what its Python took away. */
  readonly given?: string;
}

interface GoJudge {
  readonly name: string;
  readonly about: string;
  readonly go: true;
}

export type Judge = PythonJudge | GoJudge;

export const JUDGES: readonly Judge[] = [
  {
    name: 'pyscaleio',
    about: 'the Python client for ScaleIO 2.0, its models and their validation',
    requirements: 'pyscaleio.txt',
    script: 'pyscaleio_judge.py',
    given: 'py39',
  },
  {
    name: 'pypowerflex',
    about: "the Python client below Ansible's PowerFlex collection",
    requirements: 'pypowerflex.txt',
    script: 'pypowerflex_judge.py',
  },
  {
    name: 'goscaleio',
    about: "the Go client below Kubernetes' CSI driver and Terraform's provider",
    go: true,
  },
  {
    name: 'cinder',
    about: "the newest Cinder's PowerFlex driver, its class driven directly",
    requirements: 'cinder.txt',
    script: 'cinder_judge.py',
  },
  {
    name: 'os-brick',
    about: "the newest os-brick's ScaleIO connector, up to a block device that it finds",
    requirements: 'cinder.txt',
    script: 'brick_judge.py',
  },
];

export interface Check {
  readonly check: string;
  readonly ok: boolean;
  readonly detail?: string;
  readonly skipped?: string;
  readonly ms: number;
}

export interface Verdict {
  readonly judge: string;
  readonly checks: readonly Check[];
}

/** Runs one judge against the cluster in `clusterDir`. A judge that breaks off is an error with the end of its output. */
export async function runJudge(
  judge: Judge,
  clusterDir: string,
  say: (text: string) => void,
): Promise<Verdict> {
  const { program, words, env } = await commandOf(judge, clusterDir, say);
  const run = await execa(program, [...words, clusterDir], {
    env: { NO_PROXY: '*', no_proxy: '*', ...env },
    stdin: 'ignore',
    timeout: 300_000,
    reject: false,
  });
  const checks = run.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Check);
  if (run.exitCode !== 0 || checks.length === 0)
    throw new RunError(
      `judge ${judge.name} broke off:\n${run.stderr.split('\n').slice(-15).join('\n')}`,
    );
  return { judge: judge.name, checks };
}

interface Command {
  readonly program: string;
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** How a judge is run, once its client is there. */
async function commandOf(
  judge: Judge,
  clusterDir: string,
  say: (text: string) => void,
): Promise<Command> {
  if ('go' in judge) {
    // The client knows no CA file of its own: it trusts what the system trusts, which is this file here.
    const env = { SSL_CERT_FILE: readCluster(clusterDir).caFile };
    return { program: await goJudge(say), words: [], env };
  }
  const scripts = path.join(HERE, 'python');
  const env = {
    PYTHONPATH: judge.given === undefined ? '' : path.join(scripts, judge.given),
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const program = await pythonClient(judge.requirements, say);
  return { program, words: [path.join(scripts, judge.script)], env };
}
