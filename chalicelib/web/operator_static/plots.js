// Small plots as inline SVG, and numbers. What a plot shows is in text beside it too.

import { clock, element, moment, took } from "../board/text.js";

const SVG = "http://www.w3.org/2000/svg";
const MAX_BARS = 90;
const MINUTE_MS = 60_000;
const KINDS = ["succeeded", "failed", "cancelled"];

export const count = (number, more = false) => (typeof number === "number" ? number.toLocaleString() + (more ? "+" : "") : "unknown");

function shape(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

// Join minutes so that at most MAX_BARS bars cover them all, those without an order included.
function bars(minutes) {
  const first = Date.parse(minutes[0].at);
  const last = Date.parse(minutes[minutes.length - 1].at);
  const width = Math.ceil(((last - first) / MINUTE_MS + 1) / MAX_BARS);
  const joined = Array.from({ length: Math.ceil(((last - first) / MINUTE_MS + 1) / width) }, () => ({ succeeded: 0, failed: 0, cancelled: 0 }));
  for (const minute of minutes) {
    const bar = joined[Math.floor((Date.parse(minute.at) - first) / MINUTE_MS / width)];
    for (const kind of KINDS) bar[kind] += minute[kind];
  }
  return { joined, width, first, last: last + MINUTE_MS };
}

// Plot how many orders ended by minute.
export function endedPlot(minutes) {
  const { joined, width, first, last } = bars(minutes);
  const highest = Math.max(...joined.map((bar) => bar.succeeded + bar.failed + bar.cancelled));
  const rects = joined.flatMap((bar, index) => {
    let y = highest;
    return KINDS.filter((kind) => bar[kind]).map((kind) => {
      y -= bar[kind];
      return shape("rect", { class: kind, x: index + 0.08, y, width: 0.84, height: bar[kind] });
    });
  });
  const total = (kind) => minutes.reduce((sum, minute) => sum + minute[kind], 0);
  const legend = KINDS.map((kind) => element("span", "", element("i", kind), `${count(total(kind))} ${kind}`));
  const unit = width === 1 ? "a minute" : `in ${width} minutes`;
  const longSpan = last - first > 86_400_000 ? (ms) => moment(new Date(ms).toISOString()) : clock;
  const label = `Orders that ended, by time: ${KINDS.map((kind) => `${total(kind)} ${kind}`).join(", ")}; at most ${highest} ${unit}`;
  return [
    element("p", "axis", ...legend, element("span", "", `highest: ${count(highest)} ${unit}`)),
    shape("svg", { viewBox: `0 0 ${Math.max(joined.length, 20)} ${highest}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...rects),
    element("p", "axis", element("span", "", longSpan(first)), element("span", "", longSpan(last))),
  ];
}

// Show median and 95th percentile as text, and as a range on a logarithmic rail from 10 ms to `longest`.
export function range({ p50, p95 }, longest) {
  const place = (ms) => 100 * Math.min(Math.max(Math.log10(Math.max(ms, 10) / 10) / Math.log10(Math.max(longest, 100) / 10), 0), 1);
  const [from, to] = [place(p50 ?? 0), place(p95 ?? 0)];
  return element("div", "range", element("span", "", `${took(p50 ?? 0)}, ${took(p95 ?? 0)}`), shape("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("rect", { class: "rail", x: 0, y: 3, width: 100, height: 2 }),
    shape("rect", { class: "span", x: from, y: 1, width: Math.max(to - from, 1), height: 6 }),
    shape("rect", { class: "median", x: Math.max(from - 0.75, 0), y: 0, width: 1.5, height: 8 })));
}
