// The board's screen: the columns of orders, and the highlight of those that just became ready.

import { now } from "./api.js";
import { byId, element, references, span, write } from "./text.js";

const KEEP_MS = Number(document.documentElement.dataset.keepS) * 1000;
const MAX_TICKETS = 100; // in a column
const FRESH_MS = 6000;
const MOVE_MS = 700;
const MAX_ANIMATED = 12; // with more at a time, none is animated
const COLUMNS = ["preparing", "ready", "problem"];
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
let tickets = new Map(); // id -> {item, order, column, moved}
let orders = [];
let first = true;

// Return an order's column, or undefined if it is not on the screen.
export function columnOf(order, at) {
  if (!order.done) return "preparing";
  if (order.status === "CANCELLED" || at - Date.parse(order.updated_at) > KEEP_MS) return undefined;
  return order.status === "SUCCESS" ? "ready" : "problem";
}

export function show(read) {
  if (read !== orders) {
    orders = read;
    draw();
    first = false;
  } else if (orders.some((order) => tickets.has(order.id) && !columnOf(order, now()))) {
    draw();
  }
  updateAges();
}

export function clear() {
  orders = [];
  draw();
  first = true;
}

function draw() {
  const columns = sorted();
  const visible = COLUMNS.flatMap((name) => columns[name].slice(0, MAX_TICKETS));
  const names = references(visible.map((order) => order.id));
  const before = tickets;
  const positions = new Map();
  for (const [id, ticket] of before) if (!reducedMotion.matches) positions.set(id, ticket.item.getBoundingClientRect());
  tickets = new Map();
  for (const name of COLUMNS) fill(name, columns[name], names, before);
  for (const [id, ticket] of before) if (!tickets.has(id)) ticket.item.remove();
  fit();
  const moved = [...tickets.values()].filter((ticket) => ticket.moved);
  moved.forEach(highlight);
  if (moved.length <= MAX_ANIMATED) moved.forEach((ticket) => slide(ticket, positions.get(ticket.order.id)));
  const stopping = [...tickets.values()].filter(({ order }) => order.stopping && !before.get(order.id)?.order.stopping);
  if (!first) announce(moved, stopping, names);
}

// Preparing: running orders first, then the oldest. Ready and Problem: the newest first.
function sorted() {
  const at = now();
  const [preparing, ready, problem] = COLUMNS.map((name) => orders.filter((order) => columnOf(order, at) === name));
  const rank = (order) => (order.status === "RUNNING" ? 0 : 1);
  preparing.sort((a, b) => rank(a) - rank(b) || (a.created_at < b.created_at ? -1 : 1));
  for (const list of [ready, problem]) list.sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
  return { preparing, ready, problem };
}

function fill(name, list, names, before) {
  const home = byId(name);
  list.slice(0, MAX_TICKETS).forEach((order, index) => {
    const old = before.get(order.id);
    const item = old?.item ?? makeItem(order.id);
    const moved = name !== "preparing" && (old ? old.column !== name : !first);
    if (home.children[index] !== item) home.insertBefore(item, home.children[index] ?? null);
    label(item, order, names.get(order.id) ?? "");
    tickets.set(order.id, { item, order, column: name, moved });
  });
  const section = home.parentElement;
  write(section.querySelector(".count"), list.length > MAX_TICKETS ? `${MAX_TICKETS}+` : list.length ? String(list.length) : "");
  if (name === "problem") section.hidden = list.length === 0;
}

function makeItem(id) {
  const about = element("span", "about", element("span", "task"), element("span", "age"));
  const link = element("a", "ticket", element("span", "ref"), about);
  link.href = `#order=${encodeURIComponent(id)}`;
  return element("li", "", link);
}

function label(item, order, name) {
  write(item.querySelector(".ref"), name);
  const word = order.stopping ? "stopping" : waitsFor(order.waits_for) || order.progress?.word;
  write(item.querySelector(".task"), word && !order.done ? word : order.task);
  let meter = item.querySelector("progress");
  if (!order.progress || order.done) {
    meter?.remove();
  } else {
    if (!meter) {
      meter = element("progress", "meter");
      meter.max = 100;
      meter.ariaLabel = "Progress";
      item.children[0].append(meter);
    }
    meter.value = Number(order.progress.percent) || 0;
  }
}

const waitsFor = (count) => (count ? `waits for ${count} ${count === 1 ? "order" : "orders"}` : "");

// Ages grow between reads.
function updateAges() {
  const at = now();
  for (const { item, order } of tickets.values()) {
    const start = Date.parse(order.run_at ?? order.created_at);
    const text = order.done ? span(at - Date.parse(order.updated_at)) : start > at + 1000 ? `in ${span(start - at)}` : span(at - start);
    write(item.querySelector(".age"), text);
  }
}

// Squeeze references that are too wide. Measure all before changing any, to avoid reflows.
export function fit() {
  const refs = [...document.querySelectorAll("#screen .ref")].map((ref) => [ref, ref.clientWidth / ref.scrollWidth]);
  for (const [ref, ratio] of refs) ref.style.transform = ratio < 1 ? `scaleX(${ratio.toFixed(3)})` : "";
}

function highlight({ item }) {
  item.classList.add("fresh");
  setTimeout(() => item.classList.remove("fresh"), FRESH_MS);
}

// Animate a copy of the ticket from its old position: the ticket itself can't leave its column.
function slide({ item, column }, from) {
  if (!from?.width) return;
  const to = item.getBoundingClientRect();
  const ghost = item.cloneNode(true);
  ghost.className = `ghost ${column}`;
  ghost.inert = true;
  Object.assign(ghost.style, { left: `${to.left}px`, top: `${to.top}px`, width: `${to.width}px` });
  document.body.append(ghost);
  const start = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
  const flight = { duration: MOVE_MS, easing: "cubic-bezier(.3, 0, .2, 1)" };
  ghost.animate([{ transform: start }, { transform: "none" }], flight).finished.finally(() => ghost.remove());
  item.animate([{ visibility: "hidden" }, { visibility: "hidden" }], MOVE_MS);
}

function announce(moved, stopping, names) {
  const sentence = (list, state) =>
    (list.length ? `${list.length > 1 ? "Orders" : "Order"} ${list.map(({ order }) => names.get(order.id)).join(", ")} ${state}. ` : "");
  const movedTo = (column) => moved.filter((ticket) => ticket.column === column);
  const text = sentence(stopping, "stopping") + sentence(movedTo("ready"), "ready") + sentence(movedTo("problem"), "with a problem");
  if (text) byId("announcer").textContent = text;
}
