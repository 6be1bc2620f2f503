"""What went wrong on the user's side, in words the user can act on."""

import errno
import os
import sys
import warnings
from collections.abc import Callable


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


def no_warnings() -> None:
    """Keep Python's warnings, here and in processes started from now on, from people who can do nothing about them.

    Whoever asks for them (`python -W default`, PYTHONWARNINGS) sees them.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"


def run_command(command: Callable[[], object]) -> None:
    """Run a command line: a user's mistake, or a full disk, is one line on standard error and exit code 2."""
    try:
        command()
    except AssayError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(f"Error: {DISK_FULL}", file=sys.stderr)
        sys.exit(2)
