// Objects: what a service knows of a key, what it is doing, and what is stuck.

import { get, path, query as search } from "/api.js";
import { ago, block, bytes, facts, h, nothing, number, problem, put, span, table } from "/dom.js";
import { open, row } from "/record.js";

export const title = "Objects";

export function show(root, context) {
  const { parts } = context;
  if (parts.length >= 2) return one(root, context);
  return parts.length === 1 ? keys(root, context) : all(root, context);
}

const href = (service, key) => `#/objects/${[service, key].filter((it) => it !== undefined && it !== null).map(encodeURIComponent).join("/")}`;

/** The services, by the declarations. */
async function services(signal) {
  const { topics } = await get("/api/flow", signal);
  return [...new Set(topics.flatMap((topic) => topic.handlers.map((it) => it.service)))].sort();
}

function finder(names, service, key = "") {
  const choice = h("select", { name: "service", "aria-label": "Service" }, names.map((name) => h("option", { value: name, selected: name === service }, name)));
  const input = h("input", { name: "key", value: key, size: 24, placeholder: "key, such as an order id", "aria-label": "Key", autocomplete: "off" });
  return h("form", { class: "bar", role: "search", onsubmit: (event) => {
    event.preventDefault();
    location.hash = href(choice.value, input.value || undefined);
  } }, h("label", {}, "Service ", choice), h("label", {}, "Key ", input), h("button", { type: "submit" }, "Show"));
}

async function all(root, context) {
  const { signal } = context;
  const names = await services(signal);
  const stuck = h("section", {});
  put(root,
    h("h1", {}, "Objects"),
    h("p", { class: "intro" }, "A service keeps a state for each key and handles one event of a key at a time. So a key whose event fails again and again holds up its later events, and nobody else's."),
    finder(names),
    h("h2", {}, "Stuck now"), stuck,
    h("h2", {}, "Services"),
    h("ul", { class: "columns" }, names.map((name) => h("li", {}, h("a", { href: href(name) }, name)))));
  await showStuck(stuck, context);
}

