// Small line charts over 15 minutes. Each says in words what it shows, for those who do not see it.
import { h, show, svg } from "./dom.js";

const WIDTH = 320, HEIGHT = 112, STEPS = 180;

export function chart(title, write) {
  const now = h("span", { class: "now" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const most = h("span"), element = h("figure", { class: "card chart" },
    h("figcaption", {}, h("span", {}, title), now), picture,
    h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, "15 min ago"), most, h("span", {}, "now")));
  let values = [], shown = null;

  const draw = () => {
    const known = values.filter((one) => one !== null);
    const top = Math.max(...known, 0), last = known.at(-1) ?? 0;
    const x = (place) => (WIDTH * (place + STEPS - values.length)) / (STEPS - 1);
    const y = (value) => HEIGHT - 3 - ((HEIGHT - 12) * value) / (top || 1);
    most.textContent = known.length ? `up to ${write(top)}` : "";
    now.textContent = shown === null ? write(last) : `${write(values[shown] ?? 0)}, ${ago(values.length - 1 - shown)}`;
    picture.setAttribute("aria-label", known.length ? `${title}: ${write(last)} now, between ${write(Math.min(...known))} and ${write(top)} in the last 15 minutes` : `${title}: nothing yet`);
    const runs = runsOf(values);
    show(picture,
      [0.25, 0.5, 0.75, 1].map((part) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(part * (top || 1)), y2: y(part * (top || 1)) })),
      runs.map((run) => svg("path", { class: "area", d: `M${x(run[0])} ${HEIGHT}${run.map((place) => `L${x(place)} ${y(values[place])}`).join("")}L${x(run.at(-1))} ${HEIGHT}Z` })),
      runs.map((run) => svg("path", { class: "line", d: run.map((place, at) => `${at ? "L" : "M"}${x(place)} ${y(values[place])}`).join("") })),
      shown !== null && svg("line", { class: "cursor", x1: x(shown), x2: x(shown), y1: 0, y2: HEIGHT }));
  };
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const place = Math.round(((event.clientX - box.left) / box.width) * (STEPS - 1)) - STEPS + values.length;
    shown = place >= 0 && place < values.length && values[place] !== null ? place : null;
    draw();
  });
  picture.addEventListener("pointerleave", () => { shown = null; draw(); });
  return { element, update(found) { values = found.slice(-STEPS); if (shown !== null && shown >= values.length) shown = null; draw(); } };
}

function runsOf(values) {
  const runs = [[]];
  values.forEach((value, place) => {
    if (value === null) runs.push([]);
    else runs.at(-1).push(place);
  });
  return runs.filter((run) => run.length > 0);
}

function ago(steps) {
  const seconds = steps * 5;
  return seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ${seconds % 60} s ago`;
}

// What all pods measured, put on one time axis: sums of most, and the worst of times.
export const KINDS = [
  { name: "Clients", at: 0, merge: (values) => values.reduce((sum, one) => sum + one, 0) },
  { name: "Events per second", at: 1, merge: (values) => Math.max(...values) },
  { name: "Deliveries per second", at: 2, merge: (values) => values.reduce((sum, one) => sum + one, 0) },
  { name: "Connects per second", at: 3, merge: (values) => values.reduce((sum, one) => sum + one, 0) },
  { name: "Log to socket, p99", at: 5, merge: (values) => Math.max(...values) },
  { name: "Event loop lag, p99", at: 4, merge: (values) => Math.max(...values) },
];

export function merged(histories, kind) {
  const slots = Array.from({ length: STEPS }, () => []);
  for (const { history } of histories) {
    history.samples.toReversed().forEach((sample, back) => {
      const slot = STEPS - 1 - Math.round(back + history.age_seconds / history.step_seconds);
      if (slot >= 0) slots[slot].push(sample[kind.at]);
    });
  }
  const values = slots.map((found) => (found.length ? kind.merge(found) : null));
  if (values.at(-1) === null) values.pop(); // a step that has not ended on any pod
  return values;
}
