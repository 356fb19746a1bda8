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

  // Results that are published once: who does it stands between the two topics, with what it has to do.
  const account = `account-${events.tag}`;
  const paid = await events.ask(`/accounts/${account}/deposits`, { amount_cents: 100 });
  assert.equal(paid.status, 200, JSON.stringify(paid.body));
  const parts = [/^accounts-results .*, topic$/, /^AccountsResultsOnce .*service AccountsResultsOnce$/, /^accounts-results-once .*, result topic$/];
  const places = [];
  for (const name of parts) {
    const part = page.getByRole("link", { name });
    await part.waitFor();
    places.push(await part.boundingBox());
  }
  assert.ok(places[0].x + places[0].width < places[1].x && places[1].x + places[1].width < places[2].x, JSON.stringify(places));
  assert.equal(Math.round(places[0].y), Math.round(places[2].y), "its results stand beside what they are made of");
  await until("no result waits", async () => !/ to come|not known/.test(await page.getByRole("link", { name: parts[1] }).getAttribute("aria-label")));
  await until("what it knows of the key", async () => (await (await fetch(`${bench.url}/api/objects/AccountsResultsOnce?prefix=${account}`)).json()).keys.length === 1);
  await page.getByRole("link", { name: parts[1] }).click();
  await page.locator("h1", { hasText: "AccountsResultsOnce" }).waitFor();
  await page.getByRole("link", { name: account, exact: true }).click();
  await page.getByRole("table", { name: "Latest events" }).getByRole("link", { name: "accounts-results-once", exact: true }).waitFor();
  await page.at("flow");

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
