// A form made from an Avro schema, and the JSON that the gateway takes out of it. What a field is called
// and holds is told by the schema; numbers keep all their digits.

import { h, last, put } from "/dom.js";

let count = 0;

/** JSON text; whole numbers of any size are BigInts. */
export function toJson(value) {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (value && typeof value === "object") {
    return `{${Object.entries(value).map(([name, it]) => `${JSON.stringify(name)}:${toJson(it)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** What is wrong with a field, said beside it. */
class Wrong extends Error {
  constructor(message, element) {
    super(message);
    this.element = element;
  }
}
export { Wrong };

/** The fields of an event, without its meta: {node, value()}. `example` fills them in. */
export function event(schema, example = {}) {
  const named = new Map();
  collect(schema, schema.namespace, named);
  const fields = schema.fields.filter((field) => field.name !== "meta");
  return record({ ...schema, fields }, example, named, schema.namespace);
}

function collect(type, namespace, named) {
  if (Array.isArray(type)) type.forEach((it) => collect(it, namespace, named));
  if (!type || typeof type !== "object") return;
  const space = type.namespace ?? namespace;
  if (type.name && type.type !== undefined && ["record", "enum", "fixed"].includes(type.type)) {
    named.set(type.name, type);
    if (space) named.set(`${space}.${type.name}`, type);
  }
  for (const field of type.fields ?? []) collect(field.type, space, named);
  collect(type.items, space, named);
  collect(type.values, space, named);
  if (typeof type.type === "object") collect(type.type, space, named);
}

function record(schema, given, named, namespace) {
  const space = schema.namespace ?? namespace;
  const parts = schema.fields.map((field) => ({
    name: field.name,
    part: control(field.type, given?.[field.name] ?? field.default, named, space, field),
  }));
  return {
    node: h("div", { class: "form" }, parts.length ? parts.map(({ part }) => part.node) : h("p", { class: "muted" }, "It has no fields.")),
    value: () => Object.fromEntries(parts.map(({ name, part }) => [name, part.value()])),
  };
}

/** A field by its type. */
function control(type, given, named, space, field) {
  if (typeof type === "string" && named.has(type)) return control(named.get(type), given, named, space, field);
  if (typeof type === "string" && named.has(`${space}.${type}`)) return control(named.get(`${space}.${type}`), given, named, space, field);
  if (Array.isArray(type)) return union(type, given, named, space, field);
  const kind = typeof type === "string" ? type : type.type;
  if (typeof kind === "object") return control(kind, given, named, space, field);
  const logical = type.logicalType;
  switch (kind) {
    case "record": {
      const inner = record(type, given, named, space);
      return { node: h("fieldset", {}, h("legend", {}, field.name), doc(field.doc ?? type.doc), inner.node), value: inner.value };
    }
    case "enum": return choice(type.symbols.map((it) => [it, it]), given ?? type.default, field, (it) => it);
    case "boolean": return check(given === true, field);
    case "array": return many(type.items, given ?? [], named, space, field);
    case "map": return pairs(type.values, given ?? {}, named, space, field);
    case "null": return { node: h("p", { class: "muted" }, `${field.name}: nothing`), value: () => null };
    case "int": case "long":
      if (logical?.includes("timestamp")) return moment(logical, given, field);
      return text(given, field, logical ?? (kind === "int" ? "whole number, 32 bits" : "whole number, 64 bits"), { inputmode: "numeric" }, whole);
    case "float": case "double":
      return text(given, field, "number", { inputmode: "decimal" }, (value, element) => {
        if (value.trim() === "" || !Number.isFinite(Number(value))) throw new Wrong("must be a number", element);
        return Number(value);
      });
    case "bytes": case "fixed":
      return text(typeof given === "string" ? given : "", field, logical ? `${logical}, as bytes` : "bytes, as text", {}, (value) => value);
    default:
      return text(given, field, logical ?? kind, {}, (value) => value);
  }
}

function whole(value, element) {
  if (!/^\s*[+-]?\d+\s*$/.test(value)) throw new Wrong("must be a whole number", element);
  return BigInt(value.trim().replace(/^\+/, ""));
}

function doc(words) {
  return words && h("small", {}, words);
}

function labelled(field, kind, element) {
  const id = `field-${count += 1}`;
  element.id = id;
  const hint = h("small", { id: `${id}-hint` }, [field.doc, kind].filter(Boolean).join(" · "));
  element.setAttribute("aria-describedby", hint.id);
  return h("div", { class: "field" }, h("label", { for: id }, field.name), element, hint);
}

function text(given, field, kind, props, read) {
  const value = given === undefined || given === null ? "" : typeof given === "object" ? JSON.stringify(given) : String(given);
  const element = value.length > 80
    ? h("textarea", { rows: 4, value, spellcheck: "false", ...props })
    : h("input", { value, autocomplete: "off", spellcheck: "false", ...props });
  return { node: labelled(field, kind, element), value: () => read(element.value, element) };
}

function choice(options, given, field, read) {
  const element = h("select", {}, options.map(([value, name]) => h("option", { value, selected: value === given }, name)));
  return { node: labelled(field, "one of these", element), value: () => read(element.value), element };
}

function check(given, field) {
  const element = h("input", { type: "checkbox", checked: given });
  return { node: labelled(field, "yes or no", element), value: () => element.checked };
}

/** A moment on this browser's clock; in the schema's unit. */
function moment(logical, given, field) {
  const perMs = { "timestamp-micros": 1000n, "local-timestamp-micros": 1000n, "timestamp-nanos": 1000000n, "local-timestamp-nanos": 1000000n }[logical] ?? 1n;
  const ms = typeof given === "number" ? given / Number(perMs) : Date.now();
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 23);
  const element = h("input", { type: "datetime-local", step: "0.001", value: local });
  return {
    node: labelled(field, `${logical}, as this browser's clock shows it`, element),
    value: () => {
      const found = new Date(element.value).getTime();
      if (Number.isNaN(found)) throw new Wrong("must be a time", element);
      return BigInt(found) * perMs;
    },
  };
}

function name(type) {
  const kind = typeof type === "string" ? type : type.name ?? type.type;
  return last(typeof kind === "string" ? kind : "value");
}

function union(types, given, named, space, field) {
  const others = types.filter((type) => type !== "null");
  const nullable = others.length < types.length;
  if (!nullable && others.length === 1) return control(others[0], given, named, space, field);
  const options = [...(nullable ? [["", "nothing (null)"]] : []), ...others.map((type, place) => [String(place), name(type)])];
  const now = given === undefined || given === null ? (nullable ? "" : "0") : "0";
  const holder = h("div", {});
  let part;
  const chosen = choice(options, now, { name: field.name, doc: field.doc }, (it) => it);
  const change = () => {
    const place = chosen.value();
    part = place === "" ? undefined : control(others[Number(place)], given ?? undefined, named, space, { name: `${field.name}: ${name(others[Number(place)])}` });
    put(holder, part?.node);
  };
  chosen.element.addEventListener("change", change);
  change();
  return { node: h("div", {}, chosen.node, holder), value: () => part?.value() ?? null };
}

function many(items, given, named, space, field) {
  const parts = new Set();
  const list = h("div", { class: "form" });
  const add = (value) => {
    const part = control(items, value, named, space, { name: `${field.name}, item` });
    parts.add(part);
    const line = h("div", { class: "item" }, part.node, h("button", { type: "button", "aria-label": `Take this item away from ${field.name}`, onclick: () => { parts.delete(part); line.remove(); } }, "✕"));
    list.append(line);
  };
  for (const value of Array.isArray(given) ? given : []) add(value);
  return {
    node: h("fieldset", {}, h("legend", {}, field.name), doc(field.doc), list, h("div", {}, h("button", { type: "button", onclick: () => add() }, "Add an item"))),
    value: () => [...parts].map((part) => part.value()),
  };
}

function pairs(values, given, named, space, field) {
  const parts = new Set();
  const list = h("div", { class: "form" });
  const add = (key, value) => {
    const input = h("input", { value: key, "aria-label": `Name in ${field.name}`, placeholder: "name" });
    const part = control(values, value, named, space, { name: "value" });
    const entry = { input, part };
    parts.add(entry);
    const line = h("div", { class: "item" }, h("div", {}, input, part.node), h("button", { type: "button", "aria-label": `Take this entry away from ${field.name}`, onclick: () => { parts.delete(entry); line.remove(); } }, "✕"));
    list.append(line);
  };
  for (const [key, value] of Object.entries(given)) add(key, value);
  return {
    node: h("fieldset", {}, h("legend", {}, field.name), doc(field.doc), list, h("div", {}, h("button", { type: "button", onclick: () => add("") }, "Add an entry"))),
    value: () => Object.fromEntries([...parts].map(({ input, part }) => [input.value, part.value()])),
  };
}
