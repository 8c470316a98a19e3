"""The only place that makes AWS clients for the commands: in the region that AWS_REGION names, if it is set.

AWS's command line and its other SDKs read AWS_REGION; boto3 knows AWS_DEFAULT_REGION and the profile alone, and would
deploy to the profile's region, or destroy there.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
"""

from __future__ import annotations

import os
from typing import Any

import boto3


def region() -> str | None:
    """The region of every client; None if nothing names one."""
    return _named() or boto3.session.Session().region_name


def credentials() -> Any:
    """What the environment, the profile or the machine gives; None if there are none."""
    return boto3.session.Session().get_credentials()


def client(service: str, **options: Any) -> Any:
    return boto3.client(service, **{"region_name": _named(), **options})


def resource(service: str) -> Any:
    return boto3.resource(service, region_name=_named())


def _named() -> str | None:
    return os.environ.get("AWS_REGION") or None  # None: boto3 looks further
