import io
import json
import os
import re
import shutil
import string
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from extraction.document import (
    Limits,
    Page,
    Word,
    layout_lines,
    open_document,
    page_text,
    process,
    reader,
    render_page,
    render_pages,
)
from extraction.errors import DocumentError

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def pdf(path, draw, pages=1, **kwargs):
    canvas = Canvas(str(path), **{"pagesize": A4, "invariant": True, **kwargs})
    for _ in range(pages):
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return path


def hello(canvas):
    canvas.drawString(72, 700, "Glucose 95 mg/dL")


def texts(words):
    return [word.text for word in words]


# Words


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("cropped", [False, True])
def test_boxes_hold_the_ink_on_rotated_and_cropped_pages(tmp_path, rotation, cropped):
    def draw(canvas):
        canvas.setPageRotation(rotation)
        if cropped:
            canvas.setCropBox((50, 100, 545, 800))
        canvas.saveState()
        # Upright as displayed: the text turns against the page.
        canvas.translate(300, 400)
        canvas.rotate(rotation)
        canvas.setFont("Helvetica-Oblique", 14)
        canvas.drawString(0, 0, "Kalium")
        canvas.drawString(0, -60, "g/L")
        canvas.restoreState()

    path = pdf(tmp_path / "a.pdf", draw)
    page = open_document(path).pages[0]
    assert texts(page.words) == ["Kalium", "g/L"] and not page.rotated
    image = render_page(path, 1, dpi=144)
    assert image.mode == "RGB"
    assert image.size == pytest.approx((2 * page.width, 2 * page.height), abs=1.1)
    ink = np.asarray(image.convert("L")) < 200
    total = ink.sum()
    inside = 0
    for word in page.words:
        x0, y0, x1, y1 = (round(2 * value) for value in word.box)
        part = ink[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1]
        assert part.sum() > 50
        inside += part.sum()
    assert inside == total
    assert page.words[1].box[1] > page.words[0].box[3]


def test_a_gap_without_a_blank_parts_words_and_kerning_does_not(tmp_path):
    def draw(canvas):
        canvas.drawString(72, 700, "Left")
        canvas.drawString(72 + canvas.stringWidth("Left") + 6, 700, "Right")
        text = canvas.beginText(72, 650)
        text.setCharSpace(0.8)
        text.textOut("spaced")
        canvas.drawText(text)

    page = open_document(pdf(tmp_path / "a.pdf", draw)).pages[0]
    assert texts(page.words) == ["Left", "Right", "spaced"]


def test_watermarks_and_side_notes_are_set_apart(tmp_path):
    def draw(canvas):
        hello(canvas)
        for angle, text in ((45, "COPY"), (90, "printed"), (180, "turned")):
            canvas.saveState()
            canvas.translate(250, 400)
            canvas.rotate(angle)
            canvas.drawString(40, 0, text)
            canvas.restoreState()

    page = open_document(pdf(tmp_path / "a.pdf", draw)).pages[0]
    assert texts(page.words) == ["Glucose", "95", "mg/dL"]
    assert sorted(texts(page.rotated)) == ["COPY", "printed", "turned"]
    assert page_text(page) == "Glucose 95 mg/dL"


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_of_sideways_text_is_turned_to_be_read(tmp_path, turn, rotation):
    def draw(canvas):
        canvas.setPageRotation(rotation)
        canvas.translate(300, 400)
        canvas.rotate(turn + rotation)
        for i in range(12):
            canvas.drawString(-150, 120 - 20 * i, f"row{i}")
            canvas.drawString(50, 120 - 20 * i, f"{i},5")

    path = pdf(tmp_path / "a.pdf", draw)
    page = open_document(path).pages[0]
    assert page.turn == turn and not page.rotated and not page.issue
    assert [line.split() for line in page_text(page).splitlines()] == [[f"row{i}", f"{i},5"] for i in range(12)]
    # The boxes are those of the turned page, and lead back to the ink of the displayed one.
    ink = np.asarray(render_page(path, 1, dpi=72).convert("L")) < 160
    for word in page.words:
        x0, y0, x1, y1 = (round(edge) for edge in page.frame.displayed(word.box))
        assert ink[y0 : y1 + 1, x0 : x1 + 1].sum() > 5
        ink[max(0, y0 - 1) : y1 + 2, max(0, x0 - 1) : x1 + 2] = False
    assert not ink.any()


