// Requests to the JSON API. The key stays in this tab; it is never part of an address.
const KEY = "constellation-console-key";

export class Refused extends Error {
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export async function call(path = "", { method = "GET", query = {}, body, signal } = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const headers = { "X-Constellation-Console": "1" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const url = `api${path && `/${path}`}${asked.size ? `?${asked}` : ""}`;
  const response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, cache: "no-store" })
    .catch((error) => { throw error.name === "AbortError" ? error : new Refused("away", "no answer from the gateway", 0); });
  const text = await response.text();
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Refused("unreadable", `the answer is no JSON (status ${response.status}): a proxy in between has written it`, response.status);
  }
  if (!response.ok) throw new Refused(answer.error?.code, answer.error?.message ?? `status ${response.status}`, response.status);
  return answer;
}

export const part = encodeURIComponent;
export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const dropKey = () => sessionStorage.removeItem(KEY);

// Calls `work` now and again `seconds` after it has ended, until the signal ends it. A hidden tab asks nothing.
export async function repeat(seconds, signal, work) {
  while (!signal.aborted) {
    if (!document.hidden) await work();
    await new Promise((go) => {
      const timer = setTimeout(go, seconds * 1000);
      signal.addEventListener("abort", () => { clearTimeout(timer); go(); }, { once: true });
    });
  }
}
