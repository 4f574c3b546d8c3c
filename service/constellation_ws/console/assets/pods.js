// The overview: how the deployment is, what it did in the last 15 minutes, each pod, and drains.
import { call, repeat } from "./api.js";
import { chart, KINDS, merged } from "./charts.js";
import { bytes, count, duration, h, milliseconds, rate, say, show, svg } from "./dom.js";

const STATUS_SECONDS = 2, HISTORY_SECONDS = 15;

export function overview(main, { signal, guard }) {
  const figures = h("section", { class: "figures", "aria-label": "The deployment now" });
  const picture = h("div", { class: "picture" });
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pods, table" });
  const silence = h("p", { class: "notice warn", role: "status", hidden: true });
  const charts = KINDS.map((kind) => ({ kind, chart: chart(kind.name, kind.at > 3 ? milliseconds : kind.at ? rate : count) }));
  show(main, figures, silence,
    h("section", { class: "charts", "aria-label": "The last 15 minutes" }, charts.map((one) => one.chart.element)),
    h("section", { class: "card", "aria-labelledby": "pods-title" }, h("header", {}, h("h2", { id: "pods-title" }, "Pods")), picture, table));

  repeat(STATUS_SECONDS, signal, () => guard(async () => {
    const { pods, silent } = await call("pods", { signal });
    named(pods);
    pods.sort((a, b) => a.status.name.localeCompare(b.status.name) || a.pod.localeCompare(b.pod));
    show(figures, figuresOf(pods));
    silence.hidden = silent.length === 0;
    say(silence, silent.length ? `${silent.length} ${silent.length === 1 ? "pod does" : "pods do"} not answer: just gone, busy, or without a console. Numbers lack what they have.` : "");
    show(picture, pictureOf(pods));
    show(table, tableOf(pods));
  }));
  repeat(HISTORY_SECONDS, signal, () => guard(async () => {
    const { pods } = await call("history", { signal });
    for (const one of charts) one.chart.update(merged(pods, one.kind));
  }));
}

const sum = (pods, read) => pods.reduce((total, one) => total + (read(one.status) ?? 0), 0);
const most = (pods, read) => Math.max(0, ...pods.map((one) => read(one.status) ?? 0));
const clients = (status) => status.websockets + status.polling;

// Pods of one machine have one name: their instances tell them apart.
function named(pods) {
  const names = pods.map((one) => one.status.name);
  for (const one of pods) {
    if (names.indexOf(one.status.name) !== names.lastIndexOf(one.status.name)) one.label = `${one.status.name} ${one.pod.slice(0, 4)}`;
  }
  for (const one of pods) one.status.name = one.label ?? one.status.name;
}

function figuresOf(pods) {
  const ready = pods.filter((one) => one.status.failing.length === 0).length;
  const isAnyUnready = pods.some((one) => one.status.failing.length > 0 && !one.status.drain);
  const lost = sum(pods, (one) => one.lost_events);
  return [
    figure(count(sum(pods, clients)), "clients connected"),
    figure(rate(most(pods, (one) => one.events)), "events per second"),
    figure(rate(sum(pods, (one) => one.deliveries)), "deliveries per second"),
    figure(timed(most(pods, (one) => one.write_ms)), "log to socket, p99"),
    figure(`${ready} of ${pods.length}`, "pods ready", isAnyUnready),
    figure(count(lost), "events lost since start", lost > 0),
  ];
}

function timed(value) {
  return value ? milliseconds(value) : "–";
}

function figure(value, name, isBad = false) {
  return h("div", { class: `card figure ${isBad ? "bad" : ""}` }, h("b", {}, value), h("span", {}, name));
}

