// Topics: their records, and new ones.

import { get, path, post, query as search, stream } from "/api.js";
import { ago, block, facts, h, last, nothing, number, problem, put, rate, table } from "/dom.js";
import { Wrong, event as eventForm, toJson } from "/form.js";
import { open, row } from "/record.js";

export const title = "Topics";

export function show(root, context) {
  return context.parts.length ? one(root, context) : list(root, context);
}

const href = (name) => `#/topics/${encodeURIComponent(name)}`;
/** Records that a live tail keeps on the page. */
const KEPT = 200;

async function list(root, { live, signal }) {
  const { topics } = await get("/api/flow", signal);
  if (signal.aborted) return;
  const filter = h("input", { type: "search", id: "filter", placeholder: "name, event or word", autocomplete: "off" });
  const shown = h("div", {});
  const draw = () => {
    const word = filter.value.trim().toLowerCase();
    const fits = (topic) => [topic.name, topic.description, ...topic.events.map((event) => event.name)].some((it) => it.toLowerCase().includes(word));
    const figures = (name) => live.last?.topics[name];
    const link = (name) => name && h("a", { href: href(name), class: "mono" }, name);
    const rows = topics.filter(fits).map((topic) => [
      link(topic.name), topic.description, number(figures(topic.name)?.records), rate(figures(topic.name)?.rate),
      link(topic.results !== topic.name ? topic.results : null),
      topic.dead_letters && h("span", {}, link(topic.dead_letters), figures(topic.name)?.unmarked?.count > 0 && [" ", h("a", { class: "tag bad", href: `#/letters${search({ topic: topic.name })}` }, `${number(figures(topic.name).unmarked.count)} open`)]),
    ]);
    put(shown, rows.length ? table("Topics", ["topic", "what it is for", "records", "rate", "results", "dead letters"], rows) : nothing("No such topic", `Nothing fits “${filter.value}”.`));
  };
  put(root, h("h1", {}, "Topics"),
    h("p", { class: "intro" }, "Every topic that is declared, with the topics that belong to it. Select one to see its records, newest first, or to send an event."),
    h("div", { class: "bar" }, h("label", { for: "filter" }, "Find"), filter), shown);
  filter.addEventListener("input", draw);
  draw();
  // Once, when the first figures are there: a table that moves cannot be read.
  if (!live.last) {
    const once = new AbortController();
    signal.addEventListener("abort", () => once.abort());
    live.watch(() => { once.abort(); draw(); }, once.signal);
  }
}

async function one(root, context) {
  const { me, live, parts, query, signal } = context;
  const [name] = parts;
  const topic = await get(path("topics", name), signal);
  if (signal.aborted) return;
  const { declaration } = topic;
  const asked = { key: query.get("key") ?? "", partition: query.get("partition") ?? "", offset: query.get("offset") ?? "", time: query.get("time") ?? "" };
  // A result topic has a declaration of its own only where somebody handles it.
  const isDeclared = topic.role === "topic" || name === declaration.name;
  const once = declaration.results_once ?? declaration.handlers.find((it) => it.once)?.results;
  const handlers = declaration.handlers.map((it, place) => [place > 0 && ", ", h("a", { href: `#/objects/${encodeURIComponent(it.service)}` }, `${it.service}/${it.handler}`)]);
  const moving = h("span", {}, "–");
  live.watch((now) => {
    const figures = now.topics[name];
    moving.textContent = figures ? `${rate(figures.rate)}, ${number(figures.records)} on ${figures.partitions} partitions` : "–";
  }, signal);
  const link = (to) => to && to !== name && h("a", { href: href(to), class: "mono" }, to);
  const records = h("section", {});
  // What is still loading must not take the place of a live tail.
  const loading = new AbortController();
  signal.addEventListener("abort", () => loading.abort());
  put(root,
    h("p", { class: "crumbs" }, h("a", { href: "#/topics" }, "Topics"), topic.role !== "topic" && [" › ", topic.role, " of ", h("a", { href: href(topic.of) }, topic.of)]),
    h("h1", { class: "mono" }, name),
    h("p", { class: "intro" }, topic.role === "topic" ? declaration.description : { results: "Answers to the commands of this topic.", "results, once each": "Answers to the commands of this topic, each exactly once for readers of committed records.", "dead letters": "Records that could not be handled, as Kafka has them.", guarded: "What the guard let through." }[topic.role]),
    h("div", { class: "card" }, facts([
      ["Key", declaration.key], ["Records", moving],
      ["Handled by", isDeclared && (handlers.length ? h("span", {}, handlers) : "nobody here: it is read outside")],
      ["Results", topic.role === "topic" && link(declaration.results)],
      ["Results once", isDeclared && link(once)],
      ["Dead letters", link(declaration.dead_letters) && h("a", { href: `#/letters${search({ topic: declaration.name })}` }, "see them")],
      ["Lane", declaration.lane === "batch" ? "batch" : undefined],
      ["HTTP", declaration.http.length ? declaration.http.join(", ") : undefined],
    ]), topic.role === "topic" && sender(topic, context)),
    browser(name, asked, records, context, loading), records);
  try {
    await page(records, name, asked, { ...context, signal: loading.signal });
  } catch (error) {
    if (!loading.signal.aborted) throw error;
  }
}

