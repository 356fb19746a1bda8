import assert from "node:assert/strict";
import { until } from "./bench.mjs";

/** Which key is stuck, on what, and what it holds. */
export async function objects(bench, { stuck, trip, meter }) {
  const page = await bench.page();
  await until("it has failed", async () => (await (await fetch(`${bench.url}/api/stuck`)).json()).failing.some((it) => it.key === stuck.key && it.last_failure));
  await until("the second event waits", async () => (await (await fetch(`${bench.url}/api/stuck`)).json()).waiting.some((it) => it.key === stuck.key));
  await bench.look("objects", "objects", (it) => it.getByRole("link", { name: stuck.key }).first().waitFor());
  await page.at("objects");
  const row = page.locator("tr", { hasText: stuck.key }).first();
  // Also in the moment in which it is tried again.
  assert.match(await row.innerText(), /(backing-off|trying again)[\s\S]*UnreadableState/);
  const behind = page.getByRole("table", { name: "Keys whose events wait" }).locator("tr", { hasText: stuck.key });
  await until("what holds its next event up is told", async () => {
    const text = await behind.innerText({ timeout: 5_000 });
    if (/(backing-off|trying again)[\s\S]*UnreadableState/.test(text)) return true;
    await page.getByRole("button", { name: "Look again" }).click();
    return false;
  });
  await row.getByRole("link", { name: stuck.key }).click();
  await page.getByText("{ spoiled").waitFor();
  await until("its invocations are shown", async () => {
    await page.reload();
    await page.getByText("{ spoiled").waitFor({ timeout: 5_000 });
    // What holds the others up comes first.
    return /(backing-off|trying again)[\s\S]*pending/.test(await page.locator("#main").innerText());
  });
  await page.getByText("CancelFlight").first().waitFor();

  await page.at("objects");
  await page.getByLabel("Service").selectOption("Flights");
  await page.getByLabel("Key", { exact: true }).fill(`${trip.key}-flight`);
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText('"CANCELLED"').waitFor();
  await page.getByText("Bookkeeping of the library").click();
  await page.at(`objects/Flights?prefix=${encodeURIComponent(trip.key)}`);
  await page.getByRole("link", { name: `${trip.key}-flight` }).waitFor();
  await page.at("objects/Nobody").catch(() => {});
  await page.getByText("no service Nobody handles").waitFor();
  // Why was the trip rejected? Its command and its result stand together.
  await page.at(`objects/BookingWorkflow/${encodeURIComponent(trip.key)}`);
  const rejected = page.locator("tr", { hasText: "TripRejected" });
  await rejected.getByRole("button").click();
  await page.getByText("refund-charge").first().waitFor();
  // One whose state lies in a topic: its service is in the batch lane.
  await page.at("objects/UsageMeter");
  await page.getByRole("link", { name: meter.key }).click();
  await page.getByText('"api-calls"').first().waitFor();
  await page.getByText(/this key is on partition \d/).waitFor();
  await page.getByText("RecordUsage").first().waitFor();
  // A key that means harm to the query.
  await page.at(`objects/Flights/${encodeURIComponent("' OR '1'='1")}`);
  await page.getByText("No state").waitFor();
  await bench.close(page);
  await bench.look("object", `objects/Flights/${encodeURIComponent(stuck.key)}`, (it) => it.getByText("CancelFlight").first().waitFor());
}
