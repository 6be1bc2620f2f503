"""Pages without a text layer: read by OCR where it is installed, named with their remedy where not."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from extraction.api import Extractor
from extraction.document import Limits, Page, Word, ocr, ocr_page, open_document, page_text, read_scans, render_page
from extraction.document.engine import how_sure
from extraction.document.ocr import needs_ocr, readable
from extraction.document.shapes import parted, put_right
from extraction.errors import DocumentError
from extraction.generate import Generation
from recipes.lab_report.task import CONTRACT
from tests.conftest import Reader

SCANS = Path(__file__).parents[2].parent / "shared" / "data" / "lab_reports" / "be_scans"
ROWS = [
    ("Glucose", "5,0", "mmol/L", "3,9 - 5,6"),
    ("Natrium", "140", "mmol/L", "136 - 145"),
    ("Kalium", "4,2", "mmol/L", "3,5 - 5,1"),
    ("Kreatinine", "0,69", "mg/dL", "0,60 - 1,10"),
    ("Ferritine", "196", "ug/L", "30 - 400"),
    ("Hemoglobine", "13,8", "g/dL", "12,0 - 16,0"),
    ("Leukocyten", "6,9", "10^9/L", "4,0 - 10,0"),
    ("CRP", "<0,6", "mg/L", "<5,0"),
]
COLUMNS = (72, 220, 300, 400)


def table(canvas):
    canvas.setFont("Helvetica", 11)
    for number, row in enumerate(ROWS):
        for x, cell in zip(COLUMNS, row, strict=True):
            canvas.drawString(x, 700 - 22 * number, cell)


def pdf(path, *draws):
    canvas = Canvas(str(path), pagesize=A4, invariant=True)
    for draw in draws:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return path


def scanned(folder, draw, angle=0.0):
    """What draws a picture of what `draw` draws, turned by `angle` degrees: a scan's page."""
    image = render_page(pdf(folder / "drawn.pdf", draw), 1, dpi=150).convert("L")
    image = image.rotate(angle, resample=3, fillcolor=255)
    return lambda canvas: canvas.drawImage(ImageReader(image), 0, 0, *A4)


def blank(canvas):
    canvas.drawString(0, 0, "")


class Answering(Reader):
    """A backend with one answer, a text or a `Generation`."""

    def __init__(self, given):
        self.given = given if isinstance(given, Generation) else Generation(given, "stop")

    def answer(self, text):
        return self.given


# Which pages are read


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Glucose 5,0 mmol/L", False),
        ("\uf0b7 Glucose \uf0fe \uf0fe 5,0", False),
        ("\ufffd\ufffd\ufffd\ufffd 5,0 \ufffd\ufffd", True),
        ("\ue001\ue002\ue003 \ue004\ue005", True),
        ("葡萄糖 5,0 µmol/L ± ≤ 10⁹ Ω ﬁ Глюкоза", False),
        ("", True),
    ],
)
def test_pages_without_text_or_with_broken_text_need_ocr(text, wanted):
    words = [Word(word, (0, 0, 9, 9)) for word in text.split()]
    assert needs_ocr(Page(1, 600, 800, words)) is wanted
    assert needs_ocr(Page(1, 600, 800, words, rotated=[Word("COPY", (0, 0, 9, 9))])) is wanted
    # Words at an odd angle, or they would have been turned upright with the page.
    assert needs_ocr(Page(1, 600, 800, [], rotated=[Word("tilted", (0, 0, 9, 9))] * 30))


def test_a_page_with_text_and_pictures_is_left_alone(tmp_path):
    picture = scanned(tmp_path, table)
    path = pdf(tmp_path / "a.pdf", lambda canvas: (picture(canvas), table(canvas)))
    document = open_document(path)
    page = read_scans(document).pages[0]
    assert page.words == document.pages[0].words and page.view == "text" and not page.issue


# Without the extra


def test_without_the_extra_the_remedy_is_named(tmp_path, no_engine):
    path = pdf(tmp_path / "scan.pdf", scanned(tmp_path, table))
    message = (
        r"scan\.pdf has no text layer \(it is a scan\); "
        r"install the extra assay\[ocr\]: pip install -e '\.\[ocr\]'"
    )
    with pytest.raises(DocumentError, match=message):
        readable(open_document(path))
    record = Extractor(Answering("{}"), CONTRACT).extract(path)
    assert record.status == "failed" and "assay[ocr]" in record.issues[0].message
    with pytest.raises(DocumentError, match=r"assay\[ocr\]"):
        ocr_page(path, 1)


