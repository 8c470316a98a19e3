"""The user's own configuration, the file orderline.yaml: read it and check it strictly.

The file is never in upstream's tree, so a merge can't touch it. Without it, nothing changes.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct, field

from chalicelib import config
from chalicelib.config import DEFAULT_LANE, DEFAULTS, WEBHOOKS_LANE
from dev.packaging import PackageError
from dev.packaging.cloudformation import Loader
from dev.packaging.members import Environment, Lane, Right, Secrets, Sizes, Webhooks, ranges

NAME = "orderline.yaml"
PATH = Path(__file__).parents[2] / NAME
EXAMPLE = Path(__file__).with_name(NAME)
_LANE = re.compile(r"[a-z][a-z0-9]{0,19}")
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
T = TypeVar("T", bound=Struct)


class Own(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file, for one stage."""

    lanes: dict[str, Lane] = field(default_factory=dict)
    """Lanes by name; the default lane is always there."""
    environment: Environment = field(default_factory=dict)
    """Variables of all workers."""
    secrets: Secrets = field(default_factory=dict)
    """Secrets of all workers."""
    rights: list[Right] = field(default_factory=list)
    """Statements for the roles of all workers."""
    parameters: dict[str, str | int] = field(default_factory=dict)
    """Values of the template's parameters, which `SET=` overrides."""
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """CloudFormation resources to add, and changes of those that the template has."""
    examples: bool = True
    """Whether the tasks in chalicelib/tasks/examples/ are there."""
    webhooks: Webhooks | None = None
    """The lane that delivers webhooks; None: there are no webhooks."""

    @property
    def others(self) -> dict[str, Sizes]:
        """The lanes beside the default lane, that of webhooks too."""
        builtin = {WEBHOOKS_LANE: self.webhooks.lane()} if self.webhooks is not None else {}
        return {
            **{name: lane for name, lane in self.lanes.items() if name != DEFAULT_LANE},
            **builtin,
        }

    @property
    def default(self) -> Lane:
        """The default lane."""
        return self.lanes.get(DEFAULT_LANE, Lane())

    @property
    def parts(self) -> list[Own | Lane]:
        """What has an environment, secrets and rights: the file as a whole, and each lane."""
        return [self, *self.lanes.values()]

    def timeouts(self, default_s: int) -> dict[str, int]:
        """Return each other lane's timeout in seconds; `default_s`: of those without their own."""
        return {name: lane.timeout_s or default_s for name, lane in self.others.items()}

    def secret_parameters(self, stack: str) -> dict[str, str]:
        """Return the SSM parameter of each secret of any lane."""
        return {
            name: parameter or f"/{stack}/{name}"
            for part in self.parts
            for name, parameter in part.secrets.items()
        }

    def variables(self, default_timeout_s: int, stack: str = DEFAULTS.stack) -> dict[str, str]:
        """Return the settings for a process of the app outside Lambda, such as a test."""
        secrets = self.secret_parameters(stack)
        return {
            "WORKER_TIMEOUT_S": str(default_timeout_s),
            "LANES": json.dumps(self.timeouts(default_timeout_s)) if self.others else "",
            "SECRETS": json.dumps(secrets) if secrets else "",
            "EXAMPLES": "on" if self.examples else "off",
        }

    def environments(self) -> dict[str, str]:
        """Return the variables of all workers, but those that only CloudFormation knows."""
        return {
            name: str(value)
            for part in self.parts
            for name, value in part.environment.items()
            if not isinstance(value, dict)
        }


def read(stage: str = "", path: Path | None = None) -> Own:
    """Return the file's content for a stage; empty if there is no file.

    Raises PackageError, which names the member and what it may be.
    """
    content = _load(path)
    stages = content.pop("stages", None) or {} if isinstance(content, dict) else {}
    if not isinstance(stages, dict):
        raise PackageError(f"{NAME}: `stages` must map the names of stages to members of this file")
    own = {
        name: _converted(merged(copy.deepcopy(content), over), name)
        for name, over in stages.items()
    }
    return own.get(stage) or _converted(content)


def stages(path: Path | None = None) -> list[str]:
    """Return the stages that the file names."""
    content = _load(path)
    return sorted(content.get("stages") or {}) if isinstance(content, dict) else []


def install(own: Own, environ: MutableMapping[str, str]) -> None:
    """Set the file's settings in an environment, where it has none, so that tasks can be imported.

    A timeout that the file doesn't set stays unset: each caller has a default of its own.
    """
    for name, value in own.variables(default_timeout_s(own, environ)).items():
        if value and (name != "WORKER_TIMEOUT_S" or own.default.timeout_s):
            environ.setdefault(name, value)


def variables_of(stage: str) -> dict[str, str]:
    """Return the settings with which the tasks of a stage can be imported."""
    own = read(stage)
    return own.variables(default_timeout_s(own, os.environ))


