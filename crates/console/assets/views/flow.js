// The flow: what is declared, as a picture, and what moves in it.

import { get } from "/api.js";
import { h, number, put, rate, span, svg } from "/dom.js";
import { fits, groups, layout } from "/layout.js";

export const title = "Flow";

export async function show(root, { live, signal }) {
  const { topics } = await get("/api/flow", signal);
  if (signal.aborted) return;
  const all = groups(topics);
  const canvas = h("div", { id: "flow" });
  const figures = h("ul", { class: "figures", "aria-label": "Now" });
  const filter = h("input", { type: "search", id: "filter", placeholder: "topic, service or event", autocomplete: "off" });
  put(root,
    h("h1", {}, "Flow"),
    h("p", { class: "intro" },
      "Everything here is an event on a topic. A command goes onto a topic on the left; the service in the middle handles it, one event of a key at a time; its answer comes out on the result topic on the right. What cannot be handled is kept as a ", h("a", { href: "#/letters" }, "dead letter"), ". Select a topic to see its events, or a service to see its keys."),
    figures,
    h("div", { class: "bar" }, h("label", { for: "filter" }, "Show"), filter,
      h("span", { class: "legend" },
        h("span", {}, h("i", { class: "key-line busy" }), "events move"),
        h("span", {}, h("i", { class: "key-line lag" }), "events wait"),
        h("span", {}, h("i", { class: "key-box bad" }), "something fails"))),
    h("p", { id: "hint", class: "muted" }, HINT),
    canvas);
  let picture;
  let width = 0;
  const draw = () => {
    width = canvas.clientWidth;
    const shown = all.filter((group) => fits(group, filter.value));
    picture = shown.length ? paint(layout(shown, width)) : undefined;
    put(canvas, picture?.node ?? h("p", { class: "muted" }, `Nothing is called so: ${filter.value}`));
    if (live.last) picture?.update(live.last);
  };
  draw();
  filter.addEventListener("input", draw);
  const resized = new ResizeObserver(() => {
    if (Math.abs(canvas.clientWidth - width) > 8) draw();
  });
  resized.observe(canvas);
  signal.addEventListener("abort", () => resized.disconnect());
  put(figures, h("li", {}, h("span", {}, "Looking…"), h("b", {}, "–")));
  live.watch((now) => {
    picture?.update(now);
    summary(figures, topics, now);
  }, signal);
}

function summary(list, topics, now) {
  const of = (name) => now.topics[name];
  const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
  const known = Object.keys(now.topics).length > 0;
  const rates = topics.filter((topic) => !topic.of_results).map((topic) => of(topic.name)?.rate);
  const lag = sum(now.routes.map((route) => route.lag));
  // Of those that are there; what nobody could count is not none.
  const kept = topics.filter((topic) => topic.dead_letters && of(topic.dead_letters) && of(topic.name)).map((topic) => of(topic.name).unmarked);
  const letters = sum(kept.map((it) => it?.count));
  const counted = known && kept.every((it) => it !== null && it !== undefined);
  const failing = now.services && sum(now.services.map((it) => it.paused + it.backing_off));
  // Those of timers wait for their time.
  const queued = now.services && sum(now.services.filter((it) => it.service !== "Timers").map((it) => it.waiting));
  const missing = now.routes.filter((route) => route.subscribed === false).length;
  const item = (name, value, href, bad) => h("li", { class: bad ? "bad" : undefined },
    href ? h("a", { href }, name) : h("span", {}, name), h("b", {}, value));
  put(list,
    item("events in", known ? rate(rates.some((it) => it !== null && it !== undefined) ? sum(rates) : undefined) : "–"),
    item("waiting on topics", known ? number(lag) : "–", undefined, false),
    item("failing now", failing === null || failing === undefined ? "–" : number(failing), "#/objects", failing > 0),
    item("waiting for their turn", queued === null || queued === undefined ? "–" : number(queued), "#/objects"),
    item("dead letters", counted ? `${number(letters)}${kept.some((it) => it.at_least) ? "+" : ""}` : "–", "#/letters", letters > 0),
    missing > 0 && item("without subscription", number(missing), undefined, true));
}

/** A text that fits into so many pixels, of letters of a fixed width. */
function fitted(text, pixels, letter = 7.9) {
  const room = Math.floor(pixels / letter);
  return text.length <= room ? text : `${text.slice(0, Math.max(1, room - 1))}…`;
}

function paint({ boxes, lines, height, width, columns }) {
  const updates = [];
  const head = columns ? 26 : 0;
  const drawing = svg("svg", { width, height: height + head + 4, viewBox: `-2 ${-head - 2} ${width + 4} ${height + head + 4}`, role: "group", "aria-label": "Topics, services and result topics" },
    svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 2, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, svg("path", { d: "M0 0L8 4L0 8Z", class: "arrow" }))),
    columns && ["Topics", "Services", "Result topics"].map((name, place) => svg("text", { x: columns[place], y: -12, class: "column" }, name)));
  for (const line of lines) {
    const path = svg("path", { d: line.path, class: `line ${line.kind}`, "marker-end": "url(#arrow)" });
    drawing.append(path);
    updates.push((now) => {
      const route = now.routes.find((it) => it.topic === line.row.topic.name && it.service === line.service);
      const flows = line.kind === "in" ? route?.rate : now.topics[line.row.results]?.rate;
      path.classList.toggle("busy", flows > 0);
      path.classList.toggle("lag", line.kind === "in" && route?.lag > 0);
      path.classList.toggle("missing", route?.subscribed === false);
    });
  }
  for (const box of boxes) {
    const { node, update } = box.kind === "service" ? service(box) : topic(box);
    drawing.append(node);
    updates.push(update);
  }
  return { node: drawing, update: (now) => updates.forEach((each) => each(now)) };
}

