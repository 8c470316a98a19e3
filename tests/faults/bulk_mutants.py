"""Mutants of bulks, of the list of failures, and of an operator's retries."""

from __future__ import annotations

from tests.faults.mutant import Mutant, one

_LIST_MUTANTS = (
    one(
        "a failed order is not listed",
        "table/conditional_write.py",
        "if transition.target is Status.FAILED:",
        "if transition.target is None:",
    ),
    one(
        "a retried order is still listed as failed",
        "table/retries.py",
        '"check_shard": dispatch.check_shard,',
        '"check_shard": current.check_shard,',
    ),
    one(
        "the sweeper looks at failed orders",
        "table/by_due.py",
        'return [f"{kind}#{n}" for n in range(config.settings().due_shards)]',
        "from chalicelib import dispatch, tasks\n\n"
        '    own = [f"{kind}#{n}" for n in range(config.settings().due_shards)]\n'
        "    return own + [s for task in tasks.known() for s in dispatch.failure_shards(task)]",
    ),
    one(
        "failures of the same microsecond come in any order",
        "table/failures.py",
        "yield from sorted(entries, reverse=newest_first)",
        "yield from entries",
    ),
    one(
        "a list by pages skips failures of the same microsecond",
        "overview.py",
        "after is None or entry < after)",
        "after is None or entry.at < after.at)",
    ),
)
_RETRY_MUTANTS = (
    one(
        "a retry by pages skips failures of the same microsecond",
        "operators.py",
        "after is None or entry > after)",
        "after is None or entry.at > after.at)",
    ),
    one(
        "a retry ignores failed_before",
        "web/operator_views.py",
        '_member(body.failed_before, "failed_before", clock.now())',
        "clock.now()",
    ),
    one(
        "a retry of chosen orders ignores failed_before",
        "operators.py",
        "if status is Status.FAILED and order.updated_at < before:",
        "if status is Status.FAILED and order.updated_at < (clock.now() if chosen else before):",
    ),
    one(
        "a retry goes on behind an order whose outcome is unknown",
        "operators.py",
        "in outcomes.items() if not isinstance(each, Unavailable)]",
        "in outcomes.items()]",
    ),
    one(
        "a retry is not spread",
        "operators.py",
        "run_at = now + int(over_s * SECOND * _share(order.id)) if over_s else None",
        "run_at = now if over_s else None",
    ),
    one(
        "an operator's retry restarts a cancelled order",
        "operators.py",
        "if status is Status.FAILED and order.updated_at < before:",
        "if status is Status.CANCELLED or (status is Status.FAILED and order.updated_at < before):",
    ),
    one(
        "an order is sent before it is retried",
        "service.py",
        "    try:\n        retried = retries.retry(order,",
        "    _send(order, dispatch, send)\n    try:\n        retried = retries.retry(order,",
    ),
    one(
        "a token that may write opens an operator's route",
        "auth.py",
        "if scope not in token.scopes:",
        "if scope not in token.scopes and not (scope == ADMIN and WRITE in token.scopes):",
    ),
    one(
        "an operator's request is not logged",
        "web/operations.py",
        "if operation.scope == auth.ADMIN:",
        "if operation.scope is None:",
    ),
)
_BULK_MUTANTS = (
    one(
        "all orders of a bulk have one id",
        "web/bulk_views.py",
        'ids.id_of(owner, key, "bulk", str(n))',
        'ids.id_of(owner, key, "bulk")',
    ),
    one(
        "the id of an order in a bulk is a random one",
        "web/bulk_views.py",
        'ids.id_of(owner, key, "bulk", str(n))',
        "ids.new_id()",
    ),
    one(
        "a bulk goes on after AWS failed",
        "bulk.py",
        "            outcomes.append(error)\n            break",
        "            outcomes.append(error)",
    ),
    one(
        "a bulk does not tell what is unknown",
        "web/bulk_bodies.py",
        "return unknown, len(errors) - unknown",
        "return 0, len(errors) - unknown",
    ),
    one(
        "a bulk uses all the time of its function",
        "bulk.py",
        "if time_left_s() < RESERVE_S:",
        "if time_left_s() < 0:",
    ),
    one(
        "an order of a bulk is sent before it is written",
        "service.py",
        "    stored = transitions.insert(order)\n",
        "    _send(order, dispatch, send)\n    stored = transitions.insert(order)\n",
    ),
    one(
        "messages that are left at the end are not sent",
        "outbox.py",
        "        self.flush()",
        "        self._lanes.clear()",
    ),
    one(
        "messages that SQS refused are taken for sent",
        "queue.py",
        'response.get("Failed") or ()]',
        "()]",
    ),
    one(
        "a batch of messages that is not sent fails the bulk",
        "outbox.py",
        "        except Unavailable as error:",
        "        except NotImplementedError as error:",
    ),
    one(
        "a repeated bulk wastes slots",
        "bulk.py",
        "replays = replays or placed.replayed",
        "replays = False",
    ),
)
BULK_MUTANTS: tuple[Mutant, ...] = (*_LIST_MUTANTS, *_RETRY_MUTANTS, *_BULK_MUTANTS)
