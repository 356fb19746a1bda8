// Timers: what is due when, and what is late.

import { get } from "/api.js";
import { ago, at, h, nothing, number, put, table } from "/dom.js";

export const title = "Timers";

export async function show(root, { signal, again }) {
  const found = await get("/api/timers", signal);
  if (signal.aborted) return;
  const late = found.timers.filter((timer) => timer.late);
  const rows = found.timers.map((timer) => [
    timer.due ? h("span", {}, ago(timer.due, found.now), timer.late && [" ", h("span", { class: "tag bad" }, "late")]) : h("span", { class: "muted" }, "being set"),
    timer.due ? h("span", { class: "nowrap" }, at(timer.due)) : "",
    h("span", { class: "mono" }, timer.name),
    timer.topic ? h("a", { class: "mono", href: `#/topics/${encodeURIComponent(timer.topic)}` }, timer.topic) : h("span", { class: "muted" }, "known when it fires"),
    timer.key !== null && timer.key !== undefined ? h("span", { class: "mono" }, timer.key) : "",
    h("span", {}, h("span", { class: "tag" }, timer.status), timer.failure && h("p", { class: "bad" }, timer.failure)),
  ]);
  put(root,
    h("h1", {}, "Timers"),
    h("p", { class: "intro" }, "Events that are held until their time has come, and then put onto their topic. A timer is named after whoever set it: service, key and name."),
    late.length > 0 && h("div", { class: "problem", role: "alert" }, h("strong", {}, `${number(late.length)} late`), h("p", {}, "Their time has come more than five seconds ago. Usually so many are due at once that they queue, or handlers were away. If it does not get better, look at the failures under Objects and at Restate's processors.")),
    rows.length ? table("Timers", ["due", "at", "timer", "topic", "key", "state"], rows) : nothing("No timer is pending", "Nothing waits for its time."),
    found.total > rows.length && h("p", { class: "muted" }, `The first ${number(rows.length)} of ${number(found.total)}.`),
    h("div", { class: "bar" }, h("button", { type: "button", onclick: again }, "Look again")));
}
