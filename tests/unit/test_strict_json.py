"""Strict JSON is read as Python reads it, and anything else is refused. See also test_bad_input."""

from __future__ import annotations

import json
import time

import pytest

from chalicelib.web import strict_json
from chalicelib.web.problems import Problem
from chalicelib.web.strict_json import parse


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '""',
        "0",
        "-0.0",
        "null",
        " {\n\t} ",
        "1e308",
        "-1e-400",
        "12345678901234567890123",
        '"\\u0000\\n"',
        '"\\ud83d\\ude00 \U0001f600"',
        '"\\\\\\""',
        '{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}',
        '["[{", "}]", "\\"["]',
        "[" * 64 + "]" * 64,
        "[" + "[1]," * 500 + "1]",
        '"' + "x" * 100_000 + '"',
        "9" * 4300,
    ],
)
def test_strict_json_is_read_as_python_reads_it(text: str) -> None:
    assert repr(parse(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 65 + b"]" * 65,
        b"[[" + b"[]," * 9 + b"[" * 63,
        b'"\\' * 35_000,
        b'"' * 69_999,
        b'"' + b"\\" * 69_999,
        b"1" * 69_999,
        b'["' * 35_000,
    ],
)
def test_no_body_breaks_the_parser_or_takes_it_a_second(body: bytes) -> None:
    began = time.process_time()

    with pytest.raises(Problem):
        parse(body)

    assert time.process_time() - began < 1


class CountingName(str):
    """A member's name that counts its comparisons with other names."""

    __slots__ = ()
    __hash__ = str.__hash__
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountingName.comparisons += 1
        return str.__eq__(self, other)


def test_a_duplicate_among_many_members_is_found_in_linear_time() -> None:
    names = [CountingName(f"member{number}") for number in [*range(2000), 1999]]
    CountingName.comparisons = 0

    with pytest.raises(Problem, match="duplicate member 'member1999'"):
        strict_json._object([(name, 1) for name in names])

    assert CountingName.comparisons < 2 * len(names), (
        "comparing each name with each takes a second for 64 KB"
    )


@pytest.mark.parametrize(
    "text",
    [
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "'a'",
        "[1,]",
        '{"a":1,}',
        "{a:1}",
        "// x\n1",
        "nul",
        '"\\x41"',
        '"\\u12"',
        '"\t"',
        "\u00a0{}",
        "{}\u00a0",
        "-NaN",
        "[NaN]",
    ],
)
def test_leniency_of_python_or_javascript_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(text.encode())

    assert caught.value.name == "invalid-json"
