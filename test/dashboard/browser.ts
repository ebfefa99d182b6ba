// A headless Chromium that trusts one gateway, by the fingerprint of its key. It owns the browser process and its profile.

import { X509Certificate, createHash } from 'node:crypto';
import { until } from '../support/until.js';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';

import { launch } from 'puppeteer-core';
import type { Browser as Chromium, Page } from 'puppeteer-core';

const WAIT_MS = 60_000;

/** Fingerprint of a server's public key in the form that Chromium takes. */
function keyFingerprint(host: string, port: number, ca: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      const key = new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' });
      resolve(createHash('sha256').update(key).digest('base64'));
    });
    socket.on('error', reject);
  });
}

/** Expressions run in the page, whose global names the compiler of the tests does not know. */
function textExpression(selector: string): string {
  return `document.querySelector(${JSON.stringify(selector)})?.textContent ?? ''`;
}

export class Browser {
  readonly page: Page;
  /** Errors of the page itself: script errors and what the content policy refused. */
  readonly faults: string[] = [];
  private readonly chromium: Chromium;
  private readonly profile: string;

  private constructor(chromium: Chromium, page: Page, profile: string) {
    this.chromium = chromium;
    this.page = page;
    this.profile = profile;
  }

  /** @param gateway - URL of a gateway whose certificate the authority signed */
  static async open(gateway: string, ca: Buffer): Promise<Browser> {
    const { hostname, port } = new URL(gateway);
    const fingerprint = await keyFingerprint(hostname, Number(port), ca);
    const profile = mkdtempSync(join(tmpdir(), 'meshsan-chromium-'));
    const chromium = await launch({
      executablePath: '/usr/bin/chromium',
      userDataDir: profile,
      headless: true,
      defaultViewport: { width: 1500, height: 1050 },
      args: [
        // Chromium's own sandbox does not start as root; the page under test is ours.
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
        `--ignore-certificate-errors-spki-list=${fingerprint}`,
        '--no-proxy-server',
        '--disable-gpu',
        '--disable-background-networking',
      ],
    });
    const page = await chromium.newPage();
    const browser = new Browser(chromium, page, profile);
    page.setDefaultTimeout(WAIT_MS);
    page.on('pageerror', (error) => browser.faults.push(String(error)));
    page.on('console', (message) => {
      // A refused login is shown in the console as a failed request; that is no fault of the page.
      if (message.type() === 'error' && !message.text().includes('status of 401'))
        browser.faults.push(message.text());
    });
    return browser;
  }

  /** Waits until an element's text passes. */
  async shows(selector: string, pattern: RegExp): Promise<void> {
    // The content policy of the page forbids what the library itself would wait with.
    await until(`${selector} shows ${String(pattern)}`, async () =>
      pattern.test(await this.text(selector)) ? true : null,
    );
  }

  /** Text of an element; empty when there is none. */
  async text(selector: string): Promise<string> {
    return String(await this.page.evaluate(textExpression(selector)));
  }

  /** Empties a field as a user would. */
  async clear(selector: string): Promise<void> {
    await this.page.click(selector, { count: 3 });
    await this.page.keyboard.press('Backspace');
  }

  /** Keeps a picture below the folder that MESHSAN_SCREENSHOTS names; without it nothing is kept. */
  async picture(name: string): Promise<void> {
    const folder = process.env['MESHSAN_SCREENSHOTS'];
    if (folder === undefined || !existsSync(folder)) return;
    await this.page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  }

  async close(): Promise<void> {
    await this.chromium.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}
