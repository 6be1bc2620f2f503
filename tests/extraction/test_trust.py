"""Text layers that do not say what the page shows: what is drawn is read, or the page has an issue."""

import json
import re
from pathlib import Path

import pytest
import reportlab
from reportlab.lib.colors import white
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from extraction.document import open_document, page_text, render_page
from extraction.document.ocr import readable
from tests.extraction.test_ocr import COLUMNS, ROWS, pdf, scanned, table

NEXT = {str(digit): str((digit + 3) % 10) for digit in range(10)}


def read(path):
    (page,) = readable(open_document(path)).pages
    return page


def lines(page):
    return ["".join(line.split()) for line in page_text(page).splitlines() if line]


RIGHT = ["".join(row).replace(" ", "") for row in ROWS]


def wrong(text):
    return "".join(NEXT.get(char, char) for char in text)


def layer(change=lambda row, cell: cell, mode=3):
    """What draws a table as a scanner's text layer does, each cell as `change(row, cell)` says."""

    def draw(canvas):
        canvas.setFont("Helvetica", 11)
        for number, row in enumerate(ROWS):
            for x, cell in zip(COLUMNS, row, strict=True):
                canvas.drawString(x, 700 - 22 * number, change(number, cell), mode=mode)

    return draw


def with_map(path, change, only_values=False, rows=ROWS):
    """The table in a subset font (its values alone, or all of it) whose map to characters has been changed."""
    pdfmetrics.registerFont(TTFont("Subset", str(Path(reportlab.__file__).parent / "fonts" / "Vera.ttf")))
    canvas = Canvas(str(path), pagesize=A4, pageCompression=0, invariant=True)
    for number, row in enumerate(rows):
        for column, (x, cell) in enumerate(zip(COLUMNS, row, strict=True)):
            canvas.setFont("Helvetica" if only_values and column != 1 else "Subset", 11)
            canvas.drawString(x, 700 - 22 * number, cell)
    canvas.showPage()
    canvas.save()

    def mapped(match):
        return f"<{ord(change(chr(int(match.group(1), 16)))):04X}>".encode()

    head, cmap, tail = re.split(rb"(begincmap.*endcmap)", path.read_bytes(), flags=re.S)
    ranges = re.sub(rb"(?<=[\[ \n>])<([0-9A-F]{4})>", mapped, cmap)
    path.write_bytes(head + ranges + tail)
    return path


def shifted(char):
    if char.isalpha():
        base = ord("a") if char.islower() else ord("A")
        return chr(base + (ord(char.lower()) - ord("a") + 7) % 26) if char.isascii() else char
    return NEXT.get(char, char)


def test_a_right_text_layer_is_believed(tmp_path, engine):
    path = pdf(tmp_path / "a.pdf", table)
    page = read(path)
    assert page.words == open_document(path).pages[0].words and page.view == "text"
    assert page.issue == "" and page.reason == "6 of 6 words of the text layer read the same as drawn"


def test_a_stamp_on_a_scan_is_not_all_that_is_read(tmp_path, engine):
    picture = scanned(tmp_path, table)
    stamp = "FAX 05/20/2023 09:41 FROM +1 555 010 0199 PAGE 001/001"
    page = read(pdf(tmp_path / "a.pdf", lambda canvas: (picture(canvas), canvas.drawString(30, 820, stamp))))
    assert lines(page)[1:] == RIGHT and page_text(page).splitlines()[0] == stamp
    assert page.view == "ocr" and not page.issue and "not in its text layer" in page.reason


@pytest.mark.parametrize("mode", [3, 0])
def test_a_wrong_layer_hidden_by_a_scan_is_not_read(tmp_path, engine, mode):
    picture = scanned(tmp_path, table)
    hidden = layer(lambda row, cell: wrong(cell), mode)
    page = read(pdf(tmp_path / "a.pdf", lambda canvas: (hidden(canvas), picture(canvas))))
    assert lines(page) == RIGHT and page.view == "ocr"


