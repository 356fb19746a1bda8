// The console in a real browser, on a real stack.
//
//     npm install
//     node run.mjs --folder .millstream --program target/debug/millstream --screenshots /tmp/shots
//
// `--folder` is that of a dev stack that runs. `--only NAME` plays one view. `--assets FOLDER` shows the page's
// files of that folder in place of those in the program. Exit status 0 only when all is as expected.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { access } from "./access.mjs";
import { Bench } from "./bench.mjs";
import { Events } from "./events.mjs";
import { flow } from "./flow.mjs";
import { hidden } from "./hidden.mjs";
import { letters } from "./letters.mjs";
import { objects } from "./objects.mjs";
import { outage } from "./outage.mjs";
import { requests } from "./requests.mjs";
import { scale } from "./scale.mjs";
import { timers } from "./timers.mjs";
import { topics } from "./topics.mjs";

const STEPS = { flow, letters, requests, topics, objects, timers, hidden, scale, access, outage };

const { values: options } = parseArgs({
  options: {
    folder: { type: "string" },
    program: { type: "string" },
    screenshots: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    assets: { type: "string" },
    only: { type: "string", multiple: true },
  },
});
for (const name of ["folder", "program", "screenshots"]) {
  if (!options[name]) throw new Error(`--${name} is missing`);
}
const endpoints = JSON.parse(await readFile(path.join(options.folder, "dev.json"), "utf8"));
const events = await Events.start(endpoints);
const bench = await Bench.start({ executable: options.chromium, url: endpoints.console, screenshots: options.screenshots, assets: options.assets });
try {
  const given = { events, endpoints, program: path.resolve(options.program), folder: options.folder };
  given.trip = await events.rejectedTrip();
  given.poison = await events.poison();
  given.stuck = await events.stuckKey();
  given.meter = await events.meteredCustomer();
  given.timer = await events.pendingTimer();
  given.hostile = await events.hostile();
  for (const [name, step] of Object.entries(STEPS)) {
    if (options.only && !options.only.includes(name)) continue;
    const begun = Date.now();
    await step(bench, given);
    console.log(`ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  }
  await events.mend(given.stuck.key);
} finally {
  await bench.stop();
  await events.stop();
}
