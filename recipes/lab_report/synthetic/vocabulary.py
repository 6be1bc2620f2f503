"""Reads the tables of analytes, phrases and places that the reports are written with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

LANGUAGES = ("en", "nl", "de", "fr", "es", "it")
"""Languages with every panel, the columns of the tables."""
SHARES = {
    "el": 9, "ru": 9, "pt": 9, "pl": 9, "tr": 9, "ar": 9, "zh": 9, "bg": 5, "uk": 5, "cs": 5, "sv": 5, "he": 5, "ja": 5,
}  # fmt: skip
"""Languages with the commoner panels, each in a file of its own (languages/), and how often one is drawn."""
_HERE = Path(__file__).parent
_TABLES = ("analytes_blood.yaml", "analytes_other.yaml", "analytes_more.yaml", "analytes_composed.yaml")

# Panels are shown alone or under a department, e.g. "Chemistry > Lipids".
DEPARTMENTS: dict[str, tuple[str, ...]] = {
    "Chemistry|Biochemie|Klinische Chemie|Biochimie|Bioquímica|Chimica clinica": (
        "electrolytes", "kidney", "liver", "enzymes", "lipids", "diabetes", "inflammation", "iron",
        "vitamins", "cardiac", "kidney_more", "lipids_more", "trace_elements", "electrophoresis", "myeloma",
        "glucose_curve", "amino_acids",
    ),
    "Immunochemistry|Immunochemie|Immunchemie|Immunochimie|Inmunoquímica|Immunochimica": (
        "thyroid", "hormones", "tumour", "drugs", "immunology", "drug_levels", "fertility", "adrenal",
        "steroids", "prenatal", "bone", "allergens", "foods", "autoimmunity", "complement",
    ),
    "Infectious Diseases|Infectieziekten|Infektionsdiagnostik|Maladies infectieuses"
    "|Enfermedades infecciosas|Malattie infettive": (
        "serology", "microbiology", "viral_load", "serology_viral", "serology_bacterial", "hepatitis", "sti",
        "respiratory", "enteric", "tb", "microbes_resistance", "culture",
    ),
    "Urine|Urine|Urin|Urines|Orina|Urine": (
        "urinalysis", "urine_sediment", "urine_chemistry", "toxicology", "catecholamines",
    ),
    "Body Fluids|Punctievochten|Punktate|Liquides biologiques|Líquidos biológicos|Liquidi biologici": (
        "csf", "ascites", "pleural", "synovial", "semen",
    ),
    "Haematology|Hematologie|Hämatologie|Hématologie|Hematología|Ematologia": (
        "haemoglobins", "lymphocytes", "anaemia", "genetics",
    ),
    "Haemostasis|Hemostase|Hämostaseologie|Hémostase|Hemostasia|Emostasi": ("thrombophilia",),
}  # fmt: skip

# A panel that labs print inside another one.
PARENTS = {"differential": "haematology", "absolute": "haematology", "urine_sediment": "urinalysis"}


@dataclass(frozen=True)
class Quantity:
    """One way to report an analyte: a unit with reference limits, or a kind of qualitative result."""

    unit: str | None
    low: float | None
    high: float | None
    decimals: int
    kind: str | None = None


@dataclass(frozen=True)
class Analyte:
    """What is measured: its names by language and the quantities it is reported in."""

    key: str
    names: dict[str, tuple[str, ...]]
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class Panel:
    """Analytes that are reported together, with the panel's titles by language."""

    key: str
    titles: dict[str, tuple[str, ...]]
    specimen: str
    methods: tuple[str, ...]
    analytes: tuple[Analyte, ...]


def choices(text: str) -> tuple[str, ...]:
    """Split alternatives at ";"."""
    return tuple(part.strip() for part in text.split(";"))


def by_language(cells: list[str]) -> dict[str, tuple[str, ...]]:
    """Six cells, in the order of LANGUAGES, to alternatives by language; an empty cell takes the English."""
    return {lang: choices(cell.strip() or cells[0]) for lang, cell in zip(LANGUAGES, cells, strict=True)}


def _quantity(text: str) -> Quantity:
    parts = text.split()
    if parts[0].startswith("@"):
        return Quantity(None, None, None, 0, parts[0][1:])
    unit, low, high, decimals = parts
    return Quantity(
        None if unit == "." else unit.replace("_", " "),
        None if low == "-" else float(low),
        None if high == "-" else float(high),
        int(decimals),
    )


