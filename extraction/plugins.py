"""What other packages bring, found by name: tasks, their checks, their adapters.

A package names its own in the entry points of its `pyproject.toml`:

    [project.entry-points."assay.tasks"]
    my_task = "my_package.task:TASK"
    [project.entry-points."assay.checks"]
    my_task = "my_package.checks:CHECKS"
    [project.entry-points."assay.adapters"]
    my-adapter = "my_package"                  # its folder `adapter`
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from extraction.errors import AssayError, reason

_OWN = "recipes"  # where Assay's own are found also when it runs from a checkout that is not installed


def installed(group: str, module: str) -> list[str]:
    """The names of a group of entry points, with those of Assay's own recipes that have `module`."""
    names = {entry.name for entry in entry_points(group=group)}
    own = import_module(_OWN)
    return sorted(names | {path.parent.name for base in own.__path__ for path in Path(base).glob(f"*/{module}.py")})


def load(group: str, name: str, module: str, attribute: str) -> Any:
    """The object that a package has named in an entry point, or of a recipe of Assay's own.

    Args:
        group: the entry points' group, `assay.checks` say.
        name: the entry's.
        module, attribute: where a recipe has it: `recipes.NAME.MODULE:ATTRIBUTE`.

    Raises:
        AssayError: nothing installed has that name, or what has it cannot be imported.
    """
    found = next(iter(entry_points(group=group, name=name)), None)
    path, _, within = (found.value if found else f"{_OWN}.{name}.{module}:{attribute}").partition(":")
    if not within:
        raise AssayError(
            f"The name {name} among {group} stands for the module {path} alone; its entry point must name the object, "
            f"{path}:{attribute}."
        )
    source = _named(group, name, path) if found else import_source(path)
    if source is None:
        raise AssayError(
            f"Nothing installed has the name {name} among {group}; known are {', '.join(installed(group, module))}. "
            "Install the package that brings it."
        )
    if not hasattr(source, within):
        raise AssayError(f"{path} has no {within}, which the name {name} among {group} stands for; define it there.")
    return getattr(source, within)


def import_source(path: str) -> ModuleType | None:
    """A module that somebody wrote for Assay; None where there is none of that name.

    Raises:
        AssayError: it is there and cannot be imported; its own line is named.
    """
    try:
        return import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{path}.".startswith(f"{error.name}."):
            return None
        frames = [frame for frame in extract_tb(error.__traceback__) if frame.name == "<module>"]
        at = line_of(error, frames[-1].filename) if frames else path
        raise AssayError(f"{path} cannot be imported ({at}): {type(error).__name__}: {reason(error)}") from error


def line_of(error: Exception, file: str) -> str:
    """The last line of `file` that an error came through, or where it was raised if through none."""
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames
    return f"{own[-1].filename}, line {own[-1].lineno}"


def _named(group: str, name: str, path: str) -> ModuleType:
    """The module that an entry point names."""
    source = import_source(path)
    if source is None:
        raise AssayError(
            f"The name {name} among {group} stands for {path}, and there is no such module; install the package that "
            "brings it anew."
        )
    return source


def adapters() -> list[str]:
    """The names of all installed adapters."""
    return sorted({entry.name for entry in entry_points(group="assay.adapters")})


def adapter_folder(name: str) -> Path | None:
    """The folder of an installed adapter by its name; None where there is none of that name.

    Raises:
        AssayError: the package that has the name cannot be imported, or has no folder `adapter`.
    """
    found = next(iter(entry_points(group="assay.adapters", name=name)), None)
    if found is None:
        return None
    package = _named("assay.adapters", name, found.module)
    folders = [Path(base) / "adapter" for base in getattr(package, "__path__", ())]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise AssayError(
            f"The name {name} among assay.adapters stands for {found.module}, which is no package with a folder "
            "`adapter`; put the adapter there."
        )
    return folder
