"""Run a plan second by second."""

from __future__ import annotations

import heapq
import itertools
from collections import deque

from benchmarks.simulate import aws, order
from benchmarks.simulate.capacity import (
    Bucket,
    Environments,
    EventSource,
    Needs,
    Second,
    Throughput,
)
from benchmarks.simulate.counts import Counts
from benchmarks.simulate.needs import (
    RESEND_NEEDS,
    SCHEDULED_NEEDS,
    SCHEDULED_S,
    SWEEP_S,
    SWEEPER_S,
    admit_needs,
    start_needs,
)
from benchmarks.simulate.plan import Plan
from benchmarks.simulate.result import Cohort, Result
from chalicelib.table.batch_get import LIMIT

WATCH_S = 3600  # after the load; a backlog that is left then is extrapolated
RATE_S = 600  # from the rate of these last seconds
HIDE_S = 60  # a longer backoff leaves the queue
MAX_DELAY_S = 885  # the sweeper sends a message at most this long before it is wanted


class Simulation:
    """One stack under one load, which lasts `load_s` seconds instead of the plan's minutes."""

    def __init__(self, plan: Plan, load_s: int | None = None) -> None:
        self.plan = plan
        self.load_s = load_s or plan.load_s
        self.result = Result(plan, self.load_s, Counts())
        self.counts = self.result.counts
        self._offered = 0
        self._clients = 0  # orders that clients hold back, because a request was refused
        self._placed = 0
        self._queue: deque[Cohort] = deque()
        self._waiting = 0  # orders in the queue that a worker could receive
        self._hidden: dict[int, list[Cohort]] = {}  # by the second when they are visible again
        self._delayed: dict[int, list[Cohort]] = {}  # the same, but not in flight
        self._running: dict[int, list[Cohort]] = {}  # by the second when they end
        self._running_orders = 0
        self._in_flight = 0
        self._scheduled: list[tuple[int, int, Cohort]] = []  # a heap, by the next attempt's second
        self._order = itertools.count()  # of cohorts of the same second
        self._purged = plan.purged
        self._budget_ms = 0.0
        self._ended: deque[int] = deque(maxlen=RATE_S)
        self._source = EventSource(plan)
        self._stage = Bucket(plan.requests_per_s, plan.burst)
        self._gateway = Bucket(plan.gateway_quota, aws.GATEWAY_BURST)
        self._api = Environments()
        self._workers = Environments()
        self._tables = {
            name: Throughput(plan.warm, plan.table_quota) for name in ("table", "by_time", "by_due")
        }
        self._tables["reads"] = Throughput(plan.warm_reads, plan.table_quota)
        self._admit_needs = admit_needs(plan)
        self._start_needs = start_needs(plan)
        self._second = Second({})
        self._full: dict[str, float] = {}

    def run(self) -> Result:
        second = 0
        end = self.load_s + WATCH_S
        while second < end and (second < self.load_s or self._open()):
            self._step(second)
            second += 1
        self.result.done_at = float(second)
        if left := self._open():
            self.result.extrapolated = True
            rate = sum(self._ended) / len(self._ended)
            self.result.done_at = second + left / rate if rate else None
            self.result.queued_s = self._waiting / rate if rate else 0
        return self.result

    def _open(self) -> int:
        """Return the orders that have not ended."""
        total = self.plan.purged + self._offered
        return total - self.counts.ended

    def _step(self, second: int) -> None:
        ended = self.counts.ended
        self._refill(second)
        for cohort in self._hidden.pop(second, []):
            self._in_flight -= cohort.number
            self._send(cohort, second)
        for cohort in self._delayed.pop(second, []):
            self._send(cohort, second)
        self._sweep(second)
        self._start(second)
        for cohort in self._running.pop(second, []):
            self._finish(cohort, second)
        self._admit(second)
        self._ended.append(self.counts.ended - ended)
        self.result.most_waiting = max(self.result.most_waiting, self._clients + self._waiting)

    def _send(self, cohort: Cohort, second: int) -> None:
        """Put orders into the queue, where a worker can receive them."""
        cohort.since = second
        self._queue.append(cohort)
        self._waiting += cohort.number

    def _refill(self, second: int) -> None:
        plan = self.plan
        used = {name: self._full.get(name, 0) - left for name, left in self._second.left.items()}
        units = {
            name: table.adapt(second, used.get(name, 0)) for name, table in self._tables.items()
        }
        left: dict[str, float] = {
            **units,
            "time_partitions": plan.by_time_partitions * aws.PARTITION_WRITES,
            "due_partitions": plan.due_shards * aws.PARTITION_WRITES,
            "failure_partitions": plan.failure_partitions * aws.PARTITION_WRITES,
            "executions": plan.lambda_quota,
            "invocations": plan.lambda_quota * aws.REQUESTS_PER_EXECUTION,
            "api_environments": self._api.most(),
            "in_flight": plan.lanes * aws.IN_FLIGHT - self._in_flight,
            "receives": self._source.receives(),
            "sweeper": SWEEPER_S,
            "scheduled": SCHEDULED_S,
        }
        if plan.front != "url":
            left |= {"stage": self._stage.fill(), "gateway": self._gateway.fill()}
        self._second = Second(left)
        self._full = dict(left)

    def _meet(self, name: str, second: int) -> None:
        self.result.met.setdefault(name, second)
        self.result.last_met = second

    # --- the worker

    def _start(self, second: int) -> None:
        """Receive and claim as many orders as the limits allow."""
        waiting = self._waiting
        workers, limit = self._concurrency()
        if not waiting:
            self._budget_ms = 0
            return
        self._budget_ms += 1000 * workers
        self._second.left["workers"] = self._budget_ms
        number, short = self._second.allow(waiting, self._start_needs)
        self._second.take(number, self._start_needs)
        self._budget_ms = self._second.left["workers"] if number < waiting else 0
        self._workers.use(min(workers, waiting * self.plan.run_ms / 1000))
        age_s = second - self._queue[0].since
        self.result.oldest_s = max(self.result.oldest_s, age_s)
        slow = short in ("workers", "receives")
        if slow:
            self._source.grow()
        if short and (not slow or age_s > self.plan.age_s):
            self._meet(limit if short == "workers" else short, second)
        self._claim(number, second)
        self.result.most_in_flight = max(self.result.most_in_flight, self._in_flight)

    def _concurrency(self) -> tuple[float, str]:
        """Return how many workers may run, and the name of the limit that allows no more.

        If the account's quota is too small for both functions, each gets its share of the demand.
        """
        limits = {
            "concurrency": self._source.most(),
            "ramp": self._source.invocations(),
            "worker_environments": self._workers.most(),
        }
        demand = min(*limits.values(), self._waiting * self.plan.run_ms / 1000)
        demand = max(demand, self._running_orders)
        quota = self.plan.lambda_quota
        api = self._api_demand()
        limits["executions"] = quota if demand + api <= quota else quota * demand / (demand + api)
        self._second.left["executions"] = quota - min(demand, limits["executions"])
        name = min(limits, key=limits.__getitem__)
        return limits[name], name

    def _api_demand(self) -> float:
        """Return the executions that the HTTP function needs for what the other limits allow."""
        needs = {name: need for name, need in self._admit_needs.items() if name != "executions"}
        number, _ = self._second.allow(self._clients + self.plan.orders_per_s, needs)
        return number * self.plan.api_s_per_order

    def _claim(self, number: int, second: int) -> None:
        self.counts.write("UpdateItem", number, order.CLAIM)
        self.counts.invocations += -(-number // self.plan.batch)
        self._in_flight += number
        self._running_orders += number
        self._waiting -= number
        end = second + self.plan.run_ms // 1000
        while number:
            cohort = self._queue[0].split(number)
            number -= cohort.number
            if not self._queue[0].number:
                self._queue.popleft()
            self._running.setdefault(end, []).append(cohort)

    def _finish(self, cohort: Cohort, second: int) -> None:
        counts = self.counts
        self._running_orders -= cohort.number
        counts.write("UpdateItem", cohort.healthy, order.SUCCEED)
        counts.succeeded += cohort.healthy
        self._in_flight -= cohort.healthy
        if cohort.attempt == self.plan.attempts:
            counts.write("UpdateItem", cohort.failing, order.FAIL)
            counts.failed += cohort.failing
            self._in_flight -= cohort.failing
        elif cohort.failing:
            self._put_back(cohort, second)

    def _put_back(self, cohort: Cohort, second: int) -> None:
        """Wait for the next attempt: hidden in the queue, or in the due index if that is long."""
        self.counts.write("UpdateItem", cohort.failing, order.PUT_BACK)
        backoff_s = self.plan.backoff(cohort.attempt)
        again = Cohort(second, cohort.attempt + 1, 0, cohort.failing)
        if backoff_s > HIDE_S:
            self._in_flight -= cohort.failing
            heapq.heappush(self._scheduled, (second + backoff_s, next(self._order), again))
        else:
            self.counts.call("ChangeMessageVisibility", cohort.failing)
            self._hidden.setdefault(second + max(1, backoff_s), []).append(again)

    # --- the sweeper

    def _sweep(self, second: int) -> None:
        """Send messages of scheduled orders in time, then those that were lost."""
        while self._scheduled and self._scheduled[0][0] - second <= MAX_DELAY_S:
            at, _, cohort = self._scheduled[0]
            number = self._resend(cohort.number, SCHEDULED_NEEDS)
            if number:
                self._delayed.setdefault(max(at, second + 1), []).append(cohort.split(number))
            if cohort.number:
                if second - at > SWEEP_S + self.plan.age_s:
                    self._meet("sweeper", second)
                return
            heapq.heappop(self._scheduled)
        if self._purged and (number := self._resend(self._purged, RESEND_NEEDS)):
            self._purged -= number
            self._send(Cohort(second, 1, number, 0), second)
            if not self._purged:
                self.result.purged_until = second

    def _resend(self, wanted: int, needs: Needs) -> int:
        number, _ = self._second.allow(wanted, needs)
        self._second.take(number, needs)
        self.counts.write("UpdateItem", number, order.RESEND)
        self.counts.call("BatchGetItem", -(-number // LIMIT))
        self.counts.call("SendMessageBatch", -(-number // aws.SEND_BATCH))
        self.counts.reads += number * order.RESEND_READS
        return number

    # --- the HTTP function

    def _admit(self, second: int) -> None:
        """Accept what the limits allow; clients hold the rest back and repeat it."""
        new = self.plan.orders_per_s if second < self.load_s else 0
        self._offered += new
        wanted = self._clients + new
        if not wanted:
            return
        number, short = self._second.allow(wanted, self._admit_needs)
        self._second.take(number, self._admit_needs)
        self._api.use(number * self.plan.api_s_per_order)
        for bucket, name in ((self._stage, "stage"), (self._gateway, "gateway")):
            bucket.level = self._second.left.get(name, bucket.level)
        if short:
            self._meet(short, second)
        self._clients = wanted - number
        self._accept(number, second)

    def _accept(self, number: int, second: int) -> None:
        plan = self.plan
        counts = self.counts
        if not number:
            return
        counts.accepted += number
        counts.requests += -(-number // plan.bulk) + number * plan.polls
        counts.write("PutItem", number, order.INSERT)
        if plan.bulk > 1:
            full, rest = divmod(number, plan.bulk)
            batches = full * -(-plan.bulk // aws.SEND_BATCH) + -(-rest // aws.SEND_BATCH)
            counts.call("SendMessageBatch", batches)
        else:
            counts.call("SendMessage", number)
        counts.call("GetItem", number * plan.polls)
        counts.reads += number * plan.polls * order.POLL_READS
        before = self._placed * plan.failing // 100
        self._placed += number
        failing = self._placed * plan.failing // 100 - before
        self._send(Cohort(second, 1, number - failing, failing), second)
