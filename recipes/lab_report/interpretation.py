"""What a result means by its own range, apart from the flag that is printed beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from extraction.values import Typed, type_range, type_value

Interpretation = Literal["low", "normal", "high", "critical", "abnormal"]

# A flag as printed, without signs around it. Stars, bangs and letters for "abnormal" are used for more than one thing.
_HIGH = re.compile(r"h{1,3}|hi|hoch|hoog|high|high\W*critical|critical\W*high|[↑▲⇧]+|above.*|élevé|elevado|alto", re.I)
_LOW = re.compile(r"l{1,3}|lo|low|low\W*critical|critical\W*low|laag|niedrig|[↓▼⇩]+|below.*|bas|bajo|basso", re.I)
_NORMAL = re.compile(r"n|normal\w*|within.*", re.I)
_CRITICAL = re.compile(r"h{2,3}|l{2,3}|.*(?:crit|krit|panic|panik).*|[↑▲⇧]{2,}|[↓▼⇩]{2,}", re.I)
ABSENT = re.compile(
    r"(?:non?|not|niet|nicht|pas)\W?\w+|neg\w*|nég\w*|absen\w*|ausen\w*|assen\w*|afwezig|отриц\w*|αρνητικ\w*|阴性", re.I
)
# Ranges of the two sexes, and the words and letters for them.
_OF_SEX = re.compile(r"(?P<who>[^\W\d_]+)\.? ?: ?(?P<span>[^:]*\d)(?=[\s,;/]*(?:[^\W\d_]+\.? ?:|$))")
_MALE = frozenset(
    "m male males man men homme hommes mann männer männlich uomo uomini maschio maschi hombre hombres varón varones"
    " masculino homem homens erkek mężczyzna mężczyźni muž muži mannen män mand мужчина мужчины муж άνδρας άνδρες 男"
    " 男性 ذكر זכר".split()
)
_FEMALE = frozenset(
    "f w v k ž female females woman women femme femmes frau frauen weiblich donna donne femmina femmine mujer mujeres"
    " femenino mulher mulheres feminino kadın kobieta kobiety žena ženy vrouw vrouwen kvinna kvinnor kvinde женщина"
    " женщины жен γυναίκα γυναίκες 女 女性 أنثى נקבה".split()
)
_PRESENT = re.compile(r"pos\w*|detected|reactive|présen\w*|presen\w*|aanwezig|полож\w*|θετικ\w*|阳性", re.I)


def of_sex(limits: str, sex: str) -> str:
    """Of a range of both sexes ("Male: 0 - 15 Female: 0 - 20") the part for the patient's; any other range as it is."""
    parts = [(match["who"].casefold(), match["span"]) for match in _OF_SEX.finditer(limits)]
    own = next((words for words in (_MALE, _FEMALE) if sex.strip(" .").casefold() in words), frozenset[str]())
    both = len(parts) == 2 and {who in _MALE for who, _ in parts} == {who in _FEMALE for who, _ in parts} == {
        True,
        False,
    }
    return next((span for who, span in parts if who in own), limits) if both else limits


def interpret(row: Mapping[str, Any]) -> Interpretation | None:
    """What `result` means by `range`: `low`, `normal`, `high`; `abnormal` for a finding that should not be there.

    `critical` where it is low or high and the printed `flag` says so: ranges alone do not tell. None where the two
    cannot be compared: no range, one of several ranges, other units, `<5` beside a range that begins below 5.
    """
    result, limits = (str(row.get(key) or "").strip() for key in ("result", "range"))
    if not result or not limits:
        return None
    value, span = type_value(result), type_range(limits)
    if value.kind == "number" and span.kind == "range":
        if value.unit and span.unit and value.unit != span.unit:
            return None
        place = _place(value, span)
        beyond = place in ("low", "high") and _CRITICAL.fullmatch(_bare(row.get("flag")))
        return "critical" if beyond else place
    if value.kind == "text" and span.kind == "text":
        if result.casefold() == limits.casefold() or (ABSENT.fullmatch(result) and ABSENT.fullmatch(limits)):
            return "normal"
        if _PRESENT.fullmatch(result) and ABSENT.fullmatch(limits):
            return "abnormal"
    return None


def contradiction(row: Mapping[str, Any]) -> str | None:
    """What is wrong between a row's flag and its own result and range; None where they agree or say nothing."""
    flag = _bare(row.get("flag"))
    means = interpret({**row, "flag": None})
    if not flag or means not in ("low", "normal", "high"):
        return None
    said = next((word for word, form in _FORMS if form.fullmatch(flag)), None)
    if said is None or said == means:
        return None
    return f"the flag “{row['flag']}” is printed, and “{row['result']}” is {_WHERE[means]} “{row['range']}”"


_FORMS = (("high", _HIGH), ("low", _LOW), ("normal", _NORMAL))
_WHERE = {"low": "below", "normal": "within", "high": "above"}


def _bare(flag: Any) -> str:
    return str(flag or "").strip(" ()[]*!+-.:")


def _place(value: Typed, span: Typed) -> Literal["low", "normal", "high"] | None:
    """Where a number stands in a range; one with a comparator only if all that it may be stands there."""
    number, low, high = value.value, span.low, span.high
    assert number is not None
    if value.comparator == "~":
        return None
    less, more = value.comparator.startswith("<"), value.comparator.startswith(">")
    # "<5" is less than 5 itself, so that a range which ends below 5 holds all of it, and one from 5 on none.
    apart = value.comparator in ("<", ">")
    if (
        low is not None
        and not more
        and (number < low or (number == low and ((less and apart) or not span.low_inclusive)))
    ):
        return "low"
    if (
        high is not None
        and not less
        and (number > high or (number == high and ((more and apart) or not span.high_inclusive)))
    ):
        return "high"
    from_low = low is None or low <= number if not less else low is None or low == 0  # nothing is less than nothing
    to_high = high is None or number <= high if not more else high is None
    return "normal" if from_low and to_high else None
