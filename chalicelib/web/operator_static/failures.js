// The failures: filters, pages, the selection, and what is retried.

import { RequestRejected, now, read } from "../board/api.js";
import { byId, clock, element, moment, write } from "../board/text.js";
import * as details from "./details.js";
import { count } from "./plots.js";
import * as retry from "./retry.js";

const FILTERS = ["task", "owner", "code", "since"];
const PAGE = 50;
const MAX_READS = 10; // for one page: with a filter by owner or code many may be empty
const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const DEFAULT_SINCE = "24h";
const filters = { task: "", owner: "", code: "", since: "" };
let starts = [""]; // where the pages up to this one start
let next = "";
let reads = 0; // only the latest updates the page
let readAt = 0;
let shown = new Map(); // key -> order
let refused = () => false;
let retried = () => {};

export const onRefused = (handle) => { refused = handle; };
export const onRetried = (handle) => { retried = handle; };

export function useFilters(parameters) {
  for (const name of FILTERS) {
    filters[name] = parameters.get(name) ?? "";
    byId(name).value = filters[name];
  }
  write(byId("retry-all"), `Retry all of ${filters.task || "a task"} since ${filters.since || DEFAULT_SINCE}`);
}

export function nameTasks(names) {
  options("task-names", names);
}

function options(id, values) {
  byId(id).replaceChildren(...values.map((value) => {
    const option = element("option", "");
    option.value = value;
    return option;
  }));
}

// Return the time that a text such as 2h or 2026-11-26T14:05Z names, or null.
export function timeOf(text) {
  const [, number, unit] = /^(\d{1,5})([mhd])$/.exec(text.trim()) ?? [];
  const ms = unit ? now() - Number(number) * UNITS_MS[unit] : Date.parse(text);
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
}

// Read the first page.
export function reload() {
  const since = timeOf(filters.since || DEFAULT_SINCE);
  write(byId("since-error"), since ? "" : `${filters.since} is not a time: write 30m, 2h, 7d or 2026-11-26T14:05Z.`);
  if (!since) return clear();
  const query = new URLSearchParams({ since, limit: String(PAGE) });
  for (const name of FILTERS.slice(0, 3)) if (filters[name]) query.set(name, filters[name]);
  starts = [`operator/failures?${query}`];
  return load();
}

function clear() {
  starts = [""];
  next = "";
  draw([]);
  byId("failures").replaceChildren(); // not even that there are none
  write(byId("shown"), "");
}

async function load() {
  const current = ++reads;
  let path = starts[starts.length - 1];
  const found = [];
  write(byId("shown"), "Reading");
  write(byId("failures-error"), "");
  try {
    for (let n = 0; path && found.length < PAGE && n < MAX_READS; n += 1) {
      const page = await read(path);
      if (current !== reads) return;
      found.push(...page.items);
      path = page.next ? `operator/failures${new URL(page.next, location.href).search}` : "";
    }
  } catch (error) {
    if (current !== reads) return;
    write(byId("shown"), "");
    if (!refused(error)) write(byId("failures-error"), error instanceof RequestRejected ? error.message : "No response: read again.");
    return;
  }
  next = path;
  readAt = now();
  draw(found);
}

const key = (order) => `${order.owner}/${order.id}`;

function draw(orders) {
  shown = new Map(orders.map((order) => [key(order), order]));
  byId("failures").replaceChildren(...orders.map(item));
  if (!orders.length) byId("failures").append(nothing());
  options("codes", [...new Set(orders.flatMap((order) => order.error?.code ?? []))]);
  const first = (starts.length - 1) * PAGE;
  write(byId("shown"), `${orders.length ? `Page ${starts.length}, ${count(orders.length)} orders` : "None"}${next && first + orders.length ? ", more follow" : ""}; read at ${clock(readAt)}`);
  byId("newer").disabled = starts.length < 2;
  byId("older").disabled = !next;
  select();
}

function nothing() {
  const cell = element("td", "nothing", next ? "None so far. Older ones may follow." : "No order failed, as far as these filters go.");
  cell.colSpan = 7;
  return element("tr", "", cell);
}

function item(order) {
  const box = element("input", "");
  box.type = "checkbox";
  box.value = key(order);
  box.ariaLabel = `Select order ${order.id.slice(-4)}`;
  const open = element("button", "link", order.id.slice(-4));
  open.title = order.id;
  open.ariaLabel = `Show order ${order.id.slice(-4)}`;
  open.addEventListener("click", () => details.open(order));
  const error = order.error ? [element("b", "", order.error.code), ` ${order.error.message.slice(0, 200)}`] : [];
  const cells = [[box], [open], [order.task], [order.owner], error, [`${order.attempts} of ${order.max_attempts}`], [moment(order.failed_at)]];
  return element("tr", "", ...cells.map((content, index) => {
    const cell = element("td", index === 4 ? "wide" : "", ...content);
    if (index === 5) cell.dataset.name = "attempts";
    return cell;
  }));
}

const boxes = () => [...byId("failures").querySelectorAll("input")];

function select() {
  const chosen = boxes().filter((box) => box.checked).length;
  byId("retry-selected").disabled = chosen === 0;
  write(byId("retry-selected"), chosen ? `Retry ${chosen} selected` : "Retry selected");
  byId("select-all").checked = chosen > 0 && chosen === shown.size;
  byId("select-all").indeterminate = chosen > 0 && chosen < shown.size;
  byId("select-all").disabled = shown.size === 0;
}

function turn(change) {
  change();
  byId("failures-title").focus(); // the button may be disabled on the new page
  load();
}

function done(number) {
  retried(number);
  reload();
}

byId("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  const parameters = new URLSearchParams();
  for (const name of FILTERS) if (byId(name).value.trim()) parameters.set(name, byId(name).value.trim());
  if (`#${parameters}` === location.hash || (!parameters.size && !location.hash)) reload();
  else location.hash = parameters.toString();
});
byId("clear").addEventListener("click", () => {
  for (const name of FILTERS) byId(name).value = "";
  if (location.hash) location.hash = "";
});
byId("reload").addEventListener("click", reload);
byId("newer").addEventListener("click", () => turn(() => starts.pop()));
byId("older").addEventListener("click", () => turn(() => starts.push(next)));
byId("failures").addEventListener("change", select);
byId("select-all").addEventListener("change", () => {
  for (const box of boxes()) box.checked = byId("select-all").checked;
  select();
});
byId("retry-selected").addEventListener("click", () => {
  const orders = boxes().filter((box) => box.checked).flatMap((box) => shown.get(box.value) ?? []);
  const latest = Math.max(...orders.map((order) => Date.parse(order.failed_at)));
  retry.openSelected(orders, new Date(latest + 1).toISOString(), done); // what has failed again since is left alone
});
byId("retry-all").addEventListener("click", () => {
  const since = timeOf(filters.since || DEFAULT_SINCE);
  if (!filters.task) {
    write(byId("failures-error"), "Choose a task first: write its name into the filter Task, and press Show.");
    byId("task").focus();
  } else if (since) {
    retry.openAll(filters, since, done);
  }
});
