"""Make AWS clients for the commands, in the region that AWS_REGION names if it is set.

AWS's command line and its other SDKs read AWS_REGION. boto3 reads only AWS_DEFAULT_REGION and the
profile, so it would deploy to the profile's region, or destroy there. No other module of the
commands may make a client.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
"""

from __future__ import annotations

import os
from typing import Any

import boto3


def region() -> str | None:
    """Return the region of every client; None if nothing names one."""
    return _region_variable() or boto3.session.Session().region_name


def credentials() -> Any:
    """Return the credentials of the environment, the profile or the machine, or None."""
    return boto3.session.Session().get_credentials()


def client(service: str, **options: Any) -> Any:
    return boto3.client(service, **{"region_name": _region_variable(), **options})


def resource(service: str) -> Any:
    return boto3.resource(service, region_name=_region_variable())


def _region_variable() -> str | None:
    return os.environ.get("AWS_REGION") or None  # None: boto3 looks further
