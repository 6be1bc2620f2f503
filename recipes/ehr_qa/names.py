"""What every resource needs to be read: references resolved to names, dates as they are printed."""

from __future__ import annotations

from typing import Any

from recipes.ehr_qa.bundle import References, at, each
from recipes.ehr_qa.dates import When, read_when
from recipes.ehr_qa.elements import concept, person, tidy

UNRESOLVED = "[not in the bundle]"


class Names:
    """Names and dates of one patient's resources.

    Args:
        references: finds what they refer to.
        born: the patient's birth date, to mark what comes before it.
        starts: for each day whose encounters all start at one time, that time: there the day alone is printed.
    """

    def __init__(self, references: References, born: str = "", starts: dict[str, When] | None = None):
        self.references = references
        self._born = born
        self._starts = starts or {}

    def when(self, value: Any) -> When | None:
        """A date, marked where it cannot be."""
        return read_when(value, self._born)

    def period(self, resource: dict[str, Any], name: str) -> tuple[When | None, When | None]:
        """Start and end of `nameDateTime`, `namePeriod`, or `name` being either."""
        for value in (resource.get(f"{name}DateTime"), resource.get(f"{name}Instant"), resource.get(name)):
            if isinstance(value, str):
                return self.when(value), None
        for value in (resource.get(f"{name}Period"), resource.get(name)):
            if isinstance(value, dict):
                start, end = self.when(value.get("start")), self.when(value.get("end"))
                if start and end and not end.problem and end.before(start):
                    end = When(end.day, end.clock, end.offset, "before its start")
                return start, end
        return None, None

    def show(self, when: When | None) -> str:
        """A date as printed; the day alone where the encounter of that day has the time."""
        if when is None:
            return "undated"
        return when.day if self._starts.get(when.day) == when else when.full()

    def span(self, start: When | None, end: When | None) -> str:
        """`start to end`; on one day with the day once."""
        if end is None or end == start:
            return self.show(start)
        if start and start.day == end.day:
            return whole_span(start, end)
        return f"{self.show(start)} to {self.show(end)}"

    def label(self, reference: Any, parent: dict[str, Any]) -> tuple[str, str]:
        """Name of what a reference means, and the mark of one that dangles."""
        if not isinstance(reference, dict):
            return "", ""
        found = self.references.find(reference, parent)
        display = tidy(reference.get("display") or "")
        if not found:
            return display or tidy(reference.get("reference") or at(reference, "identifier", "value") or ""), UNRESOLVED
        target = found[1]
        if target["resourceType"] == "PractitionerRole" and parent.get("resourceType") != "PractitionerRole":
            return self.label(target.get("practitioner") or {"display": display or found[0]}, target)
        name = target.get("name")
        said = (
            (tidy(name) if isinstance(name, str) else person(target))
            or concept(target.get("code"))
            or tidy(at(target, "description", "text") or "")
            or (concept(at(target, "type", 0)) if isinstance(target.get("type"), list) else concept(target.get("type")))
        )
        return said or display or found[0], ""

    def named(self, reference: Any, parent: dict[str, Any]) -> str:
        """A reference's name with its mark."""
        return " ".join(filter(None, self.label(reference, parent)))

    def reasons(self, resource: dict[str, Any], code: str, reference: str) -> tuple[tuple[str, ...], str]:
        """Names of the reasons, `UNRESOLVED` for one that cannot be found, and ` for A, B` as printed."""
        names = [concept(value) for value in each(resource, code)]
        printed = list(names)
        for value in each(resource, reference):
            value = value.get("condition", value) if isinstance(value, dict) else value  # Encounter.diagnosis
            name, mark = self.label(value, resource)
            names.append(name if not mark or at(value, "display") else UNRESOLVED)
            printed.append(f"{name} {mark}".strip())
        printed = [text for text in dict.fromkeys(printed) if text]
        return tuple(name for name in dict.fromkeys(names) if name), f" for {', '.join(printed)}" if printed else ""


def whole_span(start: When, end: When | None) -> str:
    """Start and end with their times of day, the day once where it is one."""
    if end is None or end == start:
        return start.full()
    if start.day == end.day and start.offset == end.offset and start.clock and end.clock:
        return f"{start.day} {start.clock}{start.mark} to {end.clock}{end.offset}{end.mark}"
    return f"{start.full()} to {end.full()}"
