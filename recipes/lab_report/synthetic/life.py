"""Habits that change what a report's rows are: names in two languages, cancelled and corrected results, flags that are
wrong, curves of a load, cultures with antibiotics, several samples, a column for every date, two laboratories.

Each is a small function that does nothing unless the report's style asks for it. They draw from `composer.more`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from .blocks import after_row, after_sections, habit_words_of
from .parts import Culture, Row, Section
from .values import Printed
from .vocabulary import Analyte, choices

if TYPE_CHECKING:
    from .content import Composer

_ORGANISMS = {
    "train": (
        "Escherichia coli", "Klebsiella pneumoniae", "Enterococcus faecalis", "Pseudomonas aeruginosa",
        "Staphylococcus aureus", "Proteus mirabilis",
    ),
    "held": ("Enterobacter cloacae", "Streptococcus agalactiae", "Serratia marcescens", "Staphylococcus epidermidis"),
}  # fmt: skip
# What the cultures of phrases_habits.yaml are made from, in their order.
_CULTURED = {"train": ("urine", "swab", "swab"), "held": ("edta", "swab")}
_DRUGS = (
    "Ampicillin", "Piperacillin/Tazobactam", "Cefuroxime", "Ceftriaxone", "Meropenem", "Ciprofloxacin", "Gentamicin",
    "Tobramycin", "Nitrofurantoin", "Fosfomycin", "Trimethoprim", "Vancomycin", "Linezolid", "Clindamycin",
    "Teicoplanin", "Erythromycin", "Doxycycline", "Rifampicin", "Temocillin", "Colistin",
)  # fmt: skip
_MICS = ("0.12", "0.25", "0.5", "1", "2", "4", "8", "16", "32", "64")
LATIN = ("en", "nl", "de", "fr", "es", "it")


def named(composer: Composer, name: str, analyte: Analyte) -> str:
    """A name as some laboratories lengthen it: in a second language, with a parenthesis, with specimen and method."""
    style, rng = composer.style, composer.more
    if rng.random() < style.bilingual:
        others = [text for text in analyte.names.get(composer.second, ()) if text.lower() not in name.lower()]
        if others and "/" not in name:
            name = f"{name}{composer.joint}{rng.choice(others)}"
    if rng.random() < style.long_names:
        others = [text for text in analyte.names[composer.language] if text not in name]
        tail = [composer.specimens[composer.panel.specimen].lower()] if composer.panel else []
        tail += [rng.choice(composer.panel.methods)] if composer.panel and rng.random() < 0.6 else []
        if others and "(" not in name:
            name = f"{name} ({rng.choice(others)})"
        name = ", ".join([name, *tail])
    words = habit_words_of(composer)
    if words and rng.random() < style.suffix and not name.endswith(")"):
        name += rng.choice(("", " ")) + rng.choice(choices(words["suffix"]))
    return name


def changed(composer: Composer, row: Row) -> None:
    """Cancel or correct a result, print a flag that is wrong, or put a block under the row."""
    style, rng, words = composer.style, composer.more, habit_words_of(composer)
    printed = row.printed
    if words and rng.random() < style.cancelled:
        printed.result, printed.pending, printed.level = rng.choice(choices(words["cancelled"])), True, 0
        row.struck = style.struck
        row.comments = []
        if rng.random() < 0.4:
            printed.unit, printed.range_lines, printed.ends = None, [], None
    figures = printed.previous and re.fullmatch(r"[\d.,]+", printed.result) and not printed.pending
    if words and figures and rng.random() < style.corrected:
        if rng.random() < 0.5 and style.layout == "table" and style.frames == 1:
            row.corrected = rng.choice(choices(words["corrected"])).replace("{old}", printed.previous[0])
        else:
            note = rng.choice(words["corrected_note"].split("|"))
            row.comments = [note.format(old=printed.previous[0]), *row.comments]
    if figures and rng.random() < style.wrong_flags:
        printed.level = rng.choice([level for level in (-2, -1, 0, 1, 2) if level != printed.level])
    row.block = after_row(composer, row)
    if style.split_comments and words and rng.random() < 0.2 and not row.block:
        texts = rng.sample(prose := words["prose"].split("|"), min(2, len(prose)))
        a, b = (composer.writer.number(rng.uniform(2, 90), 1) for _ in range(2))
        row.comments.append(" ".join(texts).format(a=a, b=b, c=b, u="%", n=rng.randrange(2, 20), d=rng.randrange(2, 9)))
    if style.labs:
        row.lab = rng.choice(composer.lab_codes)


def own_sections(composer: Composer, limit: int) -> list[Section]:
    """Curves of a load, and cultures, as sections of their own."""
    found = []
    if composer.style.curve:
        found += curve(composer, limit)
    if composer.style.cultures:
        found += cultures(composer, limit)
    return found


def curve(composer: Composer, limit: int) -> list[Section]:
    """One test at several times after a load, each a row with the time in its name."""
    rng, words = composer.more, habit_words_of(composer)
    if words is None or composer.count >= limit:
        return []
    times = rng.choice(((0, 30, 60, 120), (0, 60, 120), (0, 15, 30, 45, 60), (-15, 0, 30, 60, 90)))
    form, heading = rng.choice(choices(words["curve_form"])), rng.choice(choices(words["curve_title"]))
    section = Section([heading], composer.specimens["serum"], composer.moment(composer.collected), [])
    kinds = rng.sample(choices(words["curve"]), rng.choice((1, 1, 2)))
    for kind in kinds:
        name, unit, figures = kind.split("|")
        texts = figures.split()
        for number, time in enumerate(times):
            if composer.count >= limit:
                break
            text = texts[number % len(texts)].replace(",", ".")
            decimals = len(text.partition(".")[2])
            value = composer.writer.number(float(text) * rng.uniform(0.8, 1.2), decimals)
            printed = Printed(value, composer.writer.unit(unit), [], 0, [value, value])
            if number == 0 and rng.random() < 0.5:
                top = float(text) * 1.3
                printed.range_lines = [composer.writer.limits(None, top, decimals)]
            row = composer.finish(form.format(a=name, t=time), printed, f"curve/{name}{time}")
            row.specimen, row.collected = section.specimen, section.collected[0]
            section.rows.append(row)
            composer.count += 1
    return [section] if section.rows else []


def cultures(composer: Composer, limit: int) -> list[Section]:
    """One or two organisms with the antibiotics tested on them; an antibiotic's result is its MIC."""
    rng, words, style = composer.more, habit_words_of(composer), composer.style
    if words is None:
        return []
    names, *forms = words["culture"].split("|")
    titles = "|".join(forms).split(";")
    chosen = rng.choice(titles).split("|")
    place = rng.randrange(len(choices(names)))
    heading = [choices(names)[place]] if rng.random() < 0.5 or style.specimen == "inline" else []
    fluid = composer.specimens[_CULTURED["held" if style.edition == "held" else "train"][place]]
    prefix = rng.choice(words["organism"].split(";")) if rng.random() < 0.85 else ""
    found = []
    count = rng.choice((1, 2, 2, 2, 3))
    for number, organism in enumerate(rng.sample(_ORGANISMS["held" if style.edition == "held" else "train"], count)):
        section = Section([*heading, organism], fluid, composer.moment(composer.collected), [])
        colonies = rng.choice(choices(words["counts"]))
        section.culture = Culture(prefix.format(i=number + 1), colonies if rng.random() < 0.8 else "", chosen)
        drugs = sorted(rng.sample(_DRUGS, rng.randrange(3, 10)))
        sign, gap = rng.choice((("<=", ">="), ("≤", "≥"), ("<", ">"))), rng.choice(("", "", " "))
        for drug in drugs:
            if composer.count >= limit:
                break
            level = rng.randrange(len(_MICS))
            mark = sign[0] if level < 2 else sign[1] if level > 7 else ""
            result = f"{mark}{gap if mark else ''}{_MICS[level].replace('.', composer.writer.decimal)}"
            row = Row(0, drug, Printed(result, None, []), letter="S" if level < 4 else rng.choice("IR"))
            row.specimen, row.collected = section.specimen, section.collected[0]
            section.rows.append(row)
            composer.count += 1
        if section.rows:
            found.append(section)
    return found


