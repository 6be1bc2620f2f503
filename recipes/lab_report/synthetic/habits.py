"""Habits of laboratories, drawn report by report and put upon what a family fixes.

A family says what its reports have in common; what real reports do beside that (comments with grey zones, rows
after a sub-panel, signatories at the foot, pages without results...) is combined with every family here. The
families of the validation and test splits get the same phenomena, but of shapes and wordings of their own:
`_TRAIN` and `_HELD` say which. Families with `habits=False` stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from .faces import FONTS
from .families import FAMILIES
from .style import Family, Style, settle
from .vocabulary import SHARES, habit_words, locales, manners, places

# Field of Style: alternatives. What is rare in life is rare here, by repetition of the usual.
_BOTH: Mapping[str, Sequence[Any]] = {
    "colon": [False] * 9 + [True],
    "aliases": [0] * 4 + [0.15, 0.4],
    "title_case": [""] * 6 + ["upper", "lower"],
    "pending_bare": [False, True],
    "bare_words": [False, False, True],
    "comment_share": [0.72, 0.72, 0.35, 0.45, 0.9],
    "comment_place": ["result", "result", "result", "name", "margin"],
    "remarks": [0, 0, 0.05, 0.1, 0.2],
    "trailer": [0] * 5 + [0.4, 1],
    "tail": [0.5],
    "hollow": [0, 0, 0, 0, 0.3],
    "fluids": [0] * 9 + [1],
    "conclusion": [0, 0, 0, 1],
    "clinical": [0, 0.2, 0.4],
    "foot_block": ["", "", "lines", "columns"],
    "address": [True, True, False],
    "codes": ["loinc", "digits", "digits"],
    "form_colon": [":", ":", " :", ""],
    "form_bold": [False, False, True],
    "form_across": [False, True],
    "form_code": [0, 0, 0.5, 1],
}
_TRAIN: Mapping[str, Sequence[Any]] = {
    "fresh": [""] * 8 + ["@", "N", "@@"],
    "ref_header": [False, False, True],
    "range_below": [False, True],
    "form_columns": [1, 2, 2, 3, 3],
    "form_labels": ["beside", "beside", "inline", "above"],
    "form_frame": ["none", "none", "box", "rules", "grid", "fill"],
}
_HELD: Mapping[str, Sequence[Any]] = {
    "fresh": [""] * 8 + ["¤", "!!"],
    "ref_header": [False],
    "range_below": [False, False, True],
    "form_columns": [2, 3, 4],
    "form_labels": ["beside", "right", "right", "above"],
    "form_frame": ["none", "round", "round", "rules", "fill"],
}
# What training families take from each other, each with this probability: (field, probability, alternatives).
_LOANS: Sequence[tuple[str, float, Sequence[Any]]] = (
    ("font", 0.25, ["Helvetica", "Times", "Courier", "Vera"]),
    ("value_font", 0.12, ["Courier", "Helvetica", "Times"]),
    ("size", 0.3, [7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5]),
    ("letterhead", 0.3, ["left", "center", "bar", "status", "plain", "right", "none"]),
    (
        "patient",
        0.45,
        ["grid", "boxes", "table", "inline", "strip", "window", "window", "dossier", "dossier", "bars", "bare"],
    ),
    ("heading", 0.3, ["bold", "upper", "underline", "fill", "center", "italic"]),
    ("header_fill", 0.2, ["none", "grey", "colour"]),
    ("rules", 0.2, ["none", "header", "rows", "zebra", "dotted", "grid"]),
    ("flag", 0.3, ["HL", "pm", "pm", "arrow", "star", "bang", "bold", "bracket", "none", "word", "triangle"]),
    ("flag_place", 0.3, ["before", "before", "after"]),
    ("specimen", 0.25, ["none", "none", "line", "heading", "inline", "inline", "report"]),
    ("dash", 0.2, [" - ", "-", " – ", "to"]),
    ("bracket", 0.1, ["", "[]", "()"]),
    ("less", 0.2, ["<{}", "< {}", "≤ {}", "<={}", "upto", "zero"]),
    ("sexes", 0.15, [0.1, 0.3]),
    ("targets", 0.1, [0.1, 0.3]),
    ("groups", 0.1, [1]),
    ("nested", 0.5, [True, True, False]),
    ("indent", 0.4, [0, 6, 10, 14]),
    ("mark", 0.3, ["*", "°", "#", "(1)", "**", "(2)", "(*)"]),
    ("date_header", 0.2, [True]),
    ("words_below", 0.2, [True]),
    ("name_case", 0.1, ["as is", "upper"]),
    ("titles", 0.05, [False]),
    ("section_titles", 0.15, [True]),
    ("spread", 0.2, ["name", "even", "left"]),
    ("comments", 0.3, [0.05, 0.15, 0.3]),
    ("pending", 0.15, [0.1, 0.1, 0.3, 0.7]),
    ("contents", 0.3, ["general", "large", "few", "few", "infection", "hormones", "urine", "fluids"]),
    ("rows", 0.25, [1, 2, 3, 4, 6, 9, 13]),
    ("legend", 0.2, ["none", "end", "foot"]),
    ("repeat", 0.1, ["full", "line", "none"]),
    ("invented", 0.3, [0.1, 0.2]),
    ("time", 0.1, ["report", "date", "none", "section"]),
)
# Habits of life.py and blocks.py: field, how often a report has it, alternatives.
_RARE: Sequence[tuple[str, float, Sequence[Any]]] = (
    ("bands", 0.16, [0.06, 0.12, 0.25]),
    ("prose", 0.1, [0.06, 0.12, 0.25]),
    ("scale", 0.04, [0.1, 0.3, 0.6]),
    ("trend", 0.05, [0.05, 0.1, 0.2]),
    ("legend_rows", 0.07, [True]),
    ("kidney", 0.025, [True]),
    ("curve", 0.04, [True]),
    ("cultures", 0.04, [True]),
    ("samples", 0.06, [True]),
    ("cancelled", 0.09, [0.04, 0.08, 0.2]),
    ("struck", 0.3, [True]),
    ("corrected", 0.06, [0.06, 0.12]),
    ("wrong_flags", 0.05, [0.05, 0.1]),
    ("long_names", 0.09, [0.15, 0.4, 0.8]),
    ("bilingual", 0.06, [0.5, 1, 1]),
    ("suffix", 0.07, [0.08, 0.2]),
    ("flag_tight", 0.1, [True]),
    ("split_comments", 0.15, [True]),
    ("headless", 0.1, ["all", "all", "first"]),
)
_TRAIN_RARE: Sequence[tuple[str, float, Sequence[Any]]] = (
    ("value_at", 0.15, ["middle", "middle", "bottom"]),
    ("flag_form", 0.12, ["({})", "{}!", "[{}]"]),
)
_HELD_RARE: Sequence[tuple[str, float, Sequence[Any]]] = (
    ("value_at", 0.15, ["middle", "bottom"]),
    ("flag_form", 0.12, ["<{}>", "{}."]),
)
# What a table becomes in some reports: a column for every date, cards of a portal, the wide American form, ends of the
# range in columns of their own, groups in cells beside their rows, two laboratories.
_SHAPES = (("dates", 0.05), ("portal", 0.035), ("wide", 0.035), ("ends", 0.05), ("spans", 0.04), ("labs", 0.035))
# Column orders that any training family may borrow; no validation or test family has them.
_ORDERS = (
    "name result unit range", "name result unit range flag", "no name result unit range",
    "name result unit prev1 range", "name result prev1 unit range", "name result unit range prevd",
    "code name result unit range", "name result unit range code", "name result unit range tariff",
    "tariff name result unit range", "name result unit specimen range", "name result range", "name result",
    "name result unit", "name unit result range flag", "name result unit flag", "name result unit range time",
    "name time result unit range", "name result unit method range", "name result unit range method",
    "name result unit range marker", "marker name result unit range", "name result range flag", "name result flag",
    "name result range marker", "name result unit range flag marker",
    "name result unit range prev1 prev2", "code name result unit flag range", "name unit prev1 result range",
)  # fmt: skip
_HELD_ORDERS = (
    "no name flag result range unit", "name prevd result unit range", "name tariff result unit range",
    "name result range unit prevd", "no name range result unit",
)  # fmt: skip
_FURTHER = 0.29  # of training reports with habits are in one of the further languages: a quarter of all
_KINDS = ("letter", "notice", "guide", "interpretation", "invoice", "request", "values")
# Their lists look like results, and an answer without rows teaches by a few tokens only: training sees more of them.
_LIKE_RESULTS = ("invoice", "invoice", "values", "request")


def with_habits(style: Style, family: Family, rng: Random, locale: str | None = None) -> Style:
    """Put habits upon a report's style; the same rng gives the same habits, but for those that `locale`, where it is
    given, has no words for.
    """
    if not family.habits:
        return style
    training = family.split == "train"
    tables = {**_BOTH, **(_TRAIN if training else _HELD)}
    drawn = {key: rng.choice(list(values)) for key, values in tables.items()}
    drawn["edition"] = "train" if training else "held"
    if rng.random() < 0.06:
        drawn["blank"] = rng.choice(("apology", "apology", *_KINDS))
    if rng.random() < (0.2 if training else 0.08):
        kinds = (*_KINDS, *_LIKE_RESULTS) if training else _KINDS
        drawn["extra_page"] = f"{rng.choice(('before', 'after'))}:{rng.choice(kinds)}"
    wide_table = style.layout == "table" and style.frames == 1
    if training:
        drawn |= {key: rng.choice(list(values)) for key, chance, values in _LOANS if rng.random() < chance}
        if not wide_table:
            drawn = {key: value for key, value in drawn.items() if key not in ("titles", "section_titles")}
        if wide_table and not style.result_below and rng.random() < 0.5:
            drawn["columns"] = rng.choice(_ORDERS)
            if "marker" in drawn["columns"] and rng.random() < 0.5:
                drawn["words_below"] = True
        if wide_table and not style.result_below and rng.random() < 0.2:
            drawn |= {"columns": _with_earlier(drawn.get("columns", style.columns), rng), "titles": True}
        if wide_table and not style.result_below and rng.random() < 0.3:
            drawn |= _any_order(rng)
        if rng.random() < 0.3:
            drawn["locale"] = rng.choice(list(places()))
        if rng.random() < _FURTHER:
            language = rng.choices(list(SHARES), list(SHARES.values()))[0]
            drawn["locale"] = rng.choice(locales(language))
    else:
        if rng.random() < 0.3:
            drawn["patient"] = rng.choice(("stacked", "flush"))
        if wide_table and not style.result_below and rng.random() < 0.25:
            drawn["columns"] = rng.choice(_HELD_ORDERS)
        if rng.random() < 0.15:
            drawn["mark"], drawn["mark_place"] = rng.choice(("†", "»", "††")), rng.choice(("after", "before"))
    drawn["locale"] = locale = locale or drawn.get("locale", style.locale)
    if rng.random() < 0.35 and habit_words(locale[:2], drawn["edition"]):
        drawn["patient"] = "form"
    if rng.random() < 0.1:
        drawn["letterhead"] = rng.choice(("logo", "none") if training else ("none", "right"))
    rare = (*_RARE, *(_TRAIN_RARE if training else _HELD_RARE))
    drawn |= {key: rng.choice(list(values)) for key, chance, values in rare if rng.random() < chance}
    style = replace(style, **drawn)
    if wide_table and not style.result_below:
        style = _shaped(style, training, rng)
        wide_table = style.layout == "table"
    if style.contents == "fluids" and rng.random() < 0.4:
        style = replace(style, fluids=1.0)
    return _agree(style, wide_table, rng)


_WORDED = ("wide", "ends", "spans", "labs")
"""Shapes whose titles are words of `phrases_habits.yaml`, which not every language has."""


def _shaped(style: Style, training: bool, rng: Random) -> Style:
    """The style with one of the rarer shapes of a table, or as it is."""
    kinds = [kind for kind in style.columns.split() if kind not in ("prev1", "prev2", "prevd")]
    draw = rng.random()
    shape = ""
    for name, chance in _SHAPES:
        if 0 <= draw < chance:
            shape = name
        draw -= chance
    if shape in _WORDED and not habit_words(style.locale[:2], style.edition):
        shape = ""
    changes: dict[str, Any] = {}
    if shape == "dates":
        dates = rng.choice((2, 3, 3, 4, 5))
        columns = [f"d{i}" for i in range(dates)]
        unit = ["unit", "range"] if "unit" in kinds else ["range"]
        after, before = ["name", *columns, *unit], ["name", *unit, *columns]
        # Ends of a table that training has seldom and the other splits often.
        order = rng.choice((after, before) if training else (before, ["name", *unit[::-1], *columns]))
        changes = {"columns": " ".join(order), "dates": dates, "newest_first": rng.random() < 0.5, "time": "dates"}
        changes |= {"rows": max(2, style.rows // 2), "titles": True, "section_titles": False, "date_header": False}
        changes |= {"words_below": False, "tail": 0.0, "fluids": 0.0, "cultures": False, "samples": False}
        changes |= {"corrected": 0.0, "range_below": False, "fresh": "", "cancelled": 0.0, "pending": 0.0}
        changes |= {"flag_place": "after" if style.flag_place == "column" else style.flag_place, "align": "left"}
        changes |= {"specimen": "none" if style.specimen == "column" else style.specimen}
    elif shape == "portal":
        changes = {"layout": "portal", "titles": False, "section_titles": False, "rows": min(style.rows, 14)}
        changes |= {"columns": "name result range", "unit_place": "range", "landscape": False}
    elif shape == "wide":
        wide = "name result prevw unit range lab" if training else "name result prevw unit range"
        changes = {"columns": wide, "wide": True, "titles": True, "section_titles": rng.random() < 0.3}
        changes |= {"title_case": "", "flag_place": "after", "date_header": False}
        changes["titles"] = not changes["section_titles"]
    elif shape == "ends" and "range" in kinds:
        at = kinds.index("range")
        kinds[at : at + 1] = ["low", "high"] if training or rng.random() < 0.6 else ["high", "low"]
        changes = {"columns": " ".join(kinds), "titles": True, "section_titles": False, "range_below": False}
    elif shape == "spans":
        grouped = " ".join(["group", *(kind for kind in kinds if kind not in ("no", "code", "tariff"))])
        place = rng.choice(("middle", "top") if training else ("middle", "bottom"))
        changes = {"columns": grouped, "spans": place, "rules": rng.choice(("grid", "grid", "rows")), "nested": False}
        changes |= {"titles": True, "section_titles": False, "indent": 0, "tail": 0.0, "fluids": 0.0, "headless": ""}
        changes |= {"specimen": "column" if "specimen" in kinds else "none", "hollow": 0.0, "cultures": False}
        changes |= {"samples": False, "split_comments": False, "comments": 0.0, "remarks": 0.0, "notes": 0.0}
        changes |= {"bands": 0.0, "prose": 0.0, "scale": 0.0, "trend": 0.0}
        changes |= {"time": "report" if style.time == "section" else style.time}
    elif shape == "labs":
        at = rng.choice((1, len(kinds))) if training else len(kinds) - 1
        changes = {"columns": " ".join([*kinds[:at], "lab", *kinds[at:]]), "labs": True}
    return replace(style, **changes)


def in_script(style: Style, rng: Random) -> Style:
    """The style with fonts that have the letters of its language."""
    fonts = FONTS[manners(style.locale[:2]).get("script", "Latin-1")]

    def other(font: str) -> str:
        return rng.choice(fonts[font]) if font in fonts else font

    return replace(style, font=other(style.font), value_font=other(style.value_font)) if fonts else style


def _with_earlier(columns: str, rng: Random) -> str:
    """The columns and one or two of earlier results, unless they have such or a test family has that order."""
    kinds = columns.split()
    if "prev" in columns or len(kinds) > 6:
        return columns
    place = rng.choice((kinds.index("result"), kinds.index("result") + 1, len(kinds), len(kinds)))
    longer = " ".join([*kinds[:place], *rng.choice((("prev1",), ("prev1", "prev2"), ("prevd",))), *kinds[place:]])
    return columns if longer in _not_for_training() else longer


def _any_order(rng: Random) -> dict[str, Any]:
    """Columns in any order that no test family has, under titles: where the result stands is read there alone."""
    kinds = ["result", *rng.choice((("unit", "range"), ("unit", "range"), ("unit",), ("range",)))]
    kinds += rng.choice(((), (), ("prev1",), ("prev1",), ("prevd",), ("prev1", "prev2"), ("flag",), ("method",)))
    rng.shuffle(kinds)
    kinds.insert(0 if rng.random() < 0.85 else rng.randrange(len(kinds)), "name")
    if rng.random() < 0.25:
        kinds.insert(rng.choice((0, 0, kinds.index("name") + 1, len(kinds))), rng.choice(("code", "no", "tariff")))
    columns = " ".join(kinds)
    return {} if columns in _not_for_training() else {"columns": columns, "titles": True}


@cache
def _not_for_training() -> frozenset[str]:
    """The orders of validation and test families that no training family had by itself."""
    orders: dict[bool, set[str]] = {True: {*_ORDERS}, False: {*_HELD_ORDERS}}
    for one in FAMILIES.values():
        orders[one.split == "train"] |= {*one.options.get("columns", ())}
    return frozenset(orders[False] - orders[True])


def _agree(style: Style, wide_table: bool, rng: Random) -> Style:
    """Take back the habits that this layout cannot show."""
    columns = style.columns.split()
    changes: dict[str, Any] = {}
    if "unit" not in columns and style.unit_place in ("column", "range") and "range" not in columns:
        changes["unit_place"] = rng.choice(("result", "result", "name"))
    elif "unit" not in columns and style.unit_place == "column":
        changes["unit_place"] = rng.choice(("result", "result", "range", "name"))
    if not wide_table:
        changes |= {"range_below": False, "words_below": False, "trailer": 0.0, "tail": 0.0, "fresh": ""}
        changes |= {"comment_share": 0.72, "comment_place": "result"}
        if style.layout in ("gauge", "matrix"):
            changes |= {"comments": 0, "remarks": 0.0, "colon": False}
    if style.section_titles:
        changes["titles"] = False
    if "range" in columns:
        changes["range_below"] = False
    if style.time in ("section", "column") or style.frames > 1 or "result" not in columns:
        changes["ref_header"] = False
    if style.unit_place == "header":  # a section keeps the rows of one unit only, which others have not
        changes |= {"tail": 0.0, "fluids": 0.0, "pending_bare": False}
    if style.specimen in ("report", "outer") or "specimen" in columns:
        changes["fluids"] = 0.0
    if style.fresh and style.flag_place not in ("before", "after"):
        changes["fresh"] = ""
    if style.samples and (not wide_table or style.specimen in ("report", "column", "outer") or style.time == "column"):
        changes["samples"] = False
    elif style.samples:
        changes |= {"specimen": "sample", "time": "sample", "fluids": 0.0, "tail": 0.0, "hollow": 0.0}
        changes |= {"ref_header": False, "date_header": False}
    if style.headless and (style.specimen == "inline" or style.layout not in ("table", "lines")):
        changes["headless"] = ""
    elif style.headless:
        changes |= {"tail": 0.0, "fluids": 0.0, "hollow": 0.0}
    if not wide_table:
        changes |= {"cultures": False, "value_at": "top", "split_comments": False, "struck": False}
    if style.unit_place == "header":
        changes |= {"curve": False}
    if style.value_at != "top":
        changes |= {"name_share": rng.choice((0.15, 0.2, 0.28)), "long_names": max(style.long_names, 0.5)}
        changes |= {"leader": False, "words_below": False, "spread": "even"}
    if "low" in columns:
        changes["range_below"] = False
    if style.font == "Courier" and style.size > 9:
        changes["size"] = 9
    return settle(replace(style, **changes))
