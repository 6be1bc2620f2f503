"""Documents longer than a prompt, answers longer than their limit: nothing lost, nothing twice, doubts said."""

import json
import re
from itertools import pairwise

import pytest

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.document import Lines, Window, split
from extraction.errors import AssayError
from extraction.generate import Generation
from extraction.reading import OVERLAP, document_example, windows_of
from recipes.lab_report.lines import names_columns, without_earlier
from recipes.lab_report.task import CONTRACT
from tests.conftest import Reader, document_of, text_of

SMALL = CONTRACT.model_copy(update={"max_prompt_tokens": 1500, "checks": None})


class Copying(Reader):
    """Reads what stands in its prompt, and nothing else: a line of cells is a row, `== X ==` heads the rows below.

    `limit` characters end an answer; `distort(text, call)` is what it writes in place of a text.
    """

    def __init__(self, limit=10**9, distort=lambda text, call: text):
        self.limit, self.distort, self.calls = limit, distort, 0

    def answer(self, text):
        items = []
        for line in text.split("\n\n", 1)[1].splitlines():
            if heading := re.fullmatch(r"\s*== (.*) ==", line):
                items.append({"panel": heading[1]})
            elif len(cells := re.split(r"\s{2,}", line.strip())) > 1:
                items.append(cells)
        text = self.distort(json.dumps({"tests": items}, ensure_ascii=False, separators=(",", ":")), self.calls)
        self.calls += 1
        return Generation(text[: self.limit], "length" if len(text) > self.limit else "stop")


def long_document(pages=60, rows=1000, blank=0):
    """Rows under panels that go on over the pages; equal rows stand on different lines."""
    lines, number = [[] for _ in range(pages)], 0
    for page in range(pages):
        if page % 7 == 0:
            lines[page].append(f"== Panel {page} ==")
        while number < rows * (page + 1) // pages:
            # Every tenth row is printed like the one before it.
            shown = number - (number % 10 == 9)
            lines[page].append(f"Analyte {shown}      {shown % 90}      mmol/L")
            lines[page] += [""] * blank
            number += 1
    return document_of(*("\n".join(page) for page in lines))


def expected(rows=1000, pages=60):
    out = []
    for page in range(pages):
        while len(out) < rows * (page + 1) // pages:
            shown = len(out) - (len(out) % 10 == 9)
            out.append((f"Panel {page - page % 7}", f"Analyte {shown}", str(shown % 90)))
    return out


def shown(extractor, document):
    """The texts that a model is shown of a document at first."""
    reading = extractor.reading(document_example(document, extractor.contract))
    return ["\n\n".join(example.context.parts) for example in reading.examples]


def found(record):
    return [(row["panel"], row["name"], row["result"]) for row in record.data["tests"]]


@pytest.mark.parametrize("prompt", [900, 1500, 10**9])
@pytest.mark.parametrize("limit", [300, 1500, 10**9])
def test_a_thousand_rows_over_sixty_pages_come_back(prompt, limit):
    contract = SMALL.model_copy(update={"max_prompt_tokens": prompt})
    backend = Copying(limit)
    [record] = Extractor(backend, contract).read([long_document()])
    assert found(record) == expected()
    assert record.status == "ok" and record.issues == []
    assert backend.calls > 1 or (prompt == limit == 10**9)
    last = record["tests"][999]["name"]
    assert last.page == 60 and last.text == "Analyte 998"
    assert record["tests"][998]["name"].box != last.box
    assert record["tests"][999]["panel"].page == 57


def test_many_documents_at_once_stay_apart():
    documents = [long_document(5, n) for n in (40, 80, 1, 60)]
    records = Extractor(Copying(400), SMALL).read(documents)
    assert [found(record) for record in records] == [expected(n, 5) for n in (40, 80, 1, 60)]


def test_a_row_that_a_windows_end_cuts_is_whole_in_the_other():
    """The unit stands on the line below; the window that ends between them sees no unit."""
    rows = [f"Analyte {n}      {n}\n{' ' * 23}mmol/L" for n in range(40)]
    document = document_of("\n".join(rows))

    class Folding(Reader):
        def answer(self, text):
            items = []
            for line in text.split("\n\n", 1)[1].splitlines():
                if line.strip() == "mmol/L" and items:
                    items[-1].append("mmol/L")
                elif "Analyte" in line:
                    items.append(re.split(r"\s{2,}", line.strip()))
            return Generation(json.dumps({"tests": items}), "stop")

    for size in range(400, 800, 20):
        extractor = Extractor(Folding(), SMALL.model_copy(update={"max_prompt_tokens": size}))
        assert len(shown(extractor, document)) > 2
        [record] = extractor.read([document])
        assert [(row["name"], row["unit"]) for row in record.data["tests"]] == [
            (f"Analyte {n}", "mmol/L") for n in range(40)
        ]
        assert record.status == "ok"


