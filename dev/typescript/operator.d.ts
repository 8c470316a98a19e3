// The types of the operator's page; see types.d.ts, which has those that it shares with the board.

type Kind = "succeeded" | "failed" | "cancelled";
type Filter = "task" | "owner" | "code" | "since";

interface LaneNumbers {
  name: string;
  waiting: number | null;
  running: number | null;
  delayed: number | null;
}

interface TaskNumbers {
  name: string;
  lane: string;
  failed_1h: number;
  failed_24h: number;
  more: boolean;
  overdue: number;
}

interface Overview {
  at: string;
  lanes: LaneNumbers[];
  dead_letters: number | null;
  overdue: { count: number; more: boolean; oldest_s: number };
  tasks: TaskNumbers[];
}

interface Percentiles {
  p50: number | null;
  p95: number | null;
}

interface TaskDurations {
  name: string;
  orders: number;
  failed: number;
  waiting_ms: Percentiles;
  running_ms: Percentiles;
}

interface EndedMinute {
  at: string;
  succeeded: number;
  failed: number;
  cancelled: number;
}

interface Durations {
  owner: string;
  orders: number;
  since: string | null;
  tasks: TaskDurations[];
  ended: EndedMinute[];
}

interface FailedOrder extends OrderInList {
  owner: string;
  failed_at: string;
}

interface Failures {
  items: FailedOrder[];
  next?: string;
}

interface OperatorOrder extends Order {
  owner: string;
}

interface RetryResult {
  retried: number;
  refused: number;
  unknown: number;
  matching: number;
  more: boolean;
  failed_before: string;
  next?: string;
  problems: { owner: string; id: string; problem: Problem }[];
}

interface RetryOfTask {
  task: string;
  failed_since: string;
  failed_before: string;
  after?: string;
}

interface RetryOfOrders {
  orders: { owner: string; id: string }[];
  failed_before: string;
  after?: string;
}

type RetryRequest = RetryOfTask | RetryOfOrders;

type FailuresPath = `operator/failures${string}` | "";

/** What a path under operator/ answers. */
type OperatorBody<Rest extends string> = Rest extends "overview"
  ? Overview
  : Rest extends `durations${string}`
    ? Durations
    : Rest extends `orders/${string}`
      ? OperatorOrder
      : Failures;

type Numbers = Record<Kind, number>;

/** The elements of operator.html by their ids. */
interface OperatorElements {
  state: HTMLElement;
  clock: HTMLElement;
  ask: HTMLElement;
  "token-form": HTMLElement;
  "token-error": HTMLElement;
  token: HTMLInputElement;
  "token-hint": HTMLElement;
  desk: HTMLElement;
  "now-title": HTMLElement;
  tiles: HTMLElement;
  "lanes-title": HTMLElement;
  lanes: HTMLElement;
  "ended-title": HTMLElement;
  ended: HTMLElement;
  sample: HTMLElement;
  "sample-form": HTMLElement;
  "sample-owner": HTMLInputElement;
  "sample-error": HTMLElement;
  "tasks-title": HTMLElement;
  tasks: HTMLElement;
  "all-tasks": HTMLButtonElement;
  "failures-title": HTMLElement;
  filters: HTMLElement;
  task: HTMLInputElement;
  owner: HTMLInputElement;
  code: HTMLInputElement;
  since: HTMLInputElement;
  clear: HTMLButtonElement;
  "task-names": HTMLElement;
  codes: HTMLElement;
  periods: HTMLElement;
  "since-error": HTMLElement;
  "retry-selected": HTMLButtonElement;
  "retry-all": HTMLButtonElement;
  shown: HTMLElement;
  reload: HTMLButtonElement;
  "failures-error": HTMLElement;
  "select-all": HTMLInputElement;
  failures: HTMLElement;
  newer: HTMLButtonElement;
  older: HTMLButtonElement;
  "retry-dialog": HTMLDialogElement;
  "retry-title": HTMLElement;
  "retry-scope": HTMLElement;
  "retry-count": HTMLElement;
  over: HTMLSelectElement;
  "retry-progress": HTMLProgressElement;
  "retry-error": HTMLElement;
  "retry-problems": HTMLElement;
  "retry-start": HTMLButtonElement;
  "retry-close": HTMLButtonElement;
  details: HTMLDialogElement;
  "details-title": HTMLElement;
  "details-error": HTMLElement;
  facts: HTMLElement;
  "details-input": HTMLElement;
  "show-input": HTMLButtonElement;
  "details-close": HTMLButtonElement;
  announcer: HTMLElement;
}

