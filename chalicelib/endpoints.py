"""Endpoints and credentials of AWS, read from the environment as botocore reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from chalicelib.config import Settings

VARIABLES = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SSM",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


class Aws(Struct, frozen=True):
    """Endpoints and credentials of AWS: everything that an AWS client is made from."""

    in_lambda: bool
    """True inside a Lambda function."""
    region: str
    """Name of the region, such as us-east-1."""
    dynamodb_url: str
    """Endpoint of DynamoDB; empty: the region's own."""
    sqs_url: str
    """Endpoint of SQS; empty: the region's own."""
    s3_url: str
    """Endpoint of S3; empty: the region's own."""
    ssm_url: str
    """Endpoint of SSM; empty: the region's own."""
    dns_suffix: str
    """Domain of the region's endpoints."""
    sigv4: bool
    """True: sign calls in aws/sigv4.py; False: call botocore, the only one that moto can mock."""
    key_id: str
    """Access key id."""
    secret: str
    """Secret access key."""
    session_token: str
    """Token of temporary credentials; empty: none."""

    def __repr__(self) -> str:
        return f"Aws({self.region}, {self.key_id})"  # without the secrets

    def endpoint(self, service: str) -> str:
        """Return the configured endpoint of a service; empty: the region's own."""
        return str(getattr(self, f"{service}_url"))

    def missing(self, service: str) -> str | None:
        """Return why this service must not be called from here, or None if it may be called.

        This protects real accounts from accidents: outside Lambda, either an endpoint is configured
        (the local cloud) or the credentials can't be those of an account (moto). Profiles are never
        read. Access keys of real accounts begin with AKIA or ASIA:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        """
        if self.in_lambda or self.endpoint(service):
            return None
        if self.key_id and not self.key_id.startswith(("AKIA", "ASIA")):
            return None
        return (
            "no cloud is configured here:"
            " run `make run`, or `. .local/env` while the local cloud runs"
        )


def read_aws(environ: Mapping[str, str], settings: Settings) -> Aws:
    """Return the AWS endpoints and credentials of an environment; variables as in botocore.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    in_lambda = bool(environ.get("AWS_LAMBDA_FUNCTION_NAME"))
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    shared_url = environ.get("AWS_ENDPOINT_URL", "")
    partition_suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    transport = settings.aws_transport or ("sigv4" if in_lambda else "botocore")
    return Aws(
        in_lambda=in_lambda,
        region=region,
        dynamodb_url=environ.get("AWS_ENDPOINT_URL_DYNAMODB") or shared_url,
        sqs_url=environ.get("AWS_ENDPOINT_URL_SQS") or shared_url,
        ssm_url=environ.get("AWS_ENDPOINT_URL_SSM") or shared_url,
        s3_url=environ.get("AWS_ENDPOINT_URL_S3") or shared_url,
        dns_suffix=settings.dns_suffix or partition_suffix,
        sigv4=transport == "sigv4",
        key_id=environ.get("AWS_ACCESS_KEY_ID", ""),
        secret=environ.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=environ.get("AWS_SESSION_TOKEN", ""),
    )