def test_two_readings_of_one_line_are_one_row_and_a_doubt():
    document = long_document(4, 80)
    second = shown(Extractor(Copying(), SMALL), document)[1]
    shared = re.findall(r"Analyte \d+", second)[2]
    wrong = f"{shared} mmol"
    backend = Copying(distort=lambda text, call: text.replace(f'"{shared}",', f'"{wrong}",', 1) if call == 1 else text)
    [record] = Extractor(backend, SMALL).read([document])
    assert found(record) == expected(80, 4)
    assert record.status == "partial" and [issue.code for issue in record.issues] == ["differs"]
    assert wrong in record.issues[0].message
    at = [name for _, name, _ in expected(80, 4)].index(shared)
    assert record.issues[0].path == f"/tests/{at}/name"


def test_a_row_that_one_of_two_windows_missed_stays_in_its_place():
    document = long_document(4, 80)
    for call, number in ((0, -3), (1, 1), (1, 0)):

        def miss(text, now, call=call, number=number):
            if now != call:
                return text
            items = json.loads(text)["tests"]
            del items[number]
            return json.dumps({"tests": items})

        [record] = Extractor(Copying(distort=miss), SMALL).read([document])
        assert found(record) == expected(80, 4)


def test_a_loop_is_left_behind_and_said():
    document = long_document(3, 30)

    class Looping(Copying):
        def answer(self, text):
            answer = super().answer(text)
            return Generation(answer.text[:400], "loop") if self.calls == 1 else answer

    contract = SMALL.model_copy(update={"max_prompt_tokens": 10**9})
    [record] = Extractor(Looping(), contract).read([document])
    assert found(record) == expected(30, 3)
    assert record.status == "partial"
    assert [(issue.code, issue.page) for issue in record.issues] == [("cut", 2)]
    assert "went on below" in record.issues[0].message and "Analyte" in record.issues[0].message


def test_an_answer_that_gets_nowhere_ends():
    """Every answer is cut in its first row: reading stops, and what is missing is said with page and place."""
    [record] = Extractor(Copying(limit=20), SMALL).read([long_document(3, 30)])
    assert record.status == "partial" and record.data["tests"] == []
    assert record.issues[0].code == "cut" and record.issues[0].page == 1
    assert {issue.code for issue in record.issues} == {"cut", "row_left_out"}
    assert sum(issue.code == "row_left_out" for issue in record.issues) == 30


def test_what_is_not_a_list_is_taken_from_the_first_window_that_has_it():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": ["string", "null"]},
            "panels": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "title": {"type": ["string", "null"]},
                        "tests": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"n": {"type": "string"}}},
                        },
                    },
                },
            },
        },
    }
    answers = iter(
        [
            '{"name":"Ann","panels":[{"title":"Lipids","tests":[{"n":"A0"},{"n":"A1"},{"n":"A2"}]}]}',
            '{"name":null,"panels":[{"title":null,"tests":[{"n":"A2"},{"n":"A3"}]},{"title":"Iron","tests":[{"n":"A4"}]}]}',
        ]
    )

    class Knowing(Reader):
        def answer(self, text):
            return Generation(next(answers), "stop")

    document = document_of("Ann\nLipids\nA0\nA1\nA2", "A3\nIron\nA4")
    contract = Contract.for_schema(schema)
    size = len(text_of(contract.messages(["Ann\nLipids\nA0\nA1\nA2"])))
    [record] = Extractor(Knowing(), contract.model_copy(update={"max_prompt_tokens": size})).read([document])
    assert record.data == {
        "name": "Ann",
        "panels": [
            {"title": "Lipids", "tests": [{"n": "A0"}, {"n": "A1"}, {"n": "A2"}, {"n": "A3"}]},
            {"title": "Iron", "tests": [{"n": "A4"}]},
        ],
    }
    assert record.status == "ok"


def windows_in(document, contract, fits):
    return windows_of(document_example(document, contract).context.index.window, contract, fits)


