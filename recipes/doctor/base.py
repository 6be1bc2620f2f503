"""What the checks of `assay doctor` share: a line each, where they are kept, what a package's versions ought to be."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

GB = 1e9
State = Literal["ok", "warning", "missing", "error"]


@dataclass(frozen=True)
class Line:
    """What a check found; `missing` is something optional that is not here, `remedy` a command wherever one helps."""

    name: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A check: what is looked at, which process does it, and what mends it where it cannot even be tried."""

    look: Callable[..., Line]
    group: str
    broken: str


CHECKS: dict[str, Check] = {}


def alone(name: str) -> str:
    """How a check is done by itself, which says more and waits for it."""
    return f"python -m recipes.doctor {shlex.quote(name)}"


def check(name: str, group: str = "machine", broken: str = "") -> Callable[[Callable[..., Line]], Callable[..., Line]]:
    """Keep a function as the check of a name."""

    def add(look: Callable[..., Line]) -> Callable[..., Line]:
        CHECKS[name] = Check(look, group, broken or alone(name))
        return look

    return add


def system_package(package: str, brew: str) -> str:
    """How a package of the system is installed here."""
    return f"brew install {brew}" if sys.platform == "darwin" else f"apt install {package}"


def unmet(extra: str = "") -> tuple[list[Any], list[Any]]:
    """Of what Assay, or an extra of it, asks for: what is not installed, and what is in a version that won't do."""
    from packaging.requirements import Requirement

    absent, wrong = [], []
    for text in metadata.requires("assay") or ():
        one = Requirement(text)
        of_extra = bool(one.marker) and "extra" in str(one.marker)
        if one.name == "assay" or of_extra != bool(extra) or (one.marker and not one.marker.evaluate({"extra": extra})):
            continue
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            absent.append(one)
            continue
        if not one.specifier.contains(version, prereleases=True):
            wrong.append((one, version))
    return absent, wrong


def misfits(wrong: list[Any]) -> str:
    """What of `unmet` is in a wrong version, in words."""
    return ", ".join(f"{one.name} {version} is not {one.specifier}" for one, version in wrong)
