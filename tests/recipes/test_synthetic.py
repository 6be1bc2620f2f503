"""Synthetic reports: the record says what the page shows, and families show what real reports do."""

import hashlib
import json
import re
from collections import Counter
from functools import cache
from random import Random

import pypdfium2
import pytest

from extraction.errors import AssayError
from recipes.lab_report.fields import HEAD, ROW
from recipes.lab_report.synthetic import FAMILIES, Report, families, make_report, write_reports
from recipes.lab_report.synthetic.__main__ import main
from recipes.lab_report.synthetic.content import Composer, stable_random
from recipes.lab_report.synthetic.habits import with_habits
from recipes.lab_report.synthetic.parts import Content
from recipes.lab_report.synthetic.style import Style
from recipes.lab_report.synthetic.vocabulary import LANGUAGES, choices, habit_words, panels, phrases

SPLITS = ("train", "validation", "test")
RIGHT_TO_LEFT = ("ar", "he")


@cache
def report(family: str, seed: int) -> Report:
    return make_report(family, seed)


@cache
def text(family: str, seed: int) -> str:
    pages = pypdfium2.PdfDocument(report(family, seed).pdf)
    return "\n".join(page.get_textpage().get_text_bounded() for page in pages)


@cache
def reports(split: str, seeds: int = 6) -> list[Report]:
    return [report(name, seed) for name in families(split) for seed in range(seeds)]


def habits(family: str, seed: int, rng: Random | None = None) -> Style:
    """The choices behind a report."""
    chosen = FAMILIES[family].sample(rng or stable_random("report", family, seed))
    return with_habits(chosen, FAMILIES[family], stable_random("habits", family, seed))


@cache
def drawn(family: str, seed: int) -> tuple[Style, Content]:
    """The choices and the text behind a report."""
    rng = stable_random("report", family, seed)
    style = habits(family, seed, rng)
    return style, Composer(style, rng, None).compose()


def lines(family: str, seed: int) -> list[str]:
    """The report's text in lines, spaces made single."""
    return [" ".join(line.split()) for line in text(family, seed).splitlines()]


def rows(split: str) -> list[dict]:
    return [row for made in reports(split) for row in made.record["tests"]]


def value(made: Report, cell) -> str:
    """The gold value that a cell is the place of."""
    if cell.row is not None:
        return made.record["tests"][cell.row][cell.field]
    outer, _, inner = cell.field.rpartition(".")
    return (made.record[outer] if outer else made.record)[inner]


def squeeze(value: str) -> str:
    return "".join(value.split())


def test_splits_share_no_family_and_are_wide():
    names = [families(split) for split in SPLITS]
    assert sum(len(part) for part in names) == len(set().union(*names)) == len(FAMILIES) >= 24
    assert all(len(part) >= 4 for part in names)
    assert all(entry.description.endswith(".") for entry in FAMILIES.values())


@pytest.mark.parametrize(("edition", "least"), [("base", 150), ("train", 600), ("held", 600)])
def test_vocabulary_is_wide_and_named_in_every_language(edition, least):
    analytes = [analyte for panel in panels(edition).values() for analyte in panel.analytes]
    assert len(analytes) >= least
    assert all(set(analyte.names) == set(LANGUAGES) and all(map(all, analyte.names.values())) for analyte in analytes)


def test_same_seed_same_bytes_and_other_seed_another_report():
    first, again = make_report("us_ruled", 3), make_report("us_ruled", 3)
    assert first == again
    assert make_report("us_ruled", 4).pdf != first.pdf


def test_python_hash_seed_does_not_matter(tmp_path):
    import os
    import subprocess
    import sys

    code = "import hashlib; from recipes.lab_report.synthetic import make_report as m; "
    code += "print(hashlib.sha256(m('dutch_zebra', 5).pdf).hexdigest())"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "77"}, capture_output=True, text=True
    )
    assert run.stdout.strip() == hashlib.sha256(make_report("dutch_zebra", 5).pdf).hexdigest()


