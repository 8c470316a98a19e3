"""An order and its life: the statuses and the table of transitions."""

from __future__ import annotations

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
        "T13": ((P,), None),
        "T14": ((R,), None),
        "T15": ((R,), C),
        "T16": ((P, R), C),
        "T17": ((P, R), None),
        "T18": ((P,), None),
        "T19": ((P,), None),
    }


def test_only_a_retry_leaves_a_final_status() -> None:
    from_final = {
        transition.label
        for transition in TRANSITIONS
        for source in transition.sources
        if source.final
    }
    assert from_final == {"T11"}
