#!/usr/bin/env node
// First step of every npm command, without dependencies: checks Node, npm and the system, sets up what is missing
// (dependencies, build), then hands over to the compiled program. It must never need anything that it sets up.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const NODE_MIN = [20, 19, 0];
const PAGE = 'backend/gateway/dashboard/page';
const PROGRAMS = {
  start: ['dist/backend/bin/cluster.js', 'start'],
  stop: ['dist/backend/bin/cluster.js', 'stop'],
  status: ['dist/backend/bin/cluster.js', 'status'],
  test: ['dist/test/run.js'],
  lint: ['dist/test/lint.js'],
  gen: ['dist/backend/protocol/generator/main.js'],
  sim: ['dist/backend/sim/main.js'],
  scale: ['dist/backend/sim/scale/main.js'],
  'sim:mutants': ['dist/test/sim/mutants.js'],
  bench: ['dist/test/bench/main.js'],
  openstack: ['dist/test/openstack/main.js'],
  compat: ['dist/test/compat/main.js'],
  kills: ['dist/test/attach/kills.js'],
  guest: ['dist/test/guest/main.js'],
  chaos: ['dist/test/chaos/main.js'],
  packages: ['dist/backend/bin/packages.js'],
  'packages:test': ['dist/test/packages/main.js'],
  'fuel-plugin': ['dist/fuel-plugin/main.js'],
  'deploy-test': ['dist/test/deploy/main.js'],
};

function say(text) {
  process.stderr.write(`${text}\n`);
}

function fail(text) {
  say(`MeshSAN: ${text}`);
  process.exit(1);
}

function checkSystem() {
  if (process.platform !== 'linux')
    fail(`needs Linux (Debian 12 is what it is tested on), this is ${process.platform}`);
  const have = process.versions.node.split('.').map(Number);
  const older = NODE_MIN.findIndex((want, i) => have[i] !== want);
  if (older >= 0 && have[older] < NODE_MIN[older])
    fail(
      `needs Node ${NODE_MIN.join('.')} or newer, this is ${process.versions.node}; install a supported LTS release of Node`,
    );
  const npm = spawnSync('npm', ['--version'], { encoding: 'utf8' });
  if (npm.status !== 0) fail('npm does not run; it comes with Node (package npm on Debian)');
}

/** A digest of the files that decide whether a step must run again. */
function digest(paths) {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(path).update(readFileSync(join(ROOT, path)));
  return hash.digest('hex');
}

function sources(folder) {
  const found = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...sources(path));
    else if (/\.(ts|tsx|css|html)$/.test(entry.name)) found.push(path);
  }
  return found;
}

/** Runs a step unless its stamp says that it ran for the same inputs. */
function step(name, stamp, inputs, command, args) {
  const want = digest(inputs);
  const file = join(ROOT, stamp);
  if (existsSync(file) && readFileSync(file, 'utf8') === want) return;
  say(`MeshSAN: ${name} ...`);
  const began = Date.now();
  const done = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (done.status !== 0) {
    say(done.stdout + done.stderr);
    fail(`${name} failed (${[command, ...args].join(' ')})`);
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, want);
  say(`MeshSAN: ${name}: done in ${Math.round((Date.now() - began) / 1000)} s`);
}

function setUp(tolerant) {
  const modules = join(ROOT, 'node_modules');
  // A linked folder belongs to whoever linked it.
  if (!existsSync(modules) || !lstatSync(modules).isSymbolicLink())
    step('installing dependencies', 'node_modules/.meshsan-stamp', ['package-lock.json'], 'npm', [
      'ci',
    ]);
  const folders = ['backend', 'cinder-bridge', 'fuel-plugin', 'nova-hooks', 'test'].filter(
    (folder) => existsSync(join(ROOT, folder)),
  );
  const inputs = ['tsconfig.json', ...folders.flatMap(sources).sort()];
  const compile = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'];
  // Code may already use what the generator is about to make from the tables: the compiler complains, and compiles.
  if (tolerant) spawnSync(process.execPath, compile, { cwd: ROOT, stdio: 'ignore' });
  else {
    const page = sources(PAGE);
    step(
      'building',
      'dist/.meshsan-stamp',
      inputs.filter((path) => !page.includes(path)),
      process.execPath,
      compile,
    );
    const bundle = ['backend/tooling/page.mjs'];
    step(
      'bundling the dashboard',
      'dist/.page-stamp',
      [...bundle, 'package-lock.json', ...page],
      process.execPath,
      bundle,
    );
  }
}

const [name = '', ...rest] = process.argv.slice(2);
const program = PROGRAMS[name];
if (program === undefined)
  fail(`unknown command "${name}"; one of: ${Object.keys(PROGRAMS).join(', ')}`);
checkSystem();
setUp(name === 'gen');
const [file, ...first] = program;
const child = spawn(process.execPath, [join(ROOT, file), ...first, ...rest], { stdio: 'inherit' });
// Ctrl-C reaches the child from the terminal; this process stays until the child has ended.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('error', (error) => fail(error.message));
child.on('exit', (code) => process.exit(code ?? 1));
