// Calls of the API. The token lives in this module's memory alone; what is unchanged is not sent again (ETags).

const WITHIN_MS = 30_000;
const REMEMBERED = 24;
const known = new Map(); // path -> {etag, value}
let token = "";
let aheadMs = 0; // how far the server's clock is ahead of this one

export class Refused extends Error {
  constructor(status, problem, retryAfterS) {
    super(problem.detail || problem.title || `HTTP status ${status}`);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
  get token() { return this.status === 401 || this.status === 403; }
}

export function useToken(text) {
  token = text.trim();
  known.clear();
}

export const hasToken = () => token !== "";

export const now = () => Date.now() + aheadMs;

// The value at a path relative to the API's root: the very same object for as long as it is unchanged.
export async function read(path) {
  const kept = known.get(path);
  const answer = await call("GET", path, kept ? { "If-None-Match": kept.etag } : {});
  if (answer.status === 304 && kept) return kept.value;
  const value = await answer.json();
  known.delete(path);
  if (answer.headers.has("ETag")) known.set(path, { etag: answer.headers.get("ETag"), value });
  if (known.size > REMEMBERED) known.delete(known.keys().next().value);
  return value;
}

export async function send(path) {
  return (await call("POST", path, {})).json();
}

async function call(method, path, headers) {
  const given = { ...headers };
  if (/^[!-~]+$/.test(token)) given.Authorization = `Bearer ${token}`; // fetch would throw at what no header can hold
  const answer = await fetch(new URL(path, new URL(".", location.href)), {
    method, headers: given, cache: "no-store", credentials: "omit", redirect: "error",
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  tellTime(answer.headers.get("Date"));
  if (answer.ok || answer.status === 304) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem ?? {}, Number(answer.headers.get("Retry-After")) || 0);
}

// A wall's clock may be wrong, and ages must not be. The header has whole seconds: less is no difference.
function tellTime(text) {
  const difference = Date.parse(text ?? "") - Date.now();
  if (!Number.isNaN(difference)) aheadMs = Math.abs(difference) < 2000 ? 0 : difference;
}
