// Dead letters: what could not be handled, why, and what to do about it.

import { get, path, post, query as search } from "/api.js";
import { ago, at, block, bytes, dotted, facts, h, last, nothing, number, problem, put, table } from "/dom.js";

export const title = "Dead letters";

export function show(root, context) {
  return context.parts.length === 3 ? one(root, context) : list(root, context);
}

const href = (id) => `#/letters/${id.split("/").map(encodeURIComponent).join("/")}`;

async function list(root, { me, query, signal, again }) {
  const asked = Object.fromEntries(["topic", "code", "key", "since", "all"].map((name) => [name, query.get(name) ?? ""]));
  const found = await get(`/api/letters${search({ ...asked, all: asked.all === "true" })}`, signal);
  if (signal.aborted) return;
  const chosen = new Set();
  const go = () => {
    const values = Object.fromEntries(new FormData(form));
    location.hash = `#/letters${search({ ...values, all: form.elements.all.checked })}`;
  };
  const option = (value, text, now) => h("option", { value, selected: value === now }, text);
  const counts = (all, now, every) => {
    const names = Object.keys(all);
    if (now && !names.includes(now)) names.unshift(now);
    return [option("", every, now), ...names.map((name) => option(name, `${name} (${number(all[name] ?? 0)})`, now))];
  };
  const form = h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); go(); }, onchange: go },
    h("label", {}, "Topic ", h("select", { name: "topic" }, counts(found.topics, asked.topic, "all"))),
    h("label", {}, "Code ", h("select", { name: "code" }, counts(found.codes, asked.code, "all"))),
    h("label", {}, "Key ", h("input", { name: "key", value: asked.key, size: 14, placeholder: "any", autocomplete: "off" })),
    h("label", {}, "Kept ", h("select", { name: "since" }, [["", "at any time"], ["15m", "in 15 minutes"], ["1h", "in the last hour"], ["24h", "in the last day"], ["7d", "in a week"]].map(([value, text]) => option(value, text, asked.since)))),
    h("label", {}, h("input", { type: "checkbox", name: "all", value: "true", checked: asked.all === "true" }), " also those dealt with"));
  const told = h("div", { "aria-live": "polite" });
  const actions = h("div", { class: "buttons", role: "group", "aria-label": "What to do with the chosen ones" });
  const act = (kind) => ask(me, kind, [...chosen], told, again);
  const redo = () => {
    const count = chosen.size;
    put(actions, h("strong", {}, count ? `${number(count)} chosen` : "None chosen"),
      ...buttons(me, act, count === 0));
    // It stays in sight once there is something to do.
    actions.classList.toggle("sticky", count > 0);
    actions.hidden = found.letters.length === 0;
    all.checked = count > 0 && count === found.letters.length;
    all.indeterminate = count > 0 && count < found.letters.length;
  };
  const boxes = [];
  const all = h("input", { type: "checkbox", "aria-label": "Choose all that are shown", onchange: () => {
    for (const { box, letter } of boxes) {
      box.checked = all.checked;
      if (all.checked) chosen.add(letter.id); else chosen.delete(letter.id);
    }
    redo();
  } });
  const rows = found.letters.map((letter) => {
    const box = h("input", { type: "checkbox", "aria-label": `Choose ${letter.id}`, onchange: () => {
      if (box.checked) chosen.add(letter.id); else chosen.delete(letter.id);
      redo();
    } });
    boxes.push({ box, letter });
    return [box,
      h("a", { href: href(letter.id), class: "mono nowrap" }, letter.id),
      h("span", { class: "tag bad" }, letter.code),
      h("span", { class: "mono" }, letter.key ?? "null"),
      h("span", { class: "preview" }, letter.message),
      ago(letter.kept, found.now),
      mark(letter)];
  });
  put(root,
    h("h1", {}, "Dead letters"),
    h("p", { class: "intro" }, "Events that could not be handled, with their original bytes. Nothing waits for them: later events of the same key go on. Mend the cause, then replay; discard what is wrong itself."),
    form, told,
    !found.whole && h("div", { class: "note" }, h("p", {}, "Reading them all took too long: there may be more. Choose a topic.")),
    found.total > found.letters.length && h("div", { class: "note" }, h("p", {}, `These are the newest ${number(found.letters.length)} of ${number(found.total)}. Narrow them down to see the others.`)),
    rows.length
      ? table("Dead letters", [all, "dead letter", "code", "key", "why", "kept", "dealt with"], rows)
      : nothing("No dead letters", asked.topic || asked.code || asked.key || asked.since ? "None that fits what you chose above." : asked.all ? "Nothing was ever refused here, as far as the topics still tell." : "Everything was handled, or somebody has dealt with what was not."),
    actions);
  redo();
}