def test_without_the_extra_the_other_pages_are_read(tmp_path, no_engine):
    path = pdf(tmp_path / "a.pdf", table, scanned(tmp_path, table))
    document = readable(open_document(path))
    assert [page.words for page in document.pages] == [page.words for page in open_document(path).pages]
    broken = replace(document.pages[0], words=[Word("\ufffd" * 8, (0, 0, 9, 9))])
    page = read_scans(replace(document, pages=[broken])).pages[0]
    assert page.words == broken.words and page.view == "text" and "assay[ocr]" in page.issue


# With it


@pytest.mark.parametrize("angle", [0.0, -1.5])
def test_a_scan_reads_like_the_page_it_was_made_from(tmp_path, engine, angle):
    path = pdf(tmp_path / "scan.pdf", scanned(tmp_path, table, angle))
    page = readable(open_document(path)).pages[0]
    assert page.view == "ocr" and page.issue == ""
    lines = [line.split() for line in page_text(page).splitlines() if line]
    assert ["".join(line) for line in lines] == ["".join(row).replace(" ", "") for row in ROWS]
    columns = [line for line in page_text(page).splitlines() if line]
    for row, line in zip(ROWS, columns, strict=True):
        assert f"{row[0]}  " in line and f"  {row[2]}  " in line


def test_scans_that_are_a_tiff_or_encrypted_are_read_too(tmp_path, engine):
    picture = render_page(pdf(tmp_path / "drawn.pdf", table), 1, dpi=150)
    picture.save(tmp_path / "a.tif", save_all=True, append_images=[picture], compression="tiff_lzw", dpi=(150, 150))
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4, encrypt=StandardEncryption("secret"))
    canvas.drawImage(ImageReader(picture), 0, 0, *A4)
    canvas.save()
    documents = [open_document(tmp_path / "a.tif"), open_document(tmp_path / "a.pdf", password="secret")]
    pages = [page for document in documents for page in readable(document).pages]
    assert [page.view for page in pages] == ["ocr"] * 3
    assert all({"Glucose", "mmol/L", "Ferritine"} <= {word.text for word in page.words} for page in pages)


@pytest.mark.parametrize("angle", [0.0, 2.0])
def test_boxes_enclose_the_ink_on_the_displayed_page(tmp_path, engine, angle):
    import numpy as np

    path = pdf(tmp_path / "scan.pdf", scanned(tmp_path, table, angle))
    words = ocr_page(path, 1)
    ink = np.asarray(render_page(path, 1, dpi=72).convert("L")) < 160
    assert ink.sum() > 500
    boxes = {word.text: word.box for word in words}
    for y, x in np.argwhere(ink):
        boxes_there = [b for b in (word.box for word in words) if b[0] - 2 <= x <= b[2] + 1]
        assert any(b[1] - 2 <= y <= b[3] + 1 for b in boxes_there), (x, y)
    for row in ROWS[:7]:
        for cell in row[:2]:
            x0, y0, x1, y1 = boxes[cell]
            part = ink[round(y0) : round(y1) + 1, round(x0) : round(x1) + 1]
            assert part.any() and y1 - y0 < 24
            seen = np.flatnonzero(part.any(axis=0))
            # No more than a few points of paper at either end.
            assert seen[0] <= 5 and part.shape[1] - seen[-1] <= 6, cell


def test_records_say_which_view_was_read(tmp_path, engine):
    path = pdf(tmp_path / "a.pdf", table, scanned(tmp_path, table))
    rows = ",".join(json.dumps([name, value, unit]) for name, value, unit, _ in ROWS)
    record = Extractor(Answering(f'{{"tests":[{rows}]}}'), CONTRACT).extract(path)
    assert record.views == ["text", "ocr"]
    assert not any(issue.code == "unread" for issue in record.issues)


def test_a_broken_text_layer_is_replaced(tmp_path, engine):
    document = open_document(pdf(tmp_path / "a.pdf", table))
    broken = [Word("\ufffd" * len(word.text), word.box) for word in document.pages[0].words]
    page = read_scans(replace(document, pages=[replace(document.pages[0], words=broken)])).pages[0]
    assert page.view == "ocr" and "Ferritine" in [word.text for word in page.words]


def test_blank_pages_are_no_error(tmp_path, engine):
    mixed = readable(open_document(pdf(tmp_path / "a.pdf", table, blank)))
    assert mixed.pages[1].words == [] and mixed.pages[1].issue == "" and mixed.pages[1].view == "ocr"
    with pytest.raises(DocumentError, match="no text"):
        readable(open_document(pdf(tmp_path / "b.pdf", blank, blank)))
    assert ocr_page(tmp_path / "b.pdf", 2) == []


