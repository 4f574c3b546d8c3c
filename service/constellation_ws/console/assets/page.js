// The page for a first look: one client, what it receives, and forms for all that the interface table has.
import { $, clock, copying, h, milliseconds, show, tabs, themes } from "./dom.js";
import { formOf } from "./forms.js";
import { snippets } from "./snippets.js";

const MOST = 300;
const LOG_ID = /^(\d{13,})-\d+(\.\d+)?$/;
const published = new Map(); // log ID -> when it was published, by the clock of this page
let about, socket, form, side, language, chats = new Set(), isPaused = false, total = 0, before = null;

themes($("theme"));
about = await (await fetch("/page/interface.json")).json();
begin();

function begin() {
  $("version").textContent = `${about.version}, a Socket.IO gateway`;
  $("to-console").hidden = !about.publishes;
  $("token-field").hidden = !about.tokens;
  $("namespace-field").hidden = about.namespaces.length < 2;
  show($("namespace"), about.namespaces.map((one) => h("option", {}, one.name)));
  $("namespace").onchange = () => { connect(); choosing(); };
  $("you").onsubmit = (event) => { event.preventDefault(); connect(); };
  $("join").onclick = () => join($("chat").value);
  $("chat").onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); join($("chat").value); } };
  $("cut").onclick = () => socket?.io.engine?.close();
  $("send").onsubmit = (event) => { event.preventDefault(); send(); };
  $("what").onchange = fields;
  $("clear").onclick = () => { $("list").replaceChildren(); total = 0; counted(); };
  $("pause").onclick = () => { isPaused = !isPaused; $("pause").setAttribute("aria-pressed", isPaused); $("pause").textContent = isPaused ? "Go on" : "Pause"; };
  const user = new URLSearchParams(location.search).get("user");
  if (user) $("user").value = user;
  connect();
  const sides = about.publishes ? { publish: "As the API", request: "As this client" } : { request: "As this client" };
  tabs($("send-tabs"), sides, (key) => { side = key; choosing(); });
  tabs($("code-tabs"), { js: "JavaScript", nest: "NestJS", python: "Python" }, (key) => { language = key; code(); });
  copying($("copy"), () => $("code").textContent);
}

function space() {
  return about.namespaces.find((one) => one.name === $("namespace").value) ?? about.namespaces[0];
}

function joinRequest() {
  return space().requests.find((one) => one.joins && one.fields.length === 1);
}

function connect() {
  socket?.disconnect();
  chats = new Set();
  before = null;
  const request = joinRequest();
  $("joining").hidden = !request;
  $("chat-label").textContent = request ? `Chat (${request.fields[0].name})` : "Chat";
  state("connecting", "");
  if (about.tokens && !$("token").value) {
    state("no token yet", "warn");
    note("waiting", "This gateway asks for a token: paste one, then connect.");
    return;
  }
  socket = io(space().name, {
    forceNew: true,
    auth: (give) => give(about.tokens ? { token: $("token").value, recovery: true } : { userId: $("user").value, recovery: true }),
  });
  socket.on("connect", connected);
  socket.on("disconnect", (reason) => { state("disconnected", "bad"); note("disconnected", reason); before = Date.now(); });
  socket.on("connect_error", (error) => { state("refused", "bad"); note("refused", [error.message, error.data?.code].filter(Boolean).join(" · ")); });
  socket.onAny(received);
  code();
}

function connected() {
  state("connected", "good");
  const away = before === null ? "" : `, after ${milliseconds(Date.now() - before)}`;
  const recovered = `recovered: ${socket.recovered}`;
  note("connected", `as ${$("user").value}${away} · ${recovered}`, socket.recovered ? "good" : "");
  const engine = socket.io.engine;
  const transport = () => { $("transport").hidden = false; $("transport").textContent = engine.transport.name; };
  transport();
  engine.on("upgrade", transport);
  if (!socket.recovered) {
    const wanted = chats.size ? [...chats] : joinRequest() ? [$("chat").value] : [];
    chats.clear();
    wanted.forEach(join);
  }
}

function join(chat) {
  const request = joinRequest();
  if (!chat || !request) return;
  socket.emit(request.event, { [request.fields[0].name]: chat }, (answer) => {
    if (answer.success) chats.add(chat);
    else note("refused", `${chat}: ${answer.error.message}`, "bad");
    $("joined").textContent = chats.size ? `Joined: ${[...chats].join(", ")}` : "";
  });
}

