// A request: its whole journey over topics, handlers, timers and dead letters.

import { get, query as search } from "/api.js";
import { ago, at, h, last, nothing, number, problem, put, span, table } from "/dom.js";
import { open } from "/record.js";

export const title = "Requests";

const STATES = {
  "not-found": ["", "Nothing was found"],
  running: ["good", "It runs: a command has no result yet, and nothing is known to be wrong"],
  waiting: ["good", "It waits: what is left is not due yet"],
  stuck: ["bad", "It is stuck: an invocation fails and is tried again, is paused, or waits behind one that is"],
  failed: ["bad", "It failed: it was refused, or a record of it is a dead letter that nobody has dealt with"],
  done: ["good", "It is done"],
};
const KINDS = { command: "command", event: "event", reply: "reply", result: "result", timer: "timer", "dead-letter": "dead letter", missing: "not found" };

/** Where a request is shown. */
export function href(id) {
  return `#/requests${search({ id })}`;
}

export async function show(root, context) {
  const { query, signal, again } = context;
  const asked = Object.fromEntries(["id", "topic", "key", "since"].map((name) => [name, query.get(name) ?? ""]));
  const { topics } = await get("/api/flow", signal);
  if (signal.aborted) return;
  const field = (label, props) => h("label", {}, label, " ", h("input", { autocomplete: "off", spellcheck: "false", ...props }));
  const form = h("form", { class: "bar", role: "search", onsubmit: (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form));
    if (values.id) { values.topic = ""; values.key = ""; }
    const next = `#/requests${search(values)}`;
    if (next === location.hash) again(); else location.hash = next;
  } },
  field("Id", { name: "id", value: asked.id, size: 24, placeholder: "of request, event or record" }),
  h("label", {}, "or the latest on ", h("select", { name: "topic" }, h("option", { value: "" }, "a topic"), topics.map((topic) => h("option", { value: topic.name, selected: topic.name === asked.topic }, topic.name)))),
  field("of key", { name: "key", value: asked.key, size: 16 }),
  field("Since", { name: "since", value: asked.since, size: 5, placeholder: "1h" }),
  h("button", { type: "submit", class: "primary" }, "Follow"));
  // What was entered last is what is asked for.
  form.addEventListener("input", ({ target }) => {
    const { id, topic, key } = form.elements;
    if (target === id && id.value) { topic.value = ""; key.value = ""; }
    if ((target === topic || target === key) && target.value) id.value = "";
  });
  const shown = h("section", { "aria-live": "polite" });
  put(root, h("h1", {}, "Requests"),
    h("p", { class: "intro" }, "Everything that came of a request: its command, what each handler emitted, answers, timers that are pending, dead letters, the result, and where it is waiting now."),
    form, shown);
  if (!asked.id && !(asked.topic && asked.key)) {
    put(shown, nothing("Which request?", "Enter an id, or a topic and a key. Every record of a topic leads here, too. Of a key alone, such as an order’s number, enter it as the id: its topics are then named."));
    return;
  }
  put(shown, h("p", { class: "muted" }, "Searching all topics…"));
  try {
    const journey = await get(`/api/journey${search(asked)}`, signal);
    if (!signal.aborted) put(shown, ...whole(journey, context));
  } catch (error) {
    if (error.name !== "AbortError") put(shown, problem(error, again));
  }
}

