"""Store the secrets of tasks: in SSM for a deployed stack, in the file .local/secrets for a laptop.

`make run` puts the file's secrets into the local cloud's SSM, so that a task reads them everywhere
by the same call.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dev import aws
from dev.packaging import own
from dev.packaging.package import ROOT


class SecretError(Exception):
    """The operation failed; the message gives the reason and a fix."""


@dataclass(frozen=True)
class Stored:
    """A declared secret: its SSM parameter, and when it was stored; None: it is not stored."""

    parameter: str
    changed: str | None


@dataclass(frozen=True)
class Deployed:
    """The secrets of a deployed stage."""

    stage: str

    @property
    def declared(self) -> dict[str, str]:
        """The SSM parameter of each declared secret."""
        return own.read(self.stage).secret_parameters(f"orderline-{self.stage}")

    def set(self, name: str, value: str) -> None:
        with _translated():
            store(aws.client("ssm"), self.declared[name], value)

    def delete(self, name: str) -> None:
        with _translated():
            aws.client("ssm").delete_parameter(Name=self.declared[name])

    def all(self) -> dict[str, Stored]:
        """Return the declared secrets, without their values."""
        with _translated():
            changed = {
                name: _changed(aws.client("ssm"), parameter)
                for name, parameter in self.declared.items()
            }
        return {name: Stored(self.declared[name], when) for name, when in changed.items()}


@dataclass(frozen=True)
class Laptop:
    """The secrets of `make run`: lines NAME=value in a file, readable by its owner alone."""

    path: Path

    @property
    def declared(self) -> dict[str, str]:
        """The SSM parameter of each declared secret, in the local cloud."""
        return own.read("dev").secret_parameters("orderline-dev")

    def set(self, name: str, value: str) -> None:
        if value.splitlines() != [value]:
            raise SecretError("on a laptop a secret is one line; this value has several")
        self.values()  # the file can be read
        self._write([*self._lines(but=name), f"{name}={value}"])

    def delete(self, name: str) -> None:
        if name not in self.values():
            raise SecretError(f"the secret {name} is not stored")
        self._write(self._lines(but=name))

    def all(self) -> dict[str, Stored]:
        """Return the declared secrets, without their values."""
        values = self.values()
        return {
            name: Stored(parameter, str(self.path) if name in values else None)
            for name, parameter in self.declared.items()
        }

    def values(self) -> dict[str, str]:
        """Return the secrets in the file. Raises SecretError if a line is not NAME=value."""
        values = {}
        for number, line in enumerate(self._lines(), 1):
            name, equals, value = line.partition("=")
            if line.strip() and not line.startswith("#"):
                if not equals:
                    raise SecretError(f"{self.path}, line {number}: must be NAME=value")
                values[name.strip()] = value
        return values

    def _lines(self, but: str = "") -> list[str]:
        """Return the file's lines, but those of one secret."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line for line in lines if not but or line.partition("=")[0].strip() != but]

    def _write(self, lines: list[str]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.touch(mode=0o600)
        self.path.chmod(0o600)  # it may have been made by hand
        self.path.write_text("".join(f"{line}\n" for line in lines))


def secrets_of(stage: str | None) -> Deployed | Laptop:
    """Return the secrets of a deployed stage, or without one those of the laptop."""
    if stage:
        return Deployed(stage)
    return Laptop(ROOT / os.environ.get("LOCAL", ".local") / "secrets")


def require_declared(secrets: Deployed | Laptop, name: str) -> None:
    """Raise SecretError unless orderline.yaml declares the secret."""
    if name not in secrets.declared:
        known = ", ".join(sorted(secrets.declared)) or "none"
        raise SecretError(
            f"no secret {name!r} is declared (declared: {known}); add it under `secrets:` in"
            f" {own.NAME} first (make config creates the file)"
        )


def store(ssm: Any, parameter: str, value: str) -> None:
    """Store a value, encrypted with the account's own key for SSM."""
    ssm.put_parameter(Name=parameter, Value=value, Type="SecureString", Overwrite=True)


def remove(ssm: Any, parameter: str) -> None:
    """Delete a value, if it is stored."""
    with suppress(ssm.exceptions.ParameterNotFound):
        ssm.delete_parameter(Name=parameter)


def _changed(ssm: Any, parameter: str) -> str | None:
    """Return when a parameter was stored; None if it is not."""
    try:
        found = ssm.get_parameter(Name=parameter)["Parameter"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise
    return str(found["LastModifiedDate"].strftime("%Y-%m-%d %H:%M"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        missing = error.response["Error"]["Code"] == "ParameterNotFound"
        raise SecretError("this secret is not stored" if missing else str(error)) from error
    except BotoCoreError as error:  # such as no region, no credentials, or an unknown profile
        raise SecretError(f"{error} (AWS_REGION and AWS_PROFILE select the account)") from error
