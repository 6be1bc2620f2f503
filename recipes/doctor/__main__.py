"""`python -m recipes.doctor torch OCR`: some checks, a line of JSON each; why one breaks stands on standard error.

`assay doctor` starts this, so that what crashes or hangs is not the command itself. `hub=MODEL` and `hub=` may ask the
hub; nothing else makes a request.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict

from extraction.document.worker import end_with_parent
from extraction.errors import no_warnings, reason
from extraction.generate.hub import quiet_libraries
from recipes.doctor import device, machine, optional  # noqa: F401 (their checks)
from recipes.doctor.base import CHECKS, Line


def line(job: str) -> Line:
    """What a check finds; what it breaks on is an error of its own."""
    name, asked, given = job.partition("=")
    check = CHECKS[name]
    try:
        return check.look(given) if asked else check.look()
    except Exception as error:
        traceback.print_exc()
        return Line(name, "error", f"{type(error).__name__}: {reason(error)}", check.broken)


def main() -> None:
    """Do the checks that the arguments name."""
    # Whatever libraries print goes to standard error: the lines keep standard output to themselves.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    end_with_parent()
    no_warnings()
    quiet_libraries()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime, before its first import: `document.engine`
    for job in sys.argv[1:]:
        print(json.dumps(asdict(line(job))), file=out, flush=True)
    out.flush()
    os._exit(0)  # libraries that crash or wait at the end have said what they had to


if __name__ == "__main__":
    main()