function browser(name, asked, records, context, loading) {
  const go = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form));
    const next = `#/topics/${encodeURIComponent(name)}${search(values)}`;
    if (next === location.hash) context.again(); else location.hash = next;
  };
  const field = (label, props) => h("label", {}, label, " ", h("input", { autocomplete: "off", ...props }));
  const tailing = h("button", { type: "button", "aria-pressed": "false" }, "▶ Live");
  let stop;
  tailing.addEventListener("click", () => {
    if (stop) {
      stop.abort();
      stop = undefined;
      tailing.textContent = "▶ Live";
      tailing.setAttribute("aria-pressed", "false");
      return;
    }
    loading.abort();
    stop = new AbortController();
    context.signal.addEventListener("abort", () => stop?.abort());
    tailing.textContent = "■ Stop";
    tailing.setAttribute("aria-pressed", "true");
    tail(records, name, context, stop.signal);
  });
  const form = h("form", { class: "bar", onsubmit: go, role: "search", "aria-label": "Records" },
    field("Key", { name: "key", value: asked.key, size: 16, placeholder: "any" }),
    field("Partition", { name: "partition", value: asked.partition, size: 4, inputmode: "numeric", placeholder: "all" }),
    field("From offset", { name: "offset", value: asked.offset, size: 8, inputmode: "numeric", placeholder: "newest" }),
    field("From time", { name: "time", value: asked.time, size: 14, placeholder: "10m, 2h, or a time" }),
    h("button", { type: "submit" }, "Show"),
    (asked.key || asked.partition || asked.offset || asked.time) && h("a", { href: `#/topics/${encodeURIComponent(name)}` }, "all"),
    h("span", { class: "push" }, tailing));
  return form;
}

const COLUMNS = ["when", "place", "key", "event", "data", ""];

/** A row, and under it the whole record once it is asked for. */
function line(record, now, { me, signal }) {
  const below = h("tr", { hidden: true }, h("td", { colspan: COLUMNS.length }));
  const button = h("button", { type: "button", "aria-expanded": "false", "aria-label": `Open the record ${record.partition}/${record.offset}` }, "Open");
  const above = h("tr", {}, [...row(record, now, ago), button].map((cell, place) => h("td", { "data-label": COLUMNS[place] }, cell)));
  button.addEventListener("click", () => {
    below.hidden = !below.hidden;
    button.setAttribute("aria-expanded", String(!below.hidden));
    button.textContent = below.hidden ? "Open" : "Close";
    above.classList.toggle("chosen", !below.hidden);
    if (!below.hidden) open(below.firstChild, record, me, signal);
  });
  return [above, below];
}

async function page(target, name, asked, context, before) {
  const found = await get(path("topics", name, "records") + search({ ...asked, before }), context.signal);
  if (context.signal.aborted) return;
  const forward = asked.offset || asked.time;
  if (!found.records.length && !before) {
    const total = found.partitions.reduce((sum, it) => sum + it.end - it.begin, 0);
    put(target, nothing("No records", total === 0 ? "The topic is empty." : `None of the ${number(found.searched)} that were looked at fits${found.older ? "; older ones were not looked at" : ""}.`),
      found.older && older(target, name, asked, context, found.older));
    return;
  }
  const body = target.querySelector("tbody");
  const lines = found.records.flatMap((record) => line(record, found.now, context));
  if (before && body) body.append(...lines);
  else {
    const shown = table(forward ? "Records, oldest first" : "Records, newest first", COLUMNS, []);
    shown.querySelector("tbody").append(...lines);
    put(target, h("h2", {}, forward ? "Records from there on, oldest first" : "Records, newest first"), shown);
  }
  if (found.older) target.append(older(target, name, asked, context, found.older));
  else if (asked.key) target.append(h("p", { class: "muted" }, `${number(found.searched)} records were looked at.`));
}

