// Serves the files of the dashboard's page. They are the same for everybody and hold nothing of the system: what the
// page shows it reads with its user's token.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import express from 'express';
import type { RequestHandler } from 'express';

const FOLDER = join(import.meta.dirname, 'page');

/** The page loads its own script and style, talks to its own gateway, and nothing else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * A handler for everything below `/dashboard`.
 * @throws Error when the page was not built: a gateway without its page is a broken installation
 */
export function dashboardFiles(): RequestHandler {
  if (!existsSync(join(FOLDER, 'index.html')))
    throw new Error(`The files of the dashboard are not in ${FOLDER}; build the project again`);
  return express.static(FOLDER, {
    index: 'index.html',
    cacheControl: false,
    etag: false,
    setHeaders: (response) => {
      response.setHeader('Content-Security-Policy', POLICY);
      response.setHeader('Cache-Control', 'no-cache');
    },
  });
}
