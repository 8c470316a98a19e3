// One failed order in a dialog. Its input is read only when it is asked for: each read is logged.

import { RequestRejected, read } from "../board/api.js";
import { byId, element, moment, write } from "../board/text.js";

let displayed = null;

export function open(order) {
  displayed = order;
  write(byId("details-title"), `Order ${order.id.slice(-4)}`);
  facts(order);
  byId("details-input").hidden = true;
  byId("show-input").hidden = false;
  byId("details").showModal();
  byId("details-close").focus();
  load(order, "history");
}

async function load(order, include) {
  write(byId("details-error"), "");
  try {
    const whole = await read(`operator/orders/${encodeURIComponent(order.owner)}/${encodeURIComponent(order.id)}?include=${include}`);
    if (displayed !== order) return;
    facts({ ...order, ...whole }, whole.history);
    if (whole.input === undefined) return;
    write(byId("details-input"), JSON.stringify(whole.input, null, 2));
    byId("details-input").hidden = false;
    byId("show-input").hidden = true;
    byId("details-input").focus();
  } catch (error) {
    if (displayed === order) write(byId("details-error"), error instanceof RequestRejected ? error.message : "No response: try again.");
  }
}

function facts(order, history = []) {
  const rows = [["Order", order.id], ["Owner", order.owner], ["Task", order.task], ["Lane", order.lane], ["Status", order.status], ["Placed", moment(order.created_at)]];
  if (order.status === "FAILED") rows.push(["Failed", moment(order.failed_at)]);
  if (order.error) rows.push(["Error", `${order.error.code}: ${order.error.message}`]);
  rows.push(["Attempts", `${order.attempts} of at most ${order.max_attempts}`]);
  for (const [index, { started_at: start, code }] of history.entries()) rows.push([`Attempt ${index + 1}`, `${moment(start)}, ${code ?? "no error"}`]);
  byId("facts").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
}

byId("show-input").addEventListener("click", () => { if (displayed) load(displayed, "input,history"); });
byId("details-close").addEventListener("click", () => byId("details").close());
byId("details").addEventListener("close", () => { displayed = null; });
