"""The bucket that CloudFormation reads code and templates from: one for each account and region."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cli import aws


def upload(
    stack: str, zip: Path, template: Callable[[Mapping[str, str]], Mapping[str, Any]]
) -> str:
    """The zip, under its hash, and the template made with its place. Returns the template's URL."""
    s3, owner, name = aws.client("s3"), account(), bucket_name()
    _require(s3, name)
    body = zip.read_bytes()
    key = f"{stack}/{hashlib.sha256(body).hexdigest()}.zip"
    s3.put_object(
        Bucket=name, Key=key, Body=body, ExpectedBucketOwner=owner
    )  # nobody else's bucket of that name
    text = json.dumps(template({"Bucket": name, "Key": key})).encode()
    template_key = f"{stack}/{hashlib.sha256(text).hexdigest()}.json"
    s3.put_object(Bucket=name, Key=template_key, Body=text, ExpectedBucketOwner=owner)
    return f"{s3.meta.endpoint_url}/{name}/{template_key}"


def forget(stack: str) -> None:
    """Remove what was uploaded for a stack, and the bucket with its last object."""
    bucket = aws.resource("s3").Bucket(bucket_name())
    if bucket.creation_date is None:
        return
    bucket.objects.filter(Prefix=f"{stack}/").delete()
    if not list(bucket.objects.limit(1)):
        bucket.delete()


def account() -> str:
    return str(aws.client("sts").get_caller_identity()["Account"])


def bucket_name() -> str:
    """S3's names are the world's: the account's number makes it ours."""
    return f"orderline-code-{account()}-{aws.region()}"


def _require(s3: Any, name: str) -> None:
    region = s3.meta.region_name
    where = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, **where)
