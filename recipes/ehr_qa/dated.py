"""What is told by its day: immunisations, procedures, encounters, reports, plans, orders, devices, as lines."""

from __future__ import annotations

from typing import Any

from recipes.ehr_qa.bundle import at, each
from recipes.ehr_qa.elements import attached, codes, concept, displays, narrative, target, tidy
from recipes.ehr_qa.fact import WRONG, Fact
from recipes.ehr_qa.names import UNRESOLVED, Names, whole_span


class Dated(Names):
    """Reads what happens on a day."""

    def dated(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Immunisation, procedure, encounter, report, care plan, goal, imaging: day, name, and what the type adds."""
        type_of, status = (
            resource["resourceType"],
            tidy(resource.get("status") or resource.get("lifecycleStatus") or ""),
        )
        fields, usual = _DATED[type_of]
        start, end = next((span for field in fields if any(span := self.period(resource, field))), (None, None))
        said = next((tidy(resource[f"{field}String"]) for field in fields if resource.get(f"{field}String")), "")
        shown = said if said and not start else self.span(start, end)
        if type_of == "Encounter" and start:  # the one place that always has the time of day
            shown = whole_span(start, end)
        value, name = self._titled(resource)
        reference = "addresses" if "addresses" in resource else "reasonReference"
        if type_of == "Encounter" and not resource.keys() & {"reasonCode", "reasonReference"}:
            reference = "diagnosis"
        names, because = self.reasons(resource, "reasonCode", reference)
        parts = [status if status not in usual else "", *self._more(resource)]
        shown_parts = ", ".join(part for part in parts if part)
        text = f"{shown} {name}{because}" + (f": {shown_parts}" if shown_parts else "")
        wrong, apart = status in WRONG, _APART.get(type_of, "")
        if self.references.find(resource.get("partOf"), resource) and type_of == "Encounter":
            apart = "part of a stay"
        also = (*_also(resource, value), *_activities(resource))
        return Fact(
            key, kind, text, name, codes(value), start, end, status, reasons=names, wrong=wrong,
            counts=not wrong and not apart, apart=apart, also=also, empty=_empty(resource),
        )  # fmt: skip

    def _titled(self, resource: dict[str, Any]) -> tuple[Any, str]:
        """The concept that names a dated resource, and the name."""
        type_of = resource["resourceType"]
        value: Any
        if type_of == "Encounter":
            value = at(resource, "type", 0)
            usual = _CLASSES.get(_class(resource), (type_of,))[0].capitalize()
            return value, concept(value) or concept(resource.get("serviceType")) or usual
        if type_of == "CarePlan":  # beside the plan's own category there may stand US Core's "assess-plan"
            found = [one for one in each(resource, "category") if "assess-plan" not in codes(one)]
            value = found[0] if found else at(resource, "category", 0)
        elif type_of == "ImagingStudy":
            value = at(resource, "procedureCode", 0) or {"text": at(resource, "series", 0, "bodySite", "display")}
        elif type_of == "DeviceUseStatement":
            device = self.references.find(resource.get("device"), resource)
            value = at(device[1], "type") if device else None
            called = concept(value) or tidy(at(resource, "device", "display") or "device")
            return value, f"In use: {called}"
        else:
            value = resource.get(_NAMED.get(type_of, "code"))
        return value, concept(value) or tidy(resource.get("title") or resource.get("description") or type_of)

    def _more(self, resource: dict[str, Any]) -> list[str]:
        """What a type has besides day, name, reason and status."""
        type_of = resource["resourceType"]
        if type_of == "Encounter":
            who = [self.named(at(one, "individual"), resource) for one in each(resource, "participant")]
            where = self.named(resource.get("serviceProvider"), resource)
            kind = _class(resource)
            return [f"class {kind}" if kind else "", *filter(None, who), f"at {where}" if where else ""]
        if type_of == "DiagnosticReport":
            found = [self.references.find(one, resource) for one in each(resource, "result")]
            lost = f", {found.count(None)} {UNRESOLVED}" if None in found else ""
            return [
                f"{len(found)} result{'s' * (len(found) > 1)}{lost}" if found else "",
                tidy(resource.get("conclusion") or ""),
                *(concept(one) for one in each(resource, "conclusionCode")),
                *_texts(each(resource, "presentedForm")),
            ]
        if type_of == "CarePlan":
            return _activities(resource)
        if type_of == "Goal":
            return [*map(target, each(resource, "target")), concept(resource.get("achievementStatus"))]
        if type_of == "ImagingStudy":
            series = each(resource, "series")
            return [tidy(at(one, "modality", "display") or at(one, "modality", "code") or "") for one in series]
        if type_of == "Immunization":
            doses = [at(one, "doseNumberPositiveInt") or at(one, "doseNumberString")
                     for one in each(resource, "protocolApplied")]  # fmt: skip
            harm = [self.named(at(one, "detail"), resource) or "not named" for one in each(resource, "reaction")]
            weak = "subpotent" if resource.get("isSubpotent") is True else ""
            return [*(f"dose {tidy(dose)}" for dose in doses if dose), concept(resource.get("statusReason")), weak,
                    f"reaction {', '.join(harm)}" if harm else ""]  # fmt: skip
        if type_of == "Procedure":
            sites = [concept(site) for site in each(resource, "bodySite")]
            harm = [concept(one) for one in each(resource, "complication")]
            return [*sites, concept(resource.get("outcome")), concept(resource.get("statusReason")),
                    f"complication {', '.join(harm)}" if harm else ""]  # fmt: skip
        if type_of in ("ServiceRequest", "DeviceRequest"):
            return [f"{tidy(resource.get('intent') or 'request')}, not a finding"]
        if type_of == "DocumentReference":
            return ["document", *_texts([at(one, "attachment") for one in each(resource, "content")])]
        if type_of == "Composition":
            return [f"{tidy(at(one, 'title') or 'section')}: {narrative(one)}" for one in each(resource, "section")
                    if narrative(one)]  # fmt: skip
        return []


def _activities(resource: dict[str, Any]) -> list[str]:
    """What a care plan has done: "Dietary regime"; empty for other types."""
    own = each(resource, "activity") if resource["resourceType"] == "CarePlan" else []
    found = (concept(at(one, "detail", "code")) or tidy(at(one, "detail", "description") or "") for one in own)
    return [name for name in found if name]


def _texts(attachments: list[Any]) -> list[str]:
    """The texts of attachments that can be read, and how many others there are."""
    read = [text for text in map(attached, attachments) if text]
    others = len(attachments) - len(read)
    return [*read, f"{others} attached text(s) not shown" if others else ""]


def _class(resource: dict[str, Any]) -> str:
    return tidy(at(resource, "class", "code") or "")


def _also(resource: dict[str, Any], value: Any) -> tuple[str, ...]:
    """What an encounter of its class is called, too."""
    return (*displays(value), *(_CLASSES.get(_class(resource), ()) if resource["resourceType"] == "Encounter" else ()))


def _empty(resource: dict[str, Any]) -> frozenset[str]:
    """The sections that a document says to be empty, for there is nothing known."""
    if resource["resourceType"] != "Composition":
        return frozenset()
    none = [one for one in each(resource, "section") if "nilknown" in codes(at(one, "emptyReason"))]
    return frozenset(kind for one in none for code in codes(at(one, "code")) if (kind := _SECTIONS.get(code)))


# What encounters of a class of HL7 v3's ActCode are called, the plain name first.
_CLASSES = {
    **dict.fromkeys(("IMP", "ACUTE", "NONAC", "SS"), ("hospital stay", "inpatient stay")),
    "EMER": ("emergency room visit",),
    "AMB": ("outpatient visit",),
    "OBSENC": ("observation stay",),
    "HH": ("home visit",),
    "VR": ("telehealth visit",),
}
# LOINC's codes of the sections of a patient summary.
_SECTIONS = {
    "48765-2": "allergy",
    "11450-4": "condition",
    "10160-0": "medication",
    "11369-6": "immunization",
    "47519-4": "procedure",
    "18776-5": "care_plan",
}
_NAMED = {
    "Immunization": "vaccineCode",
    "Goal": "description",
    "Composition": "type",
    "DeviceRequest": "codeCodeableConcept",
    "DocumentReference": "type",
}
_APART = {"DeviceUseStatement": "device", "DocumentReference": "document"}

# The fields of the date, best first, and the statuses that go without saying.
_DATED = {
    "Immunization": (("occurrence",), {"completed"}),
    "Procedure": (("performed",), {"completed"}),
    "ImagingStudy": (("started",), {"available"}),
    "DiagnosticReport": (("effective", "issued"), {"final"}),
    "CarePlan": (("period",), set[str]()),
    "Goal": (("startDate",), set[str]()),
    "Encounter": (("period",), {"finished"}),
    "ServiceRequest": (("authoredOn",), set[str]()),
    "DeviceRequest": (("authoredOn",), set[str]()),
    "Composition": (("date",), {"final"}),
    "DocumentReference": (("date",), {"current"}),
    "DeviceUseStatement": (("timing", "recordedOn"), set[str]()),
}
