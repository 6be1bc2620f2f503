"""One FHIR resource in, one line of plain text and its parts out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from recipes.ehr_qa.bundle import at, each
from recipes.ehr_qa.dates import When, read_when
from recipes.ehr_qa.elements import (
    codes,
    concept,
    displays,
    dosage,
    limits,
    measured,
    narrative,
    person,
    quantity,
    tidy,
)
from recipes.ehr_qa.names import UNRESOLVED, Names, whole_span

_WRONG = {"entered-in-error", "refuted", "not-done", "not-taken", "cancelled", "draft", "planned", "proposed"}


@dataclass(frozen=True)
class Fact:
    """What a resource says, as printed in its line.

    Attributes:
        resource: `Type/id`.
        kind: the section it stands in, a key of `records.SECTIONS`.
        text: its line.
        name: the condition, drug, vaccine, measurement ... as the line has it.
        codes: its codes in whatever system.
        start, end: when; None where the resource does not say.
        status: `active`, `resolved`, `stopped` ... as the resource has it; empty where it has none.
        routine: an observation of every visit: vital signs, surveys, social history.
        who: the prescriber's name; empty where there is none or it cannot be found.
        reasons: names of the conditions it was done or given for; `UNRESOLVED` for one that cannot be found.
        values: pairs of a name and a value with its unit; an observation's own, or its components' (empty where one has
            none).
        wrong: it says nothing of the patient: it was entered in error, refuted, not done, or is of somebody else.
        also: what its codings call it besides.
        counts: questions are made of it: it is not wrong, and was ordered, not only told.
    """

    resource: str
    kind: str
    text: str
    name: str
    codes: frozenset[str] = frozenset()
    start: When | None = None
    end: When | None = None
    status: str = ""
    routine: bool = False
    who: str = ""
    reasons: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    wrong: bool = False
    counts: bool = True
    also: tuple[str, ...] = ()


class Reader(Names):
    """Reads one patient's resources."""

    def read(self, key: str, resource: dict[str, Any]) -> Fact:
        """The fact of a resource of a kind in `KINDS`."""
        kind, method = KINDS[resource["resourceType"]]
        fact = method(self, key, kind, resource)
        coded = resource.get(_CODED.get(resource["resourceType"], "code"))
        if also := tuple(name for name in displays(coded) if name != fact.name):
            fact = replace(fact, also=also)
        if resource.get("doNotPerform") is True:
            fact = replace(fact, text=f"{fact.text} [not to be given]", wrong=True, counts=False)
        if noted := [tidy(at(note, "text")) for note in each(resource, "note") if at(note, "text")]:
            fact = replace(fact, text=f"{fact.text}, note: {'; '.join(noted)}")
        subject = resource.get("subject") or resource.get("patient")
        of = at(subject, "reference")
        if of and not self.references.find(subject, resource):  # whose it is, nobody knows
            return replace(fact, text=f"{fact.text} [of {tidy(of)}, not in the bundle]", wrong=True, counts=False)
        return fact

    def patient(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Name, sex, birth, death, marital status, race and ethnicity, language, town."""
        name = person(resource) or "unnamed"
        born, died = read_when(resource.get("birthDate")), self.when(resource.get("deceasedDateTime"))
        values = {"name": name, "sex": tidy(resource.get("gender") or "")}
        values["birth date"] = born.full() if born else ""
        gone = resource.get("deceasedBoolean") is True
        values["death"] = died.full() if died else "deceased" if gone else ""
        values["marital status"] = concept(resource.get("maritalStatus"))
        for extension in each(resource, "extension"):
            if str(at(extension, "url")).endswith(("us-core-race", "us-core-ethnicity")):
                texts = [at(part, "valueString") for part in each(extension, "extension") if at(part, "url") == "text"]
                values[str(extension["url"]).rpartition("-")[2]] = ", ".join(tidy(text) for text in texts if text)
        values["language"] = concept(at(each(resource, "communication"), 0, "language"))
        values["city"] = tidy(at(resource, "address", 0, "city") or "")
        values["state"] = tidy(at(resource, "address", 0, "state") or "")
        shown = {
            "birth date": "born {}" if born else "birth date unknown",
            "death": "died {}" if died else "{}",
            "marital status": "marital status {}",
        }
        parts = [
            shown.get(label, "{}").format(value)
            for label, value in values.items()
            if value or (label == "birth date" and not born)
        ]
        kept = tuple((label, value) for label, value in values.items() if value)
        return Fact(key, kind, "Patient: " + ", ".join(parts), name, start=born, end=died, values=kept)

    def allergy(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Substance, category, criticality, reactions, status."""
        name = concept(resource.get("code")) or "unnamed substance"
        onset, _ = self.period(resource, "onset")
        recorded = self.when(resource.get("recordedDate"))
        status = tidy(at(resource, "clinicalStatus", "coding", 0, "code") or "")
        verified = tidy(at(resource, "verificationStatus", "coding", 0, "code") or "")
        reactions = [
            concept(value) + (f" ({at(one, 'severity')})" if at(one, "severity") else "")
            for one in each(resource, "reaction")
            for value in each(one, "manifestation")
        ]
        parts = [status, *([verified] if verified != "confirmed" else []), *map(str, each(resource, "category"))]
        parts.append(f"criticality {resource['criticality']}" if resource.get("criticality") else "")
        parts.append(f"reaction {', '.join(reactions)}" if reactions else "")
        parts.append(f"onset {self.show(onset)}" if onset else "")
        parts.append(f"recorded {self.show(recorded)}" if recorded else "")
        start = onset or recorded
        of = codes(resource.get("code"))
        if "no-allergy-info" in of and name == "no-allergy-info":
            name = "No information about allergies"
        if of & _NO_ALLERGY and not name.casefold().startswith("no "):
            name = "No known allergies"
        title = name if name.casefold().startswith("no ") else f"Allergy to {name}"
        text = f"{title}: {', '.join(filter(None, parts))}".removesuffix(": ")
        wrong = verified in _WRONG
        return Fact(key, kind, text, name, of, start, None, status, wrong=wrong, counts=not wrong)

    def condition(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Name, clinical status, onset and abatement."""
        name = concept(resource.get("code")) or "unnamed condition"
        onset, _ = self.period(resource, "onset")
        recorded = self.when(resource.get("recordedDate"))
        end, _ = self.period(resource, "abatement")
        if end and onset and not end.problem and end.before(onset):
            end = When(end.day, end.clock, end.offset, "before its onset")
        stated = resource.get("clinicalStatus")
        status = tidy(at(stated, "coding", 0, "code") or at(stated, "text") or "").casefold()
        verified = tidy(at(resource, "verificationStatus", "coding", 0, "code") or "")
        parts = [status, verified if verified != "confirmed" else "", concept(resource.get("severity"))]
        parts += [concept(site) for site in each(resource, "bodySite")]
        parts += [concept(at(stage, "summary")) for stage in each(resource, "stage")]
        began, over = (
            f"at {quantity(resource[f'{name}Age'])}" if resource.get(f"{name}Age")
            else tidy(resource.get(f"{name}String") or "")
            for name in ("onset", "abatement")
        )  # fmt: skip
        if onset or began:
            parts.append(f"onset {self.show(onset) if onset else began}")
        elif recorded:
            parts.append(f"recorded {self.show(recorded)}")
        if end or over:
            parts.append(f"ended {self.show(end) if end else over}")
        text = f"{name}: {', '.join(filter(None, parts))}".removesuffix(": ")
        start = onset or recorded
        status = status or ("resolved" if end or over else "")  # FHIR's rule con-4: what has ended is not active
        wrong = verified in _WRONG
        return Fact(
            key, kind, text, name, codes(resource.get("code")), start, end, status, wrong=wrong, counts=not wrong
        )

    def medication(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Drug, status, when and by whom it was prescribed, what for, how much."""
        coded, reference = resource.get("medicationCodeableConcept"), resource.get("medicationReference")
        found = self.references.find(reference, resource)
        coded = coded or (found[1].get("code") if found else None)
        name = concept(coded) or self.named(reference, resource) or "unnamed drug"
        status = tidy(resource.get("status") or "")
        if resource["resourceType"] == "MedicationStatement":
            (start, end), verb = self.period(resource, "effective"), "taken"
            who, mark = self.label(resource.get("informationSource"), resource)
        else:
            start, end, verb = self.when(resource.get("authoredOn")), None, "prescribed"
            who, mark = self.label(resource.get("requester"), resource)
        names, because = self.reasons(resource, "reasonCode", "reasonReference")
        parts = [status] if status else []
        if resource.get("intent") not in (None, "order"):
            parts.append(str(resource["intent"]))
        parts.append(f"{verb} {self.span(start, end)}" + (f" by {who} {mark}".rstrip() if who else "") + because)
        parts += [text for text in map(dosage, each(resource, "dosageInstruction") or each(resource, "dosage")) if text]
        if stopped := concept(resource.get("statusReason") or at(resource, "statusReason", 0)):
            parts.append(f"{status or 'status'} because of {stopped}")
        known = "" if mark and not at(resource, "requester", "display") else who
        return Fact(
            key,
            kind,
            f"{name}: {', '.join(parts)}",
            name,
            codes(coded),
            start,
            end,
            status,
            who=known if verb == "prescribed" else "",
            reasons=names,
            wrong=status in _WRONG,
            counts=status not in _WRONG and verb == "prescribed",
        )

    def observation(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Day, name, value and unit; components behind one another."""
        name = concept(resource.get("code")) or "unnamed observation"
        start, end = self.period(resource, "effective")
        start = start or self.when(resource.get("issued"))
        status = tidy(resource.get("status") or "")
        own = measured(resource)
        values = [(name, own)] if own else []
        parts = [own] if own else []
        for component in each(resource, "component"):
            label, value = concept(at(component, "code")), measured(component)
            values.append((label, value))
            parts.append(f"{label} {value or 'no value'}")
        shown = ", ".join(parts) or concept(resource.get("dataAbsentReason")) or "no value"
        meaning = [tidy(at(value, "coding", 0, "code") or concept(value)) for value in each(resource, "interpretation")]
        shown += f" ({', '.join(meaning)})" if any(meaning) else ""
        normal = [text for text in map(limits, each(resource, "referenceRange")) if text]
        shown += f", reference {'; '.join(normal)}" if normal else ""
        shown += "".join(f", {concept(resource.get(name))}" for name in ("bodySite", "method") if resource.get(name))
        shown += f", {status}" if status not in ("final", "amended", "corrected", "") else ""
        groups = {str(at(c, "code")) for category in each(resource, "category") for c in each(category, "coding")}
        routine = bool(groups & {"vital-signs", "vital-sign", "survey", "social-history"})
        return Fact(
            key,
            kind,
            f"{self.span(start, end)} {name}: {shown}",
            name,
            codes(resource.get("code")),
            start,
            end,
            status,
            routine,
            values=tuple(values),
            wrong=status in _WRONG,
            counts=status not in _WRONG,
        )

    def dated(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Immunisation, procedure, encounter, report, care plan, goal, imaging: day, name, and what the type adds."""
        type_of, status = (
            resource["resourceType"],
            tidy(resource.get("status") or resource.get("lifecycleStatus") or ""),
        )
        date, usual = _DATED[type_of]
        start, end = self.period(resource, date)
        shown = self.span(start, end)
        if type_of == "Encounter" and start:  # the one place that always has the time of day
            shown = whole_span(start, end)
        value, name = _name(resource)
        names, because = self.reasons(
            resource, "reasonCode", "addresses" if "addresses" in resource else "reasonReference"
        )
        parts = [status if status not in usual else "", *self._more(resource)]
        shown_parts = ", ".join(part for part in parts if part)
        text = f"{shown} {name}{because}" + (f": {shown_parts}" if shown_parts else "")
        wrong = status in _WRONG
        return Fact(
            key, kind, text, name, codes(value), start, end, status, reasons=names, wrong=wrong, counts=not wrong
        )

    def _more(self, resource: dict[str, Any]) -> list[str]:
        """What a type has besides day, name, reason and status."""
        type_of = resource["resourceType"]
        if type_of == "Encounter":
            who = [self.named(at(one, "individual"), resource) for one in each(resource, "participant")]
            where = self.named(resource.get("serviceProvider"), resource)
            kind = tidy(at(resource, "class", "code") or "")
            return [f"class {kind}" if kind else "", *filter(None, who), f"at {where}" if where else ""]
        if type_of == "DiagnosticReport":
            found = [self.references.find(one, resource) for one in each(resource, "result")]
            lost = f", {found.count(None)} {UNRESOLVED}" if None in found else ""
            attached = len(each(resource, "presentedForm"))
            return [
                f"{len(found)} result{'s' * (len(found) > 1)}{lost}" if found else "",
                tidy(resource.get("conclusion") or ""),
                f"{attached} attached text(s) not shown" if attached else "",
            ]
        if type_of == "CarePlan":
            return [concept(at(one, "detail", "code")) for one in each(resource, "activity")]
        if type_of == "Goal":
            return [concept(resource.get("achievementStatus"))]
        if type_of == "ImagingStudy":
            series = each(resource, "series")
            return [tidy(at(one, "modality", "display") or at(one, "modality", "code") or "") for one in series]
        if type_of == "Immunization":
            doses = [at(one, "doseNumberPositiveInt") or at(one, "doseNumberString")
                     for one in each(resource, "protocolApplied")]  # fmt: skip
            return [*(f"dose {tidy(dose)}" for dose in doses if dose), concept(resource.get("statusReason"))]
        if type_of == "Procedure":
            sites = [concept(site) for site in each(resource, "bodySite")]
            return [*sites, concept(resource.get("outcome")), concept(resource.get("statusReason"))]
        if type_of in ("ServiceRequest", "DeviceRequest"):
            return [f"{tidy(resource.get('intent') or 'request')}, not a finding"]
        if type_of == "Composition":
            return [f"{tidy(at(one, 'title') or 'section')}: {narrative(one)}" for one in each(resource, "section")
                    if narrative(one)]  # fmt: skip
        return []


def _name(resource: dict[str, Any]) -> tuple[Any, str]:
    """The concept that names a dated resource, and the name."""
    type_of = resource["resourceType"]
    value: Any
    if type_of == "Encounter":
        value = at(resource, "type", 0)
    elif type_of == "CarePlan":  # beside the plan's own category there may stand US Core's "assess-plan"
        found = [one for one in each(resource, "category") if "assess-plan" not in codes(one)]
        value = found[0] if found else at(resource, "category", 0)
    elif type_of == "ImagingStudy":
        value = at(resource, "procedureCode", 0) or {"text": at(resource, "series", 0, "bodySite", "display")}
    else:
        value = resource.get(_NAMED.get(type_of, "code"))
    return value, concept(value) or tidy(resource.get("title") or type_of)


_NAMED = {
    "Immunization": "vaccineCode",
    "Goal": "description",
    "Composition": "type",
    "DeviceRequest": "codeCodeableConcept",
}
_NO_ALLERGY = {"716186003", "no-known-allergies"}
_CODED = {"MedicationRequest": "medicationCodeableConcept", "MedicationStatement": "medicationCodeableConcept"}
_CODED["Immunization"] = "vaccineCode"

# The field of the date, and the statuses that go without saying.
_DATED = {
    "Immunization": ("occurrence", {"completed"}),
    "Procedure": ("performed", {"completed"}),
    "ImagingStudy": ("started", {"available"}),
    "DiagnosticReport": ("effective", {"final"}),
    "CarePlan": ("period", set[str]()),
    "Goal": ("startDate", set[str]()),
    "Encounter": ("period", {"finished"}),
    "ServiceRequest": ("authoredOn", set[str]()),
    "DeviceRequest": ("authoredOn", set[str]()),
    "Composition": ("date", {"final"}),
}

# The resource types that are shown: the section of each, and the method that reads it.
KINDS: dict[str, tuple[str, Callable[[Reader, str, str, dict[str, Any]], Fact]]] = {
    "Patient": ("patient", Reader.patient),
    "AllergyIntolerance": ("allergy", Reader.allergy),
    "Condition": ("condition", Reader.condition),
    "MedicationRequest": ("medication", Reader.medication),
    "MedicationStatement": ("medication", Reader.medication),
    "Immunization": ("immunization", Reader.dated),
    "Procedure": ("procedure", Reader.dated),
    "ImagingStudy": ("procedure", Reader.dated),
    "Observation": ("observation", Reader.observation),
    "DiagnosticReport": ("report", Reader.dated),
    "CarePlan": ("care_plan", Reader.dated),
    "Goal": ("care_plan", Reader.dated),
    "ServiceRequest": ("care_plan", Reader.dated),
    "DeviceRequest": ("care_plan", Reader.dated),
    "Composition": ("report", Reader.dated),
    "Encounter": ("encounter", Reader.dated),
}
