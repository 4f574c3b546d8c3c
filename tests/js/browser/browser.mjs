// Chromium, driven line by line: each line of stdin is { id, tab, method, args }, each of stdout { id, result } or { id, error }.
//
//   node browser.mjs <path of Chromium>
//
// `tab` names a page, which is opened with its first use; `method` is one of Playwright's Page, or one of those below.
// It ends with its stdin.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
const browser = await chromium.launch({ executablePath: process.argv[2], args });
const tabs = new Map();

const more = {
  texts: (page, selector) => page.locator(selector).allTextContents(),
  close: (page) => page.context().close(),
  // Each tab is a window of its own, as of another person.
  open: (page, url) => page.goto(url),
};

async function pageOf(tab) {
  if (!tabs.has(tab)) {
    tabs.set(tab, browser.newContext().then((context) => context.newPage()).then(watched));
  }
  return tabs.get(tab);
}

function watched(page) {
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.setDefaultTimeout(20_000);
  return page;
}

async function answer({ id, tab, method, args }) {
  try {
    const page = await pageOf(tab);
    if (method === "close") tabs.delete(tab);
    const result = method === "faults" ? page.faults : await (more[method]?.(page, ...args) ?? page[method](...args));
    return { id, result: isPlain(result) ? result : null };
  } catch (error) {
    return { id, error: String(error) };
  }
}

function isPlain(value) {
  return value === null || typeof value !== "object" || Array.isArray(value);
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(JSON.parse(line)).then((reply) => console.log(JSON.stringify(reply)));
}
await browser.close();
process.exit(0);
