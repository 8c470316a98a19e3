"""How the durations and counts of a stack must stand to each other, or orders run twice, wait or are lost.

AWS checks none of this, and CloudFormation's rules can't multiply: `deploy` asks before it changes anything, `doctor`
asks of what runs, a test asks of the template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib import tasks

TIMES_VISIBLE = 6  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-queueconfig


@dataclass(frozen=True)
class Finding:
    """Something wrong, and what mends it."""

    fault: str
    mend: str


@dataclass(frozen=True)
class Timings:
    """Durations are in seconds. `most_attempts` and `longest_task_s` are those of the registered tasks."""

    worker_timeout_s: int
    visibility_s: int
    max_receives: int
    retention_s: int
    dead_retention_s: int
    most_attempts: int
    longest_task_s: float

    def findings(self) -> Iterator[Finding]:
        least = TIMES_VISIBLE * self.worker_timeout_s
        if self.visibility_s < least:
            yield Finding(
                f"a message is visible again after {self.visibility_s} s, while the worker may run"
                f" {self.worker_timeout_s} s: orders wait on live leases and burn receives",
                f"Visibility={least} (at least {TIMES_VISIBLE} x WorkerTimeout)",
            )
        if self.max_receives <= self.most_attempts:
            yield Finding(
                f"a message is a dead letter after {self.max_receives} receives, while a task has"
                f" {self.most_attempts} attempts",
                f"MaxReceives={self.most_attempts * 3 + 1}",
            )
        if self.longest_task_s >= self.worker_timeout_s:
            yield Finding(
                f"a task may run {self.longest_task_s} s, and the worker {self.worker_timeout_s} s",
                "a larger WorkerTimeout, or a smaller timeout_s of the task",
            )
        if self.dead_retention_s <= self.retention_s:
            yield Finding(
                "dead letters are kept no longer than messages, and their age counts from the first sending",
                "MessageRetentionPeriod of DeadQueue: 1209600, in .chalice/resources.yaml",
            )

    @classmethod
    def of_template(cls, template: Mapping[str, Any], given: Mapping[str, str]) -> Timings:
        """As a stack of this template would have them, with these parameters."""
        values = {
            name: given.get(name, parameter["Default"])
            for name, parameter in template["Parameters"].items()
        }
        resources = template["Resources"]

        def retention(queue: str) -> int:
            return int(resources[queue]["Properties"]["MessageRetentionPeriod"])

        return cls(
            int(values["WorkerTimeout"]),
            int(values["Visibility"]),
            int(values["MaxReceives"]),
            retention("OrdersQueue"),
            retention("DeadQueue"),
            *_of_tasks(),
        )

    @classmethod
    def of_stack(
        cls,
        worker_timeout_s: int,
        orders: Mapping[str, str],
        dead: Mapping[str, str],
        max_receives: int,
    ) -> Timings:
        """As a stack has them. `orders` and `dead` are SQS's own attributes of the two queues."""
        return cls(
            worker_timeout_s,
            int(orders["VisibilityTimeout"]),
            max_receives,
            int(orders["MessageRetentionPeriod"]),
            int(dead["MessageRetentionPeriod"]),
            *_of_tasks(),
        )


def _of_tasks() -> tuple[int, float]:
    known = tasks.known().values()
    attempts, timeouts_s = (
        [task.max_attempts for task in known],
        [task.timeout_s or 0 for task in known],
    )
    return max(attempts, default=0), max(timeouts_s, default=0)
