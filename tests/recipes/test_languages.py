"""Synthetic reports in the further languages: the project's own reader finds what their records say."""

import sys
from collections import Counter
from functools import cache

import pytest

from extraction.document import open_document
from extraction.errors import AssayError
from extraction.values.signs import plain
from recipes.lab_report.lines import names_columns, rows_like_results, without_earlier
from recipes.lab_report.synthetic import FAMILIES, faces, families, make_report
from recipes.lab_report.synthetic.content import stable_random
from recipes.lab_report.synthetic.habits import with_habits
from recipes.lab_report.synthetic.vocabulary import LANGUAGES, SHARES, choices, locales, panels, phrases
from tests.conftest import document_of

LOCALES = [locale for language in SHARES for locale in locales(language)]
LAYOUTS = ("plain_ruled", "ward_matrix", "test_world_table")


@cache
def document(tmp_path, family, locale):
    made = make_report(family, 3, max_rows=8, locale=locale)
    path = tmp_path / f"{family}-{locale}.pdf"
    path.write_bytes(made.pdf)
    return made, open_document(path)


def letters(text: str) -> str:
    return "".join(plain(text).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("languages")


@pytest.mark.parametrize("locale", LOCALES)
def test_every_value_is_read_where_it_was_printed(folder, locale):
    count = 0
    for family in LAYOUTS:
        made, read = document(folder, family, locale)
        assert made.language == locale[:2]
        for cell in made.cells:
            value = (made.record if cell.row is None else made.record["tests"][cell.row])[cell.field]
            x0, y0, x1, y1 = cell.box
            words = [
                word.text
                for word in read.pages[cell.page - 1].words
                if min(word.box[2], x1 + 1) - max(word.box[0], x0 - 1) > 1.5
                and min(word.box[3], y1) - max(word.box[1], y0) > 0.3 * (word.box[3] - word.box[1])
            ]
            shown = "".join(words)
            assert not Counter(letters(value)) - Counter(letters(shown)), (family, value, words)
            count += 1
    assert count > 40


@pytest.mark.parametrize("language", SHARES)
def test_a_language_has_the_words_and_the_usual_analytes(language):
    english = phrases("en", "train")
    for edition in ("train", "held"):
        words = phrases(language, edition)
        # What only some panels need may be missing with them; the rest is there.
        assert set(english) - set(words) <= {"antibiogram", "sir", "referee"}
        for key in ("columns", "labels"):
            assert set(english[key]) - set(words[key]) == set(), (key, language)
        needed = {panel.specimen for panel in panels(edition, language).values()}
        assert needed <= set(words["specimens"])
        kinds = {
            quantity.kind
            for panel in panels(edition, language).values()
            for analyte in panel.analytes
            for quantity in analyte.quantities
        }
        assert kinds - {None, "abo", "rh", "hpf", "titre"} <= set(words["kinds"])
        assert sum(len(panel.analytes) for panel in panels(edition, language).values()) >= 80
    ours, theirs = (
        {name for panel in panels(edition, language).values() for one in panel.analytes for name in one.names[language]}
        for edition in ("train", "held")
    )
    assert ours < theirs


def test_the_further_languages_are_a_quarter_of_training_and_share_it():
    drawn = Counter()
    names = families("train")
    for seed in range(40):
        for name in names:
            style = FAMILIES[name].sample(stable_random("report", name, seed))
            style = with_habits(style, FAMILIES[name], stable_random("habits", name, seed))
            drawn[style.locale[:2]] += 1
    further = sum(drawn[language] for language in SHARES)
    assert 0.2 < further / drawn.total() < 0.3
    assert set(drawn) == {*LANGUAGES, *SHARES}


@pytest.mark.parametrize("language", SHARES)
def test_titles_and_findings_are_known_as_such(language):
    """Of its columns' titles and words for findings the generator's own: the commonest there are."""
    words = phrases(language, "train")
    columns = {key: choices(text) for key, text in words["columns"].items()}
    name = columns["name"][0]
    for result in columns["result"][:2]:
        for unit in columns["unit"]:
            assert names_columns(f"{name}    {result}    {unit}"), (result, unit)
        for limits in columns["range"][:2]:
            assert names_columns(f"{name}    {result}    {limits}"), (result, limits)
    for earlier in columns["previous"]:
        rows = [(name, earlier, columns["result"][0], columns["unit"][0]), ("HDL", "4,1", "4,8", "mmol/L")]
        rows.append(("LDL", "3,9", "4,0", "mmol/L"))
        shown = document_of("\n".join("".join(cell.ljust(28) for cell in row).rstrip() for row in rows))
        assert not {"4,1", "3,9"} & {word.text for word in without_earlier(shown).pages[0].words}
    for word in choices(words["kinds"]["neg"].split("|")[0]):
        assert rows_like_results(document_of(f"Anti-HCV    {word}    AU/mL")), word


@pytest.mark.parametrize("locale", ["el-GR", "ar-EG", "zh-CN"])
def test_habits_that_need_words_are_left_out_where_a_language_is_asked_for(locale):
    shapes = Counter()
    for name in families("train"):
        for seed in range(8):
            habits = stable_random("habits", name, seed)
            style = with_habits(FAMILIES[name].sample(stable_random("report", name, seed)), FAMILIES[name], habits)
            worded = {"low", "lab", "group"} & set(style.columns.split())
            worded |= {"form"} if style.patient == "form" else set()
            if any(shapes[shape] < 2 for shape in worded):
                shapes.update(worded)
                assert make_report(name, seed, max_rows=3, locale=locale).record["laboratory"]
    assert set(shapes) == {"low", "lab", "group", "form"}


def test_demo_families_have_no_words_for_a_further_language():
    with pytest.raises(ValueError, match="demo"):
        make_report("us_ruled", 0, locale="el-GR")


def test_what_is_missing_for_a_language_is_said_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "fontpkg", None)
    with pytest.raises(AssayError, match=r"\[synthetic\]"):
        faces._path("Arimo", "normal")
    monkeypatch.setitem(sys.modules, "arabic_reshaper", None)
    faces.visual.cache_clear()
    with pytest.raises(AssayError, match=r"\[synthetic\]"):
        faces.visual("صوديوم")