def test_slanted_text_is_upright_and_invisible_text_is_kept(tmp_path):
    def draw(canvas):
        canvas.saveState()
        canvas.transform(1, 0, 0.35, 1, 72, 700)
        canvas.drawString(0, 0, "slanted")
        canvas.restoreState()
        canvas.drawString(72, 650, "unseen", mode=3)

    page = open_document(pdf(tmp_path / "a.pdf", draw)).pages[0]
    assert texts(page.words) == ["slanted", "unseen"] and not page.rotated


def test_text_drawn_twice_counts_once_and_repeated_values_stay(tmp_path):
    def draw(canvas):
        canvas.drawString(72, 700, "Bold")
        canvas.drawString(72.3, 700, "Bold")
        canvas.drawString(72, 680, "5.0")
        canvas.drawString(72, 660, "5.0")

    page = open_document(pdf(tmp_path / "a.pdf", draw)).pages[0]
    assert texts(page.words) == ["Bold", "5.0", "5.0"]


def test_text_outside_the_page_is_not_read(tmp_path):
    def draw(canvas):
        hello(canvas)
        canvas.drawString(72, 900, "above")

    assert "above" not in texts(open_document(pdf(tmp_path / "a.pdf", draw)).pages[0].words)


def test_filled_in_form_fields_are_read_and_drawn(tmp_path):
    def draw(canvas):
        canvas.drawString(72, 700, "Glucose")
        canvas.acroForm.textfield(value="95", x=200, y=690, width=100, height=20, borderWidth=0)

    path = pdf(tmp_path / "a.pdf", draw)
    page = open_document(path).pages[0]
    assert page_text(page) == "Glucose  95"
    x0, y0, x1, y1 = (round(value) for value in page.words[1].box)
    ink = np.asarray(render_page(path, 1, dpi=72).convert("L"))[y0:y1, x0:x1]
    assert ink.min() < 128


def test_hyphens_ligatures_and_superscripts():
    words = pytest.importorskip("extraction.document.words")
    assert [words.glyph_text(code) for code in (0xAD, 0x02, 0xFFFE, ord("-"))] == ["-"] * 4
    assert [words.glyph_text(code) for code in (0xFB01, 0xFB03)] == ["fi", "ffi"]
    assert [words.glyph_text(ord(char)) for char in "⁹µ§"] == list("⁹µ§")
    assert [words.glyph_text(code) for code in (0x07, 0x200B, 0xFEFF)] == [""] * 3


def test_the_same_file_gives_the_same_document(tmp_path):
    path = pdf(tmp_path / "a.pdf", hello, pages=2)
    one, two = open_document(path), open_document(path)
    assert one == two and len(one.sha256) == 64
    assert [page.number for page in one.pages] == [1, 2] and one.word_count == 6


# Lines


def report(canvas):
    rows = [
        ("Haemoglobin", "H", "13.2", "g/dL", "12.0 - 15.0"),
        ("Leukocytes", "", "10,450", "/cumm", "4,000 - 11,000"),
        ("MCV", "", "88", "fL", "83 - 101"),
    ]
    canvas.setFont("Helvetica", 9)
    canvas.drawString(40, 697, "BLOOD COUNT")
    for i, (name, flag, value, unit, reference) in enumerate(rows):
        y = 680 - 24 * i
        canvas.setFont("Helvetica", 9)
        canvas.drawString(50, y, name)
        canvas.drawString(262, y, flag)
        canvas.drawRightString(300, y, value)
        canvas.drawString(330, y, unit)
        canvas.drawString(460, y, reference)
        canvas.setFont("Helvetica", 6)
        canvas.drawString(50, y - 8, "Method: photometry")