// Each pod as a vessel of clients: a drain empties one into the others.
function pictureOf(pods) {
  const shown = pods.slice(0, 24), step = 104, width = Math.max(shown.length * step, 240), top = 34, height = 92;
  const full = Math.max(10, ...shown.map((one) => Math.max(clients(one.status), one.status.drain?.sockets_at_start ?? 0)));
  const middle = (place) => place * step + step / 2;
  const vessels = shown.map(({ status }, place) => {
    const level = (height * clients(status)) / full, before = status.drain ? (height * status.drain.sockets_at_start) / full : 0;
    const kind = status.drain ? "draining" : status.failing.length ? "unready" : "";
    const left = place * step + 26;
    return svg("g", { class: kind },
      svg("title", {}, `${status.name}: ${count(clients(status))} clients${status.drain ? `, draining, ${duration(status.drain.seconds_left)} left` : ""}`),
      svg("rect", { class: "shell", x: left, y: top, width: 52, height, rx: 8 }),
      svg("rect", { class: "level", x: left + 4, y: top + height - 4 - Math.max(level - 8, 2), width: 44, height: Math.max(level - 8, 2), rx: 5 }),
      before > 0 && svg("rect", { class: "before", x: left + 4, y: top + height - 4 - Math.max(before - 8, 2), width: 44, height: Math.max(before - 8, 2), rx: 5 }),
      svg("text", { x: middle(place), y: top + height + 18 }, count(clients(status))),
      svg("text", { class: "small", x: middle(place), y: top + height + 33 }, shortened(status.name)));
  });
  const places = shown.map((_, place) => place), receivers = places.filter((place) => !shown[place].status.drain);
  const flows = places.filter((place) => shown[place].status.drain?.sockets_left > 0).flatMap((from) => receivers.map((to) => {
    const lift = Math.min(30, 12 + Math.abs(to - from) * 5);
    return svg("path", { class: "flow", d: `M${middle(from)} ${top - 3}C${middle(from)} ${top - lift} ${middle(to)} ${top - lift} ${middle(to)} ${top - 3}` });
  }));
  const label = shown.map(({ status }) => `${status.name} ${clients(status)}${status.drain ? " draining" : ""}`).join(", ");
  return [svg("svg", { width, height: top + height + 40, viewBox: `0 0 ${width} ${top + height + 40}`, role: "img", "aria-label": `Clients on each pod: ${label}` }, flows, vessels),
    pods.length > shown.length && h("p", { class: "hint" }, `The first ${shown.length} of ${pods.length} pods are drawn.`)];
}

function shortened(name) {
  return name.length > 15 ? `…${name.slice(-14)}` : name;
}

const COLUMNS = ["Pod", "State", "Clients", "WebSocket", "Polling", "Users", "Rooms", "Loop lag p99", "Redis", "Memory", "Version", "Up"];

function tableOf(pods) {
  return h("table", {},
    h("thead", {}, h("tr", {}, COLUMNS.map((name, place) => h("th", { scope: "col", class: place > 1 ? "number" : "" }, name)))),
    h("tbody", {}, pods.map(row)));
}

function row({ pod, status }) {
  const number = (text) => h("td", { class: "number" }, text);
  const memory = status.memory_limit_bytes ? `${bytes(status.memory_bytes)} of ${bytes(status.memory_limit_bytes)}` : bytes(status.memory_bytes);
  return h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "id", title: `instance ${pod}` }, status.name)),
    h("td", {}, stateOf(status)),
    number(count(clients(status))), number(count(status.websockets)), number(count(status.polling)), number(count(status.users)),
    number(count(status.rooms)), number(milliseconds(status.loop_lag_ms)),
    number(status.redis_up ? milliseconds(status.redis_ms) : h("span", { class: "pill bad" }, "away")),
    number(memory), number(status.version), number(duration(status.uptime_seconds)));
}

function stateOf(status) {
  const { drain } = status;
  if (drain) {
    const gone = drain.sockets_at_start - drain.sockets_left, whole = Math.max(1, drain.sockets_at_start);
    return h("div", {}, h("span", { class: "pill warn" }, "draining"), " ",
      h("progress", { max: whole, value: gone, "aria-label": `drained ${gone} of ${drain.sockets_at_start}` }),
      h("div", { class: "hint" }, `${count(drain.sockets_left)} left, ${duration(drain.seconds_left)} to go`));
  }
  return h("div", { class: "badges" },
    status.failing.length ? h("span", { class: "pill bad" }, `not ready: ${status.failing.join(", ")}`) : h("span", { class: "pill good" }, "ready"),
    status.is_recorder && h("span", { class: "pill info", title: "appends what Pub/Sub brings to the log" }, "recorder"),
    status.is_durable && status.is_listener === false && h("span", { class: "pill bare", title: "enough other pods receive events from Pub/Sub" }, "log only"),
    status.is_overloaded && h("span", { class: "pill bad" }, "overloaded"),
    status.slow_consumers > 0 && h("span", { class: "pill warn bare", title: "connections closed because they did not read" }, `${count(status.slow_consumers)} slow`));
}
