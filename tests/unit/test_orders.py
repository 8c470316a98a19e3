"""An order and its life: the statuses, the table of transitions, the reference numbers."""

from __future__ import annotations

import pytest

from chalicelib import orders
from chalicelib.orders import FINAL, MEANING, OPEN, TRANSITIONS, Status


def test_every_status_is_open_or_final_and_has_a_meaning() -> None:
    assert set(OPEN) | set(FINAL) == set(Status)
    assert not set(OPEN) & set(FINAL)
    assert [status for status in Status if status.final] == list(FINAL)
    assert set(MEANING) == set(Status)


def test_the_transitions_are_those_of_the_design() -> None:
    P, R, S, F, C = Status

    assert {
        transition.label: (transition.sources, transition.target) for transition in TRANSITIONS
    } == {
        "T1": ((), P),
        "T3": ((P, R), R),
        "T4": ((R,), S),
        "T5": ((R,), P),
        "T6": ((R,), F),
        "T7": ((P, R), F),
        "T8": ((P,), C),
        "T9": ((P, R), None),
        "T10": ((P, R), None),
        "T11": ((F, C), P),
        "T12": ((R,), None),
    }


def test_only_a_retry_leaves_a_final_status() -> None:
    from_final = {
        transition.label
        for transition in TRANSITIONS
        for source in transition.sources
        if source.final
    }
    assert from_final == {"T11"}


def test_a_reference_number_has_128_bits_and_no_letters_that_look_like_digits() -> None:
    ids = {orders.new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(orders.is_id(id) and not set(id) & set("ILOU") for id in ids)
    assert {id[0] for id in ids} <= set("01234567")  # 26 letters hold 130 bits


@pytest.mark.parametrize(
    "text", ["", "0" * 25, "0" * 27, "I" + "0" * 25, "a" * 26, "é" * 26, " " + "0" * 25]
)
def test_a_text_of_another_form_is_not_a_reference_number(text: str) -> None:
    assert not orders.is_id(text)


def test_the_same_parts_give_the_same_id_and_others_another() -> None:
    assert orders.id_of("kit", "k") == orders.id_of("kit", "k") == "75688V3NQY2VM1H7EF9M2A6BVN"
    parts_of_ids = [("kit", "k"), ("ki", "tk"), ("kitk", ""), ("k", "kit")]
    assert len({orders.id_of(*parts) for parts in parts_of_ids}) == 4


def test_fencing_tokens_differ() -> None:
    assert len({orders.new_fence() for _ in range(1000)}) == 1000