def test_a_picture_without_words_says_so(tmp_path, engine, monkeypatch):
    # The engine takes a lone circle for a letter.
    monkeypatch.setattr(ocr, "read_lines", lambda image, scale: [])
    path = pdf(tmp_path / "a.pdf", table, lambda canvas: canvas.circle(300, 400, 90, fill=1))
    page = readable(open_document(path)).pages[1]
    assert page.words == [] and "no words" in page.issue


def test_lone_digits_and_letters_are_not_laid_on_their_side(tmp_path, engine):
    column = ["1", "6", "9", "11", "I", "8", "0", "+", "1+", "%"]

    def draw(canvas):
        canvas.setFont("Helvetica", 11)
        for number, cell in enumerate(column):
            canvas.drawString(100, 700 - 30 * number, "Kalium")
            canvas.drawString(250, 700 - 30 * number, cell)

    page = readable(open_document(pdf(tmp_path / "a.pdf", scanned(tmp_path, draw)))).pages[0]
    read = [line.split() for line in page_text(page).splitlines() if line]
    assert read == [["Kalium", cell] for cell in column] and not page.rotated


def wide(text):
    """Corners as wide as a text."""
    return [(10.0, 10.0), (10.0 + 6 * len(text), 10.0), (10.0 + 6 * len(text), 22.0), (10.0, 22.0)]


def test_lines_that_were_hard_to_read_are_counted(tmp_path, engine, monkeypatch):
    lines = [("Kalium 4,2 mmol/L in serum", 0.99), ("名", 0.9), ("x7", 0.4)]
    monkeypatch.setattr(
        ocr, "read_lines", lambda image, scale: [ocr.ReadLine([(t, wide(t))], wide(t), s, [s]) for t, s in lines]
    )
    page = read_scans(open_document(pdf(tmp_path / "a.pdf", lambda canvas: canvas.circle(300, 400, 90, fill=1))))
    assert len(page.pages[0].words) == 3 and page.pages[0].issue.startswith("2 of 3 lines were hard to read")


@pytest.mark.parametrize(
    ("read", "right"),
    [
        ("mg/1 10^9/1 nmol/I I/I (U/1)", "mg/l 10^9/l nmol/l l/l (U/l)"),
        ("mlU/mL", "mIU/mL"),
        ("lgG lNR lnsulin lmmunoglobulin", "IgG INR Insulin Immunoglobulin"),
        ("lonogramme (lon-selective)", "Ionogramme (Ion-selective)"),
        ("Factor VIll Xl XIl", "Factor VIII XI XII"),
        ("Alfa-l-antitrypsine", "Alfa-1-antitrypsine"),
        ("Total,Serum Birth:31.01.1932", "Total, Serum Birth: 31.01.1932"),
        ("03/07/201713:34:27 1.4410*3/uL", "03/07/2017 13:34:27 1.44 10*3/uL"),
        ("דם,סרום דם:4", None),
        ("1/1 n/1.73 soluble lpm lbs lonely XL Na,K-ATPase 1,25-OH 5.10^9/L", None),
    ],
)  # fmt: skip
def test_signs_of_one_shape_and_blanks_are_put_right_where_print_leaves_no_choice(read, right):
    assert " ".join(part for word in read.split() for part, _, _ in parted(put_right(word))) == (right or read)


def test_words_that_ocr_read_as_one_share_its_box(tmp_path, engine, monkeypatch):
    whole = wide("Total,Serum")
    line = ocr.ReadLine([("Total,Serum", whole)], whole, 1.0, [0.9])
    monkeypatch.setattr(ocr, "read_lines", lambda image, scale: [line])
    page = read_scans(open_document(pdf(tmp_path / "a.pdf", lambda canvas: canvas.circle(300, 400, 90, fill=1))))
    one, other = page.pages[0].words
    assert (one.text, other.text, one.score, other.score) == ("Total,", "Serum", 0.9, 0.9)
    assert (one.box[0], other.box[2]) == (whole[0][0], whole[1][0]) and one.box[2] == other.box[0]


def test_small_daggers_that_mark_words_are_no_letters_where_the_page_explains_them(tmp_path, engine, monkeypatch):
    read = ["Lactatott", "(IFCC)†t", "Watt"]
    monkeypatch.setattr(
        ocr, "read_lines", lambda image, scale: [ocr.ReadLine([(t, wide(t))], wide(t), 1.0, [1.0]) for t in read]
    )
    path = pdf(tmp_path / "a.pdf", lambda canvas: canvas.circle(300, 400, 90, fill=1))
    assert {word.text for word in read_scans(open_document(path)).pages[0].words} == {"Lactato††", "(IFCC)††", "Wa††"}
    del read[1]
    assert {word.text for word in read_scans(open_document(path)).pages[0].words} == {*read}


