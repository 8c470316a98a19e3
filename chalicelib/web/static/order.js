// An order's page: how it stands, its attempts, what came of it, and what can be done about it.

import { now, read, send } from "./api.js";
import { byId, element, moment, took, write } from "./text.js";

const PICTURES = [["iVBORw0KGgo", "image/png"], ["/9j/", "image/jpeg"]]; // how base64 of their first bytes begins
let shown = null;

export const path = (id) => `orders/${encodeURIComponent(id)}`;

// Read the order and show it; returns whether it is done.
export async function refresh(id) {
  const order = await read(`${path(id)}?include=input,history`);
  if (order !== shown) draw(order);
  return order.done;
}

export function open(id) {
  shown = null;
  for (const part of ["order-progress", "order-error", "cancel", "retry", "picture", "result", "attempts"]) byId(part).hidden = true;
  write(byId("order-title"), id.slice(-4));
  write(byId("order-status"), "");
  write(byId("action-fault"), "");
  byId("facts").replaceChildren();
  byId("order-title").focus();
}

// Do what a button says; its refusal is shown beside it.
export async function act(id, what, after) {
  const button = byId(what);
  button.disabled = true;
  write(byId("action-fault"), "");
  try {
    await send(`${path(id)}/${what}`);
  } catch (fault) {
    write(byId("action-fault"), fault.status ? fault.message : "No answer: look whether it was done, then try again.");
  } finally {
    button.disabled = false;
    after();
  }
}

function draw(order) {
  shown = order;
  write(byId("order-title"), order.id.slice(-4));
  write(byId("order-status"), order.status);
  byId("order-status").className = `status ${order.status}`;
  const progress = order.done ? null : order.progress;
  optional("order-progress", progress, (node) => {
    write(node.querySelector("label"), `${progress.percent} % ${progress.word ?? ""}`);
    byId("bar").value = Number(progress.percent) || 0;
  });
  optional("order-error", order.error, (node) => write(node, `${order.error.code}: ${order.error.message}`));
  byId("cancel").hidden = order.status !== "PENDING";
  byId("retry").hidden = !["FAILED", "CANCELLED"].includes(order.status);
  facts(order);
  picture(order.input);
  optional("result", order.status === "SUCCESS", (node) => write(node.querySelector("pre"), JSON.stringify(order.result, null, 2)));
  optional("attempts", order.history?.length, (node) => node.querySelector("tbody").replaceChildren(...order.history.map(attempt)));
}

function optional(id, value, fill) {
  byId(id).hidden = !value;
  if (value) fill(byId(id));
}

function facts(order) {
  const rows = [["Order", order.id], ["Task", order.task], ["Placed", moment(order.created_at)]];
  if (order.run_at) rows.push(["Not before", moment(order.run_at)]);
  if (order.done) rows.push(["Ended", moment(order.updated_at)]);
  rows.push(["Attempts", `${order.attempts} of at most ${order.max_attempts}`]);
  if (order.links?.parent) rows.push(["Follows", link(order.links.parent)]);
  if (order.links?.follow_ups) rows.push(["Followed by", ...order.links.follow_ups.map(link)]);
  byId("facts").replaceChildren(...rows.flatMap(([name, ...values]) => {
    const spaced = values.flatMap((value, place) => (place ? [" ", value] : [value]));
    return [element("dt", "", name), element("dd", "", ...spaced)];
  }));
}

function link(url) {
  const id = String(url).split("/").pop();
  const made = element("a", "", id.slice(-4));
  made.href = `#order=${encodeURIComponent(id)}`;
  return made;
}

// A picture in the order's input is shown by its own bytes, never fetched.
function picture(input) {
  const texts = Object.values(input ?? {}).filter((value) => typeof value === "string");
  const found = texts.flatMap((text) => PICTURES.filter(([start]) => text.startsWith(start)).map(([, type]) => `data:${type};base64,${text}`));
  optional("picture", found[0], (node) => { node.querySelector("img").src = found[0]; });
}

function attempt(entry, place) {
  const [start, end] = [Date.parse(entry.started_at), Date.parse(entry.ended_at ?? "")];
  const length = took((Number.isNaN(end) ? now() : end) - start);
  const how = entry.code ?? (entry.ended_at ? "success" : shown.status === "RUNNING" ? "under way" : "did not report");
  return element("tr", "", ...[String(place + 1), moment(entry.started_at), length, how].map((text) => element("td", "", text)));
}