def test_a_report_keeps_its_columns_in_short_lines(tmp_path):
    page = open_document(pdf(tmp_path / "a.pdf", report)).pages[0]
    assert page_text(page).split("\n") == [
        "BLOOD COUNT",
        "  Haemoglobin  H  13.2  g/dL   12.0 - 15.0",
        "  Method: photometry",
        "  Leukocytes    10,450  /cumm  4,000 - 11,000",
        "  Method: photometry",
        "  MCV               88  fL     83 - 101",
        "  Method: photometry",
    ]


def test_a_flag_one_blank_before_an_aligned_value_is_its_own_cell(tmp_path):
    def draw(canvas):
        for i, flag in enumerate(("", "", "", "++")):
            canvas.drawString(72, 700 - 15 * i, "Glucose")
            canvas.drawRightString(196, 700 - 15 * i, flag)
            canvas.drawString(200, 700 - 15 * i, str(11 * (i + 1)))

    lines = page_text(open_document(pdf(tmp_path / "a.pdf", draw)).pages[0]).split("\n")
    assert lines[-1].split("  ")[-2:] == ["++", "44"]
    assert len({line.index(value) for line, value in zip(lines, ("11", "22", "33", "44"), strict=True)}) == 1


def test_a_short_name_and_what_it_is_short_for_are_one_cell():
    names = [(40, 50 + 15 * i, name) for i, name in enumerate(("HbE", "MPV", "GOT"))]
    leaders = [(61, 50, "....."), (61, 65, "....."), (60.5, 80, "(AST)")]
    page = boxes(*names, *leaders, *[(200, 50 + 15 * i, "12") for i in range(3)])
    assert page_text(page).split("\n")[-1].startswith("GOT (AST)  ")


def boxes(*lines):
    """A page with words of 10 points: (x, y, text) each, 5 points a letter."""
    words = [Word(text, (x, y, x + 5 * len(text), y + 10)) for x, y, text in lines]
    return Page(1, 600, 800, words)


