"""Secrets of tasks, from AWS's SSM Parameter Store: `secrets.get("STRIPE_KEY")`.

A secret is declared under `secrets:` in orderline.yaml, and stored by `python -m dev secret set`.
Its value is in this process's memory alone: never in the environment, a log line or the template.
https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
"""

from __future__ import annotations

from time import monotonic  # bound here: a task may leave time.monotonic patched

from chalicelib import config
from chalicelib.aws.client import client, translated
from chalicelib.endpoints import Aws
from chalicelib.errors import CallRefused, SecretMissing, TaskMistake

CACHE_S = 300
_cache: dict[tuple[str, Aws], tuple[float, str]] = {}


def get(name: str) -> str:
    """Return the value of a secret. It is cached for 5 minutes, so a new value is seen by then.

    Raises TaskMistake if the secret is not declared (in Lambda SecretMissing), SecretMissing if it
    is not stored, Unavailable if AWS can't be reached; after the last two the attempt is retried as
    after any other error.
    """
    declared = config.settings().secret_parameters
    if name not in declared:
        if config.aws().in_lambda:  # a deploy updates code and settings one after the other
            raise SecretMissing(f"this function does not know the secret {name} yet, or any more")
        known = f" (declared: {', '.join(sorted(declared))})" if declared else ""
        raise TaskMistake(
            f"no secret {name!r} is declared{known}; add it under `secrets:` in orderline.yaml"
        )
    key = declared[name], config.aws()
    read_at, value = _cache.get(key, (float("-inf"), ""))
    if monotonic() - read_at >= CACHE_S:
        value = _read(name, declared[name])
        _cache[key] = monotonic(), value
    return value


def forget() -> None:
    """Forget all values, for tests."""
    _cache.clear()


def _read(name: str, parameter: str) -> str:
    try:
        with translated():
            response = client("ssm").get_parameter(Name=parameter, WithDecryption=True)
    except CallRefused as refusal:
        raise SecretMissing(
            f"the secret {name} is not stored (SSM parameter {parameter}); store it:"
            f" python -m dev secret set {name}, for a deployed stack with --stage"
        ) from refusal
    return response["Parameter"]["Value"]
