// Users and their sockets, rooms and their members: found by how a name begins, a page at a time.
import { call, part, repeat } from "./api.js";
import { bytes, count, duration, h, redraw, say, show } from "./dom.js";

const PAGE = 50, DETAIL_SECONDS = 3;
const RECOVERY = {
  offsets: "resumes from the offset that it has seen",
  position: "resumes from what it has provably received",
  none: "begins again after a disconnect",
};

const USERS = {
  view: "users", title: "Users", label: "User id begins with",
  nothing: "Nobody is online whose id begins so.",
  hint: "Choose a user to see their sockets: on which pod, over which transport, in which rooms.",
  async load(list, prefix, cursor) {
    const page = await call("users", { query: { prefix, cursor, limit: PAGE } });
    list.append(...page.users.map((user) => item("users", user, prefix)));
    return { cursor: page.cursor ?? null, found: "" };
  },
};

const ROOMS = {
  view: "rooms", title: "Rooms", label: "Name begins with",
  nothing: "There is no such room.",
  hint: "Choose a room to see who is in it.",
  async load(list, prefix) {
    const page = await call("rooms", { query: { prefix, limit: 100 } });
    list.append(...page.rooms.map((one) => item("rooms", one.room, prefix, count(one.members))));
    return { cursor: null, found: page.sampled ? "The largest are shown; search for others. Counts may lack small shares of some pods." : "" };
  },
};

let open = null; // the list on the screen: it stays where it is while one after the other is chosen

export function users(main, context) {
  const detail = listed(main, context, USERS), [chosen] = context.path;
  if (chosen !== undefined) userDetail(detail, context, chosen);
}

export function rooms(main, context) {
  const detail = listed(main, context, ROOMS), [chosen] = context.path;
  if (chosen !== undefined) roomDetail(detail, context, chosen);
}

// Shows the list, unless it is shown already, and gives the place for what is chosen.
function listed(main, context, kind) {
  if (open?.kind !== kind || !open.element.isConnected) {
    open = finder(kind, context);
    show(main, open.element);
    open.fetch("");
    if (context.path.length === 0) open.input.focus();
  }
  open.context = context;
  mark();
  show(open.detail, context.path.length === 0 && h("section", { class: "card" }, h("p", { class: "empty" }, kind.hint)));
  return open.detail;
}

