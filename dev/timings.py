"""Check that a stack's timeouts and counts are consistent, so that no order is delayed or lost.

AWS does not check this, and CloudFormation's rules can't multiply. `deploy` checks before it
changes anything, `doctor` checks a running stack, and a test checks the template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib import tasks
from chalicelib.config import DEFAULT_LANE, DEFAULTS, read
from chalicelib.errors import SettingMistake
from dev.packaging.lanes import VISIBILITY_FACTOR, lanes, logical


@dataclass(frozen=True)
class Finding:
    """Problem of a stack and its fix."""

    problem: str
    fix: str


def findings_of_template(
    template: Mapping[str, Any], parameters: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what is wrong in any lane of a stack made from this template."""
    found = [
        finding
        for lane in lanes(template["Resources"])
        for finding in Timings.of_template(template, parameters, lane).findings()
    ]
    yield from dict.fromkeys(found)  # some are the same for all lanes


@dataclass(frozen=True)
class Timings:
    """Durations (in seconds) and counts of a lane of a stack.

    `concurrency` is the maximum of workers at once, `reserved` what the account keeps for them;
    None: nothing. `most_attempts` and `longest_task_s` are the largest values of the lane's tasks.
    """

    lane: str
    worker_timeout_s: int
    visibility_s: int
    concurrency: int
    reserved: int | None
    max_receives: int
    retention_s: int
    dead_retention_s: int
    file_days: int
    max_age_s: int
    order_retention_s: int
    most_attempts: int
    longest_task_s: float

    def findings(self) -> Iterator[Finding]:
        min_visibility_s = VISIBILITY_FACTOR * self.worker_timeout_s
        if self.visibility_s < min_visibility_s:
            yield Finding(
                f"a message{self._in_lane} is visible again after {self.visibility_s} s, while the"
                f" worker may run {self.worker_timeout_s} s: messages are redelivered while their"
                " leases are live, and reach MaxReceives too early",
                f"Visibility={min_visibility_s} (at least {VISIBILITY_FACTOR} x WorkerTimeout)"
                if self.lane == DEFAULT_LANE
                else f"timeout_s of the lane {self.lane} in orderline.yaml, and deploy again",
            )
        if self.reserved is not None and self.reserved < self.concurrency:
            yield Finding(
                f"{self.concurrency} workers{self._in_lane} may run at once, but only"
                f" {self.reserved} are reserved: Lambda throttles the others, and their messages"
                " reach MaxReceives too early",
                f"reserved: {self.concurrency} in orderline.yaml, or a smaller concurrency",
            )
        yield from self._findings_of_tasks()
        yield from self._findings_of_retention()

    def _findings_of_tasks(self) -> Iterator[Finding]:
        if self.max_receives <= self.most_attempts:
            yield Finding(
                f"a message is a dead letter after {self.max_receives} receives, while a task has"
                f" {self.most_attempts} attempts",
                f"MaxReceives={self.most_attempts * 3 + 1}",
            )
        if self.longest_task_s >= self.worker_timeout_s:
            yield Finding(
                f"a task{self._in_lane} may run {self.longest_task_s} s, and the worker"
                f" {self.worker_timeout_s} s",
                (
                    "a larger WorkerTimeout"
                    if self.lane == DEFAULT_LANE
                    else "a larger timeout_s there"
                )
                + ", or a smaller timeout_s of the task",
            )

    def _findings_of_retention(self) -> Iterator[Finding]:
        if self.dead_retention_s <= self.retention_s:
            yield Finding(
                "dead letters are retained no longer than messages, and their age counts from when"
                " the message was first sent",
                "MessageRetentionPeriod of DeadQueue: 1209600, in .chalice/resources.yaml",
            )

        variables = {
            "FILE_DAYS": str(self.file_days),
            "MAX_AGE_S": str(self.max_age_s),
            "RETENTION_S": str(self.order_retention_s),
        }
        try:
            read(variables)
        except SettingMistake as error:
            yield Finding(str(error), "a larger FileDays, or a smaller MAX_AGE_S or RETENTION_S")

    @property
    def _in_lane(self) -> str:
        return "" if self.lane == DEFAULT_LANE else f" of the lane {self.lane}"

    @classmethod
    def of_template(
        cls, template: Mapping[str, Any], parameters: Mapping[str, str], lane: str = DEFAULT_LANE
    ) -> Timings:
        """Return the timings of a lane made from this template with these parameters."""
        values = {
            name: parameters.get(name, parameter["Default"])
            for name, parameter in template["Parameters"].items()
        }
        resources = template["Resources"]
        worker = resources[logical(lane, "OrderWorker")]["Properties"]
        (mapping,) = worker["Events"].values()
        orders = logical(lane, "OrdersQueue")

        def number(value: Any) -> int:
            return int(values[value["Ref"]] if isinstance(value, dict) else value)

        def retention(queue: str) -> int:
            return int(resources[queue]["Properties"]["MessageRetentionPeriod"])

        return cls(
            lane,
            number(worker["Timeout"]),
            number(resources[orders]["Properties"]["VisibilityTimeout"]),
            number(mapping["Properties"]["ScalingConfig"]["MaximumConcurrency"]),
            worker.get("ReservedConcurrentExecutions"),
            int(values["MaxReceives"]),
            retention(orders),
            retention("DeadQueue"),
            int(values["FileDays"]),
            *_order_s(worker["Environment"]["Variables"]),
            *_of_tasks(lane),
        )

    @classmethod
    def of_stack(
        cls,
        worker_timeout_s: int,
        variables: Mapping[str, str],
        orders: Mapping[str, str],
        dead: Mapping[str, str],
        max_receives: int,
        concurrency: int = 0,
        reserved: int | None = None,
    ) -> Timings:
        """Return the timings of a lane of a running stack.

        `variables` are those of the worker's environment, `orders` and `dead` the attributes of the
        lane's queue and the dead-letter queue, as SQS returns them.
        """
        lane = variables.get("LANE", DEFAULT_LANE)
        return cls(
            lane,
            worker_timeout_s,
            int(orders["VisibilityTimeout"]),
            concurrency,
            reserved,
            max_receives,
            int(orders["MessageRetentionPeriod"]),
            int(dead["MessageRetentionPeriod"]),
            int(variables.get("FILE_DAYS", DEFAULTS.file_days)),
            *_order_s(variables),
            *_of_tasks(lane),
        )


def _order_s(variables: Mapping[str, Any]) -> tuple[int, int]:
    """Return MAX_AGE_S and RETENTION_S of an environment of functions."""
    max_age_s = variables.get("MAX_AGE_S", DEFAULTS.max_age_s)
    return int(max_age_s), int(variables.get("RETENTION_S", DEFAULTS.retention_s))


def _of_tasks(lane: str) -> tuple[int, float]:
    """Return the largest number of attempts and the longest time limit of a lane's tasks."""
    registered = [task for task in tasks.known().values() if task.lane == lane]
    attempts = max((task.max_attempts for task in registered), default=0)
    timeout_s = max((task.timeout_s or 0 for task in registered), default=0)
    return attempts, timeout_s
