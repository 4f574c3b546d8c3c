// Events as they pass, and what became of each. What all pods saw of one event is one row.
import { call, repeat } from "./api.js";
import { bytes, clock, count, h, milliseconds, rate, show } from "./dom.js";

let hasSpaces = false;
const MOST = 300, SECONDS = 1;
const OUTCOMES = {
  delivered: ["good", "delivered"],
  no_recipient: ["", "nobody online"],
  nothing_to_send: ["", "nothing to send"],
  malformed: ["bad", "malformed, dropped"],
  too_large: ["bad", "too large, dropped"],
  command: ["info", "command"],
};

export function events(main, { signal, guard, permissions, query }) {
  const viewer = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
  const channel = h("input", { id: "channel", list: "channels", placeholder: "all", value: query.get("channel") ?? "", autocomplete: "off" });
  const room = h("input", { id: "room", placeholder: "all, or user:ID, chat:ID", value: query.get("room") ?? "", autocomplete: "off", spellcheck: "false" });
  const state = h("span", { class: "hint rate" }), body = h("tbody"), known = h("datalist", { id: "channels" });
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", isPaused);
    pause.textContent = isPaused ? "Go on" : "Pause";
  } }, "Pause");
  const names = ["Time", "Event", "Outcome", "Sockets", "For", "Size", "Late", ...(permissions.showsText ? ["Text"] : [])];
  show(main, h("section", { class: "card", "aria-labelledby": "events-title" },
    h("header", {}, h("h2", { id: "events-title" }, "Events"), state, pause, h("button", { type: "button", class: "plain", onclick: () => { rows.clear(); show(body); } }, "Clear")),
    h("div", { class: "body row" }, h("div", { class: "field" }, h("label", { for: "channel" }, "Channel"), channel, known), h("div", { class: "field" }, h("label", { for: "room" }, "Room"), room)),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Events, the newest first" },
      h("table", { class: "events" }, h("thead", {}, h("tr", {}, names.map((one) => h("th", { scope: "col" }, one)))), body)),
    !permissions.showsText && h("p", { class: "more hint" }, "Texts are not shown: CONSTELLATION_CONSOLE_EVENTS=text would allow it.")));

  let isPaused = false, cursor = "", filter = "", at = Date.now();
  const rows = new Map(); // by the event's ID
  guard(async () => {
    const table = await call("interface", { signal });
    hasSpaces = table.namespaces.length > 1;
    show(known, table.channels.map((one) => h("option", { value: one.channel })));
  });

  repeat(SECONDS, signal, () => guard(async () => {
    const wanted = JSON.stringify([channel.value, room.value]);
    if (wanted !== filter) { filter = wanted; cursor = ""; rows.clear(); show(body); }
    const found = await call("tail", { query: { viewer, cursor, channel: channel.value, room: room.value }, signal });
    cursor = found.cursor;
    const seconds = Math.max((Date.now() - at) / 1000, 0.5), passed = Math.max(0, ...found.pods.map((one) => one.passed));
    at = Date.now();
    const shown = Math.max(0, ...found.pods.map((one) => one.events.length));
    state.textContent = `${rate(passed / seconds)} per second${!room.value && shown < passed ? `, a sample of ${count(shown)}` : ""}`;
    if (isPaused) return;
    const all = found.pods.flatMap(({ pod, events: seen }) => seen.map((one) => ({ pod, ...one })));
    all.sort((a, b) => b.seconds_ago - a.seconds_ago).forEach((one) => take(rows, body, one, permissions.showsText));
    for (const [id, row] of rows) {
      if (rows.size <= MOST) break;
      row.element.remove();
      rows.delete(id);
    }
    if (!body.childElementCount) show(body, h("tr", { class: "none" }, h("td", { colspan: names.length, class: "empty" }, "Waiting for events.")));
  }));
}

function take(rows, body, seen, showsText) {
  let row = rows.get(seen.id);
  if (row?.pods.has(seen.pod)) { rows.delete(seen.id); row = undefined; } // the same text again, in no log
  if (!row) {
    row = { pods: new Map(), element: h("tr", { class: "arrives" }), at: new Date(Date.now() - seen.seconds_ago * 1000) };
    rows.set(seen.id, row);
    body.querySelector(".none")?.remove();
    body.prepend(row.element);
  }
  row.pods.set(seen.pod, seen);
  draw(row, showsText);
}

function draw({ pods, element, at }, showsText) {
  const all = [...pods.values()], one = all.find((seen) => seen.outcome === "delivered") ?? all[0];
  const [kind, outcome] = OUTCOMES[one.outcome] ?? ["", one.outcome];
  const sockets = all.reduce((sum, seen) => sum + (seen.recipients ?? 0), 0), late = Math.max(...all.map((seen) => seen.late_ms ?? -1));
  const rooms = one.rooms ?? [];
  show(element,
    h("td", { class: "number" }, clock(at)),
    h("td", {}, h("strong", {}, one.event || one.channel), h("div", { class: "hint" }, one.event ? one.channel : "", hasSpaces && one.namespace ? ` · ${one.namespace}` : "")),
    h("td", {}, h("span", { class: `pill ${kind}` }, outcome)),
    h("td", { class: "number" }, count(sockets)),
    h("td", {}, h("div", { class: "rooms" }, rooms.map((room) => h("a", { class: "pill bare", href: link(room) }, room)),
      (one.room_count ?? 0) > rooms.length && h("span", { class: "pill bare" }, `and ${count(one.room_count - rooms.length)} more`))),
    h("td", { class: "number" }, bytes(one.bytes)),
    h("td", { class: "number", title: "from the log to the pod, the slowest" }, late >= 0 ? milliseconds(late) : ""),
    showsText && h("td", {}, h("div", { class: "text" }, one.data ?? "")));
}

function link(room) {
  return room.startsWith("user:") ? `#/users/${encodeURIComponent(room.slice(5))}` : `#/rooms/${encodeURIComponent(room)}`;
}
