// The overview: tiles, lanes and tasks, with the durations and the throughput of a sample.

import { byId, element, moment, span } from "../board/text.js";
import { count, endedPlot, range } from "./plots.js";

const FEW_TASKS = 10;
const MAX_COUNT = 1000; // where the API stops counting a task's failures
let overview = null;
let sample = null;
let allTasks = false;
const drawn = new Map(); // id -> what it shows, as JSON

// Redraw an element unless it shows the value already: a text being selected or read stays as it is.
function redraw(id, value, children) {
  const text = JSON.stringify(value);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  byId(id).replaceChildren(...children());
}

// Show an overview. Return the names of its tasks.
export function show(read) {
  overview = read;
  tiles(read);
  redraw("lanes", read.lanes, () => read.lanes.map((lane) => row(lane.name, ...[lane.waiting, lane.running, lane.delayed].map((value) => number(count(value), "")))));
  showTasks();
  return read.tasks.map((task) => task.name);
}

export function showSample(read) {
  sample = read;
  const since = sample.since ? `; the oldest was placed ${moment(sample.since)}` : "";
  byId("sample").textContent = sample.orders
    ? `A sample: ${count(sample.orders)} of the newest orders of ${sample.owner}${since}. The durations below are of these.`
    : `None of the newest orders of ${sample.owner} has ended.`;
  redraw("ended", read.ended, () => (read.ended.length ? endedPlot(read.ended) : []));
  showTasks();
}

export function showTasks() {
  if (!overview) return;
  const { tasks: known } = overview;
  const focused = byId("tasks").contains(document.activeElement) ? document.activeElement?.textContent : null;
  redraw("tasks", [known, sample?.tasks, allTasks, location.hash], () => rows(known));
  if (focused) [...byId("tasks").querySelectorAll("a")].find((link) => link.textContent === focused)?.focus();
}

function tiles({ lanes, overdue, dead_letters: deadLetters, tasks: known }) {
  const sum = (name) => (lanes.some((lane) => lane[name] === null) ? null : lanes.reduce((total, lane) => total + (lane[name] ?? 0), 0));
  const delayed = sum("delayed");
  const failed = (name) => known.reduce((total, task) => total + task[name], 0);
  const more = (name) => known.some((task) => isCut(task, name));
  redraw("tiles", [lanes, overdue, deadLetters, known], () => [
    tile("Waiting", count(sum("waiting")), delayed ? `and ${count(delayed)} delayed` : ""),
    tile("Running", count(sum("running")), ""),
    tile("Overdue", count(overdue.count, overdue.more), overdue.count ? `longest ${span(overdue.oldest_s * 1000)}` : "", overdue.count > 0),
    tile("Failed in 24 h", count(failed("failed_24h"), more("failed_24h")), `${count(failed("failed_1h"), more("failed_1h"))} in the last hour`, failed("failed_1h") > 0),
    tile("Dead letters", count(deadLetters), "", Boolean(deadLetters)),
  ]);
}

function tile(name, value, note, alert = false) {
  return element("div", alert ? "alert" : "", element("dt", "", name), element("dd", "", value), element("dd", "note", note));
}

function cell(content, className = "", name = "") {
  const node = element("td", className, content);
  if (name) node.dataset.name = name;
  return node;
}

function row(title, ...cells) {
  const heading = element("th", "", title);
  heading.scope = "row";
  return element("tr", "", heading, ...cells);
}

// Those with most failures first; the first ten, until all are asked for.
function rows(known) {
  const sorted = [...known].sort((a, b) => b.failed_24h - a.failed_24h || b.failed_1h - a.failed_1h || b.overdue - a.overdue || (a.name < b.name ? -1 : 1));
  const sampled = new Map(sample?.tasks.map((task) => [task.name, task]));
  const longest = Math.max(0, ...[...sampled.values()].flatMap((task) => [task.waiting_ms.p95 ?? 0, task.running_ms.p95 ?? 0]));
  byId("all-tasks").hidden = sorted.length <= FEW_TASKS;
  byId("all-tasks").textContent = allTasks ? `Show the first ${FEW_TASKS}` : `Show all ${sorted.length} tasks`;
  byId("all-tasks").ariaExpanded = String(allTasks);
  return sorted.slice(0, allTasks ? sorted.length : FEW_TASKS).map((task) => {
    const durations = sampled.get(task.name);
    const plot = (name, title) => {
      const known = durations && durations[name].p95 !== null;
      return cell(known ? range(durations[name], longest) : "", "", known ? title : "");
    };
    return row(taskLink(task.name), cell(task.lane, "", "lane"), number(count(task.failed_1h, isCut(task, "failed_1h")), "failed in 1 h", task.failed_1h > 0),
      number(count(task.failed_24h, isCut(task, "failed_24h")), "in 24 h"), number(count(task.overdue), "overdue", task.overdue > 0), plot("waiting_ms", "waited"), plot("running_ms", "ran"));
  });
}

const isCut = (task, name) => task.more && task[name] >= MAX_COUNT;

const number = (text, name, alert = false) => cell(text, alert ? "number bad" : "number", name);

function taskLink(name) {
  const parameters = new URLSearchParams(location.hash.slice(1));
  parameters.set("task", name);
  const link = element("a", "", name);
  link.href = `#${parameters}`;
  link.title = "Show its failures";
  return link;
}

byId("all-tasks").addEventListener("click", () => {
  allTasks = !allTasks;
  showTasks();
});
