"""One FHIR resource in, one line of plain text and its parts out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recipes.ehr_qa.bundle import at, each
from recipes.ehr_qa.dated import Dated
from recipes.ehr_qa.dates import When, read_when
from recipes.ehr_qa.elements import codes, concept, displays, limits, measured, person, quantity, tidy
from recipes.ehr_qa.fact import WRONG, Fact
from recipes.ehr_qa.medications import Medications
from recipes.ehr_qa.nothing import nothing, said_by_code

# The codes of a condition's certainty in Germany: excluded, suspected, a state after it.
_CERTAINTY = {"A": "refuted", "V": "provisional", "Z": "state after"}
_SUSPECTED = {"provisional", "differential", "unconfirmed"}
_PERSONAL = {
    "us-core-race": "race",
    "us-core-ethnicity": "ethnicity",
    "Extension-UKCore-EthnicCategory": "ethnicity",
    "indigenous-status": "indigenous status",
}


class Reader(Medications, Dated):
    """Reads one patient's resources."""

    def read(self, key: str, resource: dict[str, Any]) -> Fact:
        """The fact of a resource of a kind in `KINDS`."""
        kind, method = KINDS[resource["resourceType"]]
        fact = method(self, key, kind, resource)
        called = dict.fromkeys((*fact.also, *displays(resource.get("code"))))
        if also := tuple(name for name in called if name != fact.name):
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
            if label := _PERSONAL.get(str(at(extension, "url")).rpartition("/")[2]):
                texts = [at(part, "valueString") for part in each(extension, "extension") if at(part, "url") == "text"]
                texts += [at(extension, "valueCoding", "display"), concept(extension.get("valueCodeableConcept"))]
                values[label] = ", ".join(tidy(text) for text in texts if text)
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
        title = name if nothing(name) or said_by_code(of) or name.casefold().startswith("no ") else f"Allergy to {name}"
        text = f"{title}: {', '.join(filter(None, parts))}".removesuffix(": ")
        wrong = verified in WRONG
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
        verified = _certainty(resource) or tidy(at(resource, "verificationStatus", "coding", 0, "code") or "")
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
        # FHIR's rule con-4: what has ended is not active.
        status = status or ("resolved" if end or over or verified == _CERTAINTY["Z"] else "")
        wrong = verified in WRONG
        return Fact(
            key, kind, text, name, codes(resource.get("code")), start, end, status, wrong=wrong, counts=not wrong,
            apart="suspected" if verified in _SUSPECTED else "", recorded=not onset and not began,
        )  # fmt: skip

    def family(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """What somebody of the family has or had."""
        whose, status = concept(resource.get("relationship")), tidy(resource.get("status") or "")
        had = ", ".join(filter(None, (concept(at(one, "code")) for one in each(resource, "condition"))))
        name = f"Family history of {had or 'no condition that is named'}" + (f" ({whose})" if whose else "")
        day, wrong = self.when(resource.get("date")), status in WRONG
        text = name + (f": {status}" if wrong else "") + (f", recorded {self.show(day)}" if day else "")
        return Fact(key, kind, text, name, start=day, status=status, wrong=wrong, counts=False, apart="family history")

    def observation(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Day, name, value and unit; components behind one another."""
        name = concept(resource.get("code")) or "unnamed observation"
        start, end = self.period(resource, "effective")
        start = start or self.when(resource.get("issued"))
        status = tidy(resource.get("status") or "")
        own, awaited = measured(resource), status == "registered"
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
            wrong=status in WRONG,
            counts=status not in WRONG,
            apart="without a value" if not values and (awaited or resource.get("dataAbsentReason")) else "",
        )


def _certainty(resource: dict[str, Any]) -> str:
    """How certain a condition is, where its code says so: Germany's extension of ICD-10-GM."""
    return next(
        (_CERTAINTY.get(str(at(one, "valueCoding", "code")), "")
         for coded in each(resource, "code", "coding")
         for one in each(coded, "extension")
         if str(at(one, "url")).endswith("diagnosesicherheit")),
        "",
    )  # fmt: skip


# The resource types that are shown: the section of each, and the method that reads it.
KINDS: dict[str, tuple[str, Callable[[Reader, str, str, dict[str, Any]], Fact]]] = {
    "Patient": ("patient", Reader.patient),
    "AllergyIntolerance": ("allergy", Reader.allergy),
    "Condition": ("condition", Reader.condition),
    "FamilyMemberHistory": ("condition", Reader.family),
    "MedicationRequest": ("medication", Reader.medication),
    "MedicationStatement": ("medication", Reader.medication),
    "MedicationDispense": ("medication", Reader.medication),
    "MedicationAdministration": ("medication", Reader.medication),
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
    "DocumentReference": ("report", Reader.dated),
    "DeviceUseStatement": ("procedure", Reader.dated),
    "Encounter": ("encounter", Reader.dated),
}
