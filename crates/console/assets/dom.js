// Elements out of data. Text is always a text node: nothing that an event holds becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(9).filter((it) => it !== undefined && it !== null && it !== false));
  return element;
}

/** An element: h("p", { class: "muted" }, "text", other). */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same in a drawing. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Replaces what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((it) => it !== undefined && it !== null && it !== false));
  return element;
}

/** A number as people read it. */
export function number(value) {
  if (value === undefined || value === null) return "–";
  return value.toLocaleString("en", { maximumFractionDigits: 0 });
}

/** Events a second. */
export function rate(value) {
  if (value === undefined || value === null) return "–/s";
  if (value === 0) return "0/s";
  if (value < 0.1) return "<0.1/s";
  return `${value < 10 ? value.toFixed(1) : number(Math.round(value))}/s`;
}

/** A span of time, in milliseconds. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** A moment: how long ago, with the whole time behind it. */
export function ago(ms, now = Date.now()) {
  const date = new Date(ms);
  const whole = Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
  const ahead = ms > now + 1000;
  return h("time", { datetime: whole, title: whole }, ahead ? `in ${span(ms - now)}` : `${span(now - ms)} ago`);
}

/** A moment in full. */
export function at(ms) {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString().replace("T", " ").replace("Z", " UTC");
}

export function bytes(size) {
  if (size === undefined || size === null) return "null";
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** The last part of a full name. */
export function last(name) {
  return name ? name.slice(name.lastIndexOf(".") + 1) : name;
}

/** A long name of parts, which may be broken between them. */
export function dotted(name) {
  return name && name.split(".").map((part, place) => (place > 0 ? [".", h("wbr", {}), part] : part));
}

/** Names and values. What is not there is left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Text that can be scrolled, by keyboard too. */
export function block(text, label) {
  return h("pre", { class: "block", tabindex: "0", role: "region", "aria-label": label }, text);
}

/** Something is wrong: what, and what to do. */
export function problem(error, again) {
  return h("div", { class: "problem", role: "alert" },
    h("strong", {}, error.title ?? "This cannot be shown"),
    h("p", {}, error.message ?? String(error)),
    again && h("button", { type: "button", onclick: again }, "Try again"));
}

/** Nothing is there, and why that is fine. */
export function nothing(title, text, ...more) {
  return h("div", { class: "nothing" }, h("strong", {}, title), text && h("p", {}, text), more);
}

/** A table that is a list of cards on a phone. Rows are lists of cells. */
export function table(caption, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) =>
        h("tr", row.props ?? {}, (row.cells ?? row).map((cell, place) =>
          h("td", { "data-label": typeof columns[place] === "string" ? columns[place] : "" }, cell)))))));
}
