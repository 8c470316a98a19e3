"""Mutants: each condition and guard of the state machine, weakened. The suite must fail for each.

`python -m tests.faults.mutants` runs each mutant against the short form of the proof's layers until
one fails, and prints the kill matrix of docs/mutants.md. With --all, each runs against every layer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.backoff_mutants import BACKOFF_MUTANTS
from tests.faults.bulk_mutants import BULK_MUTANTS
from tests.faults.mutant import Mutant, one
from tests.faults.sweep_mutants import SWEEP_MUTANTS
from tests.faults.waiting_mutants import WAITING_MUTANTS
from tests.faults.webhook_mutants import WEBHOOK_MUTANTS

ROOT = Path(__file__).parents[2]
LAYERS = {
    "stateful tests": ["tests/faults/test_state_machine.py"],
    "flows": [
        "tests/functional/test_every_order_ends.py",
        "tests/functional/test_messages.py",
        "tests/functional/test_attempts.py",
        "tests/functional/test_long_backoff.py",
        "tests/functional/test_sweep.py",
        "tests/functional/test_aws_faults.py",
        "tests/functional/test_idempotency.py",
        "tests/functional/test_tasks_that_place.py",
        "tests/functional/test_periodic.py",
        "tests/functional/test_polling.py",
        "tests/functional/test_files.py",
        "tests/functional/test_lanes.py",
        "tests/functional/test_rate.py",
        "tests/functional/test_stop.py",
        "tests/functional/test_fan_in.py",
        "tests/functional/test_fan_in_races.py",
        "tests/functional/test_notify.py",
        "tests/functional/test_webhook_delivery.py",
        "tests/functional/test_webhook_sender.py",
        "tests/functional/test_bulk.py",
        "tests/functional/test_outbox.py",
        "tests/functional/test_failures.py",
        "tests/functional/test_operator.py",
    ],
    "faults": ["tests/faults/test_faults.py", "tests/faults/test_webhook_faults.py"],
    "interleavings": [
        "tests/faults/test_interleavings.py",
        "tests/faults/test_fan_in_interleavings.py",
        "tests/faults/test_bulk_interleavings.py",
    ],
    "model": ["tests/model"],
}


FREE = "(#status = :pending OR lease_until < :now)"
MUTANTS = (
    one(
        "finish is not fenced",
        "table/transitions.py",
        '"fence = :fence", {":fence"',
        '"version <> :fence", {":fence"',
    ),
    one(
        "claim ignores the lease",
        "table/transitions.py",
        FREE,
        "(#status = :pending OR lease_until <> :now)",
    ),
    Mutant(
        "claim ignores the status",
        (
            (
                "chalicelib/table/transitions.py",
                FREE,
                "(#status <> :pending OR lease_until <> :now OR version > :now)",
            ),
            ("chalicelib/orders.py", 'Transition("T3", OPEN,', 'Transition("T3", OPEN + FINAL,'),
        ),
    ),
    one("claim ignores the attempts", "table/transitions.py", " AND attempts < max_attempts", ""),
    one(
        "claim ignores run_at",
        "table/transitions.py",
        "attribute_not_exists(run_at) OR run_at <= :now",
        "version < :now",
    ),
    one(
        "attempts are not counted at the claim",
        "table/transitions.py",
        "attempts = attempts + :one",
        "attempts = attempts",
    ),
    one(
        "an own write is not recognised",
        "table/conditional_write.py",
        "row is not None and row.fence == fence",
        "row is None",
    ),
    one(
        "a duplicate on a live lease is acknowledged",
        "functions/worker.py",
        'return Keep(((row.lease_until or 0) - now) // SECOND + 1, "live_lease")',
        "return Ack()",
    ),
    one(
        "a message is acknowledged though AWS failed",
        "queue.py",
        'logs.event("aws_unavailable", reason=str(error))',
        "return False",
    ),
    one(
        "an unknown task is acknowledged",
        "functions/worker.py",
        'return Keep(delay_s, "unknown_task_or_version")',
        "return Ack()",
    ),
    one(
        "the message of a task that has moved is not forwarded",
        "functions/worker.py",
        "        queue.forward(message, task.name, lane)\n",
        "",
    ),
    one(
        "a worker runs a task of another lane",
        "functions/worker.py",
        "if lane != config.settings().lane:",
        "if lane == '':",
    ),
    one(
        "a full lane stops the sweep of the others",
        "functions/sweeper.py",
        "if all(within.get(lane, 1) <= 0 for lane in all_lanes):",
        "if any(within.get(lane, 1) <= 0 for lane in all_lanes):",
    ),
    one(
        "the claim ignores the slot",
        "table/transitions.py",
        "(attempts > :zero OR",
        "(attempts >= :zero OR",
    ),
    one(
        "a late order keeps its slot",
        "table/transitions.py",
        "slot_at > :slots AND",
        "slot_at <> :slots AND",
    ),
    one(
        "an order starts before its slot",
        "table/transitions.py",
        "AND slot_at <= :now))",
        "AND slot_at <> :now))",
    ),
    one(
        "an owner's retry keeps the slot",
        "table/retries.py",
        '_OF_THE_ROUND = ("slot_at", "stop_at",',
        '_OF_THE_ROUND = ("stop_at",',
    ),
    one(
        "slots leave no room for late starts",
        "table/slots.py",
        "(WINDOW_S + TOLERANCE_S) * SECOND",
        "WINDOW_S * SECOND",
    ),
    one(
        "a slot that another function has taken is taken again",
        "table/slots.py",
        '"attribute_not_exists(#next_at) OR #next_at < :now"',
        '"attribute_not_exists(#next_at) OR #next_at <> :now"',
    ),
    one(
        "the message of an order whose slot is ahead is acknowledged",
        "functions/rate.py",
        "return Ack() if dispatch.delay_s is None else",
        "return Ack() if dispatch else",
    ),
    one(
        "the message of a slot comes as late as any other",
        "dispatch.py",
        "skew_s = 0 if start == slot_at else CLOCK_SKEW_S",
        "skew_s = 3 if start == slot_at else CLOCK_SKEW_S",
    ),
    one(
        "an order that is refused has taken a slot",
        "building.py",
        "    task = find(new_order.task)\n    now = clock.now()\n",
        "    task = find(new_order.task)\n    now = clock.now()\n"
        "    if task.per_minute:\n        slots.reserve(task.name, task.per_minute)\n",
    ),
    one(
        "a failed attempt keeps its lease",
        "table/transitions.py",
        'removes=("lease_until", "progress")',
        'removes=("progress",)',
    ),
    one(
        "a final order stays in the due index",
        "table/conditional_write.py",
        '("check_at", "check_shard", *removes)',
        "removes",
    ),
    one(
        "give_up ignores a newer write",
        "table/transitions.py",
        'f"fence = :fence AND {NOT_HELD}"',
        'f"fence <> :now AND version <> :fence AND {NOT_HELD}"',
    ),
    Mutant(
        "give_up ignores a live lease",
        (
            (
                "chalicelib/table/transitions.py",
                'f"fence = :fence AND {NOT_HELD}"',
                '"fence = :fence AND fence <> :now"',
            ),
            ("chalicelib/functions/checks.py", " or order.held(now)", ""),
            ("chalicelib/functions/dead_letters.py", " or order.held(now)", ""),
        ),
    ),
    one(
        "cancel in any state",
        "orders.py",
        'Transition("T8", (Status.PENDING,)',
        'Transition("T8", OPEN',
    ),
    one(
        "cancel ignores the retry round",
        "table/transitions.py",
        '"retry_round = :retry_round",\n        {":retry_round": current.retry_round},',
        '"retry_round >= :retry_round",\n        {":retry_round": 0},',
    ),
    one(
        "the sweeper requeues what is not due",
        "table/transitions.py",
        '"fence = :fence AND requeue_count = :requeue_count"\n'
        '        f" AND check_at = :check_at AND check_at <= :now AND',
        '"fence <> :fence AND requeue_count <> :fence AND version <> :check_at"\n'
        '        f" AND requeue_count <> :now AND requeue_count >= :requeue_count AND',
    ),
    one(
        "the sweeper ignores the waiting messages",
        "functions/budgets.py",
        "if not any(waiting.values()):",
        "if waiting or not waiting:",
    ),
    one(
        "the sweeper does not record what it requeued",
        "functions/checks.py",
        "    updated = transitions.resend(order, dispatch)\n    if",
        "    updated = order\n    if",
    ),
    Mutant(
        "a dead letter breaks a live lease",
        (
            ("chalicelib/functions/dead_letters.py", " or order.held(now)", ""),
            (
                "chalicelib/table/transitions.py",
                "orders.POSTPONE,\n        now,\n        NOT_HELD,",
                'orders.POSTPONE,\n        now,\n        "version <> :now",',
            ),
        ),
    ),
    one(
        "an owner's retry keeps the TTL",
        "table/retries.py",
        '"stop_at", "expires_at", "lease_until", "runnable_since")',
        '"stop_at", "lease_until", "runnable_since")',
    ),
    one(
        "an owner's retry ignores the retry round",
        "table/retries.py",
        '"retry_round = :retry_round AND expires_at > :now_s"',
        '"retry_round <> :now_s AND retry_round >= :retry_round AND expires_at > :now_s"',
    ),
    one(
        "an owner's retry keeps the attempts",
        "table/retries.py",
        '"attempts": 0,',
        "",
    ),
    one(
        "an order replaces one that is there",
        "table/transitions.py",
        '"attribute_not_exists(pk) OR expires_at <= :now_s"',
        '"attribute_not_exists(pk) OR created_at > :now_s"',
    ),
    one(
        "a failed send fails the POST",
        "ending.py",
        "    except Unavailable as error:\n        logs",
        "    except Unavailable as error:\n        raise\n        logs",
    ),
    one("the ETag ignores what is included", "web/etag.py", ", *sorted(include)])", "])"),
    one(
        "the fingerprint ignores run_at",
        "building.py",
        "self.delay_s, self.run_at]",
        "self.delay_s]",
    ),
    one(
        "no margin before Lambda's own timeout",
        "functions/worker.py",
        "time_left_s() - MARGIN_S)",
        "time_left_s())",
    ),
    one(
        "a tick's id lacks the task's name",
        "functions/periodic.py",
        'id_of("tick", task.name, str(tick))',
        'id_of("tick", str(tick))',
    ),
    one(
        "the long-overdue rule is ignored",
        "functions/sweeper.py",
        "unreachable if now - check_at >= LONG_OVERDUE else limited",
        "limited",
    ),
    one(
        "a retry is dispatched without run_at",
        "service.py",
        "UNKNOWN if waits_for else run_at)",
        "UNKNOWN if waits_for else None)",
    ),
    one(
        "the delay allows for no clock skew",
        "dispatch.py",
        "ceil_div(ahead, SECOND) + skew_s if ahead else 0",
        "ceil_div(ahead, SECOND)",
    ),
    one(
        "the message's task runs, not the row's",
        "table/transitions.py",
        " AND task = :task",
        " AND (task = :task OR version < :now)",
    ),
    one(
        "a tick that was placed is placed again",
        "functions/periodic.py",
        "if tick <= previous.tick or not",
        "if not",
    ),
    one(
        "a retried parent places its follow-ups again",
        "service.py",
        "str(parent.created_at), name)",
        "str(parent.version), name)",
    ),
    Mutant(
        "a result is recorded before its file is stored",
        (
            (
                "chalicelib/execution/registry.py",
                "files.save(file)",
                'vars(files).setdefault("late", []).append(file)',
            ),
            (
                "chalicelib/functions/worker.py",
                "updated = outcomes.record(order, outcome, backoff)",
                "updated = outcomes.record(order, outcome, backoff)\n"
                '        [files.save(file) for file in vars(files).get("late", [])]',
            ),
        ),
    ),
    Mutant(
        "the row is written before its large input is stored",
        (
            (
                "chalicelib/building.py",
                "return files.OrderFiles(owner).save_text(text)",
                "return hashlib.sha256(text.encode()).hexdigest()",
            ),
            (
                "chalicelib/service.py",
                "    stored = transitions.insert(order)\n",
                "    stored = transitions.insert(order)\n"
                "    if order.input_file:\n"
                "        text = json.dumps(\n"
                '            new_order.input, ensure_ascii=False, separators=(",", ":")\n'
                "        )\n"
                "        files.OrderFiles(owner).save_text(text)\n",
            ),
        ),
    ),
    Mutant(
        "a large result is recorded before it is stored",
        (
            (
                "chalicelib/functions/outcomes.py",
                "Success(None, files.save_text(result))",
                "Success(result, __import__('hashlib').sha256(result.encode()).hexdigest())",
            ),
            (
                "chalicelib/functions/worker.py",
                "        updated = outcomes.record(order, outcome, backoff)\n",
                "        updated = outcomes.record(order, outcome, backoff)\n"
                '        if getattr(outcome, "result_file", None):\n'
                '            OrderFiles(order.owner).save_text(outcome.result or "")\n',
            ),
        ),
    ),
    one(
        "a retry does not renew its large input",
        "building.py",
        'files.keep(order.owner, order.input_file, run_at, "/input")',
        "pass",
    ),
    one(
        "a follow-up's file is not stored", "functions/actions.py", "self._files.save(file)", "pass"
    ),
    one(
        "a missing file is accepted",
        "files.py",
        "if stored is None:\n        raise FileMissing(",
        "if stored is None:\n        from chalicelib.aws.s3 import Stored\n\n"
        '        return Stored(0, "", run_at)\n    if not stored:\n        raise FileMissing(',
    ),
    one(
        "a file need not outlive its order",
        "files.py",
        "* DAY >= needed_until",
        "* DAY >= run_at",
    ),
    one(
        "a retry does not check its files",
        "building.py",
        "order.owner, task.signature.files(text), run_at",
        "order.owner, (), 0",
    ),
    one(
        "a file's key lacks its owner", "files.py", 'return f"{owner}/{file_id}"', "return file_id"
    ),
    one(
        "a task gets other bytes than its file's",
        "files.py",
        "if digest.hexdigest() != file_id:",
        "if not file_id:",
    ),
    one(
        "a result may name a file that is not stored",
        "files.py",
        "if file.store is None:",
        "if file.store == 0:",
    ),
    one(
        "a file that can't be read ends its order at once",
        "functions/outcomes.py",
        "sentence = str(error)\n            transient = True",
        "sentence = str(error)",
    ),
    *WAITING_MUTANTS,
    *WEBHOOK_MUTANTS,
    *BACKOFF_MUTANTS,
    *BULK_MUTANTS,
    *SWEEP_MUTANTS,
)


def weakened(mutant: Mutant, target: Path) -> Path:
    """Copy the project and apply the mutant.

    Raises AssertionError if an old text is not in its file exactly once.
    """
    ignore = shutil.ignore_patterns(
        ".git", ".venv", ".local", "build", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, target, ignore=ignore)
    for file, old, new in mutant.edits:
        text = (target / file).read_text()
        assert text.count(old) == 1, f"{mutant.name}: {file} does not hold {old!r} once"
        (target / file).write_text(text.replace(old, new))
    return target


def seconds_to_red(project: Path, tests: list[str]) -> float | None:
    """Run the tests; return the seconds until one failed, or None if all passed."""
    started_at = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "SEED": "1", "MUTANT": "1"}
    run = subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False)
    assert run.returncode in (0, 1), run.stdout.decode()[-2000:]
    return time.monotonic() - started_at if run.returncode else None


def matrix(every_layer: bool) -> bool:
    """Print the kill matrix as a Markdown table; return True if every mutant was killed."""
    say("| mutant | " + " | ".join(LAYERS) + " |\n|---|" + "---|" * len(LAYERS))
    killed_all = True
    for mutant in MUTANTS:
        cells: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            project = weakened(mutant, Path(folder) / "project")
            for tests in LAYERS.values():
                if cells[-1:] and cells[-1].startswith("red") and not every_layer:
                    break
                red = seconds_to_red(project, tests)
                cells.append("green" if red is None else f"red, {red:.0f} s")
        say(f"| {mutant.name} | " + " | ".join([*cells, *[""] * (len(LAYERS) - len(cells))]) + " |")
        killed_all &= any(cell.startswith("red") for cell in cells)
    return killed_all


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(not matrix(every_layer="--all" in sys.argv))
