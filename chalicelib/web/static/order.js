// An order's page: its status, attempts, result or error, and the buttons to cancel or retry it.

import { RequestRejected, now, read, send } from "./api.js";
import { byId, element, moment, took, write } from "./text.js";

const PICTURES = [["iVBORw0KGgo", "image/png"], ["/9j/", "image/jpeg"]]; // base64 of their first bytes
const OPTIONAL = ["order-progress", "order-error", "cancel", "retry", "picture", "result", "attempts"];
export const ACTIONS = ["cancel", "retry"];
let displayed = null;

export const path = (id) => `orders/${encodeURIComponent(id)}`;

// Read and display the order. Return whether it is final.
export async function refresh(id) {
  const order = await read(`${path(id)}?include=input,history`);
  if (order !== displayed) draw(order);
  return order.done;
}

export function open(id) {
  displayed = null;
  for (const part of OPTIONAL) byId(part).hidden = true;
  write(byId("order-title"), id.slice(-4));
  write(byId("order-status"), "");
  write(byId("action-error"), "");
  byId("facts").replaceChildren();
  byId("order-title").focus();
}

// Call a button's action, cancel or retry, and show its error beside it.
export async function act(id, action, after) {
  const button = byId(action);
  button.disabled = true;
  write(byId("action-error"), "");
  try {
    await send(`${path(id)}/${action}`);
  } catch (error) {
    write(byId("action-error"), error instanceof RequestRejected ? error.message : "No response: check the order's status, then try again.");
  } finally {
    button.disabled = false;
    after();
  }
}

function draw(order) {
  displayed = order;
  write(byId("order-title"), order.id.slice(-4));
  write(byId("order-status"), order.status);
  byId("order-status").className = `status ${order.status}`;
  optional("order-progress", order.done ? null : order.progress, (node, { percent, word }) => {
    write(node.querySelector("label"), `${percent} % ${word}`);
    byId("bar").value = Number(percent) || 0;
  });
  optional("order-error", order.error, (node, { code, message }) => write(node, `${code}: ${message}`));
  byId("cancel").hidden = order.status !== "PENDING";
  byId("retry").hidden = !["FAILED", "CANCELLED"].includes(order.status);
  facts(order);
  picture(order.input);
  optional("result", order.status === "SUCCESS", (node) => write(node.querySelector("pre"), JSON.stringify(order.result, null, 2)));
  optional("attempts", order.history?.length ? order.history : null, (node, history) => node.querySelector("tbody").replaceChildren(...history.map(attempt)));
}

function optional(id, value, fill) {
  byId(id).hidden = !value;
  if (value) fill(byId(id), value);
}

function facts(order) {
  const rows = [["Order", order.id], ["Task", order.task], ["Placed", moment(order.created_at)]];
  if (order.run_at) rows.push(["Not before", moment(order.run_at)]);
  if (order.done) rows.push(["Ended", moment(order.updated_at)]);
  rows.push(["Attempts", `${order.attempts} of at most ${order.max_attempts}`]);
  if (order.links?.parent) rows.push(["Follows", link(order.links.parent)]);
  if (order.links?.follow_ups) rows.push(["Followed by", ...order.links.follow_ups.map(link)]);
  byId("facts").replaceChildren(...rows.flatMap(([name, ...values]) => {
    const spaced = values.flatMap((value, index) => (index ? [" ", value] : [value]));
    return [element("dt", "", name), element("dd", "", ...spaced)];
  }));
}

function link(url) {
  const id = url.slice(url.lastIndexOf("/") + 1);
  const node = element("a", "", id.slice(-4));
  node.href = `#order=${encodeURIComponent(id)}`;
  return node;
}

// Show a picture in the order's input from its own bytes; nothing is fetched.
function picture(input) {
  const texts = Object.values(input ?? {}).filter((value) => typeof value === "string");
  const found = texts.flatMap((text) => PICTURES.filter(([start]) => text.startsWith(start)).map(([, type]) => `data:${type};base64,${text}`));
  optional("picture", found[0], (node, source) => { node.querySelector("img").src = source; });
}

function attempt(entry, index) {
  const [start, end] = [Date.parse(entry.started_at), Date.parse(entry.ended_at ?? "")];
  const length = took((Number.isNaN(end) ? now() : end) - start);
  const outcome = entry.code ?? (entry.ended_at ? "success" : displayed?.status === "RUNNING" ? "running" : "did not report");
  return element("tr", "", ...[String(index + 1), moment(entry.started_at), length, outcome].map((text) => element("td", "", text)));
}
