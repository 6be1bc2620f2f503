"""Image files as documents of pages: their pixels untouched, their dangers refused in one sentence."""

import importlib.util
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from extraction.document import Limits, open_document, render_page, render_pages
from extraction.errors import DocumentError


def picture(size=(300, 200), mode="RGB"):
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def tiff(path, *images, **options):
    return saved(path, images[0], save_all=True, append_images=images[1:], **{"compression": "tiff_lzw", **options})


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


@pytest.mark.parametrize(
    ("name", "kind", "low", "high"),
    [("a.png", np.uint16, 0, 4095), ("a.tif", np.uint16, 30_000, 65_535), ("b.tif", np.int32, -1024, 3071),
     ("c.tif", np.float32, -0.5, 1.0), ("d.tif", np.float32, 0, 30_000)],
)  # fmt: skip
def test_more_than_8_bits_are_shown_by_their_own_range(tmp_path, name, kind, low, high):
    from extraction.example import ImagePart
    from recipes.contrastive.images import Picture

    ramp = np.tile(np.linspace(low, high, 256), (40, 1))
    path = saved(tmp_path / name, Image.fromarray(ramp.astype(kind)))
    for image in (ImagePart.of(path).draw(), Picture(path).open()):
        shown = np.asarray(image)
        assert shown.shape == (40, 256, 3) and np.abs(shown[:, :, 0] - np.arange(256.0)).max() <= 1
    flat = saved(tmp_path / f"flat-{name}", Image.fromarray(np.full((40, 40), high, kind)))
    # One value alone has no range: that of its kind is taken.
    assert np.asarray(Picture(flat).open()).min() == (255 if kind is np.float32 else round(high / 65535 * 255))
    if kind is np.float32:
        ramp[:, 7] = np.nan
        gap = saved(tmp_path / f"gap-{name}", Image.fromarray(ramp.astype(kind)))
        assert np.asarray(Picture(gap).open())[0, 5:9, 0].tolist() == [5, 6, 0, 8]


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


@pytest.mark.parametrize("kind", ["png", "webp", "bmp", "gif", "tif"])
def test_all_usual_kinds_are_read_whatever_their_name(tmp_path, kind):
    image = picture().quantize(16).convert("RGB")
    path = saved(tmp_path / f"a.{kind}", image, **({"lossless": True} if kind == "webp" else {}))
    path = path.rename(tmp_path / "a.pdf")
    (page,) = open_document(path).pages
    assert np.array_equal(np.asarray(render_page(path, 1, own_dpi(page))), np.asarray(image))


def test_each_frame_of_a_tiff_is_a_page_and_of_other_images_the_first(tmp_path):
    images = [picture((300, 200 + number)) for number in range(3)]
    path = tiff(tmp_path / "a.tif", *images)
    pages = open_document(path).pages
    assert [(page.number, page.pixels) for page in pages] == [(1, (300, 200)), (2, (300, 201)), (3, (300, 202))]
    third, first = render_pages(path, [3, 1], own_dpi(pages[0]))
    assert np.array_equal(np.asarray(third), np.asarray(images[2]))
    assert np.array_equal(np.asarray(first), np.asarray(images[0]))
    with pytest.raises(DocumentError, match="has no page 4: it has 3"):
        render_page(path, 4)
    with pytest.raises(DocumentError, match="has 3 pages, more than the 2 allowed"):
        open_document(path, Limits(pages=2))
    with pytest.raises(DocumentError, match=r"Page 2 of .*a\.tif has 60,300 pixels, more than the 60,100 allowed"):
        open_document(path, Limits(pixels=60_100))
    moving = tiff(tmp_path / "a.gif", *images, compression=None)
    assert len(open_document(moving).pages) == 1


def test_a_reduced_version_in_a_tiff_is_no_page(tmp_path):
    small = picture((30, 20))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    path = tiff(tmp_path / "a.tif", picture(), small)
    assert [page.pixels for page in open_document(path).pages] == [(300, 200)]


def test_a_damaged_frame_of_a_tiff_costs_its_own_page(tmp_path):
    path = tiff(tmp_path / "a.tif", *[picture()] * 3, compression="raw")
    whole = path.read_bytes()
    path = tiff(path, *[picture()] * 3)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = b"\xff" * 5000
    path.write_bytes(data)
    pages = open_document(path).pages
    assert [page.pixels for page in pages] == [(300, 200)] * 3
    assert [bool(page.issue) for page in pages] == [False, True, False] and "damaged" in pages[1].issue
    with pytest.raises(DocumentError, match=r"Page 2 of .*a\.tif \(a TIFF image\) is damaged"):
        render_page(path, 2)
    for end in (300, len(whole) // 2):  # where the list of its frames breaks off
        path.write_bytes(whole[:end])
        with pytest.raises(DocumentError, match="damaged or cut off"):
            open_document(path)


def test_a_fax_has_square_pixels_in_the_end(tmp_path):
    """204 x 98 dots to the inch, as fax machines send in their coarse mode: a page is 8.5 by 11.2 inches."""
    path = saved(tmp_path / "fax.tif", Image.new("1", (1728, 1100), 1), compression="group4", dpi=(204, 98))
    (page,) = open_document(path).pages
    assert (page.width, page.height) == pytest.approx((610, 808), abs=1)
    assert render_page(path, 1, 204).size == page.pixels == (1728, 2290)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_of_grey_are_not_white(tmp_path, kind):
    ramp = np.linspace(0, 65535, 300 * 200).reshape(200, 300).astype(np.uint16)
    path = saved(tmp_path / f"a.{kind}", Image.fromarray(ramp))
    drawn = np.asarray(render_page(path, 1, own_dpi(open_document(path).pages[0])).convert("L"))
    assert drawn.min() == 0 and drawn.max() == 255 and 120 < drawn.mean() < 135


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_a_heic_photo_names_the_extra_that_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "photo.jpg").write_bytes(HEIC)
    with pytest.raises(DocumentError, match=r"photo\.jpg is a HEIC photo: install the extra assay\[heif\]"):
        open_document(tmp_path / "photo.jpg")


def test_a_heic_photo_is_read_with_the_extra(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(picture()).save(tmp_path / "photo.heic", quality=100)
    assert open_document(tmp_path / "photo.heic").pages[0].pixels == (300, 200)
    (tmp_path / "cut.heic").write_bytes(HEIC)
    with pytest.raises(DocumentError, match=r"cut\.heic \(a HEIF image\) is damaged"):
        open_document(tmp_path / "cut.heic")
