// Every story under test/scenario/stories, each a test of its own.

import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { Story } from './story.js';

const FOLDER = fileURLToPath(new URL('../../../test/scenario/stories/', import.meta.url));

for (const file of readdirSync(FOLDER).sort()) {
  const lines = readFileSync(`${FOLDER}${file}`, 'utf8').split('\n');
  const setting = (name: string): string | undefined =>
    lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1];
  const steps = lines.map((line) => (/^(servers|mode|device) /.test(line) ? '' : line));
  test.serial(`${file}: ${(lines[0] ?? '').replace(/^# */, '')}`, (t) => {
    const word = setting('mode') ?? 'media';
    const mode = (['media', 'device', 'memory'] as const).find((known) => known === word);
    if (mode === undefined) throw new Error(`no such mode "${word}"`);
    const story = new Story(Number(setting('servers') ?? 2), mode, setting('device') === 'real');
    t.notThrows(() => {
      story.run(steps);
    });
  });
}
