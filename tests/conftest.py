"""Set up the processes that run our own tests, and distribute tests over those of `pytest -n`."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest

from chalicelib.tasks import load_examples

# These tests place orders for the examples, even if orderline.yaml says `examples: false`
os.environ["EXAMPLES"] = "on"
load_examples()

# Shared by the processes of `pytest -n`
os.environ.setdefault("SEED", str(random.randrange(10**6)))

# A shell starts background jobs with SIGINT ignored, and processes that tests start and interrupt
# would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

# Test modules whose tests must run in one process, by the name of their group: they build the
# package in the same folder, or share what takes long to compute
GROUPS = {
    "builds": ("deploy", "doctor", "fronts", "package", "transformed", "upgrade", "verify"),
    "templates": ("regions", "rights", "settings_page", "template"),
}
# The groups, modules and independent tests that take longest; they start first
SLOWEST = (
    *("builds", "recovery", "local_stack", "webhooks", "soak", "chord", "libraries", "readme"),
    *("howtos", "bulk", "operator_retry", "fuzz", "kept", "long_list"),
    "tests/model/test_model.py::test_no_property_breaks[slots]",
    "templates",
    "tests/faults/test_state_machine.py::TestOrderline::runTest",
    "tests/faults/test_faults.py::test_orders_survive_two_or_three_random_faults",
    "tests/functional/test_rate.py::test_300_orders_at_once_keep_the_limit_while_workers_die",
    "tests/model/test_model.py::test_no_property_breaks[long backoffs]",
)


def group(nodeid: str) -> str:
    """Return the name of the tests that run in the same process as this one.

    A module's local tests share a running stack; other tests are independent.
    """
    path = nodeid.partition("::")[0]
    module = path.rpartition("/")[2].removeprefix("test_").removesuffix(".py")
    for name, modules in GROUPS.items():
        if module in modules:
            return name
    return module if path.startswith(("tests/acceptance/", "tests/fuzz/")) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute groups of tests.

    pytest-xdist's own `--dist loadgroup` ignores groups since pytest 9.2:
    https://github.com/pytest-dev/pytest-xdist/issues/1386
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  # not in requirements.txt

    config.option.loadscopereorder = False  # keep the order of pytest_collection_modifyitems
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest groups first, so that none of them starts when the others have ended."""
    ranks = {name: rank for rank, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: ranks.get(group(item.nodeid), len(ranks)))
