"""The story: a customer orders nuggets and gets a number; the kitchen fries six at a time."""

from __future__ import annotations

import math
import time
from typing import Annotated, Literal

from msgspec import Meta, Struct

from chalicelib.tasks import task

PER_BATCH = 6
BATCH_S = 0.5
PRICES_CENTS = {"nugget": 45, "sauce": 30}


class Receipt(Struct, frozen=True):
    """The receipt in the box. Prices are in cents."""

    pieces: int
    sauce: str
    batches: int
    total_cents: int
    receipt: str


@task
def cook_nuggets(
    pieces: Annotated[int, Meta(ge=1, le=120)],
    sauce: Literal["barbecue", "curry", "sweet and sour", "none"] = "barbecue",
) -> Receipt:
    """Fry nuggets, half a second for each six of them, and print the receipt."""
    batches = math.ceil(pieces / PER_BATCH)
    time.sleep(batches * BATCH_S)
    total_cents = pieces * PRICES_CENTS["nugget"]
    if sauce != "none":
        total_cents += PRICES_CENTS["sauce"]
    total = f"{total_cents // 100}.{total_cents % 100:02d}"
    text = f"{pieces} nuggets, sauce: {sauce}. Total {total}. Enjoy!"
    return Receipt(pieces, sauce, batches, total_cents, text)
