"""Mutants of Stop and of orders that wait for others."""

from __future__ import annotations

from tests.faults.mutant import Mutant, one

_STOP_MUTANTS = (
    one(
        "a claim ignores a stop",
        "table/transitions.py",
        'f" AND attribute_not_exists(stop_at){where}"',
        'f"{where}"',
    ),
    one(
        "an attempt is put back after a stop",
        "table/transitions.py",
        'f"{where} AND attribute_not_exists(stop_at)"',
        "where",
    ),
    one(
        "a stop takes the fencing token",
        "table/stops.py",
        '            "fence": current.fence,\n',
        "",
    ),
    one(
        "a stop reaches another attempt",
        "table/stops.py",
        "where, values = held_by(current)",
        'where, values = "version <> :fence", {":fence": current.fence}',
    ),
    one(
        "a second stop replaces the first",
        "table/stops.py",
        'f"{where} AND attribute_not_exists(stop_at)"',
        "where",
    ),
    one(
        "the end of a stopped attempt is not fenced",
        "table/stops.py",
        "where, values = held_by(order)",
        'where, values = "version <> :fence", {":fence": order.fence}',
    ),
    one(
        "a stop cancels an order that a worker holds",
        "table/stops.py",
        'f"fence = :fence AND {NOT_HELD} AND attribute_exists(stop_at)"',
        '"fence = :fence AND fence <> :now AND attribute_exists(stop_at)"',
    ),
    one(
        "an attempt ends as stopped though nobody asked",
        "table/stops.py",
        '    where += " AND attribute_exists(stop_at)"\n',
        "",
    ),
    one(
        "an owner's retry keeps the stop",
        "table/retries.py",
        '"stop_at", "expires_at", "lease_until",',
        '"expires_at", "lease_until",',
    ),
    one(
        "a message of a stopped order does not cancel it",
        "functions/worker.py",
        "if row.stopping:",
        'if row.stopping and row.task == "":',
    ),
    one(
        "the sweeper resends a stopped order",
        "functions/checks.py",
        "    if order.stopping:",
        '    if order.stopping and order.task == "":',
    ),
    one(
        "a dead letter postpones a stopped order",
        "functions/dead_letters.py",
        "if order.stopping:",
        'if order.stopping and order.task == "":',
    ),
    one(
        "a report does not tell of a stop",
        "functions/actions.py",
        "return transitions.report(self._order, progress).stopping",
        "return transitions.report(self._order, progress) is None",
    ),
    one(
        "a task does not hear that its claim is lost",
        "table/stops.py",
        ' or row.get("fence") != encode(order.fence)',
        "",
    ),
    one(
        "a failure after a stop is dropped",
        "functions/outcomes.py",
        "if refusal.row is None or not refusal.row.stopping:",
        "if refusal:",
    ),
)

_END_MUTANTS = (
    one(
        "dependents are released before the end is written",
        "functions/worker.py",
        "    backoff = outcomes.backoff(order, task, outcome)\n    try:",
        "    backoff = outcomes.backoff(order, task, outcome)\n"
        "    if isinstance(outcome, Success):\n"
        "        ending.wake(replace(order, status=orders.Status.SUCCESS))\n"
        "    try:",
    ),
    one(
        "a worker releases nobody",
        "functions/worker.py",
        "        return _wake(updated, time_left_s)",
        "        return Ack()",
    ),
    one(
        "a cancel releases nobody",
        "service.py",
        "ending.ended(cancelled)",
        "ending.log(cancelled)",
    ),
    one(
        "an order that is given up releases nobody",
        "ending.py",
        "ended(transitions.give_up(order, error), sends)",
        "log(transitions.give_up(order, error))",
    ),
    one(
        "an order that is cancelled after a stop releases nobody",
        "ending.py",
        "ended(stops.cancel_stopped(order), sends)",
        "log(stops.cancel_stopped(order))",
    ),
    one(
        "a message is acknowledged though its dependents wait",
        "functions/worker.py",
        'return Keep(RELEASE_AGAIN_S, "release_again")',
        "return Ack()",
    ),
    one(
        "the message of a final order releases nobody",
        "functions/worker.py",
        "return _wake(row, time_left_s) if row else Ack()",
        "return Ack()",
    ),
    one(
        "a repeated cancel releases nobody",
        "service.py",
        "ending.wake(order)  # an earlier",
        "pass  # an earlier",
    ),
    one(
        "a dead letter of a final order releases nobody",
        "functions/dead_letters.py",
        "ending.wake(order, ending.never)",
        "pass",
    ),
    one(
        "a dead letter sends messages",
        "functions/dead_letters.py",
        "ending.give_up(order, error, ending.never)",
        "ending.give_up(order, error)",
    ),
    one(
        "a failure is passed on to the next order only",
        "ending.py",
        "                todo.append(failed)",
        "                pass",
    ),
    one(
        "settle does not pass a failure on",
        "ending.py",
        "if order.status.final and not before.status.final:",
        "if order.status.final and before.status.final:",
    ),
)

