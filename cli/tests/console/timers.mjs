import assert from "node:assert/strict";
import { until } from "./bench.mjs";

/** What is due, and when. */
export async function timers(bench, { timer }) {
  await until("the timer is set", async () => (await (await fetch(`${bench.url}/api/timers`)).json()).timers.some((it) => it.name === timer.name && it.topic));
  const page = await bench.page();
  await page.at("timers");
  const text = await page.locator("tr", { hasText: timer.name }).innerText();
  // It was set for in an hour, before everything else was looked at.
  assert.match(text, /in ([345]\d|60) min|in 1 h 0 min/);
  assert.match(text, /outbound-emails/);
  await bench.close(page);
  await bench.look("timers", "timers", (it) => it.getByText(timer.name).first().waitFor());
}
