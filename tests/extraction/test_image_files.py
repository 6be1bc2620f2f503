"""Image files as documents of one page: their pixels untouched, their dangers refused in one sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from extraction.document import Limits, open_document, render_page
from extraction.errors import DocumentError


def picture(size=(300, 200), mode="RGB"):
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def own_dpi(page):
    return round(72 * page.pixels[0] / page.width)


@pytest.mark.parametrize("dpi", [None, (50, 50), (72, 72), (96, 96)])
def test_its_pixels_come_back_as_they_are(tmp_path, dpi):
    image = picture()
    path = saved(tmp_path / "a.png", image, **({"dpi": dpi} if dpi else {}))
    (page,) = open_document(path).pages
    assert page.pixels == (300, 200) and page.words == []
    assert np.array_equal(np.asarray(render_page(path, 1, own_dpi(page))), np.asarray(image))
    assert render_page(path, 1, 2 * own_dpi(page)).size == (600, 400)
    # A sheet of 6 inches at 50 and 4.2 at 72 dots; what would be a stamp is taken for an A4 page.
    assert max(page.width, page.height) == pytest.approx({50: 432, 72: 300}.get(dpi and dpi[0], 842), rel=0.02)


def test_turned_and_transparent_images_are_as_displayed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    path = saved(tmp_path / "a.jpg", picture(), exif=exif)
    assert open_document(path).pages[0].pixels == (200, 300)
    clear = saved(tmp_path / "b.png", Image.new("RGBA", (50, 40), (0, 0, 0, 0)))
    page = open_document(clear).pages[0]
    assert np.asarray(render_page(clear, 1, own_dpi(page))).min() == 255


def bomb(width, height):
    """A PNG of a few bytes whose header promises width x height pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000, 100_000)])
def test_a_bomb_is_refused_before_its_pixels_take_memory(tmp_path, size):
    (tmp_path / "a.png").write_bytes(bomb(*size))
    with pytest.raises(DocumentError, match=r"a\.png has .* pixels, more than the 40,000,000 allowed"):
        open_document(tmp_path / "a.png", Limits(memory_mb=1024))


def test_cut_and_false_images_are_named(tmp_path):
    stream = io.BytesIO()
    picture().save(stream, "JPEG")
    for name, data in [("cut.jpg", stream.getvalue()[:2000]), ("false.png", b"\x89PNG\r\n\x1a\n" + b"x" * 99)]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DocumentError, match=rf"{name} \(a (PNG|JPEG) image\) is damaged or cut off"):
            open_document(tmp_path / name)
    good = saved(tmp_path / "a.png", picture())
    with pytest.raises(DocumentError, match="has no page 2: it has 1"):
        render_page(good, 2)