interface OperatorJs {
  offlineSince: number | null;
  refuse(error: unknown): boolean;
  state(text: string, className: "" | "idle" | "off"): void;
}

interface OverviewJs {
  overview: Overview | null;
  tiles(read: Overview): void;
  drawn: Map<string, string>;
  redraw(id: keyof OperatorElements, value: unknown, children: () => (Node | string)[]): void;
  rows(known: TaskNumbers[]): HTMLElement[];
  sample: Durations | null;
  show(read: Overview): string[];
  showSample(read: Durations): void;
  sum(name: "waiting" | "running" | "delayed"): number | null;
  failed(name: "failed_1h" | "failed_24h"): number;
  more(name: "failed_1h" | "failed_24h"): boolean;
  tile(name: string, value: string, note: string, alert?: boolean): HTMLElement;
  cell(content: Node | string, className?: string, name?: string): HTMLElement;
  row(title: Node | string, ...cells: HTMLElement[]): HTMLElement;
  plot(name: "waiting_ms" | "running_ms", title: string): HTMLElement;
  isCut(task: TaskNumbers, name: "failed_1h" | "failed_24h"): boolean;
  number(text: string, name: string, alert?: boolean): HTMLElement;
  taskLink(name: string): HTMLElement;
}

interface PlotsJs {
  KINDS: Kind[];
  count(number: number | null, more?: boolean): string;
  shape(name: string, attributes: Record<string, string | number>, ...children: Node[]): SVGElement;
  bars(minutes: EndedMinute[]): { joined: Numbers[]; width: number; first: number; last: number };
  endedPlot(minutes: EndedMinute[]): Element[];
  total(kind: Kind): number;
  longSpan(ms: number): string;
  range(percentiles: Percentiles, longest: number): HTMLElement;
  place(ms: number): number;
}

interface FailuresJs {
  FILTERS: Filter[];
  UNITS_MS: Record<string, number>;
  filters: Record<Filter, string>;
  starts: FailuresPath[];
  next: FailuresPath;
  shown: Map<string, FailedOrder>;
  refused(error: unknown): boolean;
  retried(number: number): void;
  onRefused(handle: (error: unknown) => boolean): void;
  onRetried(handle: (retried: number) => void): void;
  useFilters(parameters: URLSearchParams): void;
  nameTasks(names: string[]): void;
  options(id: "task-names" | "codes", values: string[]): void;
  timeOf(text: string): string | null;
  found: FailedOrder[];
  key(order: FailedOrder): string;
  draw(orders: FailedOrder[]): void;
  item(order: FailedOrder): HTMLElement;
  error: (Node | string)[];
  cells: (Node | string)[][];
  boxes(): HTMLInputElement[];
  turn(change: () => void): void;
  done(number: number): void;
}

interface RetryJs {
  body: RetryRequest | null;
  done(retried: number): void;
  openSelected(
    orders: FailedOrder[],
    failedBefore: string,
    after: (retried: number) => void,
  ): void;
  openAll(
    filters: Record<Filter, string>,
    since: string,
    after: (retried: number) => void,
  ): Promise<void>;
  begin(title: string, scope: string, after: (retried: number) => void): void;
  ready(request: RetryRequest, matching: number, more: boolean): void;
  buttons(start: string, close: string): void;
  fail(error: unknown, otherwise: string): void;
  report(problems: RetryResult["problems"]): void;
}

interface DetailsJs {
  displayed: FailedOrder | null;
  open(order: FailedOrder): void;
  load(order: FailedOrder, include: "history" | "input,history"): Promise<void>;
  facts(order: FailedOrder, history?: Attempt[]): void;
  rows: [string, string][];
}