def create(path: Path = PATH) -> None:
    """Create the file from the commented example. Raises PackageError if there is one."""
    if path.exists():
        raise PackageError(f"{path.name} exists already; edit it")
    path.write_text(EXAMPLE.read_text())


def default_timeout_s(own: Own, environ: Mapping[str, str]) -> int:
    """Return the default lane's timeout in seconds, as the file sets it or else an environment."""
    text = environ.get("WORKER_TIMEOUT_S", "")
    return own.default.timeout_s or (int(text) if text.isdigit() else DEFAULTS.worker_timeout_s)


def merged(base: Any, over: Any) -> Any:
    """Merge `over` into `base`, dicts recursively; a None doesn't replace a dict.

    One of CloudFormation's functions, such as `!Ref AWS::NoValue`, is a value, and never merged.
    """
    if _is_function(base) or _is_function(over):
        return base if over is None else over
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{name: merged(base.get(name), member) for name, member in over.items()}}
    return base if over is None and isinstance(base, dict) else over


def _is_function(value: Any) -> bool:
    if not (isinstance(value, dict) and len(value) == 1):
        return False
    (name,) = value
    return name == "Ref" or str(name).startswith("Fn::")


def _load(path: Path | None) -> Any:
    """Return the file's content, not yet checked; empty if there is no file."""
    path = path or Path(os.environ.get("ORDERLINE_YAML", PATH))
    try:
        return (yaml.load(path.read_text(), Loader) if path.exists() else None) or {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise PackageError(f"{NAME} can't be read: {' '.join(str(error).split())}") from error


def _converted(content: Any, stage: str = "") -> Own:
    """Check the content of the file, for one of its stages. Raises PackageError."""
    where = f"{NAME}, stage {stage}" if stage else NAME
    lanes = content.get("lanes") if isinstance(content, dict) else None
    if isinstance(lanes, dict):
        content["lanes"] = {
            name: _convert(lane or {}, Lane, f"{where}: lanes.{name}", ".")
            for name, lane in lanes.items()
        }
    if isinstance(content, dict) and "webhooks" in content:  # a key without a value is enough
        sizes = {} if content["webhooks"] is None else content["webhooks"]
        content["webhooks"] = _convert(sizes, Webhooks, f"{where}: webhooks", ".")
    own = _convert(content, Own, where)
    if mistake := next(_mistakes(own), None):
        raise PackageError(f"{where}: {mistake}")
    return own


def _convert(content: Any, type: type[T], where: str, at: str = ": ") -> T:
    """Convert a part of the file. Raises PackageError."""
    if isinstance(content, dict):  # a member without a value is as good as none
        content = {name: member for name, member in content.items() if member is not None}
    try:
        return msgspec.convert(content, type)
    except msgspec.ValidationError as error:
        reason, _, member = str(error).partition(" - at `$.")
        member = member.rstrip("`")
        if "unknown field" in reason:
            names = [each.encode_name for each in msgspec.structs.fields(type)]
            reason += f"; the members are {', '.join([*names, 'stages'] if type is Own else names)}"
        elif issubclass(type, Sizes) and member in ranges(type):
            reason = "must be from {} to {}".format(*ranges(type)[member])
        elif type is Webhooks and not member:
            reason += "; `webhooks: {}` is enough, and without the member there are no webhooks"
        raise PackageError(f"{where}{member and at + member}: {reason}") from error


def _member(lane: str) -> str:
    """Return where the file sets a lane's numbers."""
    return lane if lane == WEBHOOKS_LANE else f"lanes.{lane}"


def _mistakes(own: Own) -> Iterator[str]:
    """Yield what the types can't tell."""
    if WEBHOOKS_LANE in own.lanes:
        yield (
            f"lanes.{WEBHOOKS_LANE}: the name is that of the built-in lane of webhooks; give yours"
            " another name, or write the sizes of the built-in lane under `webhooks:`"
        )
    for name, lane in {**own.lanes, **own.others}.items():
        if not _LANE.fullmatch(name):
            yield f"the lane {name!r}: a name has at most 20 lowercase letters and digits"
        if lane.reserved and lane.concurrency and lane.reserved < lane.concurrency:
            yield (
                f"{_member(name)}: reserved is {lane.reserved}, below the concurrency of"
                f" {lane.concurrency}: Lambda would throttle the difference; make them equal"
            )
    parameters = dict[str, str | None]()
    for name, parameter in (pair for part in own.parts for pair in part.secrets.items()):
        if parameters.setdefault(name, parameter) != parameter:
            yield f"the secret {name} has two parameters: give one of the two another name"
    for name in (name for part in own.parts for name in (*part.environment, *part.secrets)):
        if not _VARIABLE.fullmatch(name):
            yield f"{name!r} can't be the name of a variable: it has letters, digits and _"
        if name in config.VARIABLES:
            yield (
                f"{name} is a setting of Orderline, not a variable of tasks: use `parameters`, or"
                " .chalice/<stage>.yaml (docs/settings.md)"
            )
