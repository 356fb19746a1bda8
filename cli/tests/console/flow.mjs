import assert from "node:assert/strict";
import { until } from "./bench.mjs";

/** The picture shows what is declared, moves, and leads on. */
export async function flow(bench, { events }) {
  const page = await bench.page();
  const begun = Date.now();
  await page.goto(bench.url);
  await page.locator("#flow .service").first().waitFor();
  const seconds = (Date.now() - begun) / 1000;
  console.log(`   the picture is there after ${seconds.toFixed(2)} s`);
  const topic = page.getByRole("link", { name: /^trip-bookings / });
  await until("figures at the topic", async () => /records/.test(await topic.getAttribute("aria-label")));
  await page.getByRole("link", { name: /^BookingWorkflow / }).waitFor();
  await page.getByRole("link", { name: /^trip-bookings-results / }).waitFor();

  const before = Number(/([\d,]+) records/.exec(await topic.getAttribute("aria-label"))[1].replaceAll(",", ""));
  await events.rejectedTrip("trip-18");
  await until("one more record, without a reload", async () => {
    const now = Number(/([\d,]+) records/.exec(await topic.getAttribute("aria-label"))[1].replaceAll(",", ""));
    return now > before;
  });

  await page.getByLabel("Show").fill("trip-book");
  await until("only what fits", async () => (await page.locator("#flow .service").count()) === 1);
  await topic.click();
  await page.locator("h1", { hasText: "trip-bookings" }).waitFor();
  assert.match(page.url(), /#\/topics\/trip-bookings$/);
  await page.goBack();
  await page.getByRole("link", { name: /^BookingWorkflow / }).click();
  await page.locator("h1", { hasText: "BookingWorkflow" }).waitFor();

  // By keyboard: from the top to a topic and into it.
  await page.at("flow");
  await page.getByLabel("Show").fill("trip-book");
  await page.keyboard.press("Tab");
  await until("a part of the picture has the focus", () => page.evaluate(() => document.activeElement.closest("#flow") !== null));
  await page.keyboard.press("Enter");
  await page.locator("h1", { hasText: "trip-bookings" }).waitFor();

  // The theme by the switch, and kept.
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.locator("#theme").click();
  await page.locator("#theme").click();
  assert.notEqual(await ground(), light);
  await page.reload();
  await page.locator("#flow .service, h1").first().waitFor();
  assert.notEqual(await ground(), light, "it is kept");
  await bench.close(page);
  await bench.look("flow", "flow", async (it) => {
    await until("figures", async () => /records/.test(await it.getByRole("link", { name: /^trip-bookings / }).getAttribute("aria-label")));
  });
}
