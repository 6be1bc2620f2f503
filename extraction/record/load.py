"""A record from the JSON that `Record.save` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from extraction.errors import AssayError, reason
from extraction.evidence.evidence import Evidence, ImageEvidence, LineEvidence, PageEvidence
from extraction.record.record import Field, Issue, Record, SetAside, Status

_STATUS: TypeAdapter[Status] = TypeAdapter(Status)
_ISSUES = TypeAdapter(list[Issue])
_REMEDY = "assay extract DOCUMENT --out FOLDER makes one"


def load_record(path: Path) -> Record:
    """The record in a file; raises as `Record.load`."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return record_of(saved)
    except OSError as error:
        raise AssayError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise AssayError(f"{path} is no record of assay extract ({reason(error)}); {_REMEDY}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise AssayError(f"{path} is no record of assay extract ({why}); {_REMEDY}.") from None


def record_of(saved: dict[str, Any]) -> Record:
    """A record from its JSON (`Record.to_dict`).

    Raises:
        KeyError, TypeError, ValueError, LookupError: it is none.
    """
    data = saved["data"]
    return Record(
        str(saved["source"]),
        _STATUS.validate_python(saved["status"]),
        data,
        _ISSUES.validate_python(saved["issues"]),
        {path: _field(data, path, entry) for path, entry in saved["evidence"].items()},
        [
            SetAside(one["path"], one["data"], one["reason"], _page(one) if one.get("page") else None)
            for one in saved.get("set_aside") or ()
        ],
        dict(saved.get("derived", {})),
        list(saved.get("views", ())),
        list(saved.get("reasons", ())),
        list(saved.get("report_pages", ())),
    )


def _field(data: Any, path: str, entry: dict[str, Any]) -> Field:
    for step in path.split("/")[1:]:
        data = data[int(step) if isinstance(data, list) else step.replace("~1", "/").replace("~0", "~")]
    evidence: Evidence | None = None
    if entry.get("page"):
        evidence = _page(entry)
    elif entry.get("line"):
        evidence = LineEvidence(entry["text"], line=entry["line"])
    elif entry.get("images"):
        evidence = ImageEvidence(entry["text"], images=tuple(entry["images"]))
    elif "text" in entry:
        evidence = Evidence(entry["text"])
    return Field(data, path, entry.get("confidence"), evidence, entry.get("role"))


def _page(entry: dict[str, Any]) -> PageEvidence:
    x0, y0, x1, y1 = entry["box"]
    return PageEvidence(entry.get("text", ""), page=entry["page"], box=(x0, y0, x1, y1))