function mark() {
  for (const link of open.list.querySelectorAll("a")) {
    if (link.dataset.name === open.context.path[0]) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function finder(kind, context) {
  const list = h("ul", { class: "pick", "aria-label": kind.title }), note = h("p", { class: "hint" }), detail = h("div", { class: "stack" });
  const more = h("button", { type: "button", hidden: true }, "More");
  const input = h("input", { id: "prefix", value: context.query.get("prefix") ?? "", type: "search", autocomplete: "off", spellcheck: "false" });
  let cursor = null, run = 0, timer;
  const fetch = async (from) => {
    const mine = (run += 1);
    more.hidden = true;
    const into = document.createDocumentFragment();
    const page = await open.context.guard(() => kind.load(into, input.value, from));
    if (mine !== run) return; // an answer that came too late
    more.hidden = !cursor;
    if (page === undefined) return;
    if (!from) list.replaceChildren();
    list.append(into);
    if (!list.childElementCount) list.append(h("li", { class: "empty" }, kind.nothing));
    note.textContent = page.found;
    cursor = page.cursor;
    more.hidden = !cursor;
    mark();
  };
  input.oninput = () => { clearTimeout(timer); timer = setTimeout(() => fetch(""), 250); };
  more.onclick = () => fetch(cursor);
  const element = h("div", { class: "two" },
    h("section", { class: "card", "aria-label": kind.title },
      h("header", {}, h("h2", {}, kind.title), h("button", { type: "button", class: "plain", onclick: () => fetch("") }, "Refresh")),
      h("div", { class: "body stack" }, h("div", { class: "field" }, h("label", { for: "prefix" }, kind.label), input), note),
      list, h("div", { class: "more" }, more)),
    detail);
  return { kind, element, list, input, detail, fetch, context };
}

function item(view, name, prefix, number) {
  const query = prefix ? `?prefix=${part(prefix)}` : "";
  return h("li", {}, h("a", { href: `#/${view}/${part(name)}${query}`, "data-name": name },
    h("span", { class: "id" }, name), number !== undefined && h("span", { class: "number" }, number)));
}

function userDetail(place, { signal, guard, permissions, confirm }, user) {
  const state = h("span", { class: "pill", role: "status" }, "asking"), table = h("table", {}), note = h("p", { class: "more hint" }), outcome = h("p", { class: "notice", role: "status", hidden: true });
  const kick = permissions.mayAct && h("button", { type: "button", class: "danger", onclick: async () => {
    if (!(await confirm(`Disconnect ${user}?`, "All of the user's connections are closed, on every pod. Their clients do not reconnect by themselves.", "Disconnect"))) return;
    const done = await guard(() => call(`users/${part(user)}/connections`, { method: "DELETE" }));
    if (!done) return;
    outcome.hidden = false;
    outcome.textContent = `${count(done.disconnected)} ${done.disconnected === 1 ? "connection" : "connections"} closed.`;
  } }, "Disconnect");
  show(place, h("section", { class: "card", "aria-labelledby": "user-title" },
    h("header", {}, h("h2", { id: "user-title", class: "id" }, user), state,
      h("a", { class: "button", href: `#/events?room=${part(`user:${user}`)}` }, "Their events"), kick),
    outcome, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sockets" }, table), note));
  repeat(DETAIL_SECONDS, signal, () => guard(async () => {
    const found = await call(`users/${part(user)}`, { signal });
    say(state, found.online ? `online, ${count(found.count)} ${found.count === 1 ? "socket" : "sockets"}` : "offline");
    state.className = `pill ${found.online ? "good" : ""}`;
    if (kick) kick.disabled = found.count === 0;
    redraw(table, found.sockets.length > 0 && socketRows(found));
    say(note, noteOf(found));
  }));
}

function noteOf({ online, sockets, count: all, silent }) {
  const some = all > sockets.length ? `The newest ${sockets.length} of ${all} are shown. ` : "";
  const none = online ? "Online by presence, though no pod has a socket now: a reload, or a pod that was killed. " : "No socket on any pod. ";
  return `${sockets.length ? some : none}${silent.length ? `${silent.length} pods did not answer.` : ""}`;
}

function socketRows({ sockets }) {
  return [
    h("thead", {}, h("tr", {}, ["Socket", "Pod", "Transport", "Address", "Since", "Recovery", "Rooms"].map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, sockets.map(({ pod, name, socket }) => h("tr", {},
      h("td", {}, h("code", {}, socket.sid), h("div", { class: "hint" }, socket.namespace)),
      h("td", { title: `instance ${pod}` }, name),
      h("td", {}, h("span", { class: `pill bare ${socket.transport === "websocket" ? "good" : "warn"}` }, socket.transport),
        socket.waiting_bytes > 0 && h("div", { class: "hint" }, `${bytes(socket.waiting_bytes)} buffered`)),
      h("td", {}, h("code", {}, socket.address || "unknown")),
      h("td", {}, duration(socket.seconds)),
      h("td", {}, h("span", { title: RECOVERY[socket.recovery] }, socket.recovery)),
      h("td", {}, roomLinks(socket)))))];
}

function roomLinks({ rooms: names, room_count: all }) {
  return h("div", { class: "rooms" }, names.map((name) => h("a", { class: "pill bare", href: `#/rooms/${part(name)}` }, name)),
    all > names.length && h("span", { class: "pill bare" }, `and ${count(all - names.length)} more`));
}

function roomDetail(place, { signal, guard }, room) {
  const list = h("ul", { class: "pick", "aria-label": "Members" }), note = h("p", { class: "hint more" }), more = h("button", { type: "button", hidden: true }, "More");
  show(place, h("section", { class: "card", "aria-labelledby": "room-title" },
    h("header", {}, h("h2", { id: "room-title", class: "id" }, room), h("a", { class: "button", href: `#/events?room=${part(room)}` }, "Its events")),
    list, note, h("div", { class: "more" }, more)));
  const load = (cursor) => guard(async () => {
    const page = await call(`rooms/${part(room)}`, { query: { cursor, limit: PAGE }, signal });
    list.append(...page.users.map((user) => item("users", user)));
    if (!list.childElementCount) list.append(h("li", { class: "empty" }, "Nobody is in this room."));
    note.textContent = page.complete ? "" : "Not every pod has answered: some members may be missing.";
    more.hidden = !page.cursor;
    more.onclick = () => load(page.cursor);
  });
  load("");
}