function mark(letter) {
  if (!letter.marked) return h("span", { class: "muted" }, "no");
  return h("span", { title: letter.marked.note ?? "" }, h("span", { class: "tag good" }, letter.marked.mark), " by ", letter.marked.by);
}

/** `futile`: a replay would only come back. */
function buttons(me, act, disabled, futile = false) {
  const why = me.operate ? undefined : "Your key may look, not act: it has no scope operate:*";
  const button = (text, kind, name) => h("button", { type: "button", class: name, disabled: disabled || !me.operate, title: why, onclick: () => act(kind) }, text);
  return [button("Replay…", "replay", futile ? undefined : "primary"), button("Discard…", "discard", futile ? "primary" : undefined), button("Settled otherwise…", "handled"),
    why && h("span", { class: "muted" }, why)];
}

const WORDS = {
  replay: ["Replay", "The original key, bytes and headers go onto the original topic again, at its end. To the handler they are new records. That helps once the cause is mended.", "replayed"],
  discard: ["Discard", "They are marked as discarded and no longer asked for. Their bytes stay on the topic until it drops them.", "discarded"],
  handled: ["Settle", "They are marked as handled: the matter was settled in another way. Their bytes stay on the topic until it drops them.", "marked as handled"],
};

/** Asks who and why, does it, and tells what came of it. */
function ask(me, kind, ids, told, again, marked = false) {
  const [verb, what, done] = WORDS[kind];
  const by = h("input", { id: "by", name: "by", required: true, maxlength: 255, value: me.name ?? localStorage.getItem("by") ?? "", disabled: Boolean(me.name), autocomplete: "username" });
  const note = h("textarea", { id: "note", name: "note", required: true, maxlength: 1000, rows: 2 });
  const repeat = h("input", { type: "checkbox", id: "again", checked: marked });
  const failed = h("div", {});
  const go = h("button", { type: "submit", class: "primary" }, `${verb} ${ids.length === 1 ? "it" : number(ids.length)}`);
  const dialog = h("dialog", { "aria-labelledby": "ask" }, h("form", { onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    go.textContent = "…";
    if (!me.name) localStorage.setItem("by", by.value);
    try {
      const result = await post(`/api/letters/${kind === "replay" ? "replay" : "discard"}`, { ids, by: by.value, note: note.value, again: repeat.checked, ...(kind === "handled" && { handled: true }) });
      dialog.close();
      await again();
      tell(document.getElementById("main"), result, done);
    } catch (error) {
      put(failed, problem(error));
      go.disabled = false;
      go.textContent = `${verb} again`;
    }
  } },
  h("h2", { id: "ask" }, `${verb} ${ids.length === 1 ? ids[0] : `${number(ids.length)} dead letters`}`),
  h("p", {}, what),
  h("div", { class: "field" }, h("label", { for: "by" }, "Who"), by),
  h("div", { class: "field" }, h("label", { for: "note" }, "Why"), note, h("small", {}, "Others will read it.")),
  // Whoever chose one letter alone sees whether it was dealt with.
  ids.length > 1 && h("label", { for: "again" }, repeat, " also those that were dealt with before"),
  failed,
  h("div", { class: "buttons" }, go, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  (me.name ? note : by).focus();
}

function tell(root, { done, marked_before: before, shortened }, word) {
  const line = (count, text) => count > 0 && h("p", {}, `${number(count)} ${text}`);
  const told = h("div", { class: "done", role: "status" },
    h("p", {}, done.length === 1 ? `${done[0]} is ${word}.` : `${number(done.length)} are ${word}.`,
      done.length === 1 && word === "replayed" && [" ", h("a", { href: `#/requests${search({ id: done[0] })}` }, "See what comes of it")]),
    line(before.length, "left alone: they were dealt with before."),
    line(shortened.length, "not replayed: they were too large to be kept whole."));
  root.querySelector("h1").after(told);
}

async function one(root, { me, parts, signal, again }) {
  const letter = await get(path("letters", ...parts), signal);
  if (signal.aborted) return;
  const told = h("div", { "aria-live": "polite" });
  const advice = letter.advice;
  put(root,
    h("p", { class: "crumbs" }, h("a", { href: "#/letters" }, "Dead letters"), " › ", h("a", { href: `#/letters${search({ topic: letter.topic })}` }, letter.topic)),
    h("h1", { class: "mono" }, letter.id), told,
    h("section", { class: "card" },
      h("p", {}, h("span", { class: "tag bad" }, letter.code), " ", letter.marked && mark(letter), letter.marked?.note && ` – ${letter.marked.note}`),
      h("p", {}, h("strong", {}, "Why: "), letter.message),
      advice ? [
        h("p", {}, h("strong", {}, "That means: "), advice.means),
        h("p", {}, h("strong", {}, "What to do: "), advice.do_next),
        h("p", {}, h("strong", {}, "Replay? "), advice.replay),
      ] : h("p", { class: "muted" }, "A code of the service's own; its documentation says what to do."),
      letter.shortened && h("p", { class: "bad" }, `Too large to be kept whole: cut were ${letter.shortened}. It cannot be replayed; its original stands at the named place while that topic keeps it.`),
      h("div", { class: "buttons" }, ...buttons(me, (kind) => ask(me, kind, [letter.id], told, again, Boolean(letter.marked)), false, advice?.futile))),
    h("section", { class: "card" }, h("h2", {}, "Where it comes from"), facts([
      ["Key", h("span", { class: "mono" }, letter.key ?? "null")],
      ["Kind of event", letter.type && last(letter.type)],
      ["Produced by", letter.source ?? ["not said: the event has no meta that can be read", letter.headers.length
        ? ["; its headers say ", letter.headers.slice(0, 4).map(({ name, value }, place) => [place > 0 && ", ", h("span", { class: "mono" }, `${name}: ${value ?? "null"}`)])]
        : ", and the record no headers"]],
      ["Refused by", letter.handler],
      ["Original", h("a", { href: `#/topics/${encodeURIComponent(letter.topic)}${search({ partition: letter.partition, offset: letter.offset })}` }, `${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`)],
      ["Recorded", at(letter.timestamp)],
      ["Kept", at(letter.kept)],
      ["Request", h("a", { href: `#/requests${search({ id: letter.meta?.correlation_id ?? letter.id })}` }, "follow it")],
      ["Size", bytes(letter.size)],
      ["Consumer group", dotted(letter.group)],
    ])),
    h("section", { class: "side" },
      h("div", {}, h("h3", {}, "Decoded"), letter.data ? block(letter.data, "The event, decoded") : h("p", { class: "muted" }, "The bytes are no event that can be decoded.")),
      h("div", {}, h("h3", {}, "Bytes"), dump(letter.bytes))),
    headers(letter.headers),
    letter.meta && h("details", {}, h("summary", {}, "meta"), block(JSON.stringify(letter.meta, null, 2), "meta")));
}

/** Bytes as offsets, hexadecimal and letters. */
export function dump(shown) {
  if (!shown) return h("p", { class: "muted" }, "The value is null.");
  const text = h("pre", { class: "block dump", tabindex: "0", role: "region", "aria-label": "Bytes" }, shown.dump || "(empty)");
  return [text, !shown.whole && h("p", { class: "muted" }, `The first 4 KiB of ${bytes(shown.size)}.`)];
}

/** Headers as a table. */
export function headers(all) {
  if (!all.length) return h("p", { class: "muted" }, "It has no headers.");
  return h("section", {}, h("h2", {}, "Headers"),
    table("Headers", ["name", "value"], all.map(({ name, value }) => [h("span", { class: "mono" }, name), h("span", { class: "mono" }, value ?? "null")])));
}
