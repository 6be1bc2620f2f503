"""What went wrong on the user's side, in words the user can act on."""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any


class AssayError(Exception):
    """A mistake of input, with cause and remedy in one or two sentences.

    The command line prints the message without a traceback and exits with code 2.
    """


class DocumentError(AssayError):
    """A document that cannot be read: missing, encrypted, truncated, too large, without text, refused by a server."""


DISK_FULL = "The disk is full; nothing half-written was kept. Free some space and run the same command again."


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that the disk is full, whichever library says it in whichever words."""
    texts = ("No space left on device", "os error 28", "PytorchStreamWriter failed writing")
    return getattr(error, "errno", None) == errno.ENOSPC or any(text in str(error) for text in texts)


def reason(error: Exception) -> str:
    """What an error says, in one line; of pydantic's, the fields and what is allowed in them."""
    details = getattr(error, "errors", None)
    if type(error).__name__ == "ValidationError" and callable(details):
        return "; ".join(map(misfit, details()[:3]))
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def misfit(detail: Any) -> str:
    """One detail of pydantic's: the field, what is allowed in it, what stands there."""
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "missing":
        return f"the key `{name}` is missing"
    if detail["type"] == "extra_forbidden":
        return f"unknown key `{name}`"
    given = repr(detail["input"])
    given = given if len(given) <= 80 else f"{given[:77]}..."
    said = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"`{name}`: {said}, not {given}" if name else f"{said}, not {given}"


def no_warnings() -> None:
    """Keep Python's warnings, here and in processes started from now on, from people who can do nothing about them.

    Whoever asks for them (`python -W default`, PYTHONWARNINGS) sees them.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"


_STOPPED = "Stopped; the same command goes on where it was."


def run_command(command: Callable[[], object]) -> None:
    """Run a command line: a user's mistake, or a full disk, is one line on standard error and exit code 2."""
    try:
        command()
    except AssayError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # typer has caught the interrupt, and says nothing
            print(_STOPPED, file=sys.stderr)
        raise
    except Exception as error:
        if is_disk_full(error):
            said = DISK_FULL
        elif isinstance(error, OSError) and error.filename and error.strerror:
            said = f"{os.fsdecode(error.filename)} cannot be read or written: {error.strerror}."
        else:
            raise
        print(f"Error: {said}", file=sys.stderr)
        sys.exit(2)
