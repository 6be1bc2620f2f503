"""Scans in letters that the OCR engine has not learned: never blanks without a word, and read where Tesseract is."""

import sys
from types import ModuleType

import pytest

from extraction.document import letters, open_document, page_text, read_scans
from extraction.document.engine import ReadLine
from recipes.lab_report.synthetic.faces import register
from tests.extraction.test_ocr import pdf, scanned

RUSSIAN = [
    ("Исследование", "Результат", "Единицы", "Референсные значения"),
    ("Гемоглобин", "132", "г/л", "117 - 155"),
    ("Эритроциты", "4,52", "10*12/л", "3,80 - 5,10"),
    ("Креатинин (венозная кровь)", "71", "мкмоль/л", "44 - 80"),
    ("Холестерин общий", "6,21", "ммоль/л", "< 5,20"),
    ("Общий белок", "74", "г/л", "64 - 83"),
]
LATIN = [
    ("Examination", "Result", "Unit", "Reference values"),
    ("Haemoglobin", "132", "g/L", "117 - 155"),
    ("Creatinine (venous blood)", "71", "umol/L", "44 - 80"),
    ("I", "1", "%", "-"),
]
needs_russian = pytest.mark.skipif(
    not (letters.data_folder() and (letters.data_folder() / "rus.traineddata").exists()),
    reason="Tesseract's data for Russian are not here",
)


@pytest.fixture(autouse=True)
def engine():
    pytest.importorskip("rapidocr")


def scan(folder, rows):
    """A page that is a picture of rows."""

    def draw(canvas):
        register("Arimo")
        canvas.setFont("Arimo", 11)
        for number, row in enumerate(rows):
            for x, cell in zip((60, 250, 330, 420), row, strict=True):
                canvas.drawString(x, 720 - 24 * number, cell)

    return pdf(folder / "scan.pdf", scanned(folder, draw))


def test_the_remedy_is_named_where_nothing_reads_them(tmp_path, monkeypatch):
    path = scan(tmp_path, RUSSIAN)
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    [page] = read_scans(open_document(path)).pages
    assert "letters that OCR does not know" in page.issue and "assay[ocr-scripts]" in page.issue
    assert any(word.text == "132" for word in page.words)  # what can be read is


def test_the_script_is_named_where_its_data_are_missing(tmp_path, monkeypatch):
    pytest.importorskip("tesserocr")
    path = scan(tmp_path, RUSSIAN)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(letters, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr(letters, "_script", lambda *_: "Cyrillic")
    [page] = read_scans(open_document(path)).pages
    assert "Cyrillic letters" in page.issue and "tesseract-ocr-rus" in page.issue


def test_a_page_in_letters_that_it_knows_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    [page] = read_scans(open_document(scan(tmp_path, LATIN))).pages
    assert not page.issue and not page.reason


@needs_russian
def test_a_russian_scan_is_read(tmp_path):
    pytest.importorskip("tesserocr")
    [page] = read_scans(open_document(scan(tmp_path, RUSSIAN))).pages
    assert "Cyrillic" in page.reason
    read = " ".join(page_text(page).split())
    assert all(cell in read for name, value, _, _ in RUSSIAN for cell in (name, value)), read


def test_lines_that_tesseract_does_not_read_either_are_said(tmp_path, monkeypatch):
    class Nothing:
        """Tesseract, which reads no line."""

        def __init__(self, **options):
            assert options["lang"] == "rus"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def __getattr__(self, name):
            return lambda *_: None

    fake = ModuleType("tesserocr")
    fake.PyTessBaseAPI, fake.iterate_level = Nothing, lambda *_: []
    fake.PSM = fake.RIL = type("Names", (), {"SINGLE_LINE": 7, "SINGLE_WORD": 8, "WORD": 3})
    path = scan(tmp_path, RUSSIAN)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rus.traineddata").touch()
    monkeypatch.setitem(sys.modules, "tesserocr", fake)
    monkeypatch.setattr(letters, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr(letters, "_script", lambda *_: "Cyrillic")
    [page] = read_scans(open_document(path)).pages
    assert "lines were not read by OCR, or not whole" in page.issue
    assert any(word.text == "132" for word in page.words)


def test_words_from_right_to_left_are_given_as_they_are_spoken():
    assert letters._logical(":ةنيعلا") == "العينة:" and letters._logical("mg/dL") == "mg/dL"
    assert letters._logical("4.5-ב") == "ב-4.5"


def test_few_unread_lines_are_no_other_script():
    def line(text, width):
        corners = [(0.0, 0.0), (width, 0.0), (width, 10.0), (0.0, 10.0)]
        return ReadLine([(text, corners)] if text else [], corners, 0.9, [0.9])

    full = [line("Haemoglobin 132 g/L", 100.0)] * 10
    assert letters.unread([*full, line("", 60.0)]) == []
    assert len(letters.unread([*full, *[line("", 60.0)] * 3])) == 3