function received(event, ...values) {
  const now = performance.now();
  const last = values.at(-1);
  const id = values.length > 1 && LOG_ID.test(last) ? values.pop() : null;
  total += 1;
  counted();
  if (isPaused) return;
  const began = id && published.get(id);
  const taken = began ? now - began : id ? Date.now() - Number(LOG_ID.exec(id)[1]) : null;
  if (id) published.delete(id);
  const isLate = taken !== null && taken > 1500;
  const title = began ? "from the click to this page" : id ? `from the log to this page, entry ${id}` : "";
  line("", event, values.map(readable).join(" "),
    taken !== null && taken >= 0 && taken < 3_600_000 && h("span", { class: `pill bare ${isLate ? "missed" : "info"}`, title }, isLate ? `missed, ${milliseconds(taken)} ago` : milliseconds(taken)));
}

function note(name, text, kind = "") {
  line("state", name, text, kind && h("span", { class: `pill ${kind}` }, kind === "good" ? "nothing missed" : "refused"));
}

function line(kind, name, text, mark) {
  const list = $("list");
  $("waiting").hidden = true;
  list.prepend(h("li", { class: `${kind} arrives` }, h("time", {}, clock()), h("span", { class: "name" }, name), h("span", { class: "data" }, text), mark || h("span")));
  while (list.childElementCount > MOST) list.lastElementChild.remove();
}

function readable(value) {
  const lines = JSON.stringify(value, null, 1) ?? "";
  return lines.replace(/([[{])\n\s*/g, "$1").replace(/\n\s*([\]}])/g, "$1").replace(/\n\s*/g, " ");
}

function counted() {
  $("counted").textContent = total ? total.toLocaleString("en") : "";
}

function state(text, kind) {
  $("state").textContent = text;
  $("state").className = `pill ${kind}`;
}

// Sending

function choosing() {
  const isPublish = side === "publish";
  const rows = isPublish ? about.channels.map((one) => one.channel) : space().requests.map((one) => one.event);
  $("what-label").textContent = isPublish ? "Channel" : "Request";
  $("send-button").textContent = isPublish ? "Publish" : "Send";
  $("send-about").textContent = isPublish
    ? "What your API publishes on Redis: the gateway delivers it to those whom the event names."
    : "What the client of this page requests; the answer is its acknowledgement.";
  show($("what"), rows.map((one) => h("option", {}, one)));
  fields();
}

function fields() {
  const name = $("what").value;
  const row = side === "publish" ? about.channels.find((one) => one.channel === name) : space().requests.find((one) => one.event === name);
  if (!row) return;
  form = formOf(row.fields, { me: $("user").value, chat: $("chat").value, onchange: code });
  show($("fields"), form.element);
  $("reaches").textContent = row.to ? `becomes ${row.event} for ${row.to.join(", ")}` : "";
  $("answer").hidden = true;
  code();
}

async function send() {
  if (side !== "publish") {
    if (!socket?.connected) {
      answered("not connected", true);
      return;
    }
    socket.timeout(8000).emit($("what").value, form.value(), (error, answer) => answered(error ? "no answer within 8 s" : JSON.stringify(answer), Boolean(error) || answer?.success === false));
    return;
  }
  const began = performance.now();
  const response = await fetch("/console/api/publish", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Constellation-Console": "1" },
    body: JSON.stringify({ channel: $("what").value, data: form.value() }),
  });
  const body = await response.json();
  if (body.id) published.set(body.id, began);
  answered(response.ok ? (body.id ? `in the log as ${body.id}` : "published") : body.error.message, !response.ok);
}

function answered(text, isBad) {
  const box = $("answer");
  box.hidden = false;
  box.className = `notice mono ${isBad ? "bad" : "good"}`;
  box.textContent = text;
}

function code() {
  if (!language) return;
  const channel = about.channels.find((one) => side === "publish" && one.channel === $("what").value) ?? about.channels[0];
  const data = side === "publish" && form ? form.value() : {};
  $("code").textContent = snippets[language]({
    about, channel, data, user: $("user").value, space: space(), join: joinRequest(), chat: $("chat").value, origin: location.origin, host: location.hostname,
  });
}
