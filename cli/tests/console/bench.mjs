// A real browser at the console: pages in both themes and widths, screenshots, and axe-core's verdict.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import path from "node:path";
import { chromium } from "playwright-core";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** How long anything may take to show. */
export const LIMIT = 30_000;
const SIZES = { wide: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

export class Bench {
  /** `assets`: a folder that is served in place of what is in the program, for whoever works on it. */
  static async start({ executable, url, screenshots, assets }) {
    await mkdir(screenshots, { recursive: true });
    const browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
    return Object.assign(new Bench(), { browser, url, screenshots, assets });
  }

  async stop() {
    await this.browser.close();
  }

  /** A page, which must not say anything on the browser's console. */
  async page({ theme = "light", size = "wide", url = this.url, checked = false } = {}) {
    // axe-core makes elements of text, which the page's policy forbids to everybody.
    const context = await this.browser.newContext({ colorScheme: theme, viewport: SIZES[size], reducedMotion: "reduce", bypassCSP: checked });
    context.setDefaultTimeout(LIMIT);
    const page = await context.newPage();
    page.complaints = [];
    page.on("console", (message) => {
      const text = message.text();
      // What is refused with a status is told by the page itself.
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) page.complaints.push(text);
    });
    page.on("pageerror", (error) => page.complaints.push(String(error)));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) page.complaints.push(`asked another host: ${request.url()}`);
    });
    if (this.assets) {
      await page.route((it) => !it.pathname.startsWith("/api/") && it.origin === new URL(url).origin, async (route) => {
        const { pathname } = new URL(route.request().url());
        const original = await route.fetch();
        await route.fulfill({ response: original, body: await readFile(path.join(this.assets, pathname === "/" ? "index.html" : pathname)) });
      });
    }
    page.at = async (place) => {
      await page.goto(`${url}/#/${place}`);
      await page.locator("#main h1").first().waitFor();
    };
    return page;
  }

  async close(page) {
    assert.deepEqual(page.complaints, [], "the browser complains");
    await page.context().close();
  }

  /**
   * Shows a place in both themes and widths: takes screenshots, and lets axe-core look. `ready` waits
   * until there is something to see.
   */
  async look(name, place, ready) {
    for (const theme of ["light", "dark"]) {
      for (const size of ["wide", "phone"]) {
        const page = await this.page({ theme, size, checked: true });
        await page.at(place);
        await ready?.(page);
        await page.screenshot({ path: path.join(this.screenshots, `${name}-${theme}-${size}.png`), fullPage: false });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(overflow <= 0, `${name} is ${overflow} px wider than the ${size} page`);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
        const faults = violations.filter((it) => ["serious", "critical"].includes(it.impact));
        const told = faults.map((it) => `${it.id}: ${it.help} (${it.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join("; ")})`);
        assert.deepEqual(told, [], `${name}, ${theme}, ${size}`);
        await this.close(page);
      }
    }
  }

  async shot(page, name) {
    await page.screenshot({ path: path.join(this.screenshots, `${name}.png`) });
  }
}

/** Waits until something holds. */
export async function until(what, holds, limit = LIMIT) {
  const end = Date.now() + limit;
  let last;
  for (;;) {
    try {
      const found = await holds();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`in vain: ${what}${last ? ` (${last.message})` : ""}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** A port that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}