def test_a_large_gap_is_one_empty_line_and_a_repeated_step_is_none():
    steps = [12, 12, 60, 12, 12, 20, 12]
    page = boxes(*[(40, 50 + sum(steps[:i]), f"line{i}") for i in range(8)])
    shown = ["line0", "line1", "line2", "", "line3", "line4", "line5", "", "line6", "line7"]
    assert page_text(page).split("\n") == shown
    name_and_method = boxes(*[(40, 50 + 10 * i + 8 * (i // 2), f"line{i}") for i in range(9)])
    assert "" not in page_text(name_and_method).split("\n")


def test_a_shifted_baseline_stays_in_its_line_and_a_superscript_too():
    page = Page(
        1,
        600,
        800,
        [
            Word("Leukocytes", (40, 50, 90, 60)),
            Word("10", (200, 51.5, 210, 61.5)),
            Word("9", (210.5, 48, 213, 54)),
            Word("/L", (300, 48.8, 310, 58.8)),
            Word("photometry", (40, 59.5, 80, 66)),
        ],
    )
    assert page_text(page) == "Leukocytes  10 9  /L\nphotometry"


def test_a_wrapped_cell_starts_where_its_column_does():
    page = boxes(
        (40, 50, "Name"), (200, 50, "12"), (300, 50, "4"), (310, 50, "-"), (320, 50, "8"),
        (300, 62, "fasting"), (40, 74, "Other"), (200, 74, "7"), (300, 74, "1"),
    )  # fmt: skip
    lines = page_text(page).split("\n")
    assert lines == ["Name   12  4 - 8", "           fasting", "Other  7   1"]


def test_a_page_scanned_askew_keeps_its_lines():
    rows = [(40, 60 + 14 * i, f"Name{i}") for i in range(20)]
    cells = [cell for x, y, name in rows for cell in ((x, y, name), (220, y, "12"), (300, y, "g/L"), (520, y, "+"))]
    straight = boxes(*cells)
    for slope in (0.03, -0.03):
        askew = boxes(*((x, y + slope * (x + 2.5 * len(text)), text) for x, y, text in cells))
        assert page_text(askew) == page_text(straight)


def test_a_page_without_words_has_no_lines():
    assert layout_lines(Page(1, 100, 100, [])) == []


TEXT = st.text(string.ascii_letters + string.digits + "µ²", min_size=1, max_size=8)
PLACE = st.floats(-10, 900, allow_nan=False, width=32)
SIZE = st.floats(0, 60, allow_nan=False, width=32)


@st.composite
def any_word(draw):
    x, y = draw(PLACE), draw(PLACE)
    if draw(st.booleans()):
        x, y = round(x / 50) * 50.0, round(y / 12) * 12.0
    return Word(draw(TEXT), (x, y, x + draw(SIZE), y + draw(SIZE)))


@settings(max_examples=150, deadline=None)
@given(st.lists(any_word(), max_size=40), st.randoms())
def test_no_word_is_lost_or_doubled(words, random):
    page = Page(1, 595, 842, words)
    lines = layout_lines(page)
    spans = [(line, *span) for line in lines for span in line.spans]
    assert sorted(index for _, _, _, index in spans) == list(range(len(words)))
    assert all(line.text[start:end] == words[index].text for line, start, end, index in spans)
    for line in lines:
        for (_, end, _), (start, _, _) in pairwise(line.spans):
            assert line.text[end:start].isspace()
        assert sum(end - start for start, end, _ in line.spans) == len(line.text.replace(" ", ""))
        assert line.text == line.text.rstrip()
    assert not any(not a.spans and not b.spans for a, b in pairwise(lines))
    assert not lines or (lines[0].spans and lines[-1].spans)
    assert layout_lines(page) == lines


# Refusals


def refusal(path, limits=None, opener=open_document):
    with pytest.raises(DocumentError) as caught:
        opener(path, limits) if limits else opener(path)
    message = str(caught.value)
    assert "Traceback" not in message and len(message) < 400
    return message


def zipped(*names, content=b"%PDF-1.7 of a report"):
    """An archive that holds files as they are, so that the first one's content is among its first bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


MAIL = b"Received: by x\r\nFrom: a@example.com\r\nMIME-Version: 1.0\r\n\r\n%PDF-1.7"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"GIF89a", "a GIF image"),
        (b"\x89PNG\r\n\x1a\n0000", "damaged"),
        (b"\xff\xd8\xff\xe0 JFIF", "damaged"),
        (b"PK\x03\x04 word/document.xml", "no PDF but a Word file: print it to PDF"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a Word file"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel file"),
        (zipped("report.pdf"), "no PDF but a ZIP archive: unpack it"),
        (zipped("a.docx", content=zipped("[Content_Types].xml", "word/document.xml")), "a ZIP archive"),
        (zipped("mimetype", content=b"application/vnd.oasis.opendocument.text"), "an OpenDocument file"),
        (b"7z\xbc\xaf\x27\x1c%PDF-1.7", "a 7-Zip archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"report.pdf".ljust(257, b"\0") + b"ustar".ljust(255, b"\0") + b"%PDF-1.7", "a tar archive"),
        (MAIL, "an e-mail: save its attachments"),
        (b"MSH|^~\\&|", "an HL7 message"),
        (b'{"resourceType": "Bundle"}', "a JSON text"),
        (b"<!doctype html><html>", "a web page"),
        (b"Glucose 95", "plain text"),
        (b"Glucose: 95\nFrom: 70", "plain text"),
        (b"%PDF-1.7 and nothing else", "damaged"),
    ],
)
def test_what_is_no_pdf_is_named(tmp_path, content, words):
    path = tmp_path / "file.pdf"
    path.write_bytes(content)
    assert words in refusal(path)


def test_missing_files_and_folders(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.pdf")
    assert "is a folder" in refusal(tmp_path)


def test_passwords(tmp_path):
    closed = pdf(tmp_path / "closed.pdf", hello, encrypt=StandardEncryption("secret", "owner"))
    assert "needs a password: give it with --password" in refusal(closed)
    for opener in (open_document, lambda path, limits, password: render_page(path, 1, password=password)):
        message = refusal(closed, opener=lambda path, opener=opener: opener(path, None, "guess"))
        assert "the password that was given does not open it" in message and "guess" not in message
    for password in ("secret", "owner"):
        document = open_document(closed, password=password)
        assert document.word_count == 3 and document.password == password and password not in repr(document)
    assert render_page(closed, 1, dpi=36, password="secret").size == (298, 421)
    usable = pdf(tmp_path / "open.pdf", hello, encrypt=StandardEncryption("", "owner"))
    assert open_document(usable).word_count == 3
    assert open_document(usable, password="guess").password == ""


def test_a_cut_off_file_is_repaired_or_refused(tmp_path):
    whole = pdf(tmp_path / "a.pdf", hello, pages=3).read_bytes()
    for share in (0.2, 0.5, 0.9):
        path = tmp_path / f"{share}.pdf"
        path.write_bytes(whole[: int(share * len(whole))])
        try:
            assert open_document(path).pages
        except DocumentError as error:
            assert "damaged" in str(error) or "no pages" in str(error)


def test_limits_on_pages_sizes_files_and_pixels(tmp_path):
    many = pdf(tmp_path / "many.pdf", lambda canvas: None, pages=500)
    assert "500 pages, more than the 200" in refusal(many)
    assert len(open_document(many, Limits(pages=500)).pages) == 500
    huge = pdf(tmp_path / "huge.pdf", hello, pagesize=(20_000, 300))
    assert "20000 x 300" in refusal(huge)
    usual = pdf(tmp_path / "usual.pdf", hello)
    assert "3 words, more than the 2 allowed" in refusal(usual, Limits(words=2))
    assert "0 MB allowed" in refusal(many, Limits(file_mb=0))
    with pytest.raises(DocumentError, match="dpi or less"):
        render_page(usual, 1, dpi=3000)
    with pytest.raises(DocumentError, match="no page 2"):
        render_page(usual, 2)


def test_a_page_without_text_opens(tmp_path):
    document = open_document(pdf(tmp_path / "a.pdf", lambda canvas: canvas.rect(9, 9, 99, 99, fill=1)))
    assert not document.has_text and document.word_count == 0 and len(document.pages) == 1


# The worker process


def alive(mark):
    lines = subprocess.run(["ps", "-eo", "stat,ppid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if mark in line and not line.startswith("Z")]


posix = pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")


@posix
@pytest.mark.parametrize(
    ("body", "limits", "words"),
    [
        ("import subprocess,time; subprocess.Popen(['sleep','{mark}']); time.sleep(60)", 0.8, "within 0.8 s"),
        ("import subprocess,os; subprocess.Popen(['sleep','{mark}'], stdout=-3); os.abort()", 20, "crash"),
        ("print('x')", 20, "crash"),
        ("import os; os.write(1, bytes(3) + bytes([2]) + b'[]')", 20, "crash"),
        ("import os; os.write(1, bytes([255] * 9))", 20, "memory"),
        ("while True: pass", 0.5, "within 0.5 s"),
    ],
)
def test_a_hanging_or_crashing_worker_leaves_one_error_and_no_process(tmp_path, monkeypatch, body, limits, words):
    mark = "61.0625"
    monkeypatch.setattr(process, "_command", lambda _: [sys.executable, "-c", body.format(mark=mark)])
    path = pdf(tmp_path / "a.pdf", hello)
    begin = time.monotonic()
    assert words in refusal(path, Limits(seconds=limits))
    assert time.monotonic() - begin < 10
    time.sleep(0.1)
    assert not alive(f"sleep {mark}")


def test_a_tiny_time_limit_holds(tmp_path):
    assert "within 0.001 s" in refusal(pdf(tmp_path / "a.pdf", hello, pages=100), Limits(seconds=0.001))


@pytest.mark.skipif(sys.platform != "linux", reason="address space limits")
def test_running_out_of_memory_is_one_error(tmp_path):
    path = pdf(tmp_path / "a.pdf", hello, pagesize=(6000, 6000))
    with pytest.raises(DocumentError):
        render_page(path, 1, dpi=72, limits=Limits(memory_mb=120))
    assert "memory" in refusal(path, Limits(memory_mb=30))


def test_pages_are_drawn_in_one_go_and_may_be_left_early(tmp_path):
    path = pdf(tmp_path / "a.pdf", hello, pages=5)
    assert [image.size for image in render_pages(path, [3, 1], dpi=36)] == [(298, 421)] * 2
    first = next(images := render_pages(path, range(1, 6), dpi=36))
    images.close()
    assert first.size == (298, 421)


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="needs poppler")
def test_poppler_draws_what_pdfium_cannot(tmp_path, monkeypatch):
    path = pdf(tmp_path / "a.pdf", hello, pages=2)
    expected = render_page(path, 2, dpi=50)
    run_job = process.run_job

    def failing(data, job, limits):
        if job["do"] == "render":
            raise process.WorkerError("crash")
        return run_job(data, job, limits)

    monkeypatch.setattr(reader, "run_job", failing)
    image = render_page(path, 2, dpi=50)
    assert image.mode == "RGB" and image.size == pytest.approx(expected.size, abs=1)
    assert np.asarray(image.convert("L")).min() < 128
    with pytest.raises(DocumentError, match="dpi or less"):
        render_page(path, 2, dpi=50, limits=Limits(pixels=100))


def test_importing_stays_light():
    """What is started for every file and for every worker: neither loads what only reads values or asks a model."""
    ours = ("document.layout", "document.ocr", "document.reader", "values.typed")
    heavy = {"torch", "numpy", "PIL", "pydantic", *(f"extraction.{name}" for name in ours)}
    code = "import sys, extraction.document.worker, extraction.document.words; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(out.stdout.split())
    code = "import sys, extraction.reader_process; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pydantic", "extraction.generate"} & set(out.stdout.split())


# Files from the field


@pytest.mark.skipif(not (DATA / "pdfs").is_dir(), reason="no files to try")
def test_every_odd_file_ends_in_a_document_or_one_error():
    files = sorted((DATA / "pdfs").rglob("*.pdf"))
    limits = Limits(seconds=5)
    for path in files:
        begin = time.monotonic()
        try:
            document = open_document(path, limits)
            for page in document.pages:
                spans = [index for line in layout_lines(page) for _, _, index in line.spans]
                assert sorted(spans) == list(range(len(page.words)))
        except DocumentError:
            assert path.parent.name not in ("plain_ok", "encrypted_empty_user_password", "many_pages")
        else:
            assert path.parent.name != "needs_password"
        try:
            render_page(path, 1, dpi=40, limits=replace(limits, pixels=4_000_000))
        except DocumentError:
            assert path.parent.name not in ("plain_ok", "encrypted_empty_user_password", "many_pages")
        assert time.monotonic() - begin < 12, path.name
    if shutil.which("ps"):  # other tests, which run beside this one, have such processes of their own
        own = [line for line in alive("extraction.document.worker") if line.split()[1] == str(os.getpid())]
        assert not own


@pytest.mark.skipif(not (DATA / "lab_reports").is_dir(), reason="no reports to try")
@pytest.mark.parametrize("folder", ["be_hl7", "be_scans", "other"])
def test_reports_keep_rows_together(folder):
    for path in sorted((DATA / "lab_reports" / folder).glob("*.pdf")):
        document = open_document(path)
        assert document.has_text is (folder != "be_scans")
        if not document.has_text:
            continue
        lines = [line for page in document.pages for line in page_text(page).split("\n")]
        rows = json.loads(path.with_suffix("").with_suffix(".labels.json").read_text())["results"]
        for row in rows:
            if row.get("pdf_line_match", True) and (row["unit"] or row["reference_range"]):
                wanted = [row["test"], row["value"], row["reference_range"] or ""]
                assert any(all(part in line for part in wanted) for line in lines), (path.name, wanted)


def test_a_folder_of_many_kinds_is_read_or_refused_by_name(shared_data):
    folder = shared_data / "cases" / "13_file_kinds" / "folder"
    assert [len(open_document(folder / name).pages) for name in ("jan.pdf", "jun", "feb.tif")] == [1, 1, 2]
    assert "is a Word file" in refusal(folder / "apr.docx") and "is an HL7 message" in refusal(folder / "may.hl7")
    locked = shared_data / "cases" / "14_password"
    assert "needs a password" in refusal(locked / "user_password.pdf")
    assert open_document(locked / "user_password.pdf", password="15011980").has_text
    assert open_document(locked / "owner_only.pdf").has_text


def test_cells_from_right_to_left_are_read_in_order(tmp_path):
    from recipes.lab_report.synthetic.sheet import Run, Sheet

    lines = {
        "كريات الدم البيضاء (WBC)": "10^3/uL",
        "لا يوجد": "< 200",
        "فيتامين د (25-OH)": "<7.0",
        "ذكور: 3.5 - 5.1": "(18 - 50)",
        "الهدف (<42.3)": "≥ 60",
        "الإنزيم ALT في الدم": "[11.5 - 14.9]",
        "المجموع: (الهدف: <42.3)": "mL/min/1.73m²",
    }
    for face in ("Arimo+NotoArabic", "Arimo+NotoArabic-Forms"):
        sheet = Sheet((600, 300), "", mirrored=True)
        for number, (name, value) in enumerate(lines.items()):
            sheet.run(30, 40 + 25 * number, Run(name, size=11, font=face))
            sheet.run(320, 40 + 25 * number, Run(value, size=11, font="Helvetica"))
        sheet.run(30, 250, Run("המוגלובין (HGB)", size=11, font="Arimo"))
        sheet.run(320, 250, Run("< 5.0", size=11, font="Arimo"))
        path = tmp_path / "page.pdf"
        path.write_bytes(sheet.finish())
        [page] = open_document(path).pages
        shown = [re.split(r"\s{2,}", line.text.strip()) for line in layout_lines(page) if line.text.strip()]
        assert shown == [[name, value] for name, value in [*lines.items(), ("המוגלובין (HGB)", "< 5.0")]]


def test_a_label_from_left_to_right_comes_before_what_stands_left_of_it(tmp_path):
    from recipes.lab_report.synthetic.sheet import Run, Sheet

    def put(y, *texts):
        """Texts from the right, a blank apart."""
        x = 550.0
        for text in texts:
            run = Run(text, size=11, font="Arimo")
            x -= run.width
            sheet.run(x, y, run)
            x -= 3

    sheet = Sheet((600, 300), "")
    put(40, "המוגלובין", "13.2")
    put(60, ":LDH", "193", "U/L")
    put(80, "גמא", ":GT", "29", "U/L")
    put(100, ":ALT (GPT)", "טרם התקבל")
    put(120, "LDH: 193")  # as one text, which a page from right to left has from left to right
    path = tmp_path / "page.pdf"
    path.write_bytes(sheet.finish())
    [page] = open_document(path).pages
    assert [line.text for line in layout_lines(page)] == [
        "המוגלובין 13.2",
        "LDH: U/L 193",
        "גמא GT: U/L 29",
        ":ALT (GPT) טרם התקבל",
        "LDH: 193",
    ]


def test_a_word_from_right_to_left_in_a_line_that_is_not(tmp_path):
    from recipes.lab_report.synthetic.sheet import Run, Sheet

    sheet = Sheet((600, 300), "")
    for number in range(6):
        sheet.run(30, 40 + 20 * number, Run("Blood cells, mean volume of platelets", size=11))
    sheet.run(30, 200, Run("Patient name and address: שם משפחה", size=11, font="Arimo"))
    path = tmp_path / "page.pdf"
    path.write_bytes(sheet.finish())
    [page] = open_document(path).pages
    assert "Blood cells, mean volume of platelets" in layout_lines(page)[0].text