@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_on_the_page_at_their_boxes(family):
    for seed in range(3):
        made = report(family, seed)
        pdf = pypdfium2.PdfDocument(made.pdf)
        pages = [(page.get_size(), page.get_textpage()) for page in pdf]
        placed = Counter((cell.row, cell.field) for cell in made.cells)
        plain = made.language not in RIGHT_TO_LEFT  # as PDFium gives them: test_languages.py reads the others
        for number, row in enumerate(made.record["tests"]):
            assert list(row) == [*ROW]
            assert row["name"] and row["result"]
            for key in ("name", "result", "unit", "range", "flag", "method"):
                inherited = key == "unit" and not placed[number, key]  # in the head of its column
                assert row[key] is None or placed[number, key] == 1 or inherited
        for cell in made.cells:
            (width, height), page = pages[cell.page - 1]
            x0, y0, x1, y1 = cell.box
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            shown = page.get_text_bounded(x0 - 0.5, height - y1 - 0.5, x1 + 0.5, height - y0 + 0.5)
            parts = [value(made, cell)]
            if cell.field == "range" and "low" in habits(family, seed).columns:
                parts = re.split(" - |>= |<= ", parts[0])  # its ends stand in columns of their own
            if plain:
                assert all(squeeze(part) in squeeze(shown) for part in parts)


@pytest.mark.parametrize("family", FAMILIES)
def test_cells_do_not_overlap(family):
    for seed in range(3):
        # A flag may stand beside the last line of a result of several.
        cells = {(cell.page, cell.field, cell.box) for cell in report(family, seed).cells if cell.field != "flag"}
        for page in {page for page, _, _ in cells}:
            boxes = sorted(box for number, _, box in cells if number == page)
            for i, a in enumerate(boxes):
                for b in boxes[i + 1 :]:
                    if b.x0 >= a.x1 - 0.3:
                        break
                    assert min(a.y1, b.y1) - max(a.y0, b.y0) < 0.3, (family, seed, a, b)


def test_every_language_is_written_in_each_of_training_and_test():
    for split in ("train", "test"):
        assert {made.language for made in reports(split)} >= set(LANGUAGES)
    assert "Referenzbereich" in "".join(text("german_grid", seed) for seed in range(12))


def test_collection_times_are_normalised_and_match_a_printed_date():
    seen = set()
    for split in SPLITS:
        for made in reports(split):
            for value in {row["sample_collection_time"] for row in made.record["tests"]} - {None}:
                assert re.fullmatch(r"\d\d-\d\d-\d{4}( \d\d:\d\d:\d\d)?", value)
                day, _, year = value[:10].split("-")
                page = text(made.family, made.seed)
                assert day.lstrip("0") in page and year[2:] in page
                seen.add(len(value))
    assert seen == {10, 19}


@pytest.mark.parametrize("split", ["train", "test"])
def test_reports_show_what_real_ones_do(split):
    printed = rows(split)
    results = [row["result"] for row in printed]
    ranges = [row["range"] or "" for row in printed]
    panels_ = [row["panel"] for row in printed]
    assert any(" > " in panel for panel in panels_)
    assert any(re.fullmatch(r"[<>]\d.*", result) for result in results)
    assert any(re.fullmatch(r"\d+,\d+", result) for result in results)
    assert any(re.fullmatch(r"\d+\.\d+", result) for result in results)
    assert any(result.lower().startswith(("neg", "nicht", "non", "no ")) for result in results)
    assert any(re.fullmatch(r"[<≤] ?\S+", limit) for limit in ranges)
    assert any(limit[:1] in "[(" and limit for limit in ranges)
    assert any(re.search(r"[A-Za-z]+: .* [A-Za-z]+: ", limit) for limit in ranges)
    assert len({row["unit"] for row in printed}) > 40
    assert {row["specimen"] for row in printed} > {None}
    assert {row["method"] for row in printed} > {None}
    assert None in {row["sample_collection_time"] for row in printed}
    sizes = [len(made.record["tests"]) for made in reports(split)]
    assert min(sizes) <= 4 and max(sizes) >= 25


