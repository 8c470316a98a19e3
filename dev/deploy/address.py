"""The address of a stack's HTTP API, at which clients call it, whatever its front is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def api_address(outputs: Mapping[str, str], endpoint: str | None) -> str:
    """Return the URL without a slash at its end, from a stack's outputs.

    `endpoint`: the local cloud's URL, where it serves the API too; None for AWS.
    """
    api = outputs.get("API") or outputs["EndpointURL"]  # of a version that knew only REST APIs
    if endpoint:
        url = urlsplit(api)
        api_id, service = url.netloc.split(".")[:2]  # of ID.execute-api.REGION.amazonaws.com
        api = f"{endpoint}/_aws/{service}/{api_id}{url.path}"
    return api.rstrip("/")
