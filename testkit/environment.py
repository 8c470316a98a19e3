"""The environment of the tests: nothing of the shell's, and the lanes of orderline.yaml.

Import it first: what is imported later reads the environment.
"""

from __future__ import annotations

import os

from chalicelib import config
from dev.packaging import own

# Tests must not depend on the shell, which may have loaded .local/env. Remove all settings, AWS and
# client variables but AWS_TRANSPORT, which `make test` sets for its second run. Settings are read
# on use, so it is early enough for all tests.
for _name in list(os.environ):
    if _name != "AWS_TRANSPORT" and (
        _name.startswith(("AWS_", "ORDERLINE_")) or _name in config.VARIABLES
    ):
        del os.environ[_name]

_own = own.read()
os.environ.update(_own.environments())
own.install(_own, os.environ)
