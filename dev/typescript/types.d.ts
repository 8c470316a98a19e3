// The types of the board's JavaScript, which dev/check_board.py adds to its functions and variables; operator.d.ts has
// those of the operator's page. A test compares the API's objects with openapi.json, and the elements with the HTML.

type Status = "PENDING" | "RUNNING" | "SUCCESS" | "FAILED" | "CANCELLED";
type Column = "preparing" | "ready" | "problem";

interface OrderInList {
  id: string;
  task: string;
  lane: string;
  status: Status;
  done: boolean;
  stopping: boolean;
  attempts: number;
  max_attempts: number;
  created_at: string;
  updated_at: string;
  run_at: string | null;
  waits_for: number;
  when: "success" | "end" | null;
  notify: string[];
  error: { code: string; message: string; attempt: number } | null;
  progress: { percent: number; word: string } | null;
  expires_at: string | null;
  links: { self: string; cancel: string; retry: string; parent?: string; follow_ups?: string[]; after?: string[]; dependents?: string[] };
}

interface Order extends OrderInList {
  result: unknown;
  input?: Record<string, unknown>;
  history?: Attempt[];
}

interface Attempt {
  started_at: string;
  ended_at: string | null;
  code: string | null;
}

interface Page {
  items: OrderInList[];
  next?: string;
}

interface Problem {
  title?: string;
  detail?: string;
}

/** A file in an order's input or result, as a task or client described it. */
interface StoredFile {
  file: string;
  name?: unknown;
  type?: unknown;
  size?: unknown;
  origin: string;
}

interface FileDownload {
  file: string;
  size: number;
  type: string;
  url: string;
  expires_at: string;
}

/** An order on the screen. */
interface Ticket {
  item: HTMLElement;
  order: OrderInList;
  column: Column;
  moved: boolean;
}

interface TicketList extends HTMLElement {
  parentElement: HTMLElement;
}

/** The elements of board.html by their ids. */
interface Elements {
  state: HTMLElement;
  clock: HTMLElement;
  ask: HTMLElement;
  "token-form": HTMLElement;
  "token-error": HTMLElement;
  token: HTMLInputElement;
  "token-hint": HTMLElement;
  screen: HTMLElement;
  "preparing-title": HTMLElement;
  preparing: TicketList;
  "ready-title": HTMLElement;
  ready: TicketList;
  "problem-title": HTMLElement;
  problem: TicketList;
  order: HTMLElement;
  "order-title": HTMLElement;
  "order-status": HTMLElement;
  "order-progress": HTMLElement;
  bar: HTMLProgressElement;
  "order-error": HTMLElement;
  cancel: HTMLButtonElement;
  retry: HTMLButtonElement;
  "action-error": HTMLElement;
  facts: HTMLElement;
  picture: HTMLElement;
  files: HTMLElement;
  result: HTMLElement;
  attempts: HTMLElement;
  announcer: HTMLElement;
}

/** A module is checked once, so an id on both pages has one type. */
type AllElements = Elements & OperatorElements;

interface Document {
  getElementById<Id extends keyof AllElements>(id: Id): AllElements[Id];
}

interface ParentNode {
  // Those that page and tickets always have; any other selector may find nothing
  querySelector(
    selectors: ".ref" | ".task" | ".age" | ".count" | "label" | "pre" | "tbody" | "ul",
  ): HTMLElement;
  querySelectorAll(selectors: "#screen .ref"): NodeListOf<HTMLElement>;
  querySelector(selectors: "img"): HTMLImageElement;
  querySelector(selectors: `a[href=${string}]`): HTMLAnchorElement | null;
}

interface HTMLElement {
  cloneNode(deep?: boolean): HTMLElement;
}

interface ApiJs {
  cache: Map<string, { etag: string; value: any }>;
  useToken(text: string): void;
  read<Path extends string>(
    path: Path,
  ): Promise<
    Path extends `orders/${string}`
      ? Order
      : Path extends `files/${string}`
        ? FileDownload
        : Path extends `operator/${infer Rest}`
          ? OperatorBody<Rest>
          : Page
  >;
  send<Path extends string>(
    path: Path,
    body?: object,
  ): Promise<Path extends "operator/retry" ? RetryResult : Order>;
  call(
    method: string,
    path: string,
    ownHeaders: Record<string, string>,
    body?: string,
  ): Promise<Response>;
  adjustClock(text: string | null): void;
}

interface BoardJs {
  offlineSince: number | null;
  board: { pages: Page[]; orders: OrderInList[] } | null;
  readBoard(): Promise<number>;
  handleError(error: unknown): number | null;
  state(text: string, className: "" | "idle" | "off"): void;
}

interface OrderJs {
  OPTIONAL: (keyof Elements)[];
  ACTIONS: ("cancel" | "retry")[];
  SHOWN_TYPES: unknown[];
  displayed: Order | null;
  focused: HTMLElement;
  displayedFiles: string;
  rows: [string, ...(string | Node)[]][];
  path(id: string): `orders/${string}`;
  refresh(id: string): Promise<boolean>;
  open(id: string): void;
  act(id: string, action: "cancel" | "retry", after: () => void): Promise<void>;
  draw(order: Order): void;
  optional<Id extends keyof Elements, Value>(
    id: Id,
    value: Value,
    fill: (node: Elements[Id], value: NonNullable<Value>) => void,
  ): void;
  facts(order: Order): void;
  links(urls: string[]): (string | Node)[];
  link(url: string): HTMLAnchorElement;
  parts(value: any): any[];
  picture(input: Order["input"]): void;
  files(order: Order): void;
  stored: StoredFile[];
  fileItem(file: StoredFile, isPicture: boolean): HTMLElement;
  withUrl(use: (url: string) => void): Promise<void>;
  attempt(entry: Attempt, index: number): HTMLElement;
}

interface ScreenJs {
  COLUMNS: Column[];
  tickets: Map<string, Ticket>;
  orders: OrderInList[];
  columnOf(order: OrderInList, at: number): Column | undefined;
  show(read: OrderInList[]): void;
  sorted(): Record<Column, OrderInList[]>;
  rank(order: OrderInList): number;
  fill(
    name: Column,
    list: OrderInList[],
    names: Map<string, string>,
    before: Map<string, Ticket>,
  ): void;
  makeItem(id: string): HTMLElement;
  label(item: HTMLElement, order: OrderInList, name: string): void;
  waitsFor(count: number): string;
  refs: [HTMLElement, number][];
  highlight(ticket: Ticket): void;
  slide(ticket: Ticket, from: DOMRect | undefined): void;
  announce(moved: Ticket[], stopping: Ticket[], names: Map<string, string>): void;
  sentence(list: Ticket[], state: string): string;
  movedTo(column: Column): Ticket[];
}

interface TextJs {
  byId<Id extends keyof AllElements>(id: Id): AllElements[Id];
  element<Name extends keyof HTMLElementTagNameMap>(
    name: Name,
    className: string,
    ...children: (Node | string)[]
  ): HTMLElementTagNameMap[Name];
  write(node: Element, text: string): void;
  span(ms: number): string;
  bytes(size: any): string;
  took(ms: number): string;
  clock(ms: number): string;
  moment(text: string): string;
  lengths: Map<string, number>;
  references(ids: string[]): Map<string, string>;
}
