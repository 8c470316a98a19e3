"""Reference numbers and fencing tokens."""

from __future__ import annotations

import pytest

from chalicelib import ids


def test_a_reference_number_has_128_bits_and_no_letters_that_look_like_digits() -> None:
    new_ids = {ids.new_id() for _ in range(1000)}

    assert len(new_ids) == 1000
    assert all(ids.is_id(id) and not set(id) & set("ILOU") for id in new_ids)
    assert {id[0] for id in new_ids} <= set("01234567")  # 26 letters hold 130 bits


@pytest.mark.parametrize(
    "text", ["", "0" * 25, "0" * 27, "I" + "0" * 25, "a" * 26, "é" * 26, " " + "0" * 25]
)
def test_a_text_of_another_form_is_not_a_reference_number(text: str) -> None:
    assert not ids.is_id(text)


def test_the_same_parts_give_the_same_id_and_others_another() -> None:
    assert ids.id_of("kit", "k") == ids.id_of("kit", "k") == "75688V3NQY2VM1H7EF9M2A6BVN"
    parts_of_ids = [("kit", "k"), ("ki", "tk"), ("kitk", ""), ("k", "kit")]
    assert len({ids.id_of(*parts) for parts in parts_of_ids}) == 4


def test_fencing_tokens_differ() -> None:
    assert len({ids.new_fence() for _ in range(1000)}) == 1000
