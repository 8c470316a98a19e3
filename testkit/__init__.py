"""The test kit: Orderline with a mocked cloud, in this process. See `cloud` and docs/testing.md."""

from testkit import environment  # isort: skip  # before what imports tasks
from testkit.cloud import Cloud, Ended, Reply
from testkit.wire import Wire

__all__ = ["Cloud", "Ended", "Reply", "Wire", "environment"]
