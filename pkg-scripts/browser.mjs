// A headless Chromium, with or without WebGPU.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const ALWAYS = ['--headless=new', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const QUIET = ['--disable-component-update', '--disable-sync'];
// SwiftShader computes on the CPU: right everywhere, fast nowhere.
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Starts $CHROMIUM under Playwright. Without `webgpu` it finds no adapter, as on a machine without a GPU. */
export function launch({ webgpu = false } = {}) {
  return chromium.launch({ executablePath: executable(), args: flags(webgpu) });
}

/** As `launch`, with what it remembers in a folder: caches, databases, service workers. Resolves to the browser's context. */
export function launchWithProfile(folder, { webgpu = false } = {}) {
  return chromium.launchPersistentContext(folder, { executablePath: executable(), args: flags(webgpu) });
}

/** A page of the server at `url` that holds nothing: a place to run code in. */
export async function emptyPage(browser, url) {
  const page = await browser.newPage();
  await page.route(`${url}empty.html`, (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto(`${url}empty.html`);
  return page;
}

/**
 * Starts $CHROMIUM with no debugger attached to its pages, for measurements: Playwright has every page report its
 * network traffic, which costs a fast page a third of its time. A page answers by setting its title.
 */
export async function launchUnwatched({ webgpu = false } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'nearside-'));
  const own = ['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'];
  const browser = spawn(executable(), [...flags(webgpu), ...own], { stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = once(browser, 'close'); // by the last of its processes
  const control = await debuggingAddress(browser.stderr);
  const ask = async (path, method) => (await fetch(`${control}/json/${path}`, { method })).text();
  const { Browser: version } = JSON.parse(await ask('version'));
  return {
    version,
    /** Opens `url` in a new tab, waits until the title begins as JSON does, closes the tab. Resolves to the title's value. */
    async titleOf(url) {
      const { id } = JSON.parse(await ask(`new?${encodeURIComponent(url)}`, 'PUT'));
      for (;;) {
        await pause(250);
        const { title } = JSON.parse(await ask('list')).find((tab) => tab.id === id);
        if (!title.startsWith('{')) continue;
        await ask(`close/${id}`);
        return JSON.parse(title.replaceAll('&quot;', '"').replaceAll('&amp;', '&'));
      }
    },
    async close() {
      browser.kill();
      await closed;
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  throw new Error('CHROMIUM is not set: run pkg-scripts/setup, and this by its script in pkg-scripts or through npm');
}

function flags(webgpu) {
  return [...ALWAYS, ...QUIET, ...(webgpu ? WEBGPU : ['--disable-gpu'])];
}

async function debuggingAddress(stderr) {
  let said = '';
  for await (const line of createInterface({ input: stderr })) {
    said += `${line}\n`;
    const address = /^DevTools listening on ws:\/\/([^/]+)/.exec(line)?.[1];
    if (!address) continue;
    stderr.resume();
    return `http://${address}`;
  }
  throw new Error(`the browser did not start:\n${said}`);
}