def arranged(composer: Composer, found: list[Section], limit: int) -> list[Section]:
    """Sections as the report's style arranges them: under samples, without headings, with a column for every date."""
    style = composer.style
    if style.samples:
        found = in_samples(composer, found)
    if style.headless:
        filled = [section for section in found if section.rows and not section.culture]
        for section in filled if style.headless == "all" else filled[:1]:
            section.headings = []
        if style.headless == "first" and filled:
            found = [filled[0], *(section for section in found if section is not filled[0])]
    if style.spans:
        for section in found:
            section.headings = section.headings[-1:]
    if style.dates:
        whole = [section for section in found if section.rows]
        cumulate(composer, found, limit)
        found = [section for section in found if section.rows or section not in whole]
    after_sections(composer, found)
    return found


def in_samples(composer: Composer, found: list[Section]) -> list[Section]:
    """Give every section a sample: one for each specimen, or one for each date."""
    rng, words = composer.more, habit_words_of(composer)
    if not words:
        return found
    form = rng.choice(choices(words["sample"]))
    start = rng.randrange(1000, 9999)
    if rng.random() < 0.5:
        found = sorted(found, key=lambda section: [one.specimen for one in found].index(section.specimen))
        groups = [section.specimen for section in found]
    else:
        cut = max(1, len(found) // rng.choice((2, 2, 3)))
        groups = [str(number // cut) for number in range(len(found))]
    order = list(dict.fromkeys(groups))
    moments = [composer.moment(composer.collected + timedelta(minutes=rng.choice((0, 45, 1440, 4000)) * number))
               for number in range(len(order))]  # fmt: skip
    firsts = [found[groups.index(group)].specimen for group in order]
    for section, group in zip(found, groups, strict=True):
        number = order.index(group)
        section.sample = form.format(i=number + 1, n=start + number)
        section.collected, section.specimen = moments[number], firsts[number]
        for row in section.rows:
            row.specimen, row.collected = section.specimen, section.collected[0]
    return found


def cumulate(composer: Composer, found: list[Section], limit: int) -> None:
    """Make of every row one a date, some dates without; the rows of a test share its printed line."""
    rng, style, left = composer.more, composer.style, limit
    moments = [composer.collected - timedelta(days=sum((rng.randrange(9, 200) for _ in range(i)), 0))
               for i in range(style.dates)]  # fmt: skip
    moments = sorted(set(moments), reverse=style.newest_first)
    while len(moments) < style.dates:
        moments.append(moments[-1] + timedelta(days=30 * (-1 if style.newest_first else 1)))
    days = [composer.moment(moment, day_only=True) for moment in moments]
    composer.dates = [printed for printed, _ in days]
    for section in found:
        if section.culture:
            continue
        rows: list[Row] = []
        for row in section.rows:
            series: list[Row | None] = []
            for printed_day, normal in days:
                if left <= 0 or (rng.random() < 0.2 and (any(series) or len(series) < len(days) - 1)):
                    series.append(None)
                    continue
                left -= 1
                one = replace(row, printed=again(composer, row.printed), taken=(printed_day, normal), comments=[])
                series.append(one)
            kept = [one for one in series if one]
            for one in kept:
                one.series = series
            if kept:
                kept[0].comments = row.comments
            rows += kept
        section.rows = rows


def again(composer: Composer, printed: Printed) -> Printed:
    """Another value of the same test."""
    rng, mark = composer.more, composer.writer.decimal
    if not re.fullmatch(rf"\d+(?:{re.escape(mark)}\d+)?", printed.result) or printed.pending or printed.ends is None:
        return replace(printed)
    low, high, decimals = printed.ends
    value = round(float(printed.result.replace(mark, ".")) * rng.uniform(0.7, 1.35), decimals)
    level = (high is not None and value > high) - (low is not None and value < low)
    return replace(printed, result=composer.writer.number(value, decimals), level=level)