function whole(journey, context) {
  const { searched } = journey;
  const [tone, words] = STATES[journey.state] ?? ["", journey.state];
  const looked = `${number(searched.records)} records on ${number(searched.topics)} topics were looked at in ${number(searched.millis)} ms${searched.from ? `, from ${at(searched.from)} on` : ""}.`;
  const again = h("div", { class: "bar" }, h("button", { type: "button", onclick: context.again }, "Look again"), h("span", { class: "muted" }, looked));
  const problems = (journey.problems ?? []).map((it) => h("div", { class: "problem" }, h("p", {}, it)));
  if (!journey.nodes.length) {
    return [nothing(words, ...journey.key_on ? keyOn(journey) : ["Look whether the id is right, and since when was searched."]), ...problems, again];
  }
  const one = h("div", { class: "card", hidden: true });
  const openNode = (node) => {
    one.hidden = false;
    open(one, node, context.me, context.signal);
    one.scrollIntoView({ block: "nearest" });
  };
  const body = h("div", {});
  const tree = h("button", { type: "button" }, "By cause");
  const list = h("button", { type: "button" }, "By time");
  const draw = (byTime) => {
    tree.setAttribute("aria-pressed", String(!byTime));
    list.setAttribute("aria-pressed", String(byTime));
    put(body, byTime ? flat(journey, openNode) : waterfall(journey, openNode, context.me));
  };
  tree.addEventListener("click", () => draw(false));
  list.addEventListener("click", () => draw(true));
  draw(false);
  return [
    h("p", {}, h("span", { class: `tag ${tone}` }, journey.state), " ", words, "."),
    outcome(journey, openNode),
    ...problems,
    journey.left_out > 0 && h("div", { class: "note" }, h("p", {}, `${number(journey.left_out)} more records were found and are not shown.`)),
    h("div", { class: "bar" }, h("span", { class: "muted" }, "Show"), tree, list),
    body, one, again,
  ];
}

/** It is no id, but a key. */
function keyOn({ asked, key_on: topics }) {
  return [["“", h("span", { class: "mono" }, asked), "” is no id, but the key of records on these topics. Show the latest request of it on"],
    h("p", {}, topics.slice(0, 8).map((topic, place) => [place > 0 && " · ", h("a", { href: `#/requests${search({ topic, key: asked })}`, class: "mono" }, topic)]))];
}

/** What the request was answered with, and which of its steps were refused. */
function outcome({ nodes }, openNode) {
  const link = (node, text) => h("button", { type: "button", class: "link", onclick: () => openNode(node) }, text);
  const answer = nodes.findLast((node) => node.kind === "result" && node.parent === 0);
  const refused = nodes.filter((node) => node !== answer && node.code && node.kind !== "dead-letter").slice(0, 5);
  return (answer || refused.length > 0) && h("ul", { class: "outcome" },
    answer && h("li", {}, "Answered with ", link(answer, name(answer)), answer.code && [": ", h("strong", {}, answer.code), ` – ${answer.message ?? ""}`]),
    refused.map((node) => h("li", {}, nodes[node.parent] ? `${name(nodes[node.parent])} was refused: ` : "Refused: ", link(node, node.code), ` – ${node.message ?? ""}`)));
}

/** Milliseconds as people read them. */
function short(ms) {
  if (ms === undefined || ms === null) return "";
  return Math.abs(ms) < 10_000 ? `${number(ms)} ms` : span(ms);
}

function name(node) {
  if (node.kind === "dead-letter") return `dead letter: ${node.code ?? ""}`;
  return node.type ? last(node.type) : node.kind === "missing" ? node.id : "not decoded";
}

function bad(node) {
  return node.kind === "dead-letter" && !node.marked || Boolean(node.code) || (node.waits ?? []).some(fails);
}

/** Also in the moment in which it is tried again. */
function fails(wait) {
  return ["backing-off", "paused"].includes(wait.status) || (["running", "ready"].includes(wait.status) && Boolean(wait.failure));
}

/** From when to when a node lasts: a command to its answer, all else is a moment. */
function lasts(journey, place) {
  const node = journey.nodes[place];
  const begin = node.after_ms ?? 0;
  const answers = journey.nodes.filter((it) => it.parent === place && (it.kind === "result" || it.kind === "reply") && it.after_ms !== undefined);
  return [begin, Math.max(begin, ...answers.map((it) => it.after_ms))];
}

