"""Report each night: one order per branch, so that a failing branch does not stop the others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from chalicelib.tasks import Context, task

SALES = {"harbour": 120, "market": 340, "station": 95}  # your database, in real life


@task(cron="0 2 * * *")
def nightly_report(order: Context, day: str = "") -> dict[str, str]:
    """Order a report of each branch for `day`, YYYY-MM-DD; yesterday (UTC) if left out."""
    day = day or (datetime.now(timezone.utc) - timedelta(days=1)).strftime("%Y-%m-%d")
    return {
        branch: order.place("branch_report", {"branch": branch, "day": day}, name=branch)
        for branch in SALES
    }


@task(max_attempts=8, backoff_s=30)
def branch_report(branch: str, day: str) -> dict[str, str | int]:
    """Count the sales of a branch on a day."""
    return {"branch": branch, "day": day, "sales": SALES[branch]}
