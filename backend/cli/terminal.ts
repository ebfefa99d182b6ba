// The terminal of a command line: lines out, questions in. It owns that a typed password is not shown.

import { createInterface } from 'node:readline';

import type { Terminal } from './option.js';

const SECRET_CHARS_MAX = 1024;
const INTERRUPT = '\u0003';
const ENDS: readonly string[] = ['\r', '\n', '\u0004'];
const ERASES: readonly string[] = ['\u007f', '\b'];

/** The first line of an input that is not a terminal; null when it is empty. */
function firstLine(input: NodeJS.ReadStream): Promise<string | null> {
  return new Promise((resolve) => {
    const lines = createInterface({ input, terminal: false });
    let first: string | null = null;
    lines.once('line', (line) => {
      first = line;
      lines.close();
    });
    lines.once('close', () => {
      resolve(first);
    });
  });
}

function typedSecret(prompt: string): Promise<string | null> {
  const { stdin, stderr } = process;
  stderr.write(prompt);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  stdin.resume();
  return new Promise((resolve) => {
    let text = '';
    const finish = (result: string | null): void => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.removeListener('data', onData);
      stderr.write('\n');
      resolve(result);
    };
    const onData = (typed: string): void => {
      for (const character of typed) {
        if (character === INTERRUPT || ENDS.includes(character)) {
          finish(character === INTERRUPT ? null : text);
          return;
        }
        if (ERASES.includes(character)) text = text.slice(0, -1);
        else if (text.length < SECRET_CHARS_MAX) text += character;
      }
    };
    stdin.on('data', onData);
  });
}

function question(text: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    lines.question(text, (answer) => {
      lines.close();
      resolve(/^y(es)?$/i.test(answer.trim()));
    });
  });
}

/** A reader such as `head` that has enough closes the pipe: that is no failure of ours, and nothing is left to say. */
export function quietWhenUnread(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    process.stderr.write(`Error: The output cannot be written: ${error.message}\n`);
    process.exit(1);
  });
}

/** The terminal of this process. Where there is none, passwords come as a line of standard input and nothing is asked. */
export function processTerminal(): Terminal {
  quietWhenUnread();
  return {
    out(line) {
      process.stdout.write(`${line}\n`);
    },
    err(line) {
      process.stderr.write(`${line}\n`);
    },
    secret: (prompt) => (process.stdin.isTTY ? typedSecret(prompt) : firstLine(process.stdin)),
    confirm: (text) => (process.stdin.isTTY ? question(text) : Promise.resolve(true)),
  };
}
