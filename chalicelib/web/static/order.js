// An order's page: its status, attempts, result or error, and the buttons to cancel or retry it.

import { RequestRejected, now, read, send } from "./api.js";
import { byId, bytes, element, moment, took, write } from "./text.js";

const PICTURES = [["iVBORw0KGgo", "image/png"], ["/9j/", "image/jpeg"]]; // base64 of their first bytes
const OPTIONAL = ["order-progress", "order-error", "cancel", "retry", "picture", "files", "result", "attempts"];
const SHOWN_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const MAX_SHOWN = 12; // pictures: each costs a request to the API
const MAX_LINKS = 20; // to other orders, in each row
export const ACTIONS = ["cancel", "retry"];
let displayed = null;
let displayedFiles = "";

export const path = (id) => `orders/${encodeURIComponent(id)}`;

// Read and display the order. Return whether it is final.
export async function refresh(id) {
  const order = await read(`${path(id)}?include=input,history`);
  if (order !== displayed) draw(order);
  return order.done;
}

export function open(id) {
  displayed = null;
  displayedFiles = "";
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
  let focused = byId("order-title"); // the button is about to vanish
  try {
    await send(`${path(id)}/${action}`);
  } catch (error) {
    focused = button;
    write(byId("action-error"), error instanceof RequestRejected ? error.message : "No response: check the order's status, then try again.");
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) focused.focus(); // disabling the button took its focus
    after();
  }
}

function draw(order) {
  displayed = order;
  write(byId("order-title"), order.id.slice(-4));
  write(byId("order-status"), order.stopping ? `${order.status}, stopping` : order.status);
  byId("order-status").className = `status ${order.status}`;
  optional("order-progress", order.done ? null : order.progress, (node, { percent, word }) => {
    write(node.querySelector("label"), `${percent} % ${word}`);
    byId("bar").value = Number(percent) || 0;
  });
  optional("order-error", order.error, (node, { code, message }) => write(node, `${code}: ${message}`));
  byId("cancel").hidden = order.done || order.stopping;
  write(byId("cancel"), order.status === "RUNNING" ? "Stop this order" : "Cancel this order");
  byId("retry").hidden = !["FAILED", "CANCELLED"].includes(order.status);
  facts(order);
  picture(order.input);
  files(order);
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
  if (order.lane !== "default") rows.push(["Lane", order.lane]);
  rows.push(["Attempts", `${order.attempts} of at most ${order.max_attempts}`]);
  const { after, parent, follow_ups: followUps } = order.links;
  if (after) rows.push(["Starts after", ...links(after)]);
  if (after && order.waits_for) rows.push(["Waits for", `${order.waits_for} of ${after.length}`]);
  if (parent) rows.push(["Follows", link(parent)]);
  if (followUps) rows.push(["Followed by", ...links(followUps)]);
  byId("facts").replaceChildren(...rows.flatMap(([name, ...values]) => {
    const spaced = values.flatMap((value, index) => (index ? [" ", value] : [value]));
    return [element("dt", "", name), element("dd", "", ...spaced)];
  }));
}

function links(urls) {
  const more = urls.length - MAX_LINKS;
  return [...urls.slice(0, MAX_LINKS).map(link), ...(more > 0 ? [`and\u00a0${more}\u00a0more`] : [])];
}

function link(url) {
  const id = url.slice(url.lastIndexOf("/") + 1);
  const node = element("a", "", id.slice(-4));
  node.href = `#order=${encodeURIComponent(id)}`;
  return node;
}

// Return a JSON value and all values inside it.
const parts = (value) => (value && typeof value === "object" ? [value, ...Object.values(value).flatMap(parts)] : [value]);

// Show a picture in the order's input from its own bytes; nothing is fetched.
function picture(input) {
  const texts = parts(input).filter((value) => typeof value === "string");
  const found = texts.flatMap((text) => PICTURES.filter(([start]) => text.startsWith(start)).map(([, type]) => `data:${type};base64,${text}`));
  optional("picture", found[0], (node, source) => { node.querySelector("img").src = source; });
}

// List the stored files that the order's input and result name.
function files(order) {
  const stored = Object.entries({ Input: order.input, Result: order.result }).flatMap(([origin, value]) =>
    parts(value).filter((part) => /^[0-9a-f]{64}$/.test(part?.file)).map((part) => ({ ...part, origin })));
  const text = JSON.stringify(stored);
  if (text === displayedFiles) return; // loading pictures again would make them flicker
  displayedFiles = text;
  const pictures = stored.filter((file) => SHOWN_TYPES.includes(file.type)).slice(0, MAX_SHOWN);
  optional("files", stored.length, (node) => node.querySelector("ul").replaceChildren(...stored.map((file) => fileItem(file, pictures.includes(file)))));
}

function fileItem({ file, name, size, origin }, isPicture) {
  const title = String(name || file.slice(0, 8)).slice(0, 255);
  const button = element("button", "", "Download");
  const error = element("p", "error");
  button.ariaLabel = `Download ${title}`;
  error.role = "alert";
  // URLs are valid for minutes, so each use gets its own
  const withUrl = async (use) => {
    write(error, "");
    try {
      use((await read(`files/${file}?${new URLSearchParams({ name: title })}`)).url);
    } catch (failure) {
      write(error, failure instanceof RequestRejected ? failure.message : "No response: try again.");
    }
  };
  button.addEventListener("click", () => withUrl((url) => location.assign(url))); // an attachment: the page stays
  const item = element("li", "", element("b", "", title), element("span", "", `${origin}, ${bytes(size)}`), button, error);
  if (isPicture) {
    const image = element("img", "");
    image.alt = title;
    image.addEventListener("error", () => { image.remove(); write(error, "This picture can't be shown."); });
    withUrl((url) => { image.src = url; item.append(element("p", "", image)); });
  }
  return item;
}

function attempt(entry, index) {
  const [start, end] = [Date.parse(entry.started_at), Date.parse(entry.ended_at ?? "")];
  const length = took((Number.isNaN(end) ? now() : end) - start);
  const outcome = entry.code ?? (entry.ended_at ? "success" : displayed?.status === "RUNNING" ? "running" : "did not report");
  return element("tr", "", ...[String(index + 1), moment(entry.started_at), length, outcome].map((text) => element("td", "", text)));
}
