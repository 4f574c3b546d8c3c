// The frame of the console: who is signed in, which view is shown, and whether what it shows is fresh.
import { call, dropKey, hasKey, keepKey, Refused } from "./api.js";
import { $, clock, h, say, show, themes } from "./dom.js";
import { overview } from "./pods.js";
import { rooms, users } from "./people.js";
import { publishing } from "./publishing.js";
import { events } from "./tail.js";

const VIEWS = { "": overview, users, rooms, events, publish: publishing };
const TITLES = { "": "Overview", users: "Users", rooms: "Rooms", events: "Events", publish: "Publish" };
let current = new AbortController();
let permissions = null;
let shown = null; // the name of the view

themes($("theme"));
addEventListener("hashchange", enter);
$("skip").onclick = (event) => { event.preventDefault(); $("main").focus(); }; // addresses behind # are views
$("sign-in").addEventListener("cancel", (event) => event.preventDefault());
$("sign-in-form").onsubmit = (event) => { event.preventDefault(); keepKey($("key").value); $("key").value = ""; start(); };
$("sign-out").onclick = () => { current.abort(); dropKey(); show($("main")); start(); };
await start();

async function start() {
  try {
    permissions = await call();
  } catch (error) {
    if (error.status === 401) askForKey();
    else failed(error);
    if (error.status !== 401) setTimeout(start, 3000);
    return;
  }
  if ($("sign-in").open) $("sign-in").close();
  $("where").textContent = `Constellation WS ${permissions.version}, seen from ${permissions.pod}`;
  $("sign-out").hidden = !hasKey();
  $("to-publish").hidden = !permissions.mayAct;
  $("mode").hidden = permissions.mayAct;
  $("mode").textContent = "read only";
  enter();
}

function askForKey() {
  $("sign-in-fault").hidden = !hasKey();
  $("sign-in-fault").textContent = "That is not the console's key.";
  dropKey();
  fresh("signed out", "");
  if (!$("sign-in").open) $("sign-in").showModal();
  $("key").focus();
}

function enter() {
  if (!permissions) return;
  current.abort();
  current = new AbortController();
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  const name = view in VIEWS ? view : "";
  for (const link of $("nav").querySelectorAll("a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown !== null && shown !== name) $("main").focus({ preventScroll: true });
  shown = name;
  document.title = `${TITLES[name]} · Constellation WS`;
  const context = { permissions, signal: current.signal, guard, confirm, query: new URLSearchParams(query), path: rest.map(decodeURIComponent) };
  VIEWS[name]($("main"), context);
}

// Does one piece of work of a view; says above whether it went well.
async function guard(work) {
  const { signal } = current;
  try {
    const done = await work();
    if (signal.aborted) return undefined;
    fresh("live", "good", `, ${clock()}`);
    return done;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error.status === 401) { current.abort(); askForKey(); } else failed(error);
    return undefined;
  }
}

// Screen readers announce the state when it changes; the time beside it changes every second and is no news.
function fresh(state, kind, at = "") {
  say($("state"), state);
  $("state-at").textContent = at;
  $("freshness").className = `pill ${kind}`;
}

function failed(error) {
  fresh(error.message, "bad");
  if (!(error instanceof Refused)) reportError(error); // a fault of these scripts is not one of the gateway
  if (!permissions) show($("main"), h("p", { class: "notice bad" }, error.code === "away" ? "The gateway does not answer; trying again." : error.message));
}

function confirm(title, text, yes) {
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  const dialog = $("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((go) => dialog.addEventListener("close", () => go(dialog.returnValue === "yes"), { once: true }));
}
