"""What a running task may do for its order: report progress, hear a stop, place follow-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from chalicelib import building, service
from chalicelib.errors import ConditionFailed, InvalidOrder, Unavailable
from chalicelib.execution.context import Done
from chalicelib.execution.file import files_in
from chalicelib.files import OrderFiles
from chalicelib.orders import Order, Progress, Status
from chalicelib.prerequisites import MAX_AFTER
from chalicelib.table import batch_get, stops, transitions
from chalicelib.tasks import TOGETHER

# Of all attempts together: their ids are in the row, 27 bytes each; see config.MAX_ROW_BYTES
MAX_FOLLOW_UPS = 3500


class OrderActions:
    """The actions of a context for a claimed order."""

    def __init__(self, order: Order, files: OrderFiles) -> None:
        self._order = order
        self._files = files
        self.follow_ups = dict.fromkeys(order.follow_ups)
        """Ids of all follow-ups, also of earlier attempts, in the order of placing."""

    def report(self, progress: Progress) -> bool:
        """Store the progress; return True if the order is to be stopped, or its claim is lost."""
        try:
            return transitions.report(self._order, progress).stopping
        except ConditionFailed:
            return True
        except Unavailable:  # the next report may succeed
            return False

    def is_stopping(self) -> bool:
        """Return True if the order is to be stopped, or its claim is lost."""
        with suppress(Unavailable):  # the next read may succeed
            return stops.is_asked(self._order)
        return False

    def place(self, task: str, input: Any, name: str, after: Sequence[str], when: str) -> str:
        """Place a follow-up, after its new files are stored; return its id.

        If it is to wait for more orders than a row can name, it waits for orders that each wait for
        some of them.
        """
        while len(after) > MAX_AFTER:
            after = [
                self.place(TOGETHER, {}, f"{name} {len(after)}/{start}", chunk, when)
                for start, chunk in _chunks(after)
            ]
        follow_up_id = service.follow_up_id(self._order, name)
        if len(self.follow_ups) >= MAX_FOLLOW_UPS and follow_up_id not in self.follow_ups:
            raise InvalidOrder(
                f"an order places at most {MAX_FOLLOW_UPS} others; let one of them place the rest"
            )
        for file in files_in(input):
            self._files.save(file)
        service.follow_up(self._order, task, input, name, after, when)
        self.follow_ups[follow_up_id] = None
        return follow_up_id

    def after(self) -> list[Done]:
        """Read the orders that this one waited for. Raises Unavailable."""
        rows = self._read(self._order.after or ())
        return [done for id, row in rows for done in self._done(id, row)]

    def _read(self, order_ids: Sequence[str]) -> list[tuple[str, Order | None]]:
        rows = batch_get.orders(self._order.owner, order_ids) if order_ids else {}
        return [(id, rows.get(id)) for id in order_ids]

    def _done(self, id: str, row: Order | None) -> Iterator[Done]:
        """Yield an order's end, or those of the orders that it waited for on our behalf."""
        if row is None:
            yield Done(id, "", "EXPIRED", None, None)
        elif row.task == TOGETHER:
            for each, its_row in self._read(row.after or ()):
                yield from self._done(each, its_row)
        else:
            text = building.with_texts(row).result
            result = None if text is None else msgspec.json.decode(text)
            error = row.error if row.status is Status.FAILED else None
            yield Done(id, row.task, row.status.value, result, error)


def _chunks(ids: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the start of each chunk of ids that a row can name, and the chunk."""
    for start in range(0, len(ids), MAX_AFTER):
        yield start, ids[start : start + MAX_AFTER]
