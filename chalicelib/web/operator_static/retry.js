// Retry: a dialog that says how many orders it is about, and retries them in steps.
// Each step names when its orders failed at the latest, so that a repeated step retries none twice.

import { RequestRejected, send } from "../board/api.js";
import { byId, element, moment, write } from "../board/text.js";
import { count } from "./plots.js";

const NO_ANSWER = "No response. Continue repeats the step; what it has retried is not retried twice.";
let body = null; // of the next step
let expected = 0;
let looked = 0;
let totals = { retried: 0, refused: 0, unknown: 0 };
let running = false;
let opened = 0; // only the latest dialog is updated
let done = () => {};

export function openSelected(orders, failedBefore, after) {
  begin(`Retry ${orders.length === 1 ? "one order" : `${count(orders.length)} orders`}?`, "Those selected on the page.", after);
  ready({ orders: orders.map(({ owner, id }) => ({ owner, id })), failed_before: failedBefore }, orders.length, false);
  byId("retry-start").focus();
}

export async function openAll(filters, since, after) {
  const wider = [filters.owner && "owner", filters.code && "code"].filter(Boolean);
  const warning = wider.length ? ` The filter by ${wider.join(" and ")} does not apply here.` : "";
  begin(`Retry all of ${filters.task}?`, `Of all owners and with all codes, failed since ${moment(since)}.${warning}`, after);
  const current = opened;
  const request = { task: filters.task, failed_since: since };
  write(byId("retry-count"), "Counting");
  try {
    const counted = await send("operator/retry", { ...request, dry_run: true });
    if (current !== opened) return;
    ready({ ...request, failed_before: counted.failed_before }, counted.matching, counted.more);
  } catch (error) {
    if (current === opened) fail(error, "No response: close this, and try again.");
  }
}

function begin(title, scope, after) {
  opened += 1;
  done = after;
  body = null;
  looked = 0;
  totals = { retried: 0, refused: 0, unknown: 0 };
  write(byId("retry-title"), title);
  write(byId("retry-scope"), scope);
  write(byId("retry-count"), "");
  write(byId("retry-error"), "");
  byId("retry-problems").replaceChildren();
  byId("retry-progress").hidden = true;
  byId("over").disabled = false;
  buttons("Retry", "Cancel");
  byId("retry-dialog").showModal();
}

function ready(request, matching, more) {
  body = request;
  expected = matching;
  write(byId("retry-count"), matching ? `${count(matching, more)} failed ${matching === 1 ? "order" : "orders"}.` : "No failed order to retry.");
  buttons(`Retry ${matching === 1 ? "it" : count(matching, more)}`, matching ? "Cancel" : "Close");
  if (!matching) body = null;
  byId("retry-start").disabled = !body;
}

function buttons(start, close) {
  write(byId("retry-start"), start);
  write(byId("retry-close"), close);
  byId("retry-start").hidden = !start;
  byId("retry-start").disabled = !body;
}

function fail(error, otherwise) {
  write(byId("retry-error"), error instanceof RequestRejected ? error.message : otherwise);
}

// Retry step by step until the API names no next one, or the user stops it.
async function run() {
  running = true;
  byId("over").disabled = true;
  byId("retry-start").disabled = true;
  write(byId("retry-close"), "Stop");
  write(byId("retry-error"), "");
  byId("retry-progress").hidden = false;
  const overS = Number(byId("over").value);
  try {
    while (body && running) {
      const answer = await send("operator/retry", overS ? { ...body, over_s: overS } : body);
      totals.retried += answer.retried;
      totals.refused += answer.refused;
      totals.unknown = answer.unknown; // the next step, if there is one, begins with them
      looked += answer.matching - answer.unknown;
      body = answer.next ? { ...body, after: answer.next } : null;
      report(answer.problems);
    }
  } catch (error) {
    fail(error, NO_ANSWER);
  }
  running = false;
  buttons(body ? "Continue" : "", "Close");
  if (!body) byId("retry-close").focus();
  else byId("retry-start").focus();
}

function report(problems) {
  const { retried, refused, unknown } = totals;
  const parts = [`${count(retried)} retried`];
  if (refused) parts.push(`${count(refused)} refused`);
  if (unknown) parts.push(`${count(unknown)} unknown: read the failures again, and retry those that are left`);
  write(byId("retry-count"), `${parts.join(", ")}.`);
  byId("retry-progress").max = Math.max(expected, looked, 1);
  byId("retry-progress").value = looked;
  const room = 20 - byId("retry-problems").children.length;
  byId("retry-problems").append(...problems.slice(0, room).map(({ owner, id, problem }) =>
    element("li", "", element("b", "", `${id.slice(-4)} of ${owner}: `), problem.detail || problem.title || "refused")));
}

byId("retry-start").addEventListener("click", run);
byId("retry-close").addEventListener("click", () => {
  if (running) running = false;
  else byId("retry-dialog").close();
});
byId("retry-dialog").addEventListener("cancel", (event) => { if (running) event.preventDefault(); });
byId("retry-dialog").addEventListener("close", () => {
  opened += 1;
  running = false;
  if (looked) done(totals.retried);
});