const HINT = "Point at a part of the picture, or move to it with the Tab key, to read what it is for.";

/** Says what a part is for while it is pointed at, or has the focus. */
function explain(link, words) {
  const say = (text) => () => {
    const hint = document.getElementById("hint");
    if (hint) hint.textContent = text;
  };
  link.addEventListener("pointerenter", say(words));
  link.addEventListener("focus", say(words));
  link.addEventListener("pointerleave", say(HINT));
  link.addEventListener("blur", say(HINT));
}

function topic(box) {
  const name = box.name ?? box.topic.name;
  const kind = box.kind === "results" ? "result topic" : "topic";
  const state = svg("text", { x: box.x + 12, y: box.y + 38, class: "state" }, "–");
  const shown = fitted(name, box.width - 24);
  const link = svg("a", { href: `#/topics/${encodeURIComponent(name)}`, class: `node ${box.kind}` },
    svg("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 }),
    svg("text", { x: box.x + 12, y: box.y + 20, class: "name" }, shown), " ",
    state);
  explain(link, box.once ? `${name}: each record of ${box.topic.name} exactly once, for readers of committed records.`
    : box.kind === "results" ? `${name}: answers to the commands of ${box.topic.name}.` : `${name}: ${box.topic.description}`);
  const badge = svg("g");
  const node = svg("g", {}, link, badge);
  const update = (now) => {
    const figures = now.topics[name];
    const count = box.kind === "results" ? 0 : figures?.unmarked?.count ?? 0;
    const known = Object.keys(now.topics).length > 0;
    state.textContent = figures ? `${rate(figures.rate)} · ${number(figures.records)} records` : known ? "not there: run apply" : "not known";
    link.classList.toggle("missing", known && !figures);
    link.setAttribute("aria-label", `${shown} ${state.textContent}, ${kind}${shown === name ? "" : ` ${name}`}`);
    badge.replaceChildren(...(count ? [pill(box, name, `${number(count)}${figures.unmarked.at_least ? "+" : ""} dead`)] : []));
  };
  return { node, update };
}

function pill(box, name, text) {
  const wide = text.length * 7.4 + 16;
  const x = box.x + box.width - wide - 8;
  return svg("a", { href: `#/letters?topic=${encodeURIComponent(name)}`, class: "node pill", "aria-label": `${text}: letters of ${name}` },
    svg("rect", { x, y: box.y + 24, width: wide, height: 20, rx: 10 }),
    svg("text", { x: x + wide / 2, y: box.y + 38, "text-anchor": "middle" }, text));
}

function service(box) {
  const { group } = box;
  const centre = box.y + box.height / 2;
  const state = svg("text", { x: box.x + 12, y: centre + 13, class: "state" }, "–");
  const shown = fitted(group.service + (group.lane === "batch" ? " · batch" : ""), box.width - 24);
  const link = svg("a", { href: `#/objects/${encodeURIComponent(group.service)}`, class: "node service" },
    svg("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 }),
    svg("text", { x: box.x + 12, y: centre - 5, class: "name" }, shown), " ",
    state);
  explain(link, group.once ? `${group.service} is the library's: it publishes each record of ${group.once} exactly once, in the batch lane.` : `${group.service} handles ${group.rows.map((row) => row.topic.name).join(", ")}${group.lane === "batch" ? ", in the batch lane" : ""}.`);
  const update = (now) => {
    const routes = now.routes.filter((route) => route.service === group.service);
    const lag = routes.reduce((sum, route) => sum + (route.lag ?? 0), 0);
    const found = now.services?.find((it) => it.service === group.service);
    const failing = found ? found.backing_off + found.paused : 0;
    const said = [];
    if (routes.some((route) => route.subscribed === false)) said.push("no subscription");
    if (failing) said.push(`${number(failing)} failing`);
    if (found?.running) said.push(`${number(found.running)} running`);
    if (found?.suspended) said.push(`${number(found.suspended)} waiting for others`);
    if (found?.oldest_waiting_seconds > 5) said.push(`oldest waits ${span(found.oldest_waiting_seconds * 1000)}`);
    said.push(routes.every((route) => route.lag === null) ? "lag not known" : lag ? `${number(lag)} to come` : said.length ? undefined : "idle");
    state.textContent = fitted(said.filter(Boolean).join(" · "), box.width - 20, 6.9);
    link.classList.toggle("bad", failing > 0 || routes.some((route) => route.subscribed === false));
    link.classList.toggle("busy", routes.some((route) => route.rate > 0));
    link.setAttribute("aria-label", `${shown} ${state.textContent}, service ${group.service}`);
  };
  return { node: link, update };
}
