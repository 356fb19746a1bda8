// The frame: who is here, which view, which theme.

import { ApiError, get, hasKey, setKey, stream } from "/api.js";
import { h, problem, put } from "/dom.js";
import * as flow from "/views/flow.js";
import * as letters from "/views/letters.js";
import * as objects from "/views/objects.js";
import * as requests from "/views/requests.js";
import * as timers from "/views/timers.js";
import * as topics from "/views/topics.js";

const VIEWS = { flow, requests, topics, letters, objects, timers };
const main = document.getElementById("main");
const nav = document.getElementById("nav");
let leave = new AbortController();
let me;
let watching = new AbortController();
let told = "";

/** The last figures, and who wants the next ones. */
const watchers = new Set();
const live = {
  last: undefined,
  watch(each, signal) {
    watchers.add(each);
    signal.addEventListener("abort", () => watchers.delete(each));
    if (live.last) each(live.last);
  },
};

function parse() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { name: parts[0] ?? "flow", parts: parts.slice(1), query: new URLSearchParams(search) };
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { name, parts, query } = parse();
  const view = VIEWS[name];
  for (const link of nav.querySelectorAll("a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!view) {
    put(main, h("h1", {}, "Nothing"), problem(new ApiError(404, "", "There is no such view; choose one above.")));
    return;
  }
  document.title = `${[...parts].reverse().concat(view.title).join(" · ")} – ${me.application}`;
  put(main, h("p", { class: "muted" }, "Loading…"));
  try {
    await view.show(main, { me, live, parts, query, signal, again: show });
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    if (error.status === 401) await login(error);
    else put(main, h("h1", {}, view.title), problem(error, show));
  }
}

/** Moves to a view without leaving the page. */
function frame() {
  document.getElementById("application").textContent = me.application;
  put(nav, Object.entries(VIEWS).map(([name, view]) => h("a", { href: `#/${name}` }, view.title)));
  const who = document.getElementById("who");
  if (me.open) put(who, h("span", { title: "Started with --insecure-dev: nobody is asked for a key" }, "development"));
  else put(who, me.name ?? "", me.operate ? "" : " · may look, not act ",
    h("button", { type: "button", class: "quiet", onclick: () => { setKey(); location.reload(); } }, "Leave"));
}

async function login(error) {
  const input = h("input", { id: "key", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  put(main, h("form", { class: "card narrow", onsubmit: (event) => {
    event.preventDefault();
    setKey(input.value.trim());
    start();
  } },
  h("h1", {}, "Who is it?"),
  hasKey() && error && h("p", { class: "bad" }, error.status === 403 ? "This key may not see everything: it needs the scope read:*." : "This key or token is not known here, or is not good any more."),
  h("label", { for: "key" }, "API key or token"), input,
  h("p", { class: "muted" }, "It needs the scope read:* to look and operate:* to act, and stays in this tab."),
  h("button", { type: "submit", class: "primary" }, "Go on")));
  input.focus();
}

/**
 * Figures for whoever watches, and which parts do not answer. Not while the page is out of sight: a stream holds
 * one of the few connections that a browser has for all its tabs.
 */
function watchFigures() {
  watching.abort();
  watching = new AbortController();
  if (!me || document.hidden) return;
  const shown = document.getElementById("parts");
  const names = { kafka: "Kafka", restate: "Restate", registry: "The schema registry" };
  const tell = (problems) => {
    const text = problems.map(([name, why]) => `${name}: ${why}`).join("\n");
    if (text === told) return;
    told = text;
    put(shown, problems.map(([name, why]) => h("div", { class: "problem slim" }, h("strong", {}, name), h("p", {}, why))));
  };
  stream("/api/live", {
    figures(data) {
      live.last = JSON.parse(data);
      tell(live.last.parts.filter((part) => part.error).map((part) => [`${names[part.part]} does not answer`, part.error]));
      for (const each of watchers) each(live.last);
    },
    broken(error) {
      // The key has ended while the page was open.
      if (error.status === 401) {
        leave.abort();
        login(error);
        return;
      }
      tell([[error.title ?? "The figures stand still", error.message]]);
    },
  }, watching.signal);
}

const THEMES = ["system", "light", "dark"];
function theme() {
  const button = document.getElementById("theme");
  const set = (name) => {
    if (name === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", name);
    button.textContent = { system: "◐ auto", light: "○ light", dark: "● dark" }[name];
    button.setAttribute("aria-label", `${button.textContent} theme; press for the next one`);
    localStorage.setItem("theme", name);
  };
  button.addEventListener("click", () => {
    const now = localStorage.getItem("theme") ?? "system";
    set(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  });
  const known = localStorage.getItem("theme");
  set(THEMES.includes(known) ? known : "system");
}

async function start() {
  try {
    me = await get("/api/me");
  } catch (error) {
    if (error.status === 401 || error.status === 403 && hasKey()) await login(error);
    else put(main, h("h1", {}, "Console"), problem(error, start));
    return;
  }
  frame();
  watchFigures();
  if (!location.hash || location.hash === "#main") history.replaceState(null, "", "#/flow");
  await show();
}

document.querySelector(".skip").addEventListener("click", (event) => {
  // The address is the view's.
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", async () => {
  if (!me) return;
  await show();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
document.addEventListener("visibilitychange", watchFigures);
theme();
start();
