"""Nuisances over finished reports: a page is still drawn with the same rows, and the text says what it should."""

import io
from functools import cache
from random import Random

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageOps

from extraction.document import open_document
from recipes.lab_report.synthetic import Report, make_report
from recipes.lab_report.synthetic.nuisance import NUISANCES, Spoiled, photo, rotated, scan, shifted_font


@cache
def report(family: str = "us_ruled") -> Report:
    return make_report(family, 3, max_rows=6)


@cache
def spoiled(name: str) -> Spoiled:
    return NUISANCES[name](report().pdf, Random(7))


def pages(file: Spoiled) -> list[Image.Image]:
    """The pages of a file as they are displayed."""
    if file.suffix == ".jpg":
        return [ImageOps.exif_transpose(Image.open(io.BytesIO(file.data))).convert("L")]
    return [page.render(scale=1).to_pil().convert("L") for page in pypdfium2.PdfDocument(file.data)]


def text(file: Spoiled) -> str:
    return "\n".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(file.data))


def results(family: str = "us_ruled") -> list[str]:
    return [row["result"] for row in report(family).record["tests"]]


def likeness(image: Image.Image) -> float:
    """How much an image of a page is like the report's own."""
    page = pypdfium2.PdfDocument(report().pdf)[0].render(scale=1).to_pil().convert("L").resize((150, 200))
    one, other = (np.asarray(shown, dtype=float).ravel() for shown in (page, image.resize((150, 200))))
    return float(np.corrcoef(one, other)[0, 1])


@pytest.mark.parametrize("name", ["stamped scan", "wrong hidden text", "cover before scan", "photo", "/Rotate 90"])
def test_the_same_seed_gives_the_same_bytes(name):
    assert spoiled(name) == NUISANCES[name](report().pdf, Random(7))


@pytest.mark.parametrize("name", NUISANCES)
def test_every_page_is_drawn(name, tmp_path):
    file = spoiled(name)
    path = tmp_path / f"report{file.suffix}"
    path.write_bytes(file.data)
    assert len(open_document(path).pages) == len(pages(file)) >= len(pypdfium2.PdfDocument(report().pdf))
    assert all(np.asarray(page).std() > 3 for page in pages(file))


@pytest.mark.parametrize("name", [name for name in NUISANCES if "sideways" in name or "/Rotate" in name])
def test_turned_pages_keep_their_text_and_show_it_turned(name):
    file = spoiled(name)
    words = set(text(file).split())
    assert all(part in words for result in results() for part in result.split())
    turned = next(degrees for degrees in (90, 180, 270) if str(degrees) in name)
    back = 0 if "back" in name else turned
    assert likeness(pages(file)[0].rotate(back, expand=True)) > 0.95


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_scan_turned_is_the_page_turned(turn):
    assert likeness(pages(scan(report().pdf, Random(1), turn=turn))[0].rotate(-turn, expand=True)) > 0.9


@pytest.mark.parametrize("name", ["scan", "stamped scan", "wrong hidden text", "cover before scan"])
def test_scans_show_the_page_and_have_no_true_text_of_it(name):
    file = spoiled(name)
    shown, said = pages(file)[-1], text(file).split()
    assert likeness(shown) > 0.6  # a scan is a little tilted
    assert (name == "scan") == (not said)
    row = next(row for row in report().record["tests"] if len(row["result"]) > 1)
    assert not {row["result"], row["name"]} <= set(said)


@pytest.mark.parametrize("family", ["us_ruled", "simple_list", "colour_cards", "gauge_portal"])
@pytest.mark.parametrize("letters", [False, True])
def test_a_shifted_font_shows_the_page_and_says_another(family, letters):
    """Also fonts that are embedded with a map of their own."""
    made = make_report(family, 5, max_rows=6)
    file = shifted_font(made.pdf, Random(3), letters=letters)
    before = Spoiled(made.pdf, ".pdf")
    for one, other in zip(pages(before), pages(file), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    kept, changed = (str.isdigit, str.isalpha) if letters else (str.isalpha, str.isdigit)
    one, other = text(before), text(file)
    assert len(one) == len(other)
    ascii_ = [(a, b) for a, b in zip(one, other, strict=True) if a.isascii()]
    assert all(a == b for a, b in ascii_ if kept(a)) and all(a != b for a, b in ascii_ if changed(a))


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_photo_shows_upright_by_its_orientation(turned):
    file = photo(report().pdf, Random(2), turned=turned)
    upright = photo(report().pdf, Random(2))
    assert Image.open(io.BytesIO(file.data)).getexif().get(0x0112, 1) == {0: 1, 90: 6, 180: 3, 270: 8}[turned]
    one, other = (np.asarray(pages(shot)[0], dtype=float) for shot in (file, upright))
    assert one.shape == other.shape and np.abs(one - other).mean() < 3


def test_tilts_are_limited():
    with pytest.raises(ValueError, match="at most 15"):
        scan(report().pdf, Random(1), tilt=20)
    assert rotated(report().pdf, Random(1), turn=90).suffix == ".pdf"
