"""Mutants of webhooks: each guard of a delivery, weakened; see mutants.py."""

from __future__ import annotations

from tests.faults.mutant import Mutant, one

WEBHOOK_MUTANTS = (
    Mutant(
        "an order is written before its deliveries",
        (
            (
                "chalicelib/notify.py",
                "deliveries.append(transitions.insert(delivery))",
                "deliveries.append(delivery)",
            ),
            (
                "chalicelib/service.py",
                "    stored = transitions.insert(order)\n",
                "    stored = transitions.insert(order)\n"
                "    list(map(transitions.insert, deliveries))\n",
            ),
            (
                "chalicelib/service.py",
                "    except ConditionFailed as refusal:\n        notify.withdraw",
                "        list(map(transitions.insert, deliveries))\n"
                "    except ConditionFailed as refusal:\n        notify.withdraw",
            ),
        ),
    ),
    one(
        "a stray delivery is not recognised",
        "ending.py",
        "if row and rounds.is_named(delivery, row):",
        "if row:",
    ),
    one("a stray delivery is cancelled too early", "ending.py", "_AFTER_S = 900", "_AFTER_S = 0"),
    one(
        "a delivery tells the order's current status",
        "webhooks/rounds.py",
        "if order.retry_round == retry_round and order.status.final:",
        "if order.status.final:",
    ),
    one(
        "an owner's retry places no new delivery",
        "service.py",
        "order, notify.of(order.owner, order.task, order.notify or ()), order.retry_round + 1",
        "order, (), order.retry_round + 1",
    ),
    Mutant(
        "an owner's retry replaces the dependents",
        (
            (
                "chalicelib/table/retries.py",
                "**added},\n        sets={\n",
                '},\n        sets={\n            "dependents": deliveries,\n',
            ),
            (
                "chalicelib/table/retries.py",
                ' ADD dependents :deliveries" if deliveries else "',
                "",
            ),
        ),
    ),
    one(
        "a repeated request does not withdraw its deliveries",
        "service.py",
        "        notify.withdraw(deliveries, stored)\n",
        "",
    ),
    one(
        "a delivery joins its order",
        "ending.py",
        "if order.task == DELIVER:",
        "if not order.task:",
    ),
    one(
        "a delivery is released before the end of its round",
        "ending.py",
        "        if not rounds.has_ended(delivery, row):\n            return delivery\n",
        "",
    ),
    one(
        "a receiver's Retry-After is ignored",
        "functions/outcomes.py",
        "error.seconds if isinstance(error, TryLater) else 0",
        "0",
    ),
    one(
        "410 does not disable the endpoint",
        "webhooks/delivery.py",
        "        endpoints.disable(endpoint)\n",
        "",
    ),
    Mutant(
        "a redirect is followed",
        (
            (
                "chalicelib/webhooks/sender.py",
                "    return Answer(int(status[1]), _seconds(text))\n",
                '    places = [v.strip() for n, _, v in fields if n.lower() == b"location"]\n'
                "    if places and 300 <= int(status[1]) < 400:\n"
                "        raise RecursionError(places[0].decode())\n"
                "    return Answer(int(status[1]), _seconds(text))\n",
            ),
            (
                "chalicelib/webhooks/sender.py",
                "    fields = (line.partition",
                "    fields = list(line.partition",
            ),
            (
                "chalicelib/webhooks/sender.py",
                "        return _read_answer(connection, deadline)\n",
                "        try:\n            return _read_answer(connection, deadline)\n"
                "        except RecursionError as redirect:\n"
                "            return send(str(redirect), headers, body, allow_local)\n",
            ),
        ),
    ),
    one(
        "a delivery goes to an address that is not public",
        "webhooks/sender.py",
        "if not all(map(targets.is_public, addresses)):",
        "if not addresses:",
    ),
    one(
        "the signature ignores the timestamp",
        "webhooks/signing.py",
        'f"{delivery_id}.{timestamp}."',
        'f"{delivery_id}."',
    ),
)