function older(target, name, asked, context, cursor) {
  const button = h("button", { type: "button", onclick: async () => {
    button.disabled = true;
    try {
      await page(target, name, { key: asked.key, partition: asked.partition }, context, cursor);
      button.parentElement.remove();
    } catch (error) {
      if (error.name === "AbortError") return;
      button.disabled = false;
      button.after(problem(error));
    }
  } }, "Older ones");
  return h("div", { class: "bar" }, button);
}

function tail(target, name, context, signal) {
  const state = h("p", { class: "muted", role: "status" }, "Connecting…");
  const shown = table("Records as they come", COLUMNS, []);
  const body = shown.querySelector("tbody");
  let seen = 0;
  put(target, h("h2", {}, "Live: records as they come"), state, shown);
  stream(path("topics", name, "tail"), {
    ready() { state.textContent = seen ? `${number(seen)} came; waiting for more` : "Waiting for records"; },
    record(data) {
      seen += 1;
      state.textContent = `${number(seen)} came`;
      body.prepend(...line(JSON.parse(data), Date.now(), context));
      while (body.children.length > 2 * KEPT) body.lastChild.remove();
    },
    problem(data) { state.replaceChildren(problem({ message: JSON.parse(data).detail })); },
    broken(error) { state.replaceChildren(problem(error)); },
  }, signal);
}

/** The form that sends an event. */
function sender(topic, { me, signal }) {
  const why = !topic.declaration.open ? "The gateway takes events of this topic only through its own routes, or from services."
    : !me.gateway ? "This console knows no gateway, which is what sends events; start it with --gateway URL."
      : !me.operate ? "Your key may look, not act: it has no scope operate:*." : undefined;
  if (why) return h("p", { class: "muted" }, `Sending from here is not possible. ${why}`);
  const kind = h("select", { id: "kind" }, topic.schemas.map((it, place) => h("option", { value: place }, last(it.name))));
  const key = h("input", { id: "key-of-event", required: true, autocomplete: "off", spellcheck: "false" });
  const wait = h("input", { type: "checkbox", id: "wait", checked: true });
  const holder = h("div", {});
  const answer = h("div", { role: "status" });
  let fields;
  const change = () => {
    const { schema, example } = topic.schemas[Number(kind.value)];
    fields = eventForm(schema, example);
    put(holder, fields.node);
  };
  kind.addEventListener("change", change);
  change();
  const button = h("button", { type: "submit", class: "primary" }, "Send it");
  const form = h("form", { class: "form", onsubmit: async (event) => {
    event.preventDefault();
    put(answer);
    let data;
    try {
      data = fields.value();
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      error.element.setAttribute("aria-invalid", "true");
      error.element.focus();
      put(answer, problem({ title: "This cannot be sent", message: `${document.querySelector(`label[for="${error.element.id}"]`)?.textContent ?? "A field"} ${error.message}.` }));
      return;
    }
    button.disabled = true;
    button.textContent = "Waiting for the answer…";
    try {
      const told = await post("/api/send", toJson({ topic: topic.name, key: key.value, type: topic.schemas[Number(kind.value)].name, data, wait: wait.checked }), signal);
      put(answer, h("h3", {}, "The gateway's answer"),
        h("p", {}, h("span", { class: `tag ${told.ok ? "good" : "bad"}` }, `${told.status} ${told.title ?? ""}`), ` after ${number(told.milliseconds)} ms`),
        told.body && block(told.body, "The answer"));
    } catch (error) {
      if (error.name !== "AbortError") put(answer, problem(error));
    }
    button.disabled = false;
    button.textContent = "Send it";
  } },
  h("div", { class: "field" }, h("label", { for: "kind" }, "Event"), kind),
  h("div", { class: "field" }, h("label", { for: "key-of-event" }, "Key"), key, h("small", {}, topic.declaration.key)),
  holder,
  h("label", { for: "wait" }, wait, " wait for its result"),
  h("div", { class: "buttons" }, button));
  return h("details", { class: "send" }, h("summary", {}, "Send an event"), h("div", { class: "side" }, form, answer));
}