def test_one_test_occurs_under_several_specimens():
    made = [report("fluids_by_specimen", seed) for seed in range(12)]
    kinds = [{(row["name"], row["specimen"]) for row in one.record["tests"]} for one in made]
    assert any(len({name for name, _ in kind}) < len(kind) for kind in kinds)


def test_flags_and_earlier_values_stay_out_of_results():
    for split in SPLITS:
        for row in rows(split):
            assert not re.search(r"[↑↓▲▼!\[\]]|[\d,.] ?[HL]+$", row["result"]), row
            assert row["unit"] is None or not re.search(r"[↑↓▲▼\[]", row["unit"])


def test_long_reports_cross_pages_and_pages_without_results_occur():
    made = [report("long_profile", seed) for seed in range(6)]
    pages = [len(pypdfium2.PdfDocument(one.pdf)) for one in made]
    filled = [len({cell.page for cell in one.cells if cell.row is not None}) for one in made]
    assert max(pages) >= 3
    assert any(all_ > some for all_, some in zip(pages, filled, strict=True))


def test_rarely_a_report_has_no_tests():
    empty = [seed for seed in range(80) if not make_report("infection_serology", seed).record["tests"]]
    assert 0 < len(empty) < 15


def test_max_rows_caps_the_rows():
    for family in FAMILIES:
        assert len(make_report(family, 2, max_rows=3).record["tests"]) <= 3
    with pytest.raises(ValueError, match="at least 1"):
        make_report("us_ruled", 0, max_rows=0)


