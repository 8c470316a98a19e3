"""`make verify-aws` in the parts that the local cloud can show."""

from __future__ import annotations

import pytest

from cli.formation import describe
from cli.verify import CHECKS, NAME
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.test_deploy import typed

pytestmark = pytest.mark.local


def test_it_deploys_checks_measures_and_leaves_nothing(local_cloud: LocalCloud) -> None:
    done = typed("verify", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  ok ") == len(CHECKS)
    assert "accepted to SUCCESS: median" in done.stdout
    assert "OrderWorker: " in done.stdout
    assert describe(NAME) is None