def _analyte(panel: str, line: str) -> Analyte:
    *names, quantities = line.split("|")
    first = choices(names[0])[0]
    parsed = tuple(_quantity(part) for part in quantities.split(", "))
    return Analyte(f"{panel}/{first}", by_language(names), parsed)


@cache
def panels(edition: str = "base", language: str = "en") -> dict[str, Panel]:
    """All panels of an edition (base, train, held) by key, in the order of the tables.

    A language with a file of its own has those panels, and those analytes in them, that it has names for.
    """
    if language not in LANGUAGES:
        return _named(edition, language)
    found: dict[str, Panel] = {}
    for name in _TABLES if edition != "base" else _TABLES[:2]:
        for key, entry in _load(name).items():
            if entry.get("split", edition) != edition:
                continue
            lines = entry["table"].strip().splitlines() if "table" in entry else _compose(entry)
            found[key] = Panel(
                key,
                by_language(entry["title"].split("|")),
                entry["specimen"],
                choices(entry["methods"]),
                tuple(_analyte(key, line) for line in lines),
            )
    return found


def _compose(entry: dict[str, str]) -> list[str]:
    """Lines of analytes from forms with a "{}" for each language and items to put there, item by item."""
    lines = []
    for item in entry["items"].strip().splitlines():
        names = by_language(item.split("|"))
        for form in entry["forms"].strip().splitlines():
            *forms, quantities = form.split("|")
            cells = [
                ";".join(one.replace("{}", name) for one in choices(cell.strip()) for name in names[language])
                for cell, language in zip(forms, LANGUAGES, strict=True)
            ]
            lines.append("|".join([*cells, quantities.strip()]))
    return lines


def _named(edition: str, language: str) -> dict[str, Panel]:
    """The panels with the names of one language.

    Its file has them as text: a line of titles, then "English name = names" a line; names behind "||" are the
    validation and test families' own, as are analytes that have no others. The panel `absolute` takes the names of
    `differential` in the forms of its second line.
    """
    found: dict[str, Panel] = {}
    tables = panels(edition)
    written = _load(f"languages/{language}.yaml")["panels"]
    shares: dict[str, tuple[str, ...]] = {}
    for key, text in written.items():
        titles, *lines = text.strip().splitlines()
        by_name = {analyte.key.split("/", 1)[1]: analyte for analyte in tables[key].analytes}
        if key == "absolute":
            lines = [f"{name} = {';'.join(form.replace('{}', one) for one in ones for form in choices(lines[0]))}"
                     for name, ones in shares.items() if name in by_name]  # fmt: skip
        analytes = []
        for line in lines:
            english, _, names = (part.strip() for part in line.partition(" = "))
            usual, _, own = (part.strip() for part in names.partition("||"))
            shown = choices(f"{usual};{own}".strip("; ")) if edition == "held" else choices(usual)
            if shown[0]:
                if key == "differential":
                    shares[english] = tuple(one for one in shown if "%" not in one)
                analytes.append(replace(by_name[english], names={language: shown}))
        if analytes:
            methods = _load(f"languages/{language}.yaml")["methods"]
            native = choices(methods.get(key, methods["any"]))
            panel = tables[key]
            found[key] = replace(panel, titles={language: choices(titles)}, analytes=tuple(analytes),
                                 methods=(*native, *panel.methods[:2]))  # fmt: skip
    return found


def departments(language: str) -> dict[str, str]:
    """The department that each panel is printed under."""
    if language in LANGUAGES:
        column = LANGUAGES.index(language)
        return {key: names.split("|")[column] for names, keys in DEPARTMENTS.items() for key in keys}
    written = _load(f"languages/{language}.yaml")["departments"]
    return {
        key: written[names.split("|")[0]]
        for names, keys in DEPARTMENTS.items()
        for key in keys
        if names.split("|")[0] in written
    }


@cache
def phrases(language: str, edition: str = "base") -> dict[str, Any]:
    """The phrases of one language: those of the demo's families, and more in the other editions."""
    if language not in LANGUAGES:
        written = _load(f"languages/{language}.yaml")
        return _joined(written["phrases"], written["held"] if edition == "held" else {})
    both = _load("phrases_germanic.yaml") | _load("phrases_romance.yaml")
    found = dict(both[language])
    if edition != "base":
        more = _load("phrases_more.yaml")[language]
        for part in (more["all"], more[edition]):
            found = _joined(found, part)
    return found


