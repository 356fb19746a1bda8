import assert from "node:assert/strict";
import { until } from "./bench.mjs";
import { RIGHTS } from "./events.mjs";

/** Whoever may look is shown nothing that gives somebody a right: in no answer, decoded or as bytes. */
export async function hidden(bench, { events, trip }) {
  const answers = [];
  const ask = async (path) => {
    const response = await fetch(`${bench.url}/api/${path}`);
    const text = await response.text();
    assert.equal(response.status, 200, `${path}: ${text}`);
    answers.push({ path, text });
    return JSON.parse(text);
  };
  const stop = new AbortController();
  const tail = await fetch(`${bench.url}/api/topics/timers/tail`, { signal: stop.signal });
  const parts = tail.body.pipeThrough(new TextDecoderStream()).getReader();
  const { key, mail, timer, letter } = await events.entitled();
  let live = "";
  await until("the timer comes live", async () => {
    live += (await parts.read()).value;
    return live.includes(key) && live.endsWith("\n\n");
  });
  stop.abort();
  answers.push({ path: "tail", text: live });
  assert.match(live, /\*\*\* \(\d+ bytes\)/, "the timer's event");

  const place = (at) => `${at.topic}/records/${at.partition}/${at.offset}`;
  const id = `${letter.topic}/${letter.partition}/${letter.offset}`;
  await events.kept(bench.url, id);
  const shown = [await ask(`topics/${place(mail)}`), await ask(`topics/${place(timer)}`), await ask(`topics/${place(letter)}`), await ask(`letters/${id}`)];
  assert.deepEqual(shown.map(({ meta }) => [meta.principal, meta.proof, meta.reply_key]), [["ada", "***", "***"], ["ada", "***", "***"], ["ada", "***", null], ["ada", "***", null]]);
  for (const { bytes } of shown) {
    const dumped = bytes.dump.split("\n").map((line) => line.slice(8, 55).replaceAll(" ", "")).join("");
    const text = Buffer.from(dumped, "hex").toString("latin1");
    assert.ok(text.includes("console-test"), "the rest is there");
    for (const [name, right] of Object.entries(RIGHTS)) assert.ok(!text.includes(right), `${name} in ${text}`);
    assert.ok(text.includes("*".repeat(RIGHTS.proof.length)));
  }
  for (const topic of ["outbound-emails", "timers"]) await ask(`topics/${topic}/records?key=${key}`);
  await ask("letters?topic=flights");
  await until("the timer is set", async () => (await ask("timers")).timers.some((it) => it.name === key && it.topic === "outbound-emails"));
  const { state } = await ask(`objects/Timers/${key}`);
  assert.equal(JSON.parse(state[0].fields).timer.value, "***");
  await ask(`journey?id=${key}`);
  // The key of a reply is the `reply_key` of its request.
  await ask(`journey?topic=trip-bookings&key=${trip.key}`);
  const { records } = await ask("topics/replies/records");
  assert.ok(records.length > 0);
  assert.deepEqual(records.filter((it) => it.key !== "***"), []);
  const reply = await ask(`topics/replies/records/${records[0].partition}/${records[0].offset}`);
  assert.deepEqual([reply.key, reply.key_bytes], ["***", null]);

  for (const { path, text } of answers) {
    for (const [name, right] of Object.entries(RIGHTS)) assert.ok(!text.includes(right), `${name} in ${path}`);
    assert.doesNotMatch(text, /v1\.[0-9a-f]{16}\.\d+\.[\w-]{86}|inv_1\w+\.\d+\.[0-9a-f]{32}/, path);
  }
}
