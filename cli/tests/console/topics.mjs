import assert from "node:assert/strict";
import { until } from "./bench.mjs";
import { LONG, SCRIPT } from "./events.mjs";

/** Records are found by every way, hostile ones are text, and an event is sent from a form. */
export async function topics(bench, { events, hostile, trip }) {
  const page = await bench.page();
  await page.at("topics");
  await page.getByLabel("Find").fill("mails to be");
  await page.getByRole("link", { name: "outbound-emails", exact: true }).click();
  await page.getByRole("heading", { name: "Records, newest first" }).waitFor();
  const row = (at) => page.locator("tbody tr").filter({ has: page.getByRole("button", { name: `Open the record ${at.partition}/${at.offset}`, exact: true }) });
  assert.ok((await row(hostile.scripted).innerText()).includes(SCRIPT.slice(0, 30)), "the script is text");
  assert.match(await row(hostile.nan).innerText(), /NaN/);
  assert.match(await row(hostile.tombstone).innerText(), /tombstone/);
  assert.match(await row(hostile.broken).innerText(), /not decoded/);
  assert.match(await row(hostile.long).innerText(), /too many for a list/);

  for (const at of [hostile.scripted, hostile.long, hostile.broken, hostile.nan]) {
    await page.getByRole("button", { name: `Open the record ${at.partition}/${at.offset}`, exact: true }).click();
    await page.locator("tr.chosen + tr dl").last().waitFor();
    const opened = await page.locator("tr.chosen + tr").innerText();
    if (at === hostile.scripted) assert.ok(opened.includes("<script>window.harmed"), opened.slice(0, 500));
    if (at === hostile.long) {
      assert.ok(opened.includes(LONG.slice(0, 100)), "its beginning is there");
      assert.ok(opened.length < 100_000, `${opened.length} letters are shown`);
      assert.match(opened, /The first 4 KiB of 8\d\d\.\d KiB/);
    }
    if (at === hostile.broken) assert.match(opened, /00 01 02 ff fe c3 28/);
    await page.locator("tr.chosen").getByRole("button", { name: /^Open the record/ }).click();
  }
  assert.equal(await page.evaluate(() => window.harmed), undefined, "nothing of it ran");
  assert.equal(await page.locator("main img, main script").count(), 0);

  // By key, by offset, by time.
  await page.at("topics/trip-bookings");
  await page.getByRole("search").getByLabel("Key", { exact: true }).fill(trip.key);
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("records were looked at").waitFor();
  assert.equal(await page.locator("tbody tr:not([hidden])").count(), 1);
  await page.getByRole("button", { name: /^Open the record/ }).click();
  await page.getByText("4111111111111111").waitFor();
  await page.at(`topics/outbound-emails?partition=${hostile.scripted.partition}&offset=${hostile.scripted.offset}`);
  await page.getByRole("heading", { name: "Records from there on, oldest first" }).waitFor();
  assert.match(await page.locator("tbody tr").first().innerText(), new RegExp(`${hostile.scripted.partition}/${hostile.scripted.offset}`));
  await page.at("topics/outbound-emails?time=1h");
  await page.locator("tbody tr").first().waitFor();
  await page.at("topics/outbound-emails?time=nonsense");
  await page.getByText("is no time").waitFor();
  await page.at("topics/outbound-emails?key=nobody-has-this-key");
  await page.getByText("No records").waitFor();
  await page.at("topics/not-declared").catch(() => {});
  await page.getByText("no topic not-declared is declared").waitFor();

  // As it comes.
  await page.at("topics/outbound-emails");
  await page.getByRole("button", { name: "▶ Live" }).click();
  await page.getByText("Waiting for records").waitFor();
  await events.send("outbound-emails", `live-${events.tag}`, await events.mail("now", SCRIPT));
  await page.locator("tbody tr", { hasText: `live-${events.tag}` }).waitFor();
  await page.getByRole("button", { name: "■ Stop" }).click();

  // Sent from the form: the answer beside it, and mistakes told before or by the gateway.
  await page.at("topics/trip-bookings");
  await page.getByText("Send an event").click();
  await page.locator("details.send").getByLabel("Key", { exact: true }).fill(`sent-${events.tag}`);
  await page.getByLabel("card_number").fill("5105105105105100");
  await page.getByLabel("amount_cents").fill("many");
  await page.getByRole("button", { name: "Send it" }).click();
  await page.getByText("amount_cents must be a whole number").waitFor();
  await page.getByLabel("amount_cents").fill("9007199254740993");
  await page.getByLabel("passenger_name").fill(SCRIPT);
  await page.getByRole("button", { name: "Send it" }).click();
  await page.getByText("200 OK").waitFor();
  await page.getByText(`sent-${events.tag}-flight`).waitFor();
  await bench.shot(page, "topic-sent");
  await page.at(`topics/trip-bookings?key=sent-${events.tag}`);
  await page.getByRole("button", { name: /^Open the record/ }).click();
  await until("all digits arrived", async () => (await page.locator("tr.chosen + tr").innerText()).includes("9007199254740993"));
  await bench.close(page);

  await bench.look("topics", "topics", async (it) => {
    await it.getByRole("link", { name: "trip-bookings", exact: true }).waitFor();
  });
  await bench.look("topic", "topics/outbound-emails", (it) => it.getByRole("heading", { name: "Records, newest first" }).waitFor());
  await bench.look("topic-send", "topics/trip-bookings", async (it) => {
    await it.getByRole("heading", { name: "Records, newest first" }).waitFor();
    await it.getByText("Send an event").click();
  });
}
