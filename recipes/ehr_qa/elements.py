"""FHIR's small data types as plain text: concepts, quantities, names, doses."""

from __future__ import annotations

import base64
import html
import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from recipes.ehr_qa.bundle import at, each
from recipes.ehr_qa.coded import names_of_code
from recipes.ehr_qa.nothing import said_by_code

_TAG = re.compile(
    r" \((?:disorder|finding|procedure|situation|qualifier value|regime/therapy|record artifact|event)\)$"
)


def tidy(text: Any) -> str:
    """A text on one line, without invisible marks."""
    return " ".join(re.sub("[\u00ad\u200b-\u200f\u2060\ufeff]", "", str(text)).split())


def concept(value: Any) -> str:
    """A CodeableConcept's text or first display, without SNOMED's tag behind the name; its code where that is all.

    A code that says that there is nothing is put in words; one that a table knows stands behind its plain name.
    """
    found = at(value, "text") or next(iter(_displayed(value)), "") or said_by_code(codes(value))
    if not found:
        coded = [(names[0], at(one, "code")) for one in each(value, "coding") if (names := names_of_code(one))]
        found = f"{coded[0][0]} ({coded[0][1]})" if coded else at(value, "coding", 0, "code") or ""
    return _TAG.sub("", tidy(found))


def _displayed(value: Any) -> list[str]:
    """The displays of a CodeableConcept's codings; one that only repeats its code is none."""
    return [
        at(one, "display") for one in each(value, "coding") if at(one, "display") not in (None, "", at(one, "code"))
    ]


def displays(value: Any) -> list[str]:
    """What the codings of a CodeableConcept call it, and the plain names of their codes."""
    found = [_TAG.sub("", tidy(display)) for display in _displayed(value)]
    return list(dict.fromkeys([*found, *(name for one in each(value, "coding") for name in names_of_code(one))]))


def codes(value: Any) -> frozenset[str]:
    """All codes of a CodeableConcept."""
    return frozenset(str(at(code, "code")) for code in each(value, "coding") if at(code, "code"))


def number(value: Any) -> str:
    """A number as the resource prints it; one of more than six digits, which only a computation makes, in four.

    Digits before the decimal point are always kept.
    """
    if not isinstance(value, Decimal) or len(value.as_tuple().digits) <= 6:
        return str(value)
    places = max(0, 3 - value.adjusted())
    return format(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN), "f")


def quantity(value: Any) -> str:
    """A Quantity: comparator, number, unit."""
    unit = at(value, "unit") or at(value, "code") or ""
    return tidy(f"{at(value, 'comparator') or ''}{number(at(value, 'value'))} {unit}")


def person(resource: Any) -> str:
    """A HumanName in the order prefix, given, family, suffix: the official one, or the first."""
    names = [name for name in each(resource, "name") if isinstance(name, dict)]
    name = next((name for name in names if name.get("use") == "official"), names[0] if names else None)
    parts = [*each(name, "prefix"), *each(name, "given"), at(name, "family") or "", *each(name, "suffix")]
    return tidy(" ".join(str(part) for part in parts if part) or at(name, "text") or "")


def measured(resource: Any) -> str:
    """The value of an Observation or of its component, in whatever of FHIR's types; empty where there is none."""
    for name in ("valueQuantity", "valueSampledData"):
        if at(resource, name, "value") is not None:
            return quantity(resource[name])
    if isinstance(at(resource, "valueCodeableConcept"), dict):
        return concept(resource["valueCodeableConcept"])
    if isinstance(at(resource, "valueBoolean"), bool):
        return "yes" if resource["valueBoolean"] else "no"
    for name in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if at(resource, name) is not None:
            return tidy(resource[name])
    for name, link, sides in (
        ("valueRange", " to ", ("low", "high")),
        ("valueRatio", " / ", ("numerator", "denominator")),
        ("valuePeriod", " to ", ("start", "end")),
    ):
        if isinstance(at(resource, name), dict):
            ends = [part for side in sides if (part := at(resource, name, side))]
            return link.join(quantity(part) if isinstance(part, dict) else tidy(part) for part in ends)
    return ""


def dosage(value: Any) -> str:
    """A Dosage: its text, or dose, frequency and "as needed"."""
    if at(value, "text"):
        return tidy(at(value, "text"))
    dose, repeat = at(value, "doseAndRate", 0, "doseQuantity"), at(value, "timing", "repeat")
    parts = [f"dose {quantity(dose)}"] if at(dose, "value") is not None else []
    if at(repeat, "frequency") and at(repeat, "period"):
        parts.append(f"{repeat['frequency']} per {number(repeat['period'])} {at(repeat, 'periodUnit') or ''}".strip())
    if at(value, "asNeededBoolean") is True or at(value, "asNeededCodeableConcept"):
        parts.append("as needed")
    return ", ".join(parts)


def limits(value: Any) -> str:
    """A reference range: its text, or low and high."""
    if at(value, "text"):
        return tidy(at(value, "text"))
    low, high = ((at(value, end) if at(value, end, "value") is not None else None) for end in ("low", "high"))
    if low and high:
        return f"{number(low['value'])} - {quantity(high)}"
    return f">= {quantity(low)}" if low else f"<= {quantity(high)}" if high else ""


def target(value: Any) -> str:
    """What a goal aims at: a measure and its value or range."""
    amount, span = at(value, "detailQuantity"), at(value, "detailRange")
    aim = quantity(amount) if amount else limits(span) if span else concept(at(value, "detailCodeableConcept"))
    return f"target {concept(at(value, 'measure'))} {aim}".replace("  ", " ") if aim else ""


def attached(value: Any) -> str:
    """The text of an Attachment that has plain text in itself; empty where it has none or it cannot be decoded."""
    kind, _, more = str(at(value, "contentType") or "").casefold().partition(";")
    if kind.strip() != "text/plain" or not at(value, "data"):
        return ""
    charset = re.search(r"charset *= *\"?([\w.:-]+)", more)
    try:
        return tidy(base64.b64decode(str(at(value, "data"))).decode(charset[1] if charset else "utf-8"))
    except (ValueError, LookupError):  # no base64, another encoding, one that nobody knows
        return ""


def narrative(section: Any) -> str:
    """A section's text and those of the sections in it, without its marks (XHTML)."""
    own = re.sub(r"<[^>]*>", " ", str(at(section, "text", "div") or ""))
    inner = [narrative(one) for one in each(section, "section")]
    return " ".join(filter(None, [tidy(html.unescape(own)), *inner]))
