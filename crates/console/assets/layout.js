// Where the parts of the flow stand. Pure: from declarations and a width to boxes and lines.

const ROW = 62;
const BOX = 50;
const GAP = 30;

/**
 * One group for each service: the topics that it handles, the service, and where its results go.
 * What publishes results once stands below whoever makes them. Topics that nobody here handles come
 * last, together.
 */
export function groups(topics) {
  const services = new Map();
  const unhandled = [];
  for (const topic of topics) {
    if (topic.of_states) continue;
    // It stands where its results come from.
    if (topic.of_results && topic.handlers.length === 0) continue;
    if (topic.handlers.length === 0) unhandled.push(topic);
    for (const handler of topic.handlers) {
      const group = services.get(handler.service) ?? { service: handler.service, system: handler.system, lane: "event", rows: [] };
      // The work orders of a service in the batch lane come in the other one.
      if (handler.lane === "batch") group.lane = "batch";
      if (handler.once) group.once = topic.name;
      const row = group.rows.find((it) => it.topic.name === topic.name);
      if (row) row.handlers.push(handler.handler);
      else group.rows.push({ topic, handlers: [handler.handler], results: handler.results, once: handler.once });
      services.set(handler.service, group);
    }
  }
  const sorted = [...services.values()].sort((a, b) => a.system - b.system || a.service.localeCompare(b.service));
  const all = sorted.filter((it) => !it.once);
  for (const group of sorted.filter((it) => it.once)) {
    const maker = all.findLastIndex((it) => it.rows.some((row) => row.results === group.once));
    all.splice(maker < 0 ? all.length : maker + 1, 0, group);
  }
  if (unhandled.length) all.push({ service: undefined, rows: unhandled.map((topic) => ({ topic, handlers: [], results: topic.results })) });
  return all;
}

/** Whether a group has to do with a word. */
export function fits(group, word) {
  const wanted = word.trim().toLowerCase();
  if (!wanted) return true;
  const names = [group.service ?? "", ...group.rows.flatMap((row) => [row.topic.name, ...row.topic.events.map((event) => event.name)])];
  return names.some((name) => name.toLowerCase().includes(wanted));
}

/** Boxes {kind, x, y, width, height, ...} and lines {from, to, ...} of the groups, left to right, or on a narrow page from above. */
export function layout(all, width) {
  return width < 720 ? narrow(all, width) : wide(all, width);
}

function wide(all, width) {
  const column = Math.min(380, Math.floor((width - 140) / 3));
  const between = Math.floor((width - 3 * column) / 2);
  const [left, middle, right] = [0, column + between, 2 * (column + between)];
  const boxes = [];
  const lines = [];
  let y = 0;
  for (const group of all) {
    const height = group.rows.length * ROW - (ROW - BOX);
    const tall = Math.min(height, 3 * ROW);
    const service = group.service && { kind: "service", group, x: middle, y: y + (height - tall) / 2, width: column, height: tall };
    const results = [];
    group.rows.forEach((row, place) => {
      const topic = { kind: "topic", topic: row.topic, x: left, y: y + place * ROW, width: column, height: BOX };
      boxes.push(topic);
      if (!service) return;
      const share = (place + 0.5) / group.rows.length;
      const inner = service.y + service.height * share;
      const outer = topic.y + BOX / 2;
      lines.push({ kind: "in", row, service: group.service, path: curve(column, outer, middle, inner) });
      if (!row.results) return;
      results.push({ kind: "results", topic: row.topic, name: row.results, once: row.once, x: right, y: topic.y, width: column, height: BOX });
      lines.push({ kind: "out", row, service: group.service, path: curve(middle + column, inner, right, outer) });
    });
    // In the order in which they are read, which is that of the keyboard.
    boxes.push(...(service ? [service] : []), ...results);
    y += height + GAP;
  }
  return { boxes, lines, height: Math.max(0, y - GAP), width, columns: [left, middle, right] };
}

function narrow(all, width) {
  const boxes = [];
  const lines = [];
  const step = 18;
  const line = (kind, row, group, x, from, y) => lines.push({ kind, row, service: group.service, path: `M${x} ${from}V${y - 8}Q${x} ${y} ${x + 8} ${y}H${x + step - 6}` });
  let y = 0;
  for (const group of all) {
    for (const row of group.rows) {
      boxes.push({ kind: "topic", topic: row.topic, x: 0, y, width: width - 2 * step, height: BOX });
      y += ROW;
    }
    if (group.service) {
      const under = y - (ROW - BOX);
      group.rows.forEach((row, place) => line("in", row, group, 8, under - (group.rows.length - 1 - place) * ROW, y + BOX / 2));
      boxes.push({ kind: "service", group, x: step, y, width: width - 2 * step, height: BOX });
      y += ROW;
      const from = y - (ROW - BOX);
      for (const row of group.rows.filter((it) => it.results)) {
        line("out", row, group, step + 8, from, y + BOX / 2);
        boxes.push({ kind: "results", topic: row.topic, name: row.results, once: row.once, x: 2 * step, y, width: width - 2 * step, height: BOX });
        y += ROW;
      }
    }
    y += GAP - 12;
  }
  return { boxes, lines, height: Math.max(0, y - GAP + 12), width, columns: undefined };
}

function curve(fromX, fromY, toX, toY) {
  const half = (fromX + toX) / 2;
  return `M${fromX} ${fromY}C${half} ${fromY} ${half} ${toY} ${toX - 7} ${toY}`;
}
