"""Pages and photos that lie on their side, upside down or askew: read upright, evidence on the ink as displayed."""

import json

import numpy as np
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from extraction.api import Extractor
from extraction.document import open_document, page_text, render_page
from extraction.document.ocr import readable
from recipes.lab_report.task import CONTRACT
from tests.extraction.test_evidence_page import embedded
from tests.extraction.test_ocr import ROWS, Answering, pdf, table

RIGHT = ["".join(row).replace(" ", "") for row in ROWS]


@pytest.fixture
def drawn(tmp_path):
    image = render_page(pdf(tmp_path / "drawn.pdf", table), 1, dpi=150)
    return image.crop((0, 0, image.width, 850))  # half a page is read in half the time


def photo(image, corners):
    """A picture in which the page's corners (shares of its sides, from top left clockwise) lie so, on a dark table."""
    width, height = image.size
    rows, values = [], []
    for (u, v), (x, y) in zip(corners, [(0, 0), (width, 0), (width, height), (0, height)], strict=True):
        u, v = u * width, v * height
        rows += [[u, v, 1, 0, 0, 0, -x * u, -x * v], [0, 0, 0, u, v, 1, -y * u, -y * v]]
        values += [x, y]
    back = np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float))
    return image.transform(image.size, Image.Transform.PERSPECTIVE, tuple(back), Image.BICUBIC, fillcolor=(60, 60, 60))


def turned(angle):
    return lambda image: image.rotate(angle, expand=True, fillcolor="white", resample=Image.BICUBIC)


@pytest.mark.parametrize(
    ("change", "turn"),
    [
        (turned(90), 90),
        (turned(180), 180),
        (turned(270), 270),
        (turned(-15), 0),
        (turned(100), 90),
        (lambda image: photo(image, [(0.15, 0.05), (0.95, 0.02), (0.98, 0.97), (0.03, 0.9)]), 0),
    ],
    ids=["on its left", "upside down", "on its right", "tilted", "on its left and tilted", "perspective"],
)
def test_a_picture_is_read_upright_and_evidence_is_on_the_ink(tmp_path, engine, drawn, change, turn):
    path = tmp_path / "a.png"
    change(drawn).save(path, dpi=(150, 150))
    document = readable(open_document(path))
    (page,) = document.pages
    assert page.turn == turn
    assert ["".join(line.split()) for line in page_text(page).splitlines() if line] == RIGHT

    answer = ",".join(json.dumps([name, value, unit]) for name, value, unit, _ in ROWS)
    [record] = Extractor(Answering(f'{{"tests":[{answer}]}}'), CONTRACT).read([document])
    ink = np.asarray(render_page(path, 1, dpi=72).convert("L")) < 120
    ink &= np.asarray(render_page(path, 1, dpi=72).convert("L")) != 60
    for number in range(len(ROWS)):
        x0, y0, x1, y1 = (round(edge) for edge in record["tests"][number]["name"].box)
        assert ink[y0:y1, x0:x1].any()


def test_the_evidence_page_shows_a_turned_page_upright(tmp_path):
    def draw(canvas):
        canvas.translate(300, 400)
        canvas.rotate(90)
        for number, row in enumerate(ROWS):
            canvas.drawString(-150, 120 - 20 * number, row[0])
            canvas.drawString(50, 120 - 20 * number, row[1])

    path = pdf(tmp_path / "a.pdf", draw)
    # The last one's value is not the printed one, so it is set aside.
    values = [value for _, value, _, _ in ROWS[:-1]] + ["77,7"]
    answer = ",".join(json.dumps([row[0], value]) for row, value in zip(ROWS, values, strict=True))
    record = Extractor(Answering(f'{{"tests":[{answer}]}}'), CONTRACT).extract(path)
    page = open_document(path).pages[0]
    displayed = record["tests"][0]["name"].box
    assert displayed == pytest.approx(page.frame.displayed(page.words[0].box), abs=0.1)
    record.save_html(tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    assert f'"width": {page.width}, "height": {page.height}' in html
    box = [round(edge, 1) for edge in page.words[0].box]
    shown = embedded(html)["fields"]["/tests/0/name"]["box"]
    assert shown == pytest.approx(box, abs=0.2)
    [aside] = embedded(html)["set_aside"]
    first = next(word for word in page.words if word.text == ROWS[-1][0].split()[0])
    assert aside["box"][:2] == pytest.approx(first.box[:2], abs=0.2)


def test_a_sideways_table_beside_upright_text_is_an_issue(tmp_path):
    def draw(canvas: Canvas):
        table(canvas)
        canvas.saveState()
        canvas.translate(300, 100)
        canvas.rotate(90)
        for number in range(4):
            canvas.drawString(0, 90 - 20 * number, f"Calcium {number}")
            canvas.drawString(150, 90 - 20 * number, f"{number},25")
        canvas.restoreState()

    page = readable(open_document(pdf(tmp_path / "a.pdf", draw))).pages[0]
    assert len(page.rotated) == 12 and "sideways" in page.issue