async function showStuck(target, { me, signal }) {
  put(target, h("p", { class: "muted" }, "Looking…"));
  let found;
  try {
    found = await get("/api/stuck", signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    put(target, problem(error, () => showStuck(target, { me, signal })));
    return;
  }
  const again = h("div", { class: "bar" }, h("button", { type: "button", onclick: () => showStuck(target, { me, signal }) }, "Look again"));
  if (!found.failing.length && !found.waiting.length) {
    put(target, nothing("Nothing is stuck", "No invocation fails or is paused, and no key has events that wait for their turn."), again);
    return;
  }
  put(target,
    found.failing.length === 0 && h("p", { class: "muted" }, "No invocation fails or is paused."),
    found.failing.length > 0 && [
      h("h3", {}, "Invocations that fail"),
      h("p", { class: "muted" }, "They are tried again until they succeed, or were paused. The last failure says what to mend; they then go on by themselves, except for paused ones."),
      invocations(found.failing, me, true)],
    found.waiting.length > 0 && [
      h("h3", {}, "Keys whose events wait for their turn"),
      table("Keys whose events wait", ["service", "key", "waiting events", "the first has waited", "held up by", "which is at"], found.waiting.map((it) => [
        it.service, h("a", { href: href(it.service, it.key), class: "mono" }, it.key), number(it.count), span(it.waited_ms),
        it.behind ? [state(it.behind), " ", it.behind.handler] : h("span", { class: "muted" }, "nothing just now"),
        it.behind && why(it.behind)]))],
    !found.whole && h("p", { class: "muted" }, "There may be more: these are those that have been stuck for longest."),
    again);
}

/** What an invocation is doing. One that fails is tried again, and is no better for just being tried. */
function state(it) {
  const fails = it.last_failure && it.status !== "pending";
  return h("span", { class: `tag ${fails || it.status === "paused" ? "bad" : it.status === "running" ? "good" : ""}` }, fails && it.status === "running" ? "trying again" : it.status);
}

/** What it waits for, or why it fails. */
function why(it) {
  if (it.last_failure) return h("span", {}, it.failure_code && [h("span", { class: "tag" }, it.failure_code), " "], it.last_failure);
  if (it.status === "pending" || it.status === "ready") return h("span", { class: "muted" }, "waits for its turn");
  if (it.waits_for) return h("span", {}, it.waits_for);
  return it.status === "suspended" ? h("span", { class: "muted" }, "waits for an answer, a timer or a promise") : "";
}

/** Invocations that are not finished. */
function invocations(rows, me, withKey) {
  const time = (text) => text && ago(Date.parse(text));
  const id = (it) => me.restate_ui
    ? h("a", { href: `${me.restate_ui.replace(/\/$/, "")}/invocations/${encodeURIComponent(it.id)}`, class: "mono", rel: "noreferrer" }, it.id)
    : h("span", { class: "mono" }, it.id);
  return table("Invocations", [withKey && "object", "handler", "state", "since", "tried", "next try", "waits for, or fails with", "invocation in Restate"].filter(Boolean),
    rows.map((it) => [
      ...(withKey ? [h("span", {}, `${it.service} `, it.key !== null && it.key !== undefined && h("a", { href: href(it.service, it.key), class: "mono" }, it.key))] : []),
      it.handler, state(it), time(it.modified_at), number(it.retry_count), it.status !== "backing-off" ? "" : Date.parse(it.next_retry_at) > Date.now() ? time(it.next_retry_at) : "now", why(it), id(it)]));
}

async function keys(root, { parts, query, signal }) {
  const [service] = parts;
  const prefix = query.get("prefix") ?? "";
  const [names, found] = await Promise.all([services(signal), get(path("objects", service) + search({ prefix }), signal)]);
  if (signal.aborted) return;
  const begins = h("input", { name: "prefix", value: prefix, size: 20, placeholder: "any", autocomplete: "off" });
  put(root,
    h("p", { class: "crumbs" }, h("a", { href: "#/objects" }, "Objects")),
    h("h1", {}, service), finder(names, service),
    h("form", { class: "bar", onsubmit: (event) => {
      event.preventDefault();
      location.hash = `#/objects/${encodeURIComponent(service)}${search({ prefix: begins.value })}`;
    } }, h("label", {}, "Keys that begin with ", begins), h("button", { type: "submit" }, "List")),
    found.keys.length
      ? table("Keys with a state", ["key", "state"], found.keys.map((it) => [h("a", { href: href(service, it.key), class: "mono" }, it.key), bytes(it.bytes)]))
      : nothing("No key has a state", prefix ? `None begins with “${prefix}”.` : "Either nothing was handled yet, or the service keeps no state."),
    !found.whole && h("p", { class: "muted" }, "There are more: say how the key begins."));
}

async function one(root, { me, parts, signal, again }) {
  const [service, key] = parts;
  const [names, found] = await Promise.all([services(signal), get(path("objects", service, key), signal)]);
  if (signal.aborted) return;
  const events = h("section", {}, h("p", { class: "muted" }, "Looking for its events…"));
  put(root,
    h("p", { class: "crumbs" }, h("a", { href: "#/objects" }, "Objects"), " › ", h("a", { href: href(service) }, service)),
    h("h1", { class: "mono" }, key), finder(names, service, key),
    h("h2", {}, "State"),
    found.state.length ? found.state.map(entry) : nothing("No state", "Nothing is kept under this key: no event of it was handled, or the service keeps none."),
    h("h2", {}, "Invocations that are not finished"),
    found.partition !== null && h("p", { class: "muted" }, `The service is in the batch lane: Restate leases it partitions, and this key is on partition ${found.partition}. These are the leases of that.`),
    found.invocations.length ? invocations(found.invocations, me, false) : nothing("None", found.partition !== null ? "No lease of its partition runs just now: nothing waits there." : "Every event of this key that Restate has taken is handled."),
    !found.whole && h("p", { class: "muted" }, "There may be more: shown are the first entries of the state, and the oldest invocations."),
    h("h2", {}, "Latest events of this key"), events,
    h("div", { class: "bar" }, h("button", { type: "button", onclick: again }, "Look again")));
  await latest(events, found.topics, service, key, me, signal);
}

function entry(it) {
  return h("div", {},
    it.entry !== "state" && h("h3", { class: "mono" }, it.entry),
    it.fields ? block(it.fields, `The state, ${it.entry}`) : block(it.text ?? "", `The state, ${it.entry}, as it is`),
    it.bookkeeping && h("details", {}, h("summary", {}, `Bookkeeping of the library (${bytes(it.bytes)} in all)`), block(it.bookkeeping, "Bookkeeping")));
}

/** The newest events of a key on the topics of its service and on their result topics. */
async function latest(target, topics, service, key, me, signal) {
  try {
    const { topics: declared } = await get("/api/flow", signal);
    const handlers = topics.flatMap((name) => declared.find((it) => it.name === name)?.handlers ?? []);
    const results = handlers.filter((it) => it.service === service).map((it) => it.results).filter(Boolean);
    const all = [...new Set([...topics, ...results])];
    const pages = await Promise.all(all.map((name) => get(path("topics", name, "records") + search({ key, limit: 10 }), signal)));
    const records = pages.flatMap((page) => page.records).sort((a, b) => b.timestamp - a.timestamp).slice(0, 30);
    if (!records.length) {
      put(target, nothing("No events", `None was found of this key on ${all.join(", ")}.`));
      return;
    }
    const shown = h("div", {});
    const columns = ["topic", "when", "place", "key", "event", "data", ""];
    put(target, table("Latest events", columns, records.map((record) => [
      h("a", { href: `#/topics/${encodeURIComponent(record.topic)}${search({ key })}`, class: "mono" }, record.topic),
      ...row(record, pages[0].now, ago),
      h("button", { type: "button", "aria-label": `Open ${record.topic} ${record.partition}/${record.offset}`, onclick: () => { open(shown, record, me, signal); shown.className = "card"; shown.scrollIntoView({ block: "nearest" }); } }, "Open")])), shown);
  } catch (error) {
    if (error.name !== "AbortError") put(target, problem(error, () => latest(target, topics, service, key, me, signal)));
  }
}
