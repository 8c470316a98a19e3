"""The stub of AWS that `make bench` starts the functions against."""

from __future__ import annotations

import pytest

from benchmarks import canned
from chalicelib.functions.sweeper import sweep


def test_it_answers_every_call_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with canned.answering() as aws:
        monkeypatch.setenv("AWS_TRANSPORT", "sigv4")
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        monkeypatch.setenv("QUEUE_URL", f"{aws.url}/queue/orderline-dev-orders")

        assert sweep(lambda: 60).largest_overdue_s == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert '"event":"swept"' in line
