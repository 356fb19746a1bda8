import assert from "node:assert/strict";

const TOPICS = 200;
const LETTERS = 1000;
const EVENTS = 300;
/** A page is there within so many milliseconds: the quickest of some, since machines of tests are slow. */
const LOADED = 1000;

/** A large installation: the page draws it at once, and what is typed is answered. Its data is made up. */
export async function scale(bench) {
  const page = await bench.page();
  const name = (at) => `department-${at % 20}-entity-with-a-long-name-${at}`;
  const topics = Array.from({ length: TOPICS }, (_, at) => ({
    name: name(at), description: `Topic ${at}.`, key: "id", lane: "event", access: "public", open: true, of_results: false, of_states: false, guarded: null,
    events: [{ name: `made.up.Event${at}`, command: true, results: ["made.up.Done"] }],
    handlers: [{ service: `Service${Math.floor(at / 3)}`, handler: "onEvent", system: false, lane: "event", results: `${name(at)}-results`, once: false }], http: [], results: `${name(at)}-results`, dead_letters: `${name(at)}-dlq`,
  }));
  const letters = Array.from({ length: LETTERS }, (_, at) => ({
    id: `${name(at)}/0/${at}`, topic: name(at), partition: 0, offset: at, code: "handler-failed", message: `It failed for the reason ${at}.`, handler: "Service/onEvent",
    key: `key-${at}`, type: null, kept: Date.now() - at * 1000, timestamp: Date.now(), size: 10, shortened: null, source: null, marked: null,
  }));
  await page.route("**/api/flow", (route) => route.fulfill({ json: { topics } }));
  await page.route("**/api/letters", (route) => route.fulfill({ json: { letters, total: 5 * LETTERS, topics: {}, codes: { "handler-failed": LETTERS }, whole: true, now: Date.now() } }));
  const timed = async (what, limit, work) => {
    const begun = Date.now();
    await work();
    const took = Date.now() - begun;
    console.log(`   ${what}: ${took} ms`);
    // Generous: machines of tests are slow. What takes so long is not slow but broken.
    assert.ok(took < limit, `${what} took ${took} ms`);
  };
  await timed(`${TOPICS} topics are drawn`, 10_000, async () => {
    await page.goto(`${bench.url}/#/flow`);
    await page.locator("#flow .node.topic").nth(TOPICS - 1).waitFor();
  });
  await timed("one of them is found", 10_000, async () => {
    await page.getByLabel("Show").fill("Event199");
    await page.waitForFunction(() => document.querySelectorAll("#flow .node.service").length === 1);
  });
  await bench.shot(page, "scale-flow");
  let quickest = Infinity;
  for (let load = 0; load < 3; load += 1) {
    await page.goto("about:blank");
    const begun = Date.now();
    await page.goto(`${bench.url}/#/flow`);
    await page.locator("#flow .node.topic").nth(TOPICS - 1).waitFor();
    quickest = Math.min(quickest, Date.now() - begun);
  }
  console.log(`   the page with ${TOPICS} topics is there after ${quickest} ms`);
  assert.ok(quickest < LOADED, `it took ${quickest} ms`);
  await timed(`${LETTERS} dead letters are shown`, 10_000, async () => {
    await page.goto(`${bench.url}/#/letters`);
    await page.locator("tbody tr").nth(LETTERS - 1).waitFor();
  });
  await timed("all of them are chosen", 10_000, async () => {
    await page.getByRole("checkbox", { name: "Choose all that are shown" }).check();
    await page.getByText("1,000 chosen").waitFor();
  });
  await page.getByText("These are the newest 1,000 of 5,000").waitFor();

  // A saga of many steps, each with its reply.
  const began = Date.now() - EVENTS * 20;
  const node = (at) => ({
    kind: at === 0 ? "command" : at % 2 ? "command" : "reply", parent: at === 0 ? null : at % 2 ? 0 : at - 1, depth: at === 0 ? 0 : at % 2 ? 1 : 2,
    topic: at % 2 ? name(at) : "replies", partition: 0, offset: at, key: `step-${at}`, type: `made.up.Step${at}`, id: `event-${at}`, correlation_id: "event-0",
    time: began + at * 20, after_ms: at * 20, copies: 1,
  });
  const journey = {
    asked: "event-0", state: "running", correlation_ids: ["event-0"], began, nodes: Array.from({ length: EVENTS }, (_, at) => node(at)),
    searched: { topics: TOPICS, partitions: 8 * TOPICS, records: 10_000_000, bytes: 1, millis: 4000 },
  };
  await page.route("**/api/journey*", (route) => route.fulfill({ json: journey }));
  const steps = page.getByRole("list", { name: "What came of it" });
  await timed(`a journey of ${EVENTS} events is shown`, 10_000, async () => {
    await page.goto(`${bench.url}/#/requests?id=event-0`);
    await steps.locator("li").nth(EVENTS - 1).waitFor();
  });
  await bench.shot(page, "scale-request");
  await timed("it is shown by time", 10_000, async () => {
    await page.getByRole("button", { name: "By time" }).click();
    await page.locator("tbody tr").nth(EVENTS - 1).waitFor();
  });
  await timed("and by cause again", 10_000, async () => {
    await page.getByRole("button", { name: "By cause" }).click();
    await steps.locator("li").nth(EVENTS - 1).waitFor();
  });
  await bench.close(page);
}
