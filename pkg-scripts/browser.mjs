// A headless Chromium, with or without WebGPU.
import { chromium } from 'playwright-core';

const QUIET = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
// SwiftShader computes on the CPU: right everywhere, fast nowhere.
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Starts $CHROMIUM. Without `webgpu` it finds no adapter, as on a machine without a GPU. */
export function launch({ webgpu = false } = {}) {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error('CHROMIUM is not set; source pkg-scripts/env.sh, and run pkg-scripts/setup if no browser is found');
  return chromium.launch({ executablePath, args: ['--headless=new', '--no-sandbox', ...QUIET, ...(webgpu ? WEBGPU : ['--disable-gpu'])] });
}

/** A page of the server at `url` that holds nothing: a place to run code in. */
export async function emptyPage(browser, url) {
  const page = await browser.newPage();
  await page.route(`${url}empty.html`, (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto(`${url}empty.html`);
  return page;
}
