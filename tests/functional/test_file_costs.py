"""The requests to S3 that docs/performance.md counts."""

from __future__ import annotations

from pathlib import Path

from benchmarks import costs

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def test_a_photo_takes_four_requests_to_s3() -> None:
    assert costs.photo_requests() == {"s3:PutObject": 1, "s3:GetObject": 3}


def test_the_table_of_the_docs_is_what_these_requests_cost() -> None:
    dollars = costs.photo_dollars(costs.photo_requests())
    rows = {
        "S3 requests": "6.20",
        "S3 storage": "27.60",
        "API Gateway": "3.50",
        "Lambda": "0.70",
        "one download": "274.58",
    }
    assert {name: f"{usd:.2f}" for name, usd in dollars.items()} == rows
    page = PAGE.read_text(encoding="utf-8")
    for usd in rows.values():
        assert f" {usd} |" in page