def test_write_reports_fills_a_folder_once(tmp_path):
    out = tmp_path / "reports"
    paths = write_reports(out, names=["us_ruled", "german_grid"], count=3, seed=7, max_rows=5)
    assert [path.name for path in paths] == [
        "us_ruled-7-00000.pdf", "german_grid-7-00001.pdf", "us_ruled-7-00002.pdf",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["file"] for line in lines] == [path.name for path in paths]
    assert set(lines[0]) == {"file", "family", "language", "seed", "cells"}
    record = json.loads(paths[0].with_suffix(".json").read_text(encoding="utf-8"))
    made = make_report("us_ruled", 7_000_000, max_rows=5).record["tests"]
    assert [row["result"] for row in record["tests"]] == [row["result"] for row in made]
    with pytest.raises(FileExistsError):
        write_reports(out, names=["us_ruled"], count=1, seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reports"]


def test_command_line_refuses_a_family_of_another_split(tmp_path, capsys):
    assert main([str(tmp_path / "a"), "--split", "test", "--count", "2", "--max-rows", "4"]) == 0
    with pytest.raises(SystemExit):
        main([str(tmp_path / "b"), "--split", "train", "--family", families("test")[0]])
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("family", ["us_ruled", "french_leader", "cumulative_sheet"])
def test_flags_agree_with_ranges(family):
    seen = Counter()
    for seed in range(12):
        rng = stable_random("report", family, seed)
        style = FAMILIES[family].sample(rng)
        content = Composer(style, rng, None).compose()
        mark = re.escape(content.place["group"])
        for row in (row for section in content.sections for row in section.rows):
            text = [row.printed.result, "".join(row.printed.range_lines[:1])]
            if style.groups:
                text = [re.sub(rf"(?<=\d){mark}(?=\d\d\d)", "", part) for part in text]
            value, limits = (re.findall(r"\d+(?:[.,]\d+)?", part) for part in text)
            two_sided = re.fullmatch(r"[\d.,]+\s?(?:-|–|à|to|a|tot|bis)\s?[\d.,]+", text[1])
            if not (two_sided and len(value) == 1 and re.fullmatch(r"[\d.,]+", text[0])):
                continue
            number, low, high = (float(part.replace(",", ".")) for part in (value[0], *limits))
            expected = (number > high) - (number < low)
            assert (row.printed.level > 0) - (row.printed.level < 0) == expected, row
            seen[expected] += 1
    assert min(seen[-1], seen[0], seen[1]) > 0 and seen[0] > seen[1]


DEMO = {
    "us_ruled": "b3df1829efd55e2e",
    "simple_list": "b093a2bb82b5f218",
    "belgian_mono": "daec6efaaa29f25f",
    "dutch_zebra": "438a2915ffa1d62b",
}


@pytest.mark.parametrize("family", DEMO)
def test_the_demos_reports_stay_as_they_are(family):
    """The demo's published figures were measured on these rows."""
    made = [make_report(family, 1_000_000 + seed).record["tests"] for seed in range(4)]
    records = [{"tests": [{key: row[key] for key in ROW if key != "flag"} for row in rows]} for rows in made]
    digest = hashlib.sha256(json.dumps(records, ensure_ascii=False).encode()).hexdigest()[:16]
    assert digest == DEMO[family]


@pytest.mark.parametrize("split", ["train", "test"])
def test_some_reports_have_no_results_and_say_other_things(split):
    seeds = [(name, seed) for name in families(split) if FAMILIES[name].habits for seed in range(40)]
    blank = {(name, seed): habits(name, seed).blank for name, seed in seeds}
    blank = {key: kind for key, kind in blank.items() if kind}
    assert 0.04 < len(blank) / len(seeds) < 0.09
    assert len(set(blank.values())) >= 6
    for name, seed in list(blank)[:30]:
        assert report(name, seed).record["tests"] == []
        assert len(text(name, seed)) > (60 if report(name, seed).language in ("zh", "ja") else 150)


def test_pages_without_results_stand_before_and_behind_those_with_results():
    seen = Counter()
    for name in families("train"):
        for seed in range(12):
            style, content = drawn(name, seed)
            if style.extra_page and content.sections:
                pages = {cell.page for cell in report(name, seed).cells if cell.row is not None}
                last = len(pypdfium2.PdfDocument(report(name, seed).pdf))
                place = style.extra_page.partition(":")[0]
                assert (1 if place == "before" else last) not in pages
                seen[place] += 1
    assert seen["before"] and seen["after"]


def test_a_pending_result_is_a_row_with_the_word_that_is_printed():
    bare = full = 0
    for name in families("train"):
        for seed in range(8):
            style, content = drawn(name, seed)
            for row in (row for section in content.sections for row in section.rows if row.printed.pending):
                record = report(name, seed).record["tests"][row.index]
                assert record["name"].startswith(row.name)
                assert record["result"] == row.printed.result
                more = style.edition != "base" and habit_words(content.place["language"], style.edition)
                cancelled = more["cancelled"] if more else ""
                assert row.printed.result in choices(f"{content.words['pending']};{cancelled}")
                if row.printed.result not in choices(content.words["pending"]):
                    continue
                if style.pending_bare:
                    assert record["unit"] is record["range"] is None
                    bare += 1
                full += record["unit"] is not None
    assert bare and full


def habit(name: str, wanted, split: str = "train", seeds: int = 12) -> list[tuple[Report, Style, Content]]:
    """Reports whose style and content `wanted` accepts."""
    found = []
    for family in families(split):
        for seed in range(seeds):
            style, content = drawn(family, seed)
            if wanted(style, content):
                found.append((report(family, seed), style, content))
    assert found, name
    return found


def truth(made: Report, index: int) -> dict:
    return made.record["tests"][index]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("place", ["inline", "line", "heading", "outer", "column", "report", "none"])
def test_rows_have_the_specimen_that_their_heading_names(place, split):
    if (place, split) == ("inline", "test"):
        return  # the training families' own
    for made, _, content in habit(place, lambda style, content: style.specimen == place and content.sections, split):
        for section in content.sections:
            for row in section.rows:
                expected = section.specimen if place != "none" or section.fluid else None
                assert truth(made, row.index)["specimen"] == expected
                plain = made.language not in RIGHT_TO_LEFT
                assert expected is None or not plain or squeeze(expected) in squeeze(text(made.family, made.seed))


def test_the_same_test_is_read_under_each_of_its_fluids():
    for made, _, content in habit("fluids", lambda _, content: any(part.fluid for part in content.sections)):
        for section in (part for part in content.sections if part.fluid):
            assert section.specimen == section.headings[-1]
            for row in section.rows:
                found = truth(made, row.index)
                assert found["specimen"] == section.specimen
                assert found["panel"].split(" > ")[-1] == section.specimen


def test_rows_behind_a_sub_panel_belong_to_the_outer_panel():
    for made, _, content in habit("tail", lambda _, content: any(part.silent for part in content.sections)):
        for before, section in zip(content.sections, content.sections[1:], strict=False):
            if section.silent:
                inner, outer = truth(made, before.rows[0].index), truth(made, section.rows[0].index)
                assert inner["panel"].startswith(outer["panel"] + " > ")
                assert inner["specimen"] == outer["specimen"]
                assert inner["sample_collection_time"] == outer["sample_collection_time"]


@pytest.mark.parametrize("time", ["report", "date", "section", "column", "none"])
def test_rows_have_the_time_that_stands_where_the_habit_prints_it(time):
    for made, _, content in habit(time, lambda style, content: style.time == time and content.sections, seeds=8):
        page = squeeze(text(made.family, made.seed))
        for section in content.sections:
            printed, normal = section.collected if time in ("section", "column") else content.collected
            for row in section.rows:
                assert truth(made, row.index)["sample_collection_time"] == (None if time == "none" else normal)
                assert time == "none" or made.language in RIGHT_TO_LEFT or squeeze(printed) in page


def test_a_heading_without_rows_gives_none():
    for made, _, content in habit("hollow", lambda _, content: any(not part.rows for part in content.sections)):
        assert len(made.record["tests"]) == sum(len(section.rows) for section in content.sections)


def test_what_stands_below_results_is_no_row():
    seen = Counter()
    for made, style, content in habit("remarks", lambda style, content: style.remarks or style.conclusion):
        printed = lines(made.family, made.seed)
        assert len(made.record["tests"]) == sum(len(section.rows) for section in content.sections)
        for row in (row for section in content.sections for row in section.rows):
            for comment in row.comments:
                first = " ".join(comment.split())
                seen["comment"] += any(line.endswith(first) or first in line for line in printed)
        seen["conclusion"] += bool(content.extras.conclusion) and content.extras.conclusion[0] in printed
        seen["foot"] += bool(style.foot_block)
    assert min(seen["comment"], seen["conclusion"], seen["foot"]) > 5


def test_english_dates_tell_whether_the_day_or_the_month_comes_first():
    for name in families("train"):
        for seed in range(6):
            style, content = drawn(name, seed)
            if content.place["language"] == "en" and style.edition != "base":
                birth = next(value for kind, _, value in content.fields if kind == "birth")
                if re.fullmatch(r"\d\d/\d\d/\d{2,4}", birth):
                    assert max(map(int, birth.split("/")[:2])) > 12


def test_validation_and_test_families_have_words_and_columns_of_their_own():
    held = {key for key in panels("held") if key not in panels("train")}
    assert len(held) >= 5 and set(panels("train")) - held == set(panels("train"))
    for language in LANGUAGES:
        ours, theirs = phrases(language, "train"), phrases(language, "held")
        for key in ("pending", "headline", "trailer", "statuses"):
            assert set(choices(theirs[key])) - set(choices(ours[key])), (language, key)
    orders = {
        split: {drawn(name, seed)[0].columns for name in families(split) for seed in range(20)} for split in SPLITS
    }
    assert (orders["test"] | orders["validation"]) - orders["train"]
    for name in families("train"):
        assert {habits(name, seed).edition for seed in range(3)} == {"train" if FAMILIES[name].habits else "base"}
    assert {habits(name, 0).edition for split in ("validation", "test") for name in families(split)} == {"held"}


def test_habits_combine_languages_layouts_and_columns():
    styles = [habits(name, seed) for name in families("train") for seed in range(10)]
    assert len({(style.columns, style.patient, style.heading, style.flag, style.locale) for style in styles}) > 200
    assert len({style.columns for style in styles}) > 40
    assert {"window", "dossier", "bars", "bare"} <= {style.patient for style in styles}


def test_flags_are_as_printed_beside_their_results():
    seen = Counter()
    for made, style, content in habit("flags", lambda style, content: content.sections, seeds=6):
        for row in (row for section in content.sections for row in section.rows):
            flag = truth(made, row.index)["flag"]
            seen[flag] += 1
            if not row.printed.level or style.flag in ("none", "bold", "colour"):
                assert flag is None
            elif style.layout != "table" or style.flag_place != "column" or "flag" in style.columns.split():
                assert flag
    assert {"H", "L", "HH", "*", "+", "-", "↑", "(!)", "High", "▲", "[H]"} <= set(seen)
    assert seen[None] > sum(seen.values()) / 2


@pytest.mark.parametrize("split", SPLITS)
def test_the_heads_values_are_printed_and_only_printed_ones_are_given(split):
    given = Counter()
    for made in reports(split):
        assert list(made.record) == [*HEAD, "tests"]
        placed = Counter(cell.field for cell in made.cells if cell.row is None)
        for key in HEAD:
            assert placed[key] == (made.record[key] is not None)
            given[key] += made.record[key] is not None
    assert all(given.values()) and given["patient_id"] < given["laboratory"]
    assert given["laboratory"] > 0.9 * len(reports(split))


def test_a_contract_takes_of_the_records_what_it_asks_for(tmp_path):
    from finetune.data import read_documents
    from recipes.lab_report.medgemma import TASK as IMAGES
    from recipes.lab_report.task import TASK

    write_reports(tmp_path / "out", names=["german_grid"], count=1, seed=3)
    for task in (TASK, IMAGES):
        (example,) = read_documents(tmp_path / "out", task.contract, task.fields)
        (branch,) = example.branches
        assert set(branch.gold) == set(task.contract.record_schema["properties"])
        assert set(branch.gold["tests"][0]) == set(task.contract.target.tables_of(task.contract.record_schema)["tests"])
    with pytest.raises(AssayError, match="does not fit the schema"):
        read_documents(tmp_path / "out", IMAGES.contract)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_heads_form_is_drawn_whatever_the_rows_look_like(split):
    layouts, labels, joined = set(), set(), 0
    for made, style, content in habit("form", lambda style, _: style.patient == "form", split, seeds=6):
        layouts.add((style.layout, style.form_columns, style.form_labels))
        labels |= {label for label, _ in content.form}
        said = {field: one for _, pieces in content.form for one, field in pieces if field}
        for field, one in said.items():
            outer, _, inner = field.rpartition(".")
            assert (made.record[outer] if outer else made.record)[inner] == one
        joined += any("sex" in field and len(pieces) == 3 for _, pieces in content.form for _, field in pieces)
        if content.code and "sample_id" not in said:
            assert made.record["sample_id"] == content.code[0]
    assert len(layouts) > 8 and len(labels) > 40 and joined


def all_rows(content: Content):
    return [row for section in content.sections for row in section.rows]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_column_for_every_date_gives_a_row_for_every_value(split):
    for made, style, content in habit("dates", lambda style, content: style.dates and content.sections, split, 20):
        assert len(content.dates) == style.dates
        rows = [row for row in all_rows(content) if row.series]
        for row in rows:
            found = truth(made, row.index)
            assert found["sample_collection_time"] == row.taken[1] and found["result"] == row.printed.result
            assert found["name"] == truth(made, next(one for one in row.series if one).index)["name"]
        assert len({truth(made, row.index)["sample_collection_time"] for row in rows}) <= style.dates
        assert made.record["collected"] is None


@pytest.mark.parametrize("split", ["train", "test"])
def test_ends_in_columns_of_their_own_are_a_range(split):
    seen = Counter()
    for made, _, content in habit("ends", lambda style, _: "low" in style.columns.split(), split, 25):
        for row in all_rows(content):
            low, high, _ = row.printed.ends or (None, None, 0)
            found = truth(made, row.index)["range"] or ""
            kind = (
                "none"
                if row.letter or low is high is None
                else "<= "
                if low is None
                else ">= "
                if high is None
                else " - "
            )
            assert found.count(kind) == 1 or (kind == "none" and not found)
            seen[kind] += 1
    assert seen[" - "] and seen["<= "] and seen["none"]


def test_antibiotics_of_a_culture_are_rows_with_their_mic_and_without_their_letter():
    for made, _, content in habit("cultures", lambda _, content: any(one.culture for one in content.sections)):
        for section in (one for one in content.sections if one.culture):
            for row in section.rows:
                found = truth(made, row.index)
                assert found["panel"].lower().endswith(section.headings[-1].lower())
                assert re.fullmatch(r"(<=|>=|≤|≥|<|>)? ?\d+([.,]\d+)?", found["result"])
                assert found["flag"] is found["range"] is None


def test_corrected_and_cancelled_results_are_what_holds_now():
    seen = Counter()
    for made, _, content in habit("corrected", lambda style, _: style.corrected or style.cancelled, seeds=16):
        for row in all_rows(content):
            found = truth(made, row.index)["result"]
            assert found == row.printed.result
            seen["corrected"] += bool(row.corrected)
            seen["struck"] += row.struck
            note = " ".join(row.corrected.replace("{}", found).split())
            assert not note or squeeze(note) in squeeze(text(made.family, made.seed))
    assert seen["corrected"] and seen["struck"]


def test_rows_without_a_heading_have_no_panel_and_groups_in_cells_are_panels():
    for made, _, content in habit("headless", lambda style, content: style.headless and content.sections):
        first = next((section for section in content.sections if section.rows and not section.culture), None)
        if first is None:  # nothing but cultures, which keep their headings
            continue
        assert all(truth(made, row.index)["panel"] is None for row in first.rows)
    for made, _, content in habit("spans", lambda style, content: style.spans and content.sections):
        placed = Counter(cell.row for cell in made.cells if cell.field == "panel")
        for section in content.sections:
            for row in section.rows:
                assert squeeze(truth(made, row.index)["panel"]).lower() == squeeze(section.headings[0]).lower()
                assert placed[row.index] == 1


def test_blocks_between_rows_are_printed_and_are_no_rows():
    kinds = Counter()
    wanted = lambda _, content: any(row.block for row in all_rows(content)) or any(s.blocks for s in content.sections)  # noqa: E731
    for made, _, content in habit("blocks", wanted):
        assert len(made.record["tests"]) == len(all_rows(content))
        page = squeeze(text(made.family, made.seed))
        blocks = [row.block for row in all_rows(content) if row.block]
        for block in [*blocks, *(block for section in content.sections for block in section.blocks)]:
            kinds[block.kind] += squeeze(block.cells[-1][-1]) in page
    assert {"bands", "prose", "scale", "trend", "legend", "kidney"} <= {kind for kind, count in kinds.items() if count}


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_sample_of_a_report_gives_its_rows_specimen_and_time(split):
    for made, _, content in habit("samples", lambda _, content: any(one.sample for one in content.sections), split):
        page = squeeze(text(made.family, made.seed))
        for section in content.sections:
            assert squeeze(section.sample) in page and squeeze(section.collected[0]) in page
            for row in section.rows:
                found = truth(made, row.index)
                assert found["specimen"] == section.specimen
                assert found["sample_collection_time"] == section.collected[1]


def test_shapes_of_tables_are_rare_in_every_split():
    for split in SPLITS:
        styles = [habits(name, seed) for name in families(split) if FAMILIES[name].habits for seed in range(40)]
        for share in (
            sum(bool(style.dates) for style in styles), sum(style.layout == "portal" for style in styles),
            sum(style.wide for style in styles), sum("low" in style.columns.split() for style in styles),
            sum(bool(style.spans) for style in styles), sum(style.labs for style in styles),
        ):  # fmt: skip
            assert 0 < share / len(styles) < 0.09
