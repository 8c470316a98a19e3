"""Tables and buckets: they hold a stack's data, and a stage may retain them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.exceptions import ClientError

from dev import aws
from dev.deploy.bucket import account
from dev.packaging.template import BUCKET, TABLE


def pseudo_parameters(stack: str) -> dict[str, str]:
    """Return the values that CloudFormation puts into the names of this stack's resources."""
    region = aws.region()
    assert region is not None
    return {"AWS::StackName": stack, "AWS::AccountId": account(), "AWS::Region": region}


def existing(stack: str) -> list[str]:
    """Return the tables and the bucket of a stack that exist, such as `table orderline-dev-orders`.

    It finds those too that a deleted stack retained.
    """
    names = {bucket_name(stack): BUCKET, f"{stack}-orders": TABLE, f"{stack}-tokens": TABLE}
    return [described(kind, name) for name, kind in names.items() if exists(kind, name)]


def bucket_name(stack: str) -> str:
    """Return the name of a stack's bucket of files, as the template composes it."""
    values = pseudo_parameters(stack)
    return f"{stack}-files-{values['AWS::AccountId']}-{values['AWS::Region']}"


def described(kind: str, name: str) -> str:
    return f"{'table' if kind == TABLE else 'bucket'} {name}"


def exists(kind: str, name: str) -> bool:
    return _table_exists(name) if kind == TABLE else bucket_exists(name)


def bucket_exists(name: str) -> bool:
    try:
        aws.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise
    return True


def empty_bucket(name: str) -> None:
    """Delete every object of a bucket."""
    aws.resource("s3").Bucket(name).objects.delete()


def delete(stack: str) -> None:
    """Delete the tables and the bucket of a stack that exist."""
    for table in (f"{stack}-orders", f"{stack}-tokens"):
        if _table_exists(table):
            aws.client("dynamodb").delete_table(TableName=table)
    bucket = bucket_name(stack)
    if bucket_exists(bucket):
        empty_bucket(bucket)
        aws.client("s3").delete_bucket(Bucket=bucket)


def lifecycle(days: int) -> dict[str, Any]:
    """Return the bucket's lifecycle, as the template has it in CloudFormation's terms."""
    rule = {
        "ID": "expire",
        "Status": "Enabled",
        "Filter": {},
        "Expiration": {"Days": days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    return {"Rules": [rule]}


def set_lifecycle(bucket: str, days: int) -> None:
    aws.client("s3").put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=lifecycle(days)
    )


def lifecycle_days(bucket: str) -> int | None:
    """Return the days after which S3 deletes all objects of a bucket; None: it keeps them."""
    try:
        response = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
            return None
        raise
    days = [
        rule["Expiration"]["Days"]
        for rule in response["Rules"]
        if rule["Status"] == "Enabled" and "Days" in rule.get("Expiration", {})
    ]
    return min(days, default=None)


def delete_expired(bucket: str) -> None:
    """Delete what the bucket's lifecycle would have deleted: the local cloud applies none."""
    if (days := lifecycle_days(bucket)) is None:
        return
    oldest = datetime.now(timezone.utc) - timedelta(days=days)
    for each in aws.resource("s3").Bucket(bucket).objects.all():
        if each.last_modified < oldest:
            each.delete()


def _table_exists(name: str) -> bool:
    dynamodb = aws.client("dynamodb")
    try:
        dynamodb.describe_table(TableName=name)
    except dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True
