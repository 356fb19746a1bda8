import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { freePort, until } from "./bench.mjs";

/** A console that asks for a key: nobody without one sees anything, and a key without `operate` presses nothing. */
export async function access(bench, { program, folder, poison }) {
  const keys = path.join(bench.screenshots, "keys.json");
  rmSync(keys, { force: true });
  const key = (who, ...scopes) => execFileSync(program, ["keys", "create", "--keys", keys, ...scopes.flatMap((it) => ["--scope", it]), who], { encoding: "utf8" }).trim().split(/\s+/).find((it) => it.startsWith("ms_"));
  const looker = key("looker", "read:*");
  const sender = key("sender", "*:trip-bookings");
  const operator = key("operator", "read:*", "operate:*");
  const url = `http://127.0.0.1:${await freePort()}`;
  const server = spawn(program, ["console", "--folder", folder, "--keys", keys, "--listen", url.slice("http://".length)], { stdio: ["ignore", "inherit", "inherit"] });
  try {
    await until("the console answers", async () => (await fetch(`${url}/health`)).ok);
    const api = (place, secret, options = {}) => fetch(`${url}/api/${place}`, { ...options, headers: { "Content-Type": "application/json", ...(secret && { Authorization: `Bearer ${secret}` }) } });
    for (const place of ["me", "flow", "live", "letters", "guide", "stuck", "timers", "objects/Flights", "topics/flights/records", "topics/flights/tail"]) {
      assert.equal((await api(place)).status, 401, place);
      assert.equal((await api(place, sender)).status, 403, place);
    }
    const change = { method: "POST", body: JSON.stringify({ ids: [poison.id], note: "no" }) };
    for (const place of ["letters/replay", "letters/discard", "send"]) {
      assert.equal((await api(place, undefined, change)).status, 401, place);
      assert.equal((await api(place, looker, change)).status, 403, place);
    }

    const page = await bench.page({ url });
    await page.goto(url);
    await bench.shot(page, "login");
    await page.getByLabel("API key or token").fill("ms_wrong_key");
    await page.keyboard.press("Enter");
    await page.getByText("not known here").waitFor();
    await page.getByLabel("API key or token").fill(looker);
    await page.keyboard.press("Enter");
    await page.getByText("may look, not act").first().waitFor();
    await page.at(`letters/${poison.id}`);
    for (const name of ["Replay…", "Discard…", "Settled otherwise…"]) {
      assert.ok(await page.getByRole("button", { name }).isDisabled(), name);
    }
    await bench.shot(page, "letter-read-only");
    await page.at("letters?all=true");
    await page.getByRole("checkbox", { name: "Choose all that are shown" }).check();
    for (const name of ["Replay…", "Discard…", "Settled otherwise…"]) {
      assert.ok(await page.getByRole("button", { name }).isDisabled(), name);
    }
    await page.at("topics/trip-bookings");
    assert.ok((await page.locator("#main").innerText()).includes("Sending from here is not possible"));
    // A key that is revoked while its page is open ends what comes by itself, too.
    const tail = await api("topics/trip-bookings/tail", looker);
    execFileSync(program, ["keys", "revoke", "--keys", keys, looker.split("_")[1]]);
    const revoked = Date.now();
    await tail.text();
    await page.getByText("is not good any more").waitFor();
    assert.ok(Date.now() - revoked < 10_000, `${Date.now() - revoked} ms`);
    await bench.close(page);

    // Who it was is told by the key, whatever is sent.
    const done = await api("letters/discard", operator, { method: "POST", body: JSON.stringify({ ids: [poison.id], note: "settled", by: "somebody else", handled: true, again: true }) });
    assert.equal(done.status, 200, await done.clone().text());
    const { marked } = await (await api(`letters/${poison.id}`, operator)).json();
    assert.deepEqual([marked.mark, marked.by, marked.note], ["handled", "operator", "settled"]);
  } finally {
    server.kill("SIGTERM");
    await new Promise((ended) => (server.exitCode === null ? server.once("exit", ended) : ended()));
  }

  // Where nobody is asked for a key: no page of another origin, and no name that points here.
  const open = (headers) => fetch(`${bench.url}/api/letters/discard`, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify({ ids: [poison.id], by: "evil", note: "evil" }) });
  assert.equal((await open({ Origin: "https://evil.example" })).status, 403);
  const response = await fetch(bench.url);
  assert.match(response.headers.get("content-security-policy"), /default-src 'self'.*require-trusted-types-for 'script'/);
}
