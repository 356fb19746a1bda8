import { spawn } from "node:child_process";
import { freePort, until } from "./bench.mjs";

/** A part that does not answer is named on every view, with what to do; no view is empty as if all were well. */
export async function outage(bench, { program, endpoints }) {
  const dead = `127.0.0.1:${await freePort()}`;
  for (const [part, address, places] of [
    ["Restate", { "--restate-admin": `http://${dead}` }, ["objects", "timers", "objects/Flights", "objects/Flights/a"]],
    ["Kafka", { "--kafka": dead }, ["letters", "topics/trip-bookings", "letters/trip-bookings/0/0"]],
  ]) {
    const url = `http://127.0.0.1:${await freePort()}`;
    const all = { "--kafka": endpoints.kafka, "--schema-registry": endpoints.schema_registry, "--restate-admin": endpoints.restate_admin, ...address };
    const server = spawn(program, ["console", "--insecure-dev", "--listen", url.slice("http://".length), ...Object.entries(all).flat()], { stdio: ["ignore", "ignore", "ignore"], env: { ...process.env, RUST_LOG: "off" } });
    try {
      await until("the console answers", async () => (await fetch(`${url}/health`)).ok);
      const page = await bench.page({ url });
      await page.goto(`${url}/#/flow`);
      await page.locator("#parts").getByText(`${part} does not answer`).waitFor();
      await bench.shot(page, `outage-${part.toLowerCase()}`);
      for (const place of places) {
        await page.goto(`${url}/#/${place}`);
        await page.locator("main .problem").first().waitFor();
        await page.getByRole("button", { name: "Try again" }).first().waitFor();
      }
      await bench.close(page);
    } finally {
      server.kill("SIGTERM");
      await new Promise((ended) => (server.exitCode === null ? server.once("exit", ended) : ended()));
    }
  }
}
