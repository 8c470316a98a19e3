"""Stateful tests: hypothesis picks the order of requests, deliveries, crashes, sweeps and time.

The checker looks at each write and each run; at the end of an example every order must be final.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
)

from chalicelib.clock import SECOND
from tests.faults.flows import KINDS
from tests.faults.world import SEED, WHOLE, World

MAX_WITH_SLOTS = 6
_shared: list[World] = []


@pytest.fixture(scope="module", autouse=True)
def shared(world: World) -> Iterator[None]:
    """Share the module's world with the machines, which hypothesis makes without arguments."""
    _shared.append(world)
    yield
    _shared.clear()


@seed(SEED)
class Orderline(RuleBasedStateMachine):
    """A machine whose state is the world's; a rule is an action of a client, of AWS or of time."""

    placed: Bundle[str] = Bundle("placed")
    presses: Bundle[str] = Bundle("presses")

    def __init__(self) -> None:
        super().__init__()
        self.world = _shared[0]
        self.world.fresh()
        self.with_slots = 0

    def _paced(self, count: int = 1) -> str:
        """Return the task with slots for the next orders, unless many others have it.

        While the world settles, most miss their slots and go to the end of the line.
        """
        self.with_slots += count
        return "paced" if self.with_slots <= MAX_WITH_SLOTS else "proof"

    @rule(target=placed, kind=st.sampled_from(KINDS))
    def place(self, kind: str) -> str:
        return self.world.place(kind)

    @rule(
        target=placed, kind=st.sampled_from(KINDS), seconds=st.sampled_from([1, 60, 899, 901, 5000])
    )
    def place_for_later(self, kind: str, seconds: int) -> str:
        return self.world.place(kind, run_at=self.world.cloud.clock() + seconds * SECOND)

    @rule(target=placed, kind=st.sampled_from((*KINDS, "parent")))
    def place_with_file(self, kind: str) -> str:
        return self.world.place_with_file(kind)

    @rule(target=placed, kind=st.sampled_from((*KINDS, "parent")))
    def place_large(self, kind: str) -> str:
        return self.world.place_large(kind)

    @rule(target=placed, kind=st.sampled_from((*KINDS, "parent")))
    def place_with_a_slot(self, kind: str) -> str:
        return self.world.place(kind, self._paced())

    @rule(target=placed, seconds=st.sampled_from([1, 60, 901]))
    def place_with_a_slot_for_later(self, seconds: int) -> str:
        run_at = self.world.cloud.clock() + seconds * SECOND
        return self.world.place("ok", self._paced(), run_at=run_at)

    @rule(
        target=placed,
        after=st.lists(placed, min_size=1, max_size=3, unique=True),
        kind=st.sampled_from(KINDS),
        when=st.sampled_from(["success", "end"]),
    )
    def place_after(self, after: list[str], kind: str, when: str) -> MultipleResults[str]:
        order_id = self.world.place_after(after, kind, when)
        return multiple(order_id) if order_id in self.world.accepted else multiple()

    @rule(target=placed, kind=st.sampled_from(KINDS))
    def place_one_that_is_stopped(self, kind: str) -> str:
        return self.world.place(kind, "stopped")

    @rule(target=placed, task=st.sampled_from(["inviting", "fanning", "branching"]))
    def place_one_that_others_wait_for(self, task: str) -> str:
        return self.world.place("flaky", task)

    @rule(
        target=placed,
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        task=st.sampled_from(["proof", "broken", "broken", "paced"]),
    )
    def place_a_bulk(self, kinds: list[str], task: str) -> MultipleResults[str]:
        task = self._paced(len(kinds)) if task == "paced" else task
        return multiple(*self.world.place_many(kinds, task))

    @rule(target=presses, over_s=st.sampled_from([0, 0, 2400]))
    def operator_retries(self, over_s: int) -> str:
        return self.world.retry_failed(over_s=over_s)

    @rule(before=presses)
    def operator_repeats_a_retry(self, before: str) -> None:
        self.world.retry_failed(before)

    @rule(
        order_ids=st.lists(placed, min_size=1, max_size=3, unique=True), by_operator=st.booleans()
    )
    def cancel_or_stop_many(self, order_ids: list[str], by_operator: bool) -> None:
        self.world.cancel_many(order_ids, by_operator)

    @rule(order_id=placed)
    def claim_by_a_worker_that_dies(self, order_id: str) -> None:
        if '"task": "paced"' not in self.world.body(order_id):  # a claim of those needs a slot
            self.world.claim(order_id, lease_s=60)

    @rule(count=st.sampled_from([1, 30]))
    def others_take_slots(self, count: int) -> None:
        self.world.take_slots(count)

    @rule(order_id=placed)
    def cancel_or_stop(self, order_id: str) -> None:
        self.world.cancel(order_id)

    @rule(order_id=placed)
    def retry(self, order_id: str) -> None:
        self.world.retry(order_id)

    @rule(batch=st.sampled_from([1, 1, 3]), dead=st.booleans())
    def deliver(self, batch: int, dead: bool) -> None:
        self.world.deliver(batch, dead)

    @rule(calls=st.integers(0, 3), after=st.booleans())
    def deliver_to_a_worker_that_dies(self, calls: int, after: bool) -> None:
        wire = self.world.wire
        wire.faults[len(wire.calls) + calls] = wire.killed_after if after else wire.killed
        self.world.deliver()
        wire.faults.clear()

    @rule(order_id=placed)
    def duplicate_a_message(self, order_id: str) -> None:
        self.world.duplicate(order_id)

    @rule()
    def lose_all_messages(self) -> None:
        self.world.lose_messages()

    @rule(order_id=placed)
    def bury_a_message(self, order_id: str) -> None:
        self.world.bury(order_id)

    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @rule(seconds=st.sampled_from([1, 10, 63, 125, 400, 4000, 30 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.world.advance(seconds)

    @invariant()
    def no_invariant_is_broken(self) -> None:
        assert not self.world.checker.broken, self.world.checker.broken

    def teardown(self) -> None:
        self.world.settle()
        self.world.check()


TestOrderline = Orderline.TestCase
TestOrderline.settings = settings(
    max_examples=400 if WHOLE else 25,
    stateful_step_count=40 if WHOLE else 20,
    deadline=None,
    # Shrinking a mutant's failing example would take minutes
    phases=[Phase.generate] if os.environ.get("MUTANT") else list(Phase),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)
