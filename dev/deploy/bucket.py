"""S3 bucket that CloudFormation reads code and templates from: one per account and region."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dev import aws


def upload(
    stack: str, zip: Path, template: Callable[[Mapping[str, str]], Mapping[str, Any]]
) -> str:
    """Upload the zip and the template, each under its hash. Return the template's URL.

    Args:
        stack: name of the stack, the prefix of the keys.
        zip: deployment package.
        template: function that makes the template from the zip's location (Bucket and Key).
    """
    s3 = aws.client("s3")
    owner = account()  # so that an upload to a foreign bucket of the same name fails
    name = bucket_name()
    _create_if_missing(s3, name)
    body = zip.read_bytes()
    key = f"{stack}/{hashlib.sha256(body).hexdigest()}.zip"
    s3.put_object(Bucket=name, Key=key, Body=body, ExpectedBucketOwner=owner)
    text = json.dumps(template({"Bucket": name, "Key": key})).encode()
    template_key = f"{stack}/{hashlib.sha256(text).hexdigest()}.json"
    s3.put_object(Bucket=name, Key=template_key, Body=text, ExpectedBucketOwner=owner)
    return f"{s3.meta.endpoint_url}/{name}/{template_key}"


def forget(stack: str) -> None:
    """Delete the objects of a stack, and the bucket once it is empty."""
    bucket = aws.resource("s3").Bucket(bucket_name())
    if bucket.creation_date is None:
        return
    bucket.objects.filter(Prefix=f"{stack}/").delete()
    if not list(bucket.objects.limit(1)):
        bucket.delete()


def account() -> str:
    return str(aws.client("sts").get_caller_identity()["Account"])


def bucket_name() -> str:
    """Return the bucket's name, with the account's number because S3's names are global."""
    return f"orderline-code-{account()}-{aws.region()}"


def _create_if_missing(s3: Any, name: str) -> None:
    region = s3.meta.region_name
    options: dict[str, Any] = {"Bucket": name}
    if region != "us-east-1":  # S3 rejects it as a location constraint
        options["CreateBucketConfiguration"] = {"LocationConstraint": region}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(**options)
