// Format values, and build elements. Every value is inserted as text, never as HTML.

export const byId = (id) => document.getElementById(id);

export function element(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// Set an element's text if it differs: unchanged text is neither announced nor repainted.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

export function took(ms) {
  return ms < 10_000 ? `${(ms / 1000).toFixed(2)} s` : span(ms);
}

export function bytes(size) {
  if (!(size >= 1000)) return `${Number(size) || 0} B`;
  const power = Math.min(Math.floor(Math.log10(size) / 3), 3);
  return `${(size / 1000 ** power).toFixed(1)} ${"kMG"[power - 1]}B`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const moment = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

// Return the shortest unique suffix of each id, at least four characters. Suffixes never shrink.
const lengths = new Map();
export function references(ids) {
  const suffixes = new Map();
  for (const id of ids) {
    let length = lengths.get(id) ?? 4;
    while (length < id.length && ids.some((other) => other !== id && other.endsWith(id.slice(-length)))) length += 1;
    suffixes.set(id, id.slice(-length));
    lengths.set(id, length);
  }
  for (const id of lengths.keys()) if (!suffixes.has(id)) lengths.delete(id);
  return suffixes;
}
