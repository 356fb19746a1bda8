import assert from "node:assert/strict";
import { until } from "./bench.mjs";

/** Why the trip was rejected: its journey, by key and by id, as a tree and as a list. */
export async function requests(bench, { trip, stuck }) {
  const page = await bench.page();
  await page.at("requests");
  await page.getByText("Which request?").waitFor();
  // Who knows a key alone enters it as if it were an id.
  await page.getByLabel("Id", { exact: true }).fill(trip.key);
  await page.getByRole("button", { name: "Follow" }).click();
  await page.getByText("is no id, but the key of records").waitFor();
  await page.getByRole("link", { name: "trip-bookings", exact: true }).waitFor();
  // What is entered last counts.
  await page.getByLabel("or the latest on").selectOption("trip-bookings");
  await page.getByLabel("of key").fill(trip.key);
  assert.equal(await page.getByLabel("Id", { exact: true }).inputValue(), "");
  await page.getByRole("button", { name: "Follow" }).click();
  await page.getByText("ChargeCard was refused: card-declined").waitFor();
  const journey = page.getByRole("list", { name: "What came of it" });
  await journey.getByText("BookTrip").waitFor();
  for (const step of ["ReserveFlight", "ChargeCard", "card-declined", "CancelFlight", "TripRejected"]) {
    await journey.getByText(step).first().waitFor();
  }
  await bench.shot(page, "request");
  await journey.getByRole("button", { name: "TripRejected" }).click();
  await page.getByText("refund-charge").first().waitFor();
  const id = await page.locator("dd a.mono[href^='#/requests']").first().innerText();
  await page.getByRole("button", { name: "By time" }).click();
  await page.getByRole("cell", { name: "TripRejected", exact: true }).waitFor();

  // By an id that stands somewhere, and by one that stands nowhere.
  await page.at(`requests?id=${encodeURIComponent(id)}`);
  await page.getByRole("list", { name: "What came of it" }).getByText("BookTrip").waitFor();
  await page.at("requests?id=no-such-request&since=5m");
  await page.getByText("Nothing was found").waitFor();

  // What is stuck says so, and on what.
  await page.at(`requests?topic=flights&key=${encodeURIComponent(stuck.key)}`);
  // Between two failures it runs for a moment.
  await until("it is said to be stuck", async () => {
    await page.reload();
    await page.getByText("backing-off").first().waitFor({ timeout: 10_000 });
    return /stuck[\s\S]*UnreadableState/.test(await page.locator("#main").innerText());
  }, 60_000);
  await bench.close(page);
  await bench.look("requests", `requests?topic=trip-bookings&key=${encodeURIComponent(trip.key)}`, (it) => it.getByRole("list", { name: "What came of it" }).getByText("TripRejected").first().waitFor());
}
