// One record: all of it.

import { get, path, query as search } from "/api.js";
import { at, block, bytes, dotted, facts, h, last, problem, put } from "/dom.js";
import { dump, headers } from "/views/letters.js";

/** Fetches a record and shows it in an element. */
export async function open(target, { topic, partition, offset }, me, signal) {
  put(target, h("p", { class: "muted" }, "Loading…"));
  try {
    const record = await get(path("topics", topic, "records", partition, offset), signal);
    put(target, ...whole(record, me));
  } catch (error) {
    if (error.name !== "AbortError") put(target, problem(error, () => open(target, { topic, partition, offset }, me, signal)));
  }
}

/** The rows of a list of records: what each column is, and a button that opens the record below. */
export function row(record, now, ago) {
  const what = record.undecodable
    ? h("span", { class: record.size ? "preview bad" : "preview muted" }, record.undecodable)
    : h("span", { class: "preview mono" }, record.data);
  return [
    ago(record.timestamp, now),
    h("span", { class: "mono nowrap" }, `${record.partition}/${record.offset}`),
    h("span", { class: "mono" }, record.key ?? "null"),
    record.type ? last(record.type) : h("span", { class: record.size ? "tag bad" : "tag" }, record.size ? "not decoded" : "tombstone"),
    what,
  ];
}

function whole(record, me) {
  const meta = record.meta ?? {};
  const trace = meta.traceparent?.split("-")[1];
  return [
    facts([
      ["Kind of event", dotted(record.type)],
      ["Key", h("span", { class: "mono" }, record.key ?? "null")],
      ["Recorded", at(record.timestamp)],
      ["Size", bytes(record.size)],
      ["Emitted by", meta.source],
      ["Event id", meta.id && h("span", { class: "mono" }, meta.id)],
      ["Request (correlation id)", meta.correlation_id && h("a", { class: "mono", href: `#/requests${search({ id: meta.correlation_id })}` }, meta.correlation_id)],
      ["Caused by", meta.causation_id && h("span", { class: "mono" }, meta.causation_id)],
      ["Sent on behalf of", meta.principal],
      ["Trace", trace && me.trace_ui ? h("a", { href: me.trace_ui.replace("{trace_id}", encodeURIComponent(trace)), rel: "noreferrer" }, trace) : undefined],
    ]),
    record.undecodable && h("p", { class: "bad" }, record.undecodable),
    h("div", { class: "side" },
      h("div", {}, h("h3", {}, "Decoded"), record.data ? block(record.data, "The event, decoded") : h("p", { class: "muted" }, "The bytes are no event that can be decoded.")),
      h("div", {}, h("h3", {}, "Bytes"), dump(record.bytes))),
    record.meta && h("details", {}, h("summary", {}, "meta"), block(JSON.stringify(record.meta, null, 2), "meta")),
    headers(record.headers),
    h("p", {}, h("a", { href: `#/requests${search({ id: meta.id ?? `${record.topic}/${record.partition}/${record.offset}` })}` }, "The request that it belongs to"),
      // A key that is hidden has no bytes, and a null none either.
      record.key_bytes && [" · ", h("a", { href: `#/topics/${encodeURIComponent(record.topic)}${search({ key: record.key })}` }, "All of this key on this topic")]),
  ];
}
