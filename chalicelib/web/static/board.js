// The page: who looks (the token), what is shown (the board or one order), and how often it is read.

import { Refused, hasToken, read, useToken } from "./api.js";
import * as orderPage from "./order.js";
import { clear, columnOf, fit, show } from "./screen.js";
import { byId, clock, span, write } from "./text.js";

const EVERY_MS = 2000;
const HIDDEN_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;
const PAGES = 5; // of 100 orders: the most that one look reads
let orderId = null;
let failures = 0;
let offlineSince = null;
let nextAt = 0;
let timer = 0;
let turn = 0; // a look that was overtaken by another says no more
let board = null; // {pages, orders}: as last read

function route() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (wanted.has("token")) {
    useToken(wanted.get("token"));
    clear();
    wanted.delete("token"); // neither in the address nor in the history
    history.replaceState(null, "", wanted.size ? `#${wanted}` : location.pathname + location.search);
  }
  const before = orderId;
  orderId = wanted.get("order");
  view();
  if (orderId && orderId !== before) orderPage.open(orderId);
  if (!orderId && before) document.querySelector(`a[href="#order=${CSS.escape(encodeURIComponent(before))}"]`)?.focus();
  look();
}

function view() {
  byId("ask").hidden = hasToken();
  byId("screen").hidden = !hasToken() || orderId !== null;
  byId("order").hidden = !hasToken() || orderId === null;
  document.title = orderId && hasToken() ? `${orderId.slice(-4)} – Orderline` : "Orderline";
}

async function look() {
  clearTimeout(timer);
  const mine = ++turn;
  if (!hasToken()) {
    state("", "idle");
    return byId("token").focus();
  }
  let pauseMs;
  try {
    pauseMs = orderId ? ((await orderPage.refresh(orderId)) ? 5 * EVERY_MS : EVERY_MS) : await readBoard();
    if (mine !== turn) return;
    failures = 0;
    offlineSince = null;
    state("Live", "");
  } catch (fault) {
    if (mine !== turn) return;
    pauseMs = failed(fault);
    if (pauseMs === null) return;
  }
  nextAt = Date.now() + Math.max(pauseMs, document.hidden ? HIDDEN_MS : 0);
  timer = setTimeout(look, nextAt - Date.now());
}

// A page whose orders are all on the screen may have more of them behind it. Many pages are read less often.
async function readBoard() {
  const pages = [];
  for (let path = "orders?limit=100"; path && pages.length < PAGES;) {
    const page = await read(path);
    pages.push(page);
    const full = page.items.every((order) => columnOf(order, Date.now()));
    path = page.next && full ? `orders${new URL(page.next, location.href).search}` : null;
  }
  const same = board && board.pages.length === pages.length && pages.every((page, place) => page === board.pages[place]);
  if (!same) board = { pages, orders: pages.flatMap((page) => page.items) };
  show(board.orders);
  return EVERY_MS * pages.length;
}

// What went wrong, in the state line; returns the pause until the next try, null for none.
function failed(fault) {
  if (fault instanceof Refused && fault.token) {
    useToken("");
    clear();
    view();
    write(byId("token-fault"), fault.message);
    state("", "idle");
    byId("token").focus();
    return null;
  }
  if (fault instanceof Refused && fault.status === 404 && orderId) {
    write(byId("order-status"), "No such order");
    return LONGEST_PAUSE_MS;
  }
  failures += 1;
  offlineSince ??= Date.now();
  return Math.max(Math.min(EVERY_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS), (fault.retryAfterS ?? 0) * 1000);
}

function state(text, className) {
  write(byId("state"), text);
  byId("state").className = className;
}

function tick() {
  write(byId("clock"), clock(Date.now()));
  if (offlineSince !== null) state(`Offline since ${clock(offlineSince)}. Next try in ${span(nextAt - Date.now() + 999)}`, "off");
  if (board && !byId("screen").hidden) show(board.orders);
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  byId("token").value = "";
  write(byId("token-fault"), "");
  view();
  look();
});
for (const what of ["cancel", "retry"]) byId(what).addEventListener("click", () => orderPage.act(orderId, what, look));
addEventListener("hashchange", route);
addEventListener("resize", fit);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
setInterval(tick, 1000);
route();