def test_windows_show_every_line_and_part_at_the_ends_of_pages():
    document = document_of(*("\n".join(f"page {p} line {n}" for n in range(3 * p + 1)) for p in range(9)))
    lines = Lines(document)
    whole = Window(lines, 0, len(lines))
    for limit in (1, 3, 8, 20, 40, len(lines)):
        windows = split(whole, lambda texts, limit=limit: len("\n".join(texts).splitlines()) <= limit, OVERLAP)
        assert windows[0].start == 0 and windows[-1].stop == len(lines)
        for before, after in pairwise(windows):
            assert before.start < after.start <= before.stop < after.stop
            assert before.stop - after.start in (OVERLAP, (before.stop - before.start) // 2)
        if limit == 40:
            assert all(lines.ends_page(window.stop - 1) for window in windows)
        for window in windows:
            words = [word.text for page in window.document.pages for word in page.words]
            assert words == " ".join(window.texts).split()
    assert split(whole, lambda texts: True, OVERLAP) == [whole] and whole.document is document


TITLES = "Analyse      Vorwert 01.02.2024      Resultat      Einheit"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (TITLES, True),
        ("Test Name   LOINC   Value   Abn   Bio. Ref. Interval", True),
        ("Examen     Normes     Résultat     Unités     Résultat antérieur 04/05/20", True),
        ("Analyse      Resultaat      Ref. waarde", True),
        ("Natrium      140      mmol/L      135 - 145", False),
        ("Leukozytenesterase      neg.      neg.", False),
        ("Reference: 12      Result: final      Unit: B", False),
        ("Results and reference values are in mmol/L", False),
    ],
)
def test_titles_of_a_table_of_results(line, wanted):
    assert names_columns(line) == wanted


def test_columns_of_earlier_results_are_not_shown():
    rows = """Kalium       4,1                   4,8           mmol/L
The earlier sample (4,1) was haemolysed and is not to be compared.
Natrium      139                   141           mmol/L"""
    document = document_of(f"Name      Ann\n{TITLES}\n{rows}", rows)
    shown = Lines(without_earlier(document))
    text = [" ".join(line.text.split()) for _, line in shown.lines]
    table = [
        "Kalium 4,8 mmol/L",
        "The earlier sample (4,1) was haemolysed and is not to be compared.",
        "Natrium 141 mmol/L",
    ]
    assert text == ["Name Ann", "Analyse Resultat Einheit", *table, *table]
    # Of two titles that can't be told apart, neither hides anything.
    merged = document_of(f"{TITLES.replace('      Resultat', ' Resultat')}\n{rows}")
    assert without_earlier(merged).pages == merged.pages
    windows = windows_in(document, CONTRACT, lambda texts: True)
    assert [" ".join(line.split()) for line in "\n".join(windows[0].texts).splitlines()] == text
    unchecked = CONTRACT.model_copy(update={"view": "text", "checks": None})
    assert "139" in windows_in(document, unchecked, lambda texts: True)[0].texts[0]


def test_a_window_that_begins_within_a_table_is_shown_its_titles():
    def page(first):
        return "\n".join(f"Test {n}      {n}      {n + 1}      mmol/L" for n in range(first, first + 30))

    document = document_of(f"Name      Ann\n{TITLES}\n{page(0)}", page(30), f"{TITLES}\n{page(60)}")

    def fits(texts):
        return len("\n".join(texts).splitlines()) <= 16

    contract = CONTRACT.model_copy(update={"view": "text"})
    windows = windows_in(document, contract, fits)
    assert windows[0].start == 0 and windows[-1].stop == len(windows[0].lines) and len(windows) > 6
    for before, after in pairwise(windows):
        assert before.start < after.start <= before.stop
    for window in windows:
        lines = "\n".join(window.texts).splitlines()
        assert fits(window.texts) and sum(names_columns(line) for line in lines) in (1, 2)
        assert any(names_columns(line) for line in lines[:2])
        words = [word.text for page in window.document.pages for word in page.words]
        assert words == " ".join(window.texts).split()
    unchecked = contract.model_copy(update={"checks": None})
    assert not any(window.head for window in windows_in(document, unchecked, fits))


def test_an_instruction_that_leaves_no_room_is_one_sentence():
    with pytest.raises(AssayError, match="max_prompt_tokens=20"):
        Extractor(Copying(), SMALL.model_copy(update={"max_prompt_tokens": 20})).read([long_document(1, 3)])
