// Calls to the API. The token is held in memory only. ETags avoid sending unchanged responses again.

const TIMEOUT_MS = 30_000;
const CACHE_SIZE = 24;
const cache = new Map(); // path -> {etag, value}
let token = "";
let clockOffsetMs = 0; // server time minus local time

export class RequestRejected extends Error {
  status = 0;
  retryAfterS = 0;
  get isTokenError() { return this.status === 401 || this.status === 403; }
}

export function useToken(text) {
  token = text.trim();
  cache.clear();
}

export const hasToken = () => token !== "";

export const now = () => Date.now() + clockOffsetMs;

// Return the value at a path relative to the API's root: the same object for as long as it is unchanged.
export async function read(path) {
  const cached = cache.get(path);
  const response = await call("GET", path, cached ? { "If-None-Match": cached.etag } : {});
  if (response.status === 304 && cached) return cached.value;
  const value = await response.json();
  const etag = response.headers.get("ETag");
  cache.delete(path);
  if (etag) cache.set(path, { etag, value });
  if (cache.size > CACHE_SIZE) cache.delete([...cache.keys()][0]);
  return value;
}

export async function send(path, body) {
  return (await call("POST", path, body ? { "Content-Type": "application/json" } : {}, body && JSON.stringify(body))).json();
}

async function call(method, path, ownHeaders, body) {
  const headers = { ...ownHeaders };
  if (/^[!-~]+$/.test(token)) headers.Authorization = `Bearer ${token}`; // fetch throws for other characters
  const response = await fetch(new URL(path, new URL(".", location.href)), {
    method, body, headers: { Accept: "application/json", ...headers }, cache: "no-store", credentials: "omit", redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  adjustClock(response.headers.get("Date"));
  if (response.ok || response.status === 304) return response;
  const { status } = response;
  const problem = await response.json().catch(() => null);
  const error = new RequestRejected(problem?.detail || problem?.title || `HTTP status ${status}`);
  throw Object.assign(error, { status, retryAfterS: Number(response.headers.get("Retry-After")) || 0 });
}

// The local clock may be wrong. The Date header has whole seconds, so ignore small differences.
function adjustClock(text) {
  const difference = Date.parse(text ?? "") - Date.now();
  if (!Number.isNaN(difference)) clockOffsetMs = Math.abs(difference) < 2000 ? 0 : difference;
}
