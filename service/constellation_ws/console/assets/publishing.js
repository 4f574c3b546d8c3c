// Publishes one event on a channel of the interface table, as the API does.
import { call } from "./api.js";
import { h, show } from "./dom.js";
import { formOf } from "./forms.js";

export async function publishing(main, { guard, permissions }) {
  if (!permissions.mayAct) {
    show(main, h("p", { class: "notice" }, "This console is read only: CONSTELLATION_CONSOLE=write would allow to publish."));
    return;
  }
  const table = await guard(() => call("interface"));
  if (!table) return;
  const channel = h("select", { id: "channel" }, table.channels.map((one) => h("option", {}, one.channel)));
  const fields = h("div", {}), reaches = h("p", { class: "hint" }), preview = h("pre", { tabindex: "0", "aria-label": "The event" });
  const answer = h("p", { class: "notice mono", role: "status", hidden: true });
  let form;
  const draw = () => { preview.textContent = JSON.stringify(form.value(), null, 2); };
  const choose = () => {
    const row = table.channels.find((one) => one.channel === channel.value);
    form = formOf(row.fields, { hasExamples: false, onchange: draw });
    show(fields, form.element);
    reaches.textContent = `Becomes ${row.event} in ${row.namespace}, for ${row.to.join(", ")}.`;
    answer.hidden = true;
    draw();
  };
  channel.onchange = choose;
  show(main, h("form", { class: "card", "aria-labelledby": "publish-title", onsubmit: async (event) => {
    event.preventDefault();
    const said = (text, kind) => { answer.hidden = false; answer.className = `notice mono ${kind}`; answer.textContent = text; };
    try {
      const { id } = await call("publish", { method: "POST", body: { channel: channel.value, data: form.value() } });
      said(id ? `in the log as ${id}` : "published", "good");
    } catch (error) {
      said(error.message, "bad");
    }
  } },
  h("header", {}, h("h2", { id: "publish-title" }, "Publish an event")),
  h("div", { class: "body stack" },
    h("p", { class: "notice warn" }, "This goes to real users, as if your API had published it."),
    h("div", { class: "field" }, h("label", { for: "channel" }, "Channel"), channel), reaches, fields, preview,
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, "Publish")), answer)));
  choose();
}
