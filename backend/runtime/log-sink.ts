// The log of a process: one JSON object per line, event name and fields, through winston. It owns the shape of a line,
// its bounds, and the rule that no secret reaches it; it must never be called per I/O.

import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

import winston from 'winston';

import type { Log } from '../core/ports.js';

const LINE_BYTES_MAX = 4096;
const FIELD_CHARS_MAX = 512;
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const FILES_MAX = 4;
const STDERR = 2;
const SECRET = /passw|secret|token|authorization|cookie|salt|hash|credential|private/i;

/** Levels in falling order of weight. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface LogOptions {
  /** Which process writes: `gateway`, `mdm`, `sds 3`. */
  readonly component: string;
  /** Least weight that is written; default `info`. */
  readonly level?: LogLevel;
  /** File to append to, turned over at 16 MiB, four kept. Without it lines go to standard error. */
  readonly file?: string;
}

/** A log that can be waited for at the end of the process. */
export interface ProcessLog extends Log {
  /** Resolves when every line has been handed to the operating system; no event may follow. */
  close(): Promise<void>;
}

/** How a transport is made: the library declares each of them beside the class that it really extends and asks for. */
type TransportMaker<T> = new (options: T) => winston.transport;
const ConsoleTransport: TransportMaker<winston.transports.ConsoleTransportOptions> =
  winston.transports.Console;
const StreamTransport: TransportMaker<winston.transports.StreamTransportOptions> =
  winston.transports.Stream;
const FileTransport: TransportMaker<winston.transports.FileTransportOptions> =
  winston.transports.File;

type Fields = Readonly<Record<string, string | number | boolean>>;

function cleaned(fields: Fields): Record<string, string | number | boolean> {
  const clean: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (SECRET.test(name)) clean[name] = '[withheld]';
    else if (typeof value === 'string' && value.length > FIELD_CHARS_MAX)
      clean[name] = `${value.slice(0, FIELD_CHARS_MAX)}...`;
    else clean[name] = value;
  }
  return clean;
}

/**
 * One line of the log, without the line feed.
 * @param fields - values under names that sound like secrets are withheld, long ones are cut
 */
export function formatLine(
  timestampMs: number,
  level: string,
  component: string,
  event: string,
  fields: Fields,
): string {
  const head = { ts: new Date(timestampMs).toISOString(), lvl: level, comp: component, evt: event };
  const line = JSON.stringify({ ...head, ...cleaned(fields) });
  if (Buffer.byteLength(line) <= LINE_BYTES_MAX) return line;
  return JSON.stringify({ ...head, cut: true, fields: Object.keys(fields).length });
}

/**
 * Standard error where it is a file: a line for which there is no room is left out, and said so later. Node's own stream
 * ends the process then, or would never write again.
 */
class StandardErrorFile extends Writable {
  #lost = 0;

  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    try {
      if (this.#lost > 0) writeSync(STDERR, `\n{"evt":"log.lines-lost","count":${this.#lost}}\n`);
      this.#lost = 0;
      writeSync(STDERR, String(chunk));
    } catch {
      // There is no other place to say it.
      this.#lost++;
    }
    done();
  }
}

function consoleTransport(): winston.transport {
  const where = fstatSync(STDERR);
  if (where.isFile() || (where.isCharacterDevice() && !isatty(STDERR)))
    return new StreamTransport({ stream: new StandardErrorFile() });
  return new ConsoleTransport({ stderrLevels: ['error', 'warn', 'info', 'debug'] });
}

/** Opens the log of a process. */
export function openLog(options: LogOptions): ProcessLog {
  const transport =
    options.file === undefined
      ? consoleTransport()
      : new FileTransport({
          filename: options.file,
          maxsize: FILE_BYTES_MAX,
          maxFiles: FILES_MAX,
          tailable: true,
          options: { flags: 'a', mode: 0o640 },
        });
  const logger = winston.createLogger({
    level: options.level ?? 'info',
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: winston.format.printf((info) => String(info.message)),
    transports: transport,
  });
  // A log that cannot be written must not end the process; the reason goes where it can be seen.
  logger.on('error', (error: Error) => {
    process.stderr.write(`log: ${error.message}\n`);
  });
  return {
    event(level, name, fields): void {
      logger.log(level, formatLine(Date.now(), level, options.component, name, fields));
    },
    close(): Promise<void> {
      return new Promise((resolve) => {
        transport.once('finish', resolve);
        logger.end();
      });
    },
  };
}
