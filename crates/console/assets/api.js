// The console's API. The key, if one is needed, stays in this tab.

const KEY = "millstream-console-key";

/** What went wrong, in the words of whoever knows. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
    this.title = {
      401: "A key is needed", 403: "Not allowed", 404: "Not there", 429: "Too many requests",
      503: "A part does not answer", 504: "That took too long",
    }[status] ?? (status ? "That did not work" : "The console does not answer");
  }
}

export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

function headers(more) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, Authorization: `Bearer ${key}` } : { ...more };
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "away", "Its process may have ended or be restarting; look at its log. This page tries again when you do.");
  }
  if (response.ok) return response;
  let problem = {};
  try { problem = await response.json(); } catch { /* no JSON */ }
  throw new ApiError(response.status, problem.code, problem.detail ?? `the console answered ${response.status}`);
}

export async function get(path, signal) {
  return (await ask(path, { headers: headers(), signal })).json();
}

/** Sends a body, which may be JSON text already. */
export async function post(path, body, signal) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return (await ask(path, { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: text, signal })).json();
}

/** The query of a path, without what is empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** The parts of a path, encoded. */
export function path(...parts) {
  return `/api/${parts.map(encodeURIComponent).join("/")}`;
}

/**
 * Server-sent events until `signal` says stop; begins again when the stream ends or breaks. A request
 * of its own and not EventSource, which could send no key.
 */
export async function stream(address, handlers, signal) {
  let pause = 500;
  while (!signal.aborted) {
    let reader;
    try {
      const response = await ask(address, { headers: headers(), signal });
      handlers.open?.();
      reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done || signal.aborted) break;
        pause = 500;
        text += value;
        const events = text.split("\n\n");
        text = events.pop();
        for (const event of events) dispatch(event, handlers);
      }
    } catch (error) {
      if (signal.aborted) return;
      handlers.broken?.(error);
      if (error.status === 401 || error.status === 403 || error.status === 404) return;
    } finally {
      // Else the connection stays, of which a browser has six for all its tabs.
      reader?.cancel().catch(() => {});
    }
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 8000);
  }
}

function dispatch(event, handlers) {
  let name = "message";
  const data = [];
  for (const line of event.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length && handlers[name]) handlers[name](data.join("\n"));
}
