// The screen: which order stands in which column, and what just became ready.

import { now } from "./api.js";
import { byId, element, references, span, write } from "./text.js";

const KEEP_MS = Number(document.documentElement.dataset.keepS) * 1000;
const MOST = 100; // tickets in a column
const FRESH_MS = 6000;
const MOVE_MS = 700;
const MOST_MOVING = 12; // at a time: more would be a swarm
const COLUMNS = ["preparing", "ready", "problem"];
const still = matchMedia("(prefers-reduced-motion: reduce)");
let tickets = new Map(); // id -> {item, order, column, fresh}
let orders = [];
let first = true;

// Where an order stands; undefined: not on the screen (any more).
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
  tell();
}

export function clear() {
  orders = [];
  draw();
  first = true;
}

function draw() {
  const columns = sorted();
  const shown = COLUMNS.flatMap((name) => columns[name].slice(0, MOST));
  const names = references(shown.map((order) => order.id));
  const before = tickets;
  const places = new Map();
  for (const [id, ticket] of before) if (!still.matches) places.set(id, ticket.item.getBoundingClientRect());
  tickets = new Map();
  for (const name of COLUMNS) fill(name, columns[name], names, before);
  for (const [id, ticket] of before) if (!tickets.has(id)) ticket.item.remove();
  fit();
  const moved = [...tickets.values()].filter((ticket) => ticket.moved);
  moved.forEach(highlight);
  if (moved.length <= MOST_MOVING) moved.forEach((ticket) => slide(ticket, places.get(ticket.order.id)));
  if (!first) announce(moved, names);
}

// Preparing: what runs, then what waits longest. Ready and Problem: the newest first.
function sorted() {
  const columns = { preparing: [], ready: [], problem: [] };
  const at = now();
  for (const order of orders) columns[columnOf(order, at)]?.push(order);
  const later = (order) => (order.status === "RUNNING" ? 0 : 1);
  columns.preparing.sort((a, b) => later(a) - later(b) || (a.created_at < b.created_at ? -1 : 1));
  for (const name of ["ready", "problem"]) columns[name].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
  return columns;
}

function fill(name, list, names, before) {
  const home = byId(name);
  list.slice(0, MOST).forEach((order, place) => {
    const old = before.get(order.id);
    const ticket = old ?? { item: makeItem(order.id) };
    ticket.moved = name !== "preparing" && (old ? old.column !== name : !first);
    Object.assign(ticket, { order, column: name });
    if (home.children[place] !== ticket.item) home.insertBefore(ticket.item, home.children[place] ?? null);
    label(ticket.item, order, names.get(order.id));
    tickets.set(order.id, ticket);
  });
  const section = home.parentElement;
  write(section.querySelector(".count"), list.length > MOST ? `${MOST}+` : list.length ? String(list.length) : "");
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
  write(item.querySelector(".task"), order.progress?.word && !order.done ? order.progress.word : order.task);
  let meter = item.querySelector("progress");
  if (!order.progress || order.done) {
    meter?.remove();
  } else {
    if (!meter) {
      meter = element("progress", "meter");
      meter.max = 100;
      meter.ariaLabel = "How far it is";
      item.firstChild.append(meter);
    }
    meter.value = Number(order.progress.percent) || 0;
  }
}

// Ages go on between reads.
function tell() {
  const at = now();
  for (const { item, order } of tickets.values()) {
    const start = Date.parse(order.run_at ?? order.created_at);
    const text = order.done ? span(at - Date.parse(order.updated_at)) : start > at + 1000 ? `in ${span(start - at)}` : span(at - start);
    write(item.querySelector(".age"), text);
  }
}

// A reference that is too wide is made narrower, never lower. All are measured before any is changed.
export function fit() {
  const refs = [...document.querySelectorAll("#screen .ref")].map((ref) => [ref, ref.clientWidth / ref.scrollWidth]);
  for (const [ref, ratio] of refs) ref.style.transform = ratio < 1 ? `scaleX(${ratio.toFixed(3)})` : "";
}

function highlight({ item }) {
  item.classList.add("fresh");
  setTimeout(() => item.classList.remove("fresh"), FRESH_MS);
}

// Its image flies over from where it was: the ticket itself can't leave its column, which scrolls.
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

function announce(moved, names) {
  const say = (column, what) => {
    const list = moved.filter((ticket) => ticket.column === column).map((ticket) => names.get(ticket.order.id));
    return list.length ? `${list.length > 1 ? "Orders" : "Order"} ${list.join(", ")} ${what}. ` : "";
  };
  const text = say("ready", "ready") + say("problem", "with a problem");
  if (text) byId("announcer").textContent = text;
}
