"""What a running task may do for its order: report progress, hear a stop, place follow-ups."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from chalicelib import service
from chalicelib.errors import ConditionFailed, InvalidOrder, Unavailable
from chalicelib.execution.file import files_in
from chalicelib.files import OrderFiles
from chalicelib.orders import Order, Progress
from chalicelib.table import stops, transitions

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

    def place(self, task: str, input: Any, name: str) -> str:
        """Place a follow-up, after its new files are stored; return its id."""
        follow_up_id = service.follow_up_id(self._order, name)
        if len(self.follow_ups) >= MAX_FOLLOW_UPS and follow_up_id not in self.follow_ups:
            raise InvalidOrder(
                f"an order places at most {MAX_FOLLOW_UPS} others; let one of them place the rest"
            )
        for file in files_in(input):
            self._files.save(file)
        service.follow_up(self._order, task, input, name)
        self.follow_ups[follow_up_id] = None
        return follow_up_id
