import assert from "node:assert/strict";
import { until } from "./bench.mjs";

/** A poison record is found, understood, replayed, and settled. */
export async function letters(bench, { events, poison }) {
  await events.kept(bench.url, poison.id);
  await bench.look("letters", "letters", (it) => it.getByText(poison.id).first().waitFor());
  await bench.look("letter", `letters/${poison.id}`);

  const page = await bench.page();
  await page.at("letters");
  await page.getByLabel("Topic").selectOption("trip-bookings");
  await page.getByRole("link", { name: poison.id, exact: true }).click();
  await page.locator("h1", { hasText: poison.id }).waitFor();
  const text = await page.locator("#main").innerText();
  for (const said of ["undecodable", "billing-export-7", "batch-3.example", "without an Avro serializer", '{"flight": "1234']) {
    assert.ok(text.includes(said), `it says ${said}: ${text}`);
  }

  const before = await events.count("trip-bookings");
  await page.getByRole("button", { name: "Replay…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Replay it" }).click();
  assert.ok(await dialog.isVisible(), "who and why are asked for");
  await dialog.getByLabel("Who").fill("ada");
  await dialog.getByLabel("Why").fill("tried from the page");
  await dialog.getByRole("button", { name: "Replay it" }).click();
  await page.getByText(`${poison.id} is replayed.`).waitFor();
  await page.getByText("tried from the page").waitFor();
  await until("the record is on its topic again", async () => (await events.count("trip-bookings")) > before);

  // It only comes back, under a new place. Several are discarded at once.
  const more = await events.poison(" ");
  await events.kept(bench.url, more.id);
  await page.at(`letters?topic=trip-bookings&key=${encodeURIComponent(more.key)}`);
  await page.getByRole("checkbox", { name: "Choose all that are shown" }).check();
  await page.getByRole("button", { name: "Discard…" }).click();
  await dialog.getByLabel("Who").fill("ada");
  await dialog.getByLabel("Why").fill("its producer is mended");
  await bench.shot(page, "letters-dialog");
  await dialog.getByRole("button", { name: "Discard it" }).click();
  await page.getByText(`${more.id} is discarded.`).waitFor();
  await page.getByText("No dead letters").waitFor();
  await page.getByLabel("also those dealt with").check();
  await page.locator("tr", { hasText: more.id }).getByText("discarded").waitFor();
  await bench.close(page);
}