function waterfall(journey, openNode, me) {
  const { nodes } = journey;
  const end = Math.max(1, ...nodes.map((_, place) => lasts(journey, place)[1]));
  const rows = nodes.map((node, place) => {
    const [from, to] = lasts(journey, place);
    const bar = h("i", { class: `span ${bad(node) ? "bad" : node.kind}` });
    bar.style.setProperty("left", `${(from / end) * 100}%`);
    bar.style.setProperty("width", `${Math.max(0, (to - from) / end) * 100}%`);
    const label = h("div", { class: "what" },
      h("span", { class: `tag ${bad(node) ? "bad" : ""}` }, KINDS[node.kind] ?? node.kind), " ",
      node.offset !== undefined
        ? h("button", { type: "button", class: "link", onclick: () => openNode(node) }, name(node))
        : h("strong", {}, name(node)),
      h("small", { class: "mono" }, [node.topic, node.key].filter((it) => it !== undefined && it !== null).join(" · ")));
    indented(label, node);
    return h("li", {},
      label,
      h("div", { class: "when" }, node.time !== undefined && h("span", {}, short(node.after_ms)), to > from && h("span", { class: "muted" }, ` took ${short(to - from)}`)),
      h("div", { class: "track", "aria-hidden": "true" }, node.after_ms !== undefined && bar),
      indented(h("div", { class: "more" }, notes(node, me)), node));
  });
  return h("ol", { class: "journey", "aria-label": "What came of it, each after its cause" }, rows);
}

function indented(element, node) {
  element.style.setProperty("padding-left", `${Math.min(node.depth, 12) * 1.1}rem`);
  return element;
}

/** What else there is to say of a node. */
function notes(node, me) {
  const lines = [];
  if (node.message) lines.push(h("p", { class: bad(node) ? "bad" : "" }, node.code && node.kind !== "dead-letter" ? `${node.code}: ${node.message}` : node.message));
  if (node.dead_letter) lines.push(h("p", {}, h("a", { href: `#/letters/${node.dead_letter.split("/").map(encodeURIComponent).join("/")}` }, "What to do about it"), node.marked && ` – ${node.marked.toLowerCase()}`));
  if (node.due !== undefined) lines.push(h("p", {}, "due ", ago(node.due), node.timer && ` (${node.timer})`));
  if (node.replay_of) lines.push(h("p", { class: "muted" }, `replay of ${node.replay_of}`));
  if (node.copies > 1) lines.push(h("p", { class: "muted" }, `${number(node.copies)} copies are on the topic; readers see it once`));
  for (const wait of node.waits ?? []) lines.push(waiting(wait, me));
  return lines;
}

function waiting(wait, me) {
  const failing = fails(wait);
  const invocation = wait.invocation && (me.restate_ui
    ? h("a", { href: `${me.restate_ui.replace(/\/$/, "")}/invocations/${encodeURIComponent(wait.invocation)}`, rel: "noreferrer", class: "mono" }, wait.invocation)
    : h("span", { class: "mono" }, wait.invocation));
  return h("div", { class: failing ? "problem" : "note" },
    h("p", {}, h("strong", {}, `${wait.status}: `), h("span", { class: "mono" }, wait.target), wait.since !== undefined && [", since ", ago(wait.since)], wait.attempts > 0 && `, tried ${number(wait.attempts)} times`, wait.ahead > 0 && `, ${number(wait.ahead)} before it`),
    wait.waits_for && h("p", {}, failing ? "It fails at: " : "It waits for: ", h("strong", {}, wait.waits_for)),
    wait.failure && h("p", {}, wait.code && `${wait.code}: `, wait.failure),
    invocation && h("p", {}, invocation),
    wait.behind && [h("p", {}, "It waits behind:"), waiting(wait.behind, me)]);
}

function flat(journey, openNode) {
  const rows = journey.nodes.filter((node) => node.kind !== "missing").sort((a, b) => (a.time ?? Infinity) - (b.time ?? Infinity));
  return table("By time", ["after", "kind", "event", "topic", "key", "emitted by", "why", ""], rows.map((node) => [
    short(node.after_ms), h("span", { class: `tag ${bad(node) ? "bad" : ""}` }, KINDS[node.kind] ?? node.kind), name(node),
    node.topic && h("a", { href: `#/topics/${encodeURIComponent(node.topic)}${search({ key: node.key })}`, class: "mono" }, node.topic),
    h("span", { class: "mono" }, node.key ?? ""), node.source ?? "", node.message ?? "",
    node.offset !== undefined && h("button", { type: "button", onclick: () => openNode(node), "aria-label": `Open ${name(node)}, ${node.topic}/${node.partition}/${node.offset}` }, "Open")]));
}
