"""Count the words of a text in S3: the order carries the object's key, the result another key."""

from __future__ import annotations

import functools
import json
from collections import Counter
from typing import Annotated, Any

from msgspec import Meta

from chalicelib.tasks import task

BUCKET = "my-texts"  # not an input: a client must not choose what the worker may read
Key = Annotated[str, Meta(min_length=1, max_length=900, pattern="^texts/")]


class NoSuchText(ValueError):
    """The bucket has no object with this key: upload it first."""


@task(no_retry_on=(NoSuchText,))
def count_words(key: Key) -> dict[str, str | int]:
    """Count the words of the text at `texts/...`, and store the counts at `counts/...`."""
    counts = Counter(word for line in _lines(key) for word in line.lower().split())
    target = f"counts/{key.removeprefix('texts/')}.json"
    # A repeated attempt is harmless: it writes the same object again
    _s3().put_object(Bucket=BUCKET, Key=target, Body=json.dumps(counts).encode())
    return {"key": target, "words": counts.total()}


def _lines(key: str) -> list[str]:
    try:
        body = _s3().get_object(Bucket=BUCKET, Key=key)["Body"]
    except _s3().exceptions.NoSuchKey as error:
        raise NoSuchText(f"{NoSuchText.__doc__} ({key})") from error
    return [line.decode("utf-8", "replace") for line in body.iter_lines()]


@functools.cache
def _s3() -> Any:
    """Return the client, created once, by the first order: boto3 would slow every cold start."""
    import boto3  # noqa: PLC0415 only this task pays for the import

    return boto3.client("s3")
