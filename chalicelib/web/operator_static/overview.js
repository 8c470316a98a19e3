// The overview: tiles, lanes and tasks, with the durations and the throughput of a sample.

import { byId, element, moment, span } from "../board/text.js";
import { count, endedPlot, range } from "./plots.js";

const FEW_TASKS = 10;
const MAX_COUNT = 1000; // where the API stops counting a task's failures
let overview = null;
let sample = null;
let allTasks = false;

// Show an overview. Return the names of its tasks.
export function show(read) {
  overview = read;
  tiles(read);
  byId("lanes").replaceChildren(...read.lanes.map((lane) => row(lane.name, number(count(lane.waiting), ""), number(count(lane.running), ""), number(count(lane.delayed), ""))));
  tasks(read.tasks);
  return read.tasks.map((task) => task.name);
}

export function showSample(read) {
  sample = read;
  const since = sample.since ? `; the oldest was placed ${moment(sample.since)}` : "";
  byId("sample").textContent = sample.orders
    ? `A sample: ${count(sample.orders)} of the newest orders of ${sample.owner}${since}. The durations below are of these.`
    : `None of the newest orders of ${sample.owner} has ended.`;
  byId("ended").replaceChildren(...(sample.ended.length ? endedPlot(sample.ended) : []));
  if (overview) tasks(overview.tasks);
}

function tiles({ lanes, overdue, dead_letters: deadLetters, tasks: known }) {
  const sum = (name) => (lanes.some((lane) => lane[name] === null) ? null : lanes.reduce((total, lane) => total + (lane[name] ?? 0), 0));
  const delayed = sum("delayed");
  const failed = (name) => known.reduce((total, task) => total + task[name], 0);
  const more = (name) => known.some((task) => isCut(task, name));
  byId("tiles").replaceChildren(
    tile("Waiting", count(sum("waiting")), delayed ? `and ${count(delayed)} delayed` : ""),
    tile("Running", count(sum("running")), ""),
    tile("Overdue", count(overdue.count, overdue.more), overdue.count ? `longest ${span(overdue.oldest_s * 1000)}` : "", overdue.count > 0),
    tile("Failed in 24 h", count(failed("failed_24h"), more("failed_24h")), `${count(failed("failed_1h"), more("failed_1h"))} in the last hour`, failed("failed_1h") > 0),
    tile("Dead letters", count(deadLetters), "", Boolean(deadLetters)),
  );
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
function tasks(known) {
  const sorted = [...known].sort((a, b) => b.failed_24h - a.failed_24h || b.overdue - a.overdue || (a.name < b.name ? -1 : 1));
  const sampled = new Map(sample?.tasks.map((task) => [task.name, task]));
  const longest = Math.max(0, ...[...sampled.values()].flatMap((task) => [task.waiting_ms.p95 ?? 0, task.running_ms.p95 ?? 0]));
  const focused = document.activeElement?.getAttribute("href");
  byId("tasks").replaceChildren(...sorted.slice(0, allTasks ? sorted.length : FEW_TASKS).map((task) => {
    const durations = sampled.get(task.name);
    const plot = (name, title) => {
      const known = durations && durations[name].p95 !== null;
      return cell(known ? range(durations[name], longest) : "", "", known ? title : "");
    };
    return row(taskLink(task.name), cell(task.lane, "", "lane"), number(count(task.failed_1h, isCut(task, "failed_1h")), "failed in 1 h", task.failed_1h > 0),
      number(count(task.failed_24h, isCut(task, "failed_24h")), "in 24 h"), number(count(task.overdue), "overdue", task.overdue > 0), plot("waiting_ms", "waited"), plot("running_ms", "ran"));
  }));
  if (focused) byId("tasks").querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  byId("all-tasks").hidden = sorted.length <= FEW_TASKS;
  byId("all-tasks").textContent = allTasks ? `Show the first ${FEW_TASKS}` : `Show all ${sorted.length} tasks`;
  byId("all-tasks").ariaExpanded = String(allTasks);
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
  if (overview) tasks(overview.tasks);
});
