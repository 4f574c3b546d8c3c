// Builds elements. Text is always text: nothing here, or anywhere, makes markup of a string.

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false).map(node));
  return element;
}

function node(one) {
  return one instanceof Node ? one : document.createTextNode(String(one));
}

export const $ = (id) => document.getElementById(id);

export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false).map(node));
}

// Writes into a live region, which announces whatever is written: only what is new.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Shows the same again, as it is now: the link that has the focus keeps it.
export function redraw(element, ...children) {
  const place = [...element.querySelectorAll("a")].indexOf(document.activeElement), before = document.activeElement;
  show(element, ...children);
  const link = element.querySelectorAll("a")[place];
  if (link && link.href === before.href) link.focus({ preventScroll: true });
}

// What a number is read as: 1,234 or 12.3k.
export function count(value) {
  return value >= 100_000 ? `${(value / 1000).toFixed(0)}k` : Math.round(value).toLocaleString("en");
}

export function rate(value) {
  return value >= 10 || value === 0 ? count(value) : value.toFixed(1);
}

export function milliseconds(value) {
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

export function bytes(value) {
  if (value < 1024) return `${value} B`;
  return value < 1 << 20 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / (1 << 20)).toFixed(0)} MiB`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86_400)} days`;
}

export function clock(date = new Date()) {
  return date.toLocaleTimeString("en-GB", { hour12: false });
}

// One theme for both pages: as the system has it, until somebody chooses.
export function themes(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = localStorage.getItem("theme") ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    const other = theme === "dark" ? "light" : "dark";
    button.textContent = theme === "dark" ? "☀" : "☾";
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    button.title = `Switch to the ${other} theme`;
    button.onclick = () => { localStorage.setItem("theme", other); apply(); };
  };
  system.addEventListener("change", apply);
  apply();
}

export function copying(button, text) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  });
}

// Tabs as screen readers and arrow keys expect them. `choose` is called with the chosen key.
export function tabs(list, names, choose) {
  const buttons = Object.entries(names).map(([key, name]) =>
    h("button", { type: "button", role: "tab", "data-key": key, onclick: () => select(key) }, name));
  const select = (key) => {
    for (const one of buttons) {
      const isChosen = one.dataset.key === key;
      one.setAttribute("aria-selected", isChosen);
      one.tabIndex = isChosen ? 0 : -1;
    }
    choose(key);
  };
  list.setAttribute("role", "tablist");
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    next.focus();
    select(next.dataset.key);
  });
  show(list, buttons);
  select(Object.keys(names)[0]);
}