def test_a_right_layer_hidden_by_a_scan_is_read_and_one_wrong_digit_is_named(tmp_path, engine):
    picture = scanned(tmp_path, table)
    page = read(pdf(tmp_path / "a.pdf", lambda canvas: (picture(canvas), layer()(canvas))))
    assert lines(page) == RIGHT and page.view == "text" and not page.issue
    one = layer(lambda row, cell: "4,8" if cell == "4,2" else cell)
    page = read(pdf(tmp_path / "b.pdf", lambda canvas: (picture(canvas), one(canvas))))
    assert "“4,8” and “4,2”" in page.issue


@pytest.mark.parametrize(("change", "only_values"), [(shifted, False), (wrong, False), (wrong, True)])
def test_a_font_with_a_wrong_map_is_read_as_drawn(tmp_path, engine, change, only_values):
    path = with_map(tmp_path / "a.pdf", change, only_values)
    assert lines(open_document(path).pages[0]) != RIGHT
    page = read(path)
    assert lines(page) == RIGHT and page.view == "ocr" and "read otherwise as drawn" in page.reason


def test_a_pasted_picture_is_read_beside_the_text(tmp_path, engine):
    image = render_page(pdf(tmp_path / "drawn.pdf", table), 1, dpi=150).crop((100, 250, 1200, 700))

    def draw(canvas):
        canvas.setFont("Helvetica", 11)
        for number in range(4):
            canvas.drawString(72, 780 - 20 * number, f"Calcium {number + 2},25 mmol/L")
        canvas.drawImage(ImageReader(image), 48, 400, 528, 216)

    page = read(pdf(tmp_path / "a.pdf", draw))
    assert lines(page)[4:] == RIGHT and lines(page)[0] == "Calcium2,25mmol/L"
    assert {word.score for word in page.words if word.text == "Calcium"} == {1.0}


def test_words_that_nobody_sees_are_not_read(tmp_path, engine):
    def draw(canvas):
        table(canvas)
        canvas.setFillColor(white)
        canvas.drawString(300, 300, "\\signature1\\")

    page = read(pdf(tmp_path / "a.pdf", draw))
    assert lines(page) == RIGHT and not page.issue and "1 that are not to be seen were left out" in page.reason


def test_words_in_fonts_that_nobody_has_are_read_all_the_same(tmp_path, engine):
    """Chinese and Japanese files often name their fonts alone; where this machine has them the page is drawn whole."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def draw(canvas):
        table(canvas)
        canvas.setFont("STSong-Light", 11)
        for number, text in enumerate(("铁蛋白", "总铁结合力", "临床检验报告单", "姓名", "性别")):
            canvas.drawString(72, 500 - 22 * number, text)

    page = read(pdf(tmp_path / "a.pdf", draw))
    assert page.view == "text" and not page.issue
    assert lines(page) == [*RIGHT, "铁蛋白", "总铁结合力", "临床检验报告单", "姓名", "性别"]


def test_without_the_extra_a_doubtful_page_is_an_issue(tmp_path, no_engine):
    def stamped(canvas):
        scanned(tmp_path, table)(canvas)
        canvas.drawString(30, 820, "FAX 05/20/2023 09:41")

    def covered(canvas):
        layer()(canvas)
        scanned(tmp_path, table)(canvas)

    for number, draw in enumerate((stamped, covered)):
        page = read(pdf(tmp_path / f"{number}.pdf", draw))
        assert page.view == "text" and "assay[ocr]" in page.issue
    many = [(f"{row[0]} {other[0]}", *row[1:]) for row in ROWS for other in ROWS[:3]]
    assert "letters of the text layer" in read(with_map(tmp_path / "b.pdf", shifted, rows=many)).issue
    assert not read(with_map(tmp_path / "c.pdf", lambda char: char, rows=many)).issue
    assert not read(pdf(tmp_path / "a.pdf", table)).issue


def test_cases_of_other_tools_users(shared_data, engine):
    for name in ("question_marks", "shifted_letters"):
        path = shared_data / "cases" / "07_wrong_font_map" / f"{name}.pdf"
        page = read(path)
        printed = lines(page)
        for row in json.loads(path.with_suffix(".json").read_text())["tests"]:
            assert any("".join((row["name"] + row["result"]).split()) in line for line in printed), row
