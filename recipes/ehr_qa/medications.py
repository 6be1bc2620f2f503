"""Medications: what was ordered, taken, dispensed or given, as lines."""

from __future__ import annotations

from typing import Any

from recipes.ehr_qa.bundle import at, each
from recipes.ehr_qa.dates import When
from recipes.ehr_qa.elements import codes, concept, displays, dosage, tidy
from recipes.ehr_qa.fact import WRONG, Fact
from recipes.ehr_qa.names import Names

_VERBS = {
    "MedicationRequest": "prescribed",
    "MedicationStatement": "taken",
    "MedicationDispense": "dispensed",
    "MedicationAdministration": "given",
}
_WISHED = ("proposal", "option")  # intents of what nobody ordered


class Medications(Names):
    """Reads what is said of drugs."""

    def medication(self, key: str, kind: str, resource: dict[str, Any]) -> Fact:
        """Drug, status, when and by whom it was prescribed, what for, how much."""
        name, of, also = self._drug(resource)
        status, verb = tidy(resource.get("status") or ""), _VERBS[resource["resourceType"]]
        start, end = self._time(resource, verb)
        who, mark = self.label(resource.get("informationSource" if verb == "taken" else "requester"), resource)
        names, because = self.reasons(resource, "reasonCode", "reasonReference")
        parts = [status] if status else []
        if resource.get("intent") not in (None, "order"):
            parts.append(str(resource["intent"]))
        parts.append(f"{verb} {self.span(start, end)}" + (f" by {who} {mark}".rstrip() if who else "") + because)
        doses = each(resource, "dosageInstruction") or each(resource, "dosage")
        parts += [text for text in map(dosage, doses) if text]
        stopped = ", ".join(filter(None, map(concept, each(resource, "statusReason"))))
        over_for = f"{status or 'status'} because of {stopped}" if stopped else ""
        parts += [over_for] if over_for else []
        known = "" if mark and not at(resource, "requester", "display") else who
        wrong = status in WRONG or resource.get("intent") in _WISHED
        return Fact(
            key,
            kind,
            f"{name}: {', '.join(parts)}",
            name,
            of,
            start,
            end,
            status,
            who=known if verb == "prescribed" else "",
            reasons=names,
            wrong=wrong,
            counts=not wrong and verb == "prescribed",
            also=also,
            apart=verb if verb in ("dispensed", "given") else "",
            over_for=over_for,
        )

    def _drug(self, resource: dict[str, Any]) -> tuple[str, frozenset[str], tuple[str, ...]]:
        """Name, codes and other names of a drug; one without a name is called by what is in it."""
        coded, reference = resource.get("medicationCodeableConcept"), resource.get("medicationReference")
        found = self.references.find(reference, resource)
        coded = coded or (found[1].get("code") if found else None)
        inside = [at(one, "itemCodeableConcept") for one in each(found[1], "ingredient")] if found else []
        within = [text for text in map(concept, inside) if text]
        name = concept(coded) or " / ".join(within) or self.named(reference, resource) or "unnamed drug"
        also = dict.fromkeys((*displays(coded), *within))
        return name, codes(coded).union(*map(codes, inside)), tuple(one for one in also if one != name)

    def _time(self, resource: dict[str, Any], verb: str) -> tuple[When | None, When | None]:
        if verb in ("taken", "given"):
            return self.period(resource, "effective")
        fields = ("authoredOn",) if verb == "prescribed" else ("whenHandedOver", "whenPrepared")
        return next((when for name in fields if (when := self.when(resource.get(name)))), None), None
