"""The test kit: Orderline with a mocked cloud, in this process. See `cloud` and docs/testing.md."""

from tests.kit.cloud import Cloud, Ended, Reply
from tests.kit.wire import Wire

__all__ = ["Cloud", "Ended", "Reply", "Wire"]