def test_a_word_is_as_sure_as_its_letters_and_no_value_is_surer_than_its_words(tmp_path, engine, monkeypatch):
    path = pdf(tmp_path / "a.pdf", scanned(tmp_path, table))
    clean = ocr_page(path, 1)
    assert min(word.score for word in clean) > 0.5 and max(word.score for word in clean) > 0.99
    assert {word.score for word in open_document(pdf(tmp_path / "b.pdf", table)).pages[0].words} == {1.0}
    letters = [0.9, 0.5, 1.0, 0.1, 1.0, 0.8]
    assert how_sure("4,2 mm", ["4,2", "mm"], letters) == pytest.approx([0.45, 0.8])

    def read(image, scale):
        def box(x, width):
            return [(x, 100.0), (x + width, 100.0), (x + width, 112.0), (x, 112.0)]

        words = [("Kalium", box(72.0, 40.0)), ("4,2", box(220.0, 16.0)), ("mmol/L", box(300.0, 40.0))]
        return [ocr.ReadLine([word], word[1], 0.9, [sure]) for word, sure in zip(words, (0.99, 0.45, 1.0), strict=True)]

    monkeypatch.setattr(ocr, "read_lines", read)
    answer = '{"tests":[["Kalium","4,2","mmol/L"]]}'
    generation = Generation(answer, "stop", logprobs=[0.0] * len(answer), offsets=list(range(len(answer))))
    record = Extractor(Answering(generation), CONTRACT).extract(path)
    assert [round(record["tests"][0][key].confidence, 6) for key in ("name", "result", "unit")] == [0.99, 0.45, 1.0]
    [issue] = record.issues
    assert issue.code == "ocr" and issue.path == "/tests/0/result" and "“4,2” (0.45)" in issue.message


def test_time_is_kept_between_pages(tmp_path, engine, monkeypatch):
    page = scanned(tmp_path, table)
    document = open_document(pdf(tmp_path / "a.pdf", page, page, page))

    def slow(image, scale):
        time.sleep(1.5)
        return []

    monkeypatch.setattr(ocr, "read_lines", slow)
    begin = time.monotonic()
    pages = read_scans(document, Limits(seconds=1.2)).pages
    assert time.monotonic() - begin < 4
    assert [page.number for page in pages] == [1, 2, 3]
    assert "`seconds`" in pages[2].issue and pages[2].view == "text"


def test_one_page_that_fails_is_one_issue(tmp_path, engine, monkeypatch):
    page = scanned(tmp_path, table)
    document = open_document(pdf(tmp_path / "a.pdf", page, page))
    real, calls = ocr.read_lines, []

    def failing(image, scale):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("Glucose 5,0")
        return real(image, scale)

    monkeypatch.setattr(ocr, "read_lines", failing)
    first, second = read_scans(document).pages
    assert "RuntimeError" in first.issue and "Glucose" not in first.issue
    assert second.words and not second.issue


@pytest.mark.parametrize(("width", "height"), [(9, 14_000), (14_000, 9), (14_000, 14_000), (40, 30), (842, 1191)])
def test_odd_page_sizes_are_bounded(width, height):
    dpi = ocr._dpi(Page(1, width, height, []), Limits(pixels=6_000_000))
    pixels = (width * dpi / 72, height * dpi / 72)
    assert pixels[0] * pixels[1] <= 6_000_000 and max(pixels) <= 5000 and 1 <= dpi <= 200


def test_a_strip_of_a_page_is_read(tmp_path, engine):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=(9, 14_000))
    canvas.rect(1, 1, 4, 7000, fill=1)
    canvas.save()
    begin = time.monotonic()
    assert read_scans(open_document(tmp_path / "a.pdf")).pages[0].view == "ocr"
    assert time.monotonic() - begin < 10


def test_ocr_is_silent_and_local(tmp_path, engine, monkeypatch, capfd):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    ocr.engine.cache_clear()
    assert ocr_page(pdf(tmp_path / "a.pdf", scanned(tmp_path, table)), 1)
    assert ocr.engine.cache_info().misses == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not SCANS.is_dir(), reason="no scans here")
def test_real_scans(engine):
    from extraction.score.normal import normal

    found = total = 0
    for path in sorted(SCANS.glob("*.pdf"))[2:]:
        lines = [line for page in readable(open_document(path)).pages for line in page_text(page).splitlines()]
        packed = ["".join((normal(word, "unit") or "") for word in line.split()).lower() for line in lines]
        for row in json.loads(path.with_suffix("").with_suffix(".labels.json").read_text())["results"]:
            cells = [(normal(row[key], "unit") or "").lower() for key in ("test", "value", "unit") if row[key]]
            found += any(all(cell in line for cell in cells) for line in packed)
            total += 1
    assert found / total > 0.7