@cache
def habit_words(language: str, edition: str) -> dict[str, str] | None:
    """The words of habits in one language: those of every edition and its own; None where there are none."""
    words = _load("phrases_habits.yaml").get(language)
    return words and _joined(words["all"], words["train" if edition == "train" else "held"])


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two tables of phrases as one: alternatives of the same key are put together."""
    found = dict(one)
    for key, value in other.items():
        if key not in one:
            found[key] = value
        elif isinstance(value, dict):
            found[key] = _joined(one[key], value)
        else:
            found[key] = f"{one[key]};{value}"
    return found


@cache
def places() -> dict[str, dict[str, Any]]:
    """Locales such as "nl-BE": how numbers and dates are written there, and invented people and labs."""
    return _load("places.yaml")


@cache
def place(locale: str) -> dict[str, Any]:
    """What `places` says of a locale, or the file of its language."""
    return places().get(locale) or _load(f"languages/{locale[:2]}.yaml")["places"][locale] | {"language": locale[:2]}


@cache
def locales(language: str) -> tuple[str, ...]:
    """The locales of a language that has a file of its own."""
    return tuple(_load(f"languages/{language}.yaml")["places"])


@cache
def manners(language: str) -> dict[str, Any]:
    """How a language with a file of its own is written: script, months, units, counts; empty for the others."""
    return {} if language in LANGUAGES else _load(f"languages/{language}.yaml")["manners"]


def count_units(unit: str, language: str) -> tuple[tuple[str, float, int], ...]:
    """How a language's laboratories write a unit of cell counts: (printed unit, factor, decimals fewer)."""
    if language in LANGUAGES:
        return COUNT_UNITS[unit][language]
    return tuple((printed, 1, 0) for printed in choices(manners(language)["counts"][unit]))


@cache
def _load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_HERE / name).read_text(encoding="utf-8")))


# How laboratories write the two cell-count units: (printed unit, factor, decimals fewer).
COUNT_UNITS: dict[str, dict[str, tuple[tuple[str, float, int], ...]]] = {
    "10^9/L": {
        "en": (("x10^9/L", 1, 0), ("10^9/L", 1, 0), ("10*9/L", 1, 0), ("K/uL", 1, 0), ("10^3/µL", 1, 0),
               ("x10³/µL", 1, 0), ("x10E3/uL", 1, 0), ("cells/µL", 1000, 9)),
        "nl": (("10E9/L", 1, 0), ("10^9/L", 1, 0), ("x 1000/µL", 1, 0), ("/µL", 1000, 9), ("x10*9/l", 1, 0)),
        "de": (("/nL", 1, 0), ("Gpt/l", 1, 0), ("G/l", 1, 0), ("Tsd/µl", 1, 0), ("/µl", 1000, 9)),
        "fr": (("G/L", 1, 0), ("10^9/L", 1, 0), ("10³/µL", 1, 0), ("/mm3", 1000, 9)),
        "es": (("10^9/L", 1, 0), ("x10^3/µL", 1, 0), ("mil/mm3", 1, 0), ("x10³/µL", 1, 0)),
        "it": (("10^9/L", 1, 0), ("x10^3/µL", 1, 0), ("10^3/mmc", 1, 0), ("migl/mmc", 1, 0)),
    },
    "10^12/L": {
        "en": (("x10^12/L", 1, 0), ("10^12/L", 1, 0), ("10*12/L", 1, 0), ("M/uL", 1, 0), ("10^6/µL", 1, 0),
               ("mill/mm3", 1, 0)),
        "nl": (("10E12/L", 1, 0), ("milj./µL", 1, 0), ("10E6/µL", 1, 0), ("x10*12/l", 1, 0)),
        "de": (("/pL", 1, 0), ("Tpt/l", 1, 0), ("T/l", 1, 0), ("Mio/µl", 1, 0)),
        "fr": (("T/L", 1, 0), ("10^12/L", 1, 0), ("M/mm3", 1, 0)),
        "es": (("10^12/L", 1, 0), ("x10^6/µL", 1, 0), ("mill/mm3", 1, 0)),
        "it": (("10^12/L", 1, 0), ("x10^6/µL", 1, 0), ("mil/mmc", 1, 0)),
    },
}  # fmt: skip
