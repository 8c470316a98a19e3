// The page: access token, the board or one order, and how often they are read.

import { RequestRejected, hasToken, read, useToken } from "./api.js";
import * as orderPage from "./order.js";
import { clear, columnOf, fit, show } from "./screen.js";
import { byId, clock, span, write } from "./text.js";

const POLL_MS = 2000;
const HIDDEN_MS = 30_000;
const MAX_PAUSE_MS = 30_000;
const MAX_PAGES = 5; // of 100 orders each
let orderId = ""; // the open order
let failures = 0;
let offlineSince = null;
let nextAt = 0;
let timer = 0;
let lastRefresh = 0; // only the latest refresh updates the page
let board = null; // {pages, orders} as last read

function route() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const token = parameters.get("token");
  if (token !== null) {
    useToken(token);
    clear();
    parameters.delete("token"); // keep it out of the address bar and the history
    history.replaceState(null, "", parameters.size ? `#${parameters}` : location.pathname + location.search);
  }
  const before = orderId;
  orderId = parameters.get("order") ?? "";
  view();
  if (orderId && orderId !== before) orderPage.open(orderId);
  if (!orderId && before) document.querySelector(`a[href="#order=${CSS.escape(encodeURIComponent(before))}"]`)?.focus();
  refresh();
}

function view() {
  byId("ask").hidden = hasToken();
  byId("screen").hidden = !hasToken() || orderId !== "";
  byId("order").hidden = !hasToken() || orderId === "";
  document.title = orderId && hasToken() ? `${orderId.slice(-4)} – Orderline` : "Orderline";
}

async function refresh() {
  clearTimeout(timer);
  const current = ++lastRefresh;
  if (!hasToken()) {
    state("", "idle");
    return byId("token").focus();
  }
  let pauseMs;
  try {
    pauseMs = orderId ? ((await orderPage.refresh(orderId)) ? 5 * POLL_MS : POLL_MS) : await readBoard();
    if (current !== lastRefresh) return;
    failures = 0;
    offlineSince = null;
    state("Live", "");
  } catch (error) {
    if (current !== lastRefresh) return;
    pauseMs = handleError(error);
    if (pauseMs === null) return;
  }
  nextAt = Date.now() + Math.max(pauseMs, document.hidden ? HIDDEN_MS : 0);
  timer = setTimeout(refresh, nextAt - Date.now());
}

// Read pages until one has orders that the screen no longer shows. Read many pages less often.
async function readBoard() {
  const pages = [];
  for (let path = "orders?limit=100"; path && pages.length < MAX_PAGES;) {
    const page = await read(path);
    pages.push(page);
    const full = page.items.every((order) => columnOf(order, Date.now()));
    path = page.next && full ? `orders${new URL(page.next, location.href).search}` : "";
  }
  if (board?.pages.length !== pages.length || pages.some((page, index) => page !== board?.pages[index])) {
    board = { pages, orders: pages.flatMap((page) => page.items) };
  }
  show(board.orders);
  return POLL_MS * pages.length;
}

// Handle a failed refresh. Return the pause in ms until the next one, or null if there is none.
function handleError(error) {
  const rejected = error instanceof RequestRejected ? error : null;
  if (rejected?.isTokenError) {
    useToken("");
    clear();
    view();
    write(byId("token-error"), rejected.message);
    state("", "idle");
    byId("token").focus();
    return null;
  }
  if (rejected?.status === 404 && orderId) {
    write(byId("order-status"), "No such order");
    return MAX_PAUSE_MS;
  }
  failures += 1;
  offlineSince ??= Date.now();
  return Math.max(Math.min(POLL_MS * 2 ** (failures - 1), MAX_PAUSE_MS), (rejected?.retryAfterS ?? 0) * 1000);
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
  write(byId("token-error"), "");
  view();
  refresh();
});
for (const action of orderPage.ACTIONS) byId(action).addEventListener("click", () => orderPage.act(orderId, action, refresh));
addEventListener("hashchange", route);
addEventListener("resize", fit);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(tick, 1000);
route();
