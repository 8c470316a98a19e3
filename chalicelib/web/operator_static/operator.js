// The operator's page: access token, filters in the URL, and how often the overview is read.

import { RequestRejected, hasToken, now, read, useToken } from "../board/api.js";
import { byId, clock, span, write } from "../board/text.js";
import * as failures from "./failures.js";
import * as overview from "./overview.js";
import { count } from "./plots.js";

const POLL_MS = 10_000;
const MAX_PAUSE_MS = 60_000;
const SAMPLE_EVERY_MS = 60_000; // it costs reads of 200 orders
const NO_SCOPE = "This token may not see the orders of others: it lacks the scope orders:admin. ";
let polls = 0; // only the latest updates the page
let tries = 0;
let offlineSince = null;
let nextAt = 0;
let timer = 0;
let sampledAt = -Infinity;

function route() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const token = parameters.get("token");
  if (token !== null) {
    useToken(token);
    parameters.delete("token"); // keep it out of the address bar and the history
    history.replaceState(null, "", parameters.size ? `#${parameters}` : location.pathname + location.search);
  }
  failures.useFilters(parameters);
  overview.showTasks(); // their links keep the other filters
  if (token !== null || !hasToken()) start();
  else failures.reload();
}

// Show what the token allows, or ask for one.
function start() {
  view();
  if (!hasToken()) {
    clearTimeout(timer);
    state("", "idle");
    return byId("token").focus();
  }
  sampledAt = -Infinity;
  poll();
  failures.reload();
}

function view() {
  byId("ask").hidden = hasToken();
  byId("desk").hidden = !hasToken();
}

async function poll() {
  clearTimeout(timer);
  if (!hasToken() || document.hidden) return;
  const current = ++polls;
  let pauseMs = POLL_MS;
  try {
    const tasks = overview.show(await read("operator/overview"));
    if (current !== polls) return;
    failures.nameTasks(tasks);
    tries = 0;
    offlineSince = null;
    state("Live", "");
    if (Date.now() - sampledAt > SAMPLE_EVERY_MS) sample();
  } catch (error) {
    if (current !== polls || refuse(error)) return;
    tries += 1;
    offlineSince ??= Date.now();
    const retryAfterMs = error instanceof RequestRejected ? error.retryAfterS * 1000 : 0;
    pauseMs = Math.max(Math.min(POLL_MS * 2 ** (tries - 1), MAX_PAUSE_MS), retryAfterMs);
  }
  nextAt = Date.now() + pauseMs;
  timer = setTimeout(poll, pauseMs);
}

async function sample() {
  sampledAt = Date.now();
  const owner = byId("sample-owner").value.trim();
  try {
    overview.showSample(await read(`operator/durations${owner ? `?${new URLSearchParams({ owner })}` : ""}`));
    write(byId("sample-error"), "");
  } catch (error) {
    if (!refuse(error)) write(byId("sample-error"), error instanceof RequestRejected ? error.message : "No response: try again.");
  }
}

// Ask for another token if the error is about this one. Return whether it is.
function refuse(error) {
  if (!(error instanceof RequestRejected && error.isTokenError)) return false;
  useToken("");
  start();
  write(byId("token-error"), error.status === 403 ? NO_SCOPE + error.message : error.message);
  return true;
}

function state(text, className) {
  write(byId("state"), text);
  byId("state").className = className;
}

function tick() {
  write(byId("clock"), clock(now()));
  if (offlineSince !== null) state(`Offline since ${clock(offlineSince)}. Next try in ${span(nextAt - Date.now() + 999)}`, "off");
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  byId("token").value = "";
  write(byId("token-error"), "");
  start();
});
byId("sample-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sample();
});
failures.onRefused(refuse);
failures.onRetried((retried) => {
  write(byId("announcer"), `${count(retried)} retried`);
  poll();
});
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
setInterval(tick, 1000);
route();