_WAIT_MUTANTS = (
    one(
        "a failed order releases those that need its success",
        "ending.py",
        'if order.when == "success" and row.status is not Status.SUCCESS:',
        'if order.when == "":',
    ),
    one(
        "a failed order fails those that need only its end",
        "ending.py",
        'if order.when == "success" and row.status is not Status.SUCCESS:',
        "if row.status is not Status.SUCCESS:",
    ),
    one(
        "a place counts a failure as a success",
        "prerequisites.py",
        'row.status is Status.SUCCESS or (when == "end" and row.status.final)',
        "row.status.final",
    ),
    one(
        "a failure releases in any retry round",
        "ending.py",
        "_release(order.key, over, order.retry_round, sends)",
        "_release(order.key, over, None, sends)",
    ),
    one(
        "a release makes an order wait again",
        "table/fan_in.py",
        'where = "attribute_exists(waits_for)"',
        'where = "version > :one"',
    ),
    one(
        "an order is ready while it waits",
        "table/fan_in.py",
        '"attribute_not_exists(waits_for) AND run_at = :unknown"',
        '"run_at = :unknown"',
    ),
    one(
        "an order is made ready twice",
        "table/fan_in.py",
        '"attribute_not_exists(waits_for) AND run_at = :unknown"',
        '"attribute_not_exists(waits_for) AND run_at <= :unknown"',
    ),
    one(
        "a ready order runs three seconds later",
        "table/fan_in.py",
        '"run_at": now,',
        '"run_at": now + 3_000_000,',
    ),
    one(
        "a worker whose clock is behind drops the message",
        "functions/worker.py",
        "if early > orders.CLOCK_SKEW_S * SECOND:",
        "if early > 0:",
    ),
    one(
        "a ready order keeps its timer",
        "table/fan_in.py",
        '            "check_at": dispatch.check_at,\n'
        '            "check_shard": dispatch.check_shard,\n',
        "",
    ),
    Mutant(
        "the message is sent before the order is ready",
        (
            (
                "chalicelib/ending.py",
                "    try:\n        row = fan_in.ready(order, dispatch)\n",
                "    if dispatch.delay_s is not None:\n"
                "        try_send(order, dispatch.delay_s)\n"
                "    try:\n        row = fan_in.ready(order, dispatch)\n",
            ),
            (
                "chalicelib/ending.py",
                "        try_send(row, dispatch.delay_s)\n    return row\n",
                "        pass\n    return row\n",
            ),
        ),
    ),
    one(
        "no message is sent for a ready order",
        "ending.py",
        "        try_send(row, dispatch.delay_s)\n",
        "        pass\n",
    ),
    one(
        "an order that is only released is never made ready",
        "ending.py",
        "            return _make_ready(order, sends)\n        if",
        "            return order\n        if",
    ),
    one(
        "a repeated release does not make ready",
        "ending.py",
        "final, or in another round\n        row = refusal.row",
        "final, or in another round\n        return refusal.row",
    ),
    one(
        "a join takes the fencing token",
        "table/fan_in.py",
        'sets={"fence": prerequisite.fence}',
        "sets={}",
    ),
    one(
        "a join ignores a newer claim",
        "table/fan_in.py",
        "where, values = held_by(prerequisite)",
        'where, values = "version <> :fence", {":fence": prerequisite.fence}',
    ),
    one(
        "a join that is refused is not tried again",
        "ending.py",
        "  # it was claimed, put back or ended meanwhile\n            row = refusal.row",
        "  # it was claimed, put back or ended meanwhile\n            return refusal.row",
    ),
    one(
        "settle joins nobody",
        "ending.py",
        "row = _join(row, order.id) if row else None",
        "row = row if row else None",
    ),
    one(
        "settle does not try again after a refusal",
        "ending.py",
        "order, prerequisites = refusal.row, None",
        "return refusal.row",
    ),
    Mutant(
        "a retry settles by what it read before",
        (
            (
                "chalicelib/service.py",
                "    waits_for = prerequisites.of_retry(order)\n",
                "    waits_for = prerequisites.of_retry(order)\n"
                "    rows = prerequisites.batch_get.orders(owner, order.after or ())\n",
            ),
            ("chalicelib/service.py", "_settled(retried)  # by", "_settled(retried, rows)  # by"),
        ),
    ),
    one(
        "a place does not settle",
        "service.py",
        "    if not placed.order.waiting:\n",
        "    if not (placed.order.waiting and placed.replayed):\n",
    ),
    one(
        "a replayed place does not settle",
        "service.py",
        "    if not placed.order.waiting:\n",
        "    if not placed.order.waiting or placed.replayed:\n",
    ),
    one(
        "a place that can't be settled fails",
        "service.py",
        '        logs.event("settle_failed"',
        '        raise\n        logs.event("settle_failed"',
    ),
    one(
        "the sweeper does not settle",
        "functions/checks.py",
        "        ending.settle(updated)",
        "        pass",
    ),
    one(
        "the sweeper does not look at waiting orders",
        "functions/sweeper.py",
        "_sweep(WAITING, result, {}, time_left_s)",
        "pass",
    ),
    one(
        "a waiting order is planned by its time",
        "dispatch.py",
        "if run_at == UNKNOWN:",
        "if run_at == -UNKNOWN:",
    ),
    one(
        "a version before would sweep waiting orders",
        "dispatch.py",
        "_shard(WAITING, order_id)",
        "_shard(SCHEDULED, order_id)",
    ),
    one(
        "the timer of a waiting order never slows down",
        "functions/checks.py",
        "resend_after_s * 2**order.requeue_count, MAX_RESEND_S)",
        "resend_after_s, MAX_RESEND_S)",
    ),
    one(
        "a retry does not wait again",
        "prerequisites.py",
        'return unmet(order.after, order.when or "", batch_get.orders(order.owner, order.after))',
        "return frozenset()",
    ),
    one(
        "a retry that waits keeps its time",
        "table/retries.py",
        'return {"waits_for": waits_for, "run_at": orders.UNKNOWN}',
        'return {"waits_for": waits_for}',
    ),
    one(
        "a retry keeps what the order waited for",
        "table/retries.py",
        'released = () if waits_for else ("waits_for",)',
        "released = ()",
    ),
    one(
        "an order fails at once if one before it is not there",
        "ending.py",
        "return clock.now() - order.created_at <= GONE_AFTER_S * SECOND",
        "return clock.now() < order.created_at",
    ),
    one(
        "an order waits for ever for one that is gone",
        "ending.py",
        "return clock.now() - order.created_at <= GONE_AFTER_S * SECOND",
        "return clock.now() >= order.created_at",
    ),
    one(
        "rows that DynamoDB did not read count as missing",
        "table/batch_get.py",
        'response.get("UnprocessedKeys", {})',
        "{}",
    ),
    one(
        "an expired order counts as there",
        "table/batch_get.py",
        " if not order.expired(now)",
        " if order.id",
    ),
    one(
        "an order takes any number of dependents",
        "prerequisites.py",
        "len(found[id].dependents) >= MAX_DEPENDENTS:",
        "len(found[id].dependents) < 0:",
    ),
    one(
        "a chain has no depth",
        "building.py",
        "max((row.depth + 1 for row in (*rows.values(), parent) if row), default=0)",
        "0",
    ),
    one(
        "a deep order is sent by the worker",
        "ending.py",
        "lambda order: order.depth // MAX_DIRECT_DEPTH <= origin.depth // MAX_DIRECT_DEPTH",
        "lambda order: True",
    ),
    one(
        "the fingerprint ignores what an order waits for",
        "building.py",
        "request += [self.after, self.when]",
        "pass",
    ),
    one(
        "the results of a tree are those of its branches",
        "functions/actions.py",
        "elif row.task == TOGETHER:",
        'elif row.task == "":',
    ),
)

WAITING_MUTANTS = (*_STOP_MUTANTS, *_END_MUTANTS, *_WAIT_MUTANTS)
