// Forms for what the interface table has: one input for each key, and the JSON that they make.
import { h } from "./dom.js";

// A value to begin with, so that a first click does something.
export function example(field, me, chat) {
  const name = field.name.toLowerCase();
  const isMany = field.type === "list" || name.endsWith("s") && !name.endsWith("status");
  if (field.names === "user") return isMany ? JSON.stringify([me]) : me;
  if (field.names === "chat") return chat;
  if (field.type === "boolean" || name.startsWith("is")) return "true";
  if (name.includes("timestamp") || name.endsWith("_at")) return String(Date.now());
  if (name.includes("media")) return "";
  if (name === "withuser") return JSON.stringify({ id: "alice", name: "Alice" });
  if (name === "userid" || name.startsWith("sender") || name.startsWith("deletedby")) return "alice";
  if (name === "status") return "online";
  if (name === "text") return "Hello from the page";
  if (name.endsWith("ids")) return '["m-1"]';
  if (field.type === "number") return "1";
  if (field.type === "object") return "{}";
  if (field.type === "list") return "[]";
  return field.names || field.type === "id" || name.endsWith("id") ? `${name.replace(/id$/, "")[0] ?? "x"}-1` : "";
}

// What somebody typed, as JSON has it: `true`, 12, {"a": 1}; all else is text. Ids stay text where they were given so.
export function valueOf(text, field) {
  if (field.type === "string") return text;
  if (!/^\s*([[{"]|-?\d+(\.\d+)?\s*$|true\s*$|false\s*$|null\s*$)/.test(text)) return text;
  try {
    const value = JSON.parse(text);
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? text : value;
  } catch {
    return text;
  }
}

// Gives { element, value() }: the form of one channel or request.
// Without examples it is empty: what is published to real users is nobody's idea but the operator's.
export function formOf(fields, { me = "", chat = "", hasExamples = true, onchange = () => {} }) {
  const inputs = fields.map((field) => {
    const id = `field-${field.name}`;
    const input = h("input", { id, value: hasExamples ? example(field, me, chat) : "", autocomplete: "off", spellcheck: "false", oninput: onchange });
    const type = [field.type && field.type !== field.names && field.type, field.names && `${field.names} id`, field.required && "required"];
    return { field, input, element: h("div", { class: "field" },
      h("label", { for: id }, field.name, " ", h("span", { class: "type" }, type.filter(Boolean).join(", "))), input) };
  });
  const value = () => {
    const found = {};
    for (const { field, input } of inputs) if (input.value !== "") found[field.name] = valueOf(input.value, field);
    return found;
  };
  return { element: h("div", { class: "fields" }, inputs.map((one) => one.element)), value };
}
