"""Whole slides: synthetic ones, written here; what a real scanner writes beside its pixels is in their descriptions."""

import hashlib
import io
import itertools
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("openslide")

from extraction.document import Limits
from extraction.errors import AssayError, DocumentError, run_command
from extraction.example import ImagePart
from extraction.slide import SIDE, image_aside, open_slide, patches, shown, tissue
from extraction.slide.page import slide_page
from extraction.slide.patches import candidates
from recipes.cli import app

TILE = 224
NAME = "Ada Lovelace 12-34"
APERIO = "Aperio Image Library v12\n{} [0,0 {}] (224x224)|AppMag = |MPP = |User = " + NAME
GLASS, PINK = (244, 243, 245), (200, 90, 160)


def tile(colour, side=TILE):
    return zlib.compress(np.full((side, side, 3), colour, np.uint8).tobytes(), 1)


def striped():
    """Columns of pixels are pink and glass in turn: what averages has one colour, what skips another."""
    pixels = np.empty((TILE, TILE, 3), np.uint8)
    pixels[:, ::2], pixels[:, 1::2] = PINK, GLASS
    return zlib.compress(pixels.tobytes(), 1)


def write_slide(path, sizes, chosen, note="", label=None, side=TILE, resolution=None):
    """A tiled TIFF with a pyramid. `chosen(level, column, row)` is a tile's bytes; equal ones are stored once."""
    out, stored, pages = bytearray(b"II*\0\0\0\0\0"), {}, []

    def keep(data):
        if data not in stored:
            stored[data] = len(out)
            out.extend(data + b"\0" * (len(data) % 2))
        return stored[data]

    for level, (width, height) in enumerate(sizes):
        places = itertools.product(range(-(-height // side)), range(-(-width // side)))
        tiles = [chosen(level, column, row) for row, column in places]
        text = note.format(f"{width}x{height}", f"{width}x{height}").encode() + b"\0" if note else b""
        pages.append({254: int(level > 0), 256: width, 257: height, 270: text, 322: side, 323: side})
        pages[-1] |= {282: resolution, 283: resolution, 296: 3} if resolution else {}
        pages[-1] |= {324: [keep(data) for data in tiles], 325: [len(data) for data in tiles]}
    if label is not None:
        data, text = zlib.compress(label.tobytes()), b"Aperio\nlabel 64x32\0"
        pages.append({254: 1, 256: label.shape[1], 257: label.shape[0], 270: text, 273: [keep(data)]})
        pages[-1] |= {278: label.shape[0], 279: [len(data)]}
    write_pages(out, keep, pages)
    path.write_bytes(out)
    return path


def write_pages(out, keep, pages):
    """The directories of a TIFF; texts are bytes, numbers with a fraction are floats or pairs."""
    link = 4
    for page in pages:
        entries = {258: [8, 8, 8], 259: 8, 262: 2, 277: 3, 284: 1, **page}
        made = b""
        for tag, value in sorted(entries.items()):
            if value == b"":
                continue
            kind, count = (2, len(value)) if isinstance(value, bytes) else (9 if tag == 65424 else 4, 1)
            if isinstance(value, float):
                kind, value = 11, struct.pack("<f", value)
            elif isinstance(value, tuple):
                kind, value = 5, struct.pack("<2I", *value)
            elif isinstance(value, list):
                count, value = len(value), struct.pack(f"<{len(value)}I", *value)
            elif isinstance(value, int):
                value = struct.pack("<I", value)
            made += struct.pack("<HHI", tag, kind, count) + (
                value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", keep(value))
            )
        out[link : link + 4] = struct.pack("<I", len(out))
        out.extend(struct.pack("<H", len(made) // 12) + made)
        link = len(out)
        out.extend(b"\0\0\0\0")


def sized(width, height, *downs):
    return [(width // down, height // down) for down in (1, *downs)]


def svs(path, width=3584, height=1792, power="20", mpp="0.5", chosen=None, downs=(4,), **more):
    """A slide at 20x whose left half is tissue."""
    pink, glass = tile(PINK), tile(GLASS)

    def half(level, column, row):
        return pink if column * TILE * (1, *downs)[level] < width / 2 else glass

    note = APERIO.split("|")
    note = "|".join([note[0], f"AppMag = {power}" if power else "", f"MPP = {mpp}" if mpp else "", note[3]])
    return write_slide(path, sized(width, height, *downs), chosen or half, note, **more)


def test_a_slide_says_its_levels_and_resolution_and_a_model_is_shown_its_tissue(tmp_path):
    slide = open_slide(svs(tmp_path / "a.svs"))
    assert slide.levels == ((3584, 1792), (896, 448)) and slide.vendor == "aperio" and not slide.said
    assert (slide.mpp, slide.objective, slide.magnification) == (0.5, 20, 20)
    assert tissue(slide).share == pytest.approx(0.5) and tissue(slide).blocks.shape == (4, 4)
    assert [(p.x, p.y) for p in patches(slide, 20)] == [(0, 0), (896, 0), (0, 896), (896, 896)]
    assert [(p.x, p.y, p.side, p.tissue) for p in patches(slide, 10)] == [(0, 0, 1792, 1)]
    assert [(p.x, p.y, p.side) for p in patches(slide, 5)] == [(0, 0, 3584)]
    assert patches(slide, 5)[0].tissue == pytest.approx(0.25)  # half the slide, which is half as high as the patch
    files = shown(slide, 5, tmp_path / "out")
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == [path.stem for path in files]
    part = ImagePart.of(files[0])
    assert part.size == (SIDE, SIDE) and part.draw().getpixel((100, 100)) == PINK
    assert part.draw().getpixel((800, 100)) == GLASS and part.draw().getpixel((100, 800)) == (255, 255, 255)


def test_the_patches_are_drawn_at_random_by_their_seed_and_stay_in_spatial_order(tmp_path):
    slide = open_slide(svs(tmp_path / "a.svs", 14336, 14336, downs=(4,)))
    every = candidates(slide, 20)
    assert len(every) == 128
    taken = patches(slide, 20)
    assert len(taken) == 126 and taken == [patch for patch in every if patch in taken]
    few = [patches(slide, 20, most=20, seed=seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2] and few[2] == sorted(few[2], key=lambda patch: (patch.y, patch.x))


@pytest.mark.parametrize("downs", [(), (2,), (8,)])
def test_whatever_levels_there_are_pixels_are_averaged_from_the_next_finer_one(tmp_path, downs):
    stripes = striped()
    pale = tuple((a + b) / 2 for a, b in zip(PINK, GLASS, strict=True))
    flat = tile([round(value) for value in pale])

    def chosen(level, column, row):
        # The coarse levels of a pyramid are averages already; 8 is too coarse for 5x of a slide at 20x.
        return stripes if level == 0 else flat if downs == (2,) else tile((0, 0, 255))

    slide = open_slide(svs(tmp_path / "a.svs", 3584, 3584, chosen=chosen, downs=downs))
    (path,) = shown(slide, 5)
    assert np.abs(np.asarray(Image.open(path), float) - pale).max() <= 1


def test_without_resolution_it_is_said_and_never_guessed(tmp_path):
    path = svs(tmp_path / "a.svs", power="", mpp="")
    slide = open_slide(path)
    assert slide.magnification is None and "magnification is unknown" in slide.said[0]
    with pytest.raises(DocumentError, match=r"Give micrometres per pixel \(--mpp"):
        patches(slide, 10)
    assert len(patches(open_slide(path, mpp=0.5), 20)) == 4 and len(patches(open_slide(path, mpp=0.25), 20)) == 1
    with pytest.raises(AssayError, match="micrometres wide, not 500"):
        open_slide(path, mpp=500)
    doubted = open_slide(svs(tmp_path / "b.svs", power="20", mpp="0.25"))
    assert doubted.magnification == 40 and "which counts" in doubted.said[0]
    with pytest.raises(DocumentError, match="scanned at 10x, and 20x is asked for"):
        patches(open_slide(svs(tmp_path / "c.svs", power="10", mpp="")), 20)
    with pytest.raises(AssayError, match="not at 40x"):
        patches(slide, 40)


def test_glass_alone_is_one_sentence_and_a_slide_smaller_than_a_patch_is_one_patch(tmp_path):
    rng = np.random.default_rng(0)
    noise = zlib.compress((np.array(GLASS) + rng.integers(-4, 5, (TILE, TILE, 3))).astype(np.uint8).tobytes())
    with pytest.raises(DocumentError, match="shows no tissue"):
        patches(open_slide(svs(tmp_path / "a.svs", chosen=lambda *_: noise)), 5)
    black = tile((12, 0, 8))
    with pytest.raises(DocumentError, match="shows no tissue"):
        patches(open_slide(svs(tmp_path / "b.svs", chosen=lambda *_: black)), 5)
    pink = tile(PINK)
    small = open_slide(svs(tmp_path / "c.svs", 512, 512, chosen=lambda *_: pink, downs=()))
    assert len(shown(small, 20)) == 1 and "there they are white" in slide_page(small, 20)


def test_patches_that_an_answer_names_stand_out_on_the_page(tmp_path):
    pink = tile(PINK)
    small = open_slide(svs(tmp_path / "c.svs", 512, 512, chosen=lambda *_: pink, downs=()))
    page = slide_page(small, 20, answers=[{"question": "Tumour?", "said": "yes", "evidence": ["PATCH 1", "PATCH 2"]}])
    # The number of a patch that reaches over the border stands within the drawing.
    assert all(0 < int(one) < 512 for one in re.search(r'<text x="(\d+)" y="(\d+)"', page).groups())
    assert page.count('class="named"') == 1 and '<a href="#p1">PATCH 1</a>' in page and "Tumour?: yes" in page


def test_the_label_is_in_no_output_unless_it_is_asked_for(tmp_path, capsys):
    label = np.full((32, 64, 3), (1, 254, 3), np.uint8)
    path = svs(tmp_path / "a.svs", label=label)
    slide = open_slide(path)
    assert slide.aside == ("label",) and "shown nowhere (label)" in slide.said[0]
    page = tmp_path / "page.html"
    told = CliRunner().invoke(app, ["slide", str(path), "--html", str(page)])
    assert told.exit_code == 0 and "Tissue: 50.0%" in told.output and "1 of 1" in told.output
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure") == 1 == text.count("<rect ") and "http" not in text.replace("http-equiv", "")
    for said in (told.output, text, repr(slide)):
        assert "Lovelace" not in said and "12-34" not in said
    assert all((1, 254, 3) not in Image.open(file).convert("RGB").getdata() for file in shown(slide, 10))
    assert all(not Image.open(file).info for file in shown(slide, 10))
    assert np.array_equal(np.asarray(image_aside(slide, "label")), label)
    with pytest.raises(DocumentError, match="no image macro"):
        image_aside(slide, "macro")


def test_what_is_no_slide_or_damaged_is_one_sentence(tmp_path, monkeypatch):
    text = tmp_path / "text.svs"
    text.write_text("Aperio\n" * 99)
    with pytest.raises(DocumentError, match="is plain text that OpenSlide does not read as a slide"):
        open_slide(text)
    text.write_bytes(b"")
    with pytest.raises(DocumentError, match="is empty"):
        open_slide(text)
    plain = tmp_path / "plain.tif"
    Image.new("RGB", (300, 300)).save(plain)
    with pytest.raises(DocumentError, match="is a TIFF image that OpenSlide does not read"):
        open_slide(plain)
    whole = svs(tmp_path / "a.svs").read_bytes()
    for kept in (8, 200, len(whole) - 100):
        (tmp_path / "cut.svs").write_bytes(whole[:kept])
        with pytest.raises(DocumentError, match=r"cut\.svs"):
            patches(open_slide(tmp_path / "cut.svs"), 10)
    (tmp_path / "cut.svs").write_bytes(whole[:-400])  # without what describes the levels
    with pytest.raises(DocumentError, match=r"cut\.svs is damaged or cut off \(it ends before .*: get the file again"):
        open_slide(tmp_path / "cut.svs")
    holes = svs(tmp_path / "holes.svs", chosen=lambda *_: b"no deflate stream")
    with pytest.raises(DocumentError, match="damaged or cut off"):
        patches(open_slide(holes), 10)
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "none.svs", "does not exist")):
        with pytest.raises(DocumentError, match=words):
            open_slide(path)


def test_a_slide_that_takes_too_long_or_too_much_memory_ends_in_one_sentence(tmp_path):
    path = svs(tmp_path / "a.svs")
    with pytest.raises(DocumentError, match=r"not read within 0\.01 s"):
        open_slide(path, limits=Limits(seconds=0.01))
    huge = 24576  # pixels of a tile's side: 2.4 GB as the library holds it
    path = svs(tmp_path / "b.svs", huge, huge, chosen=lambda *_: tile(PINK, 16), downs=(), side=huge)
    with pytest.raises(DocumentError, match=r"memory|damaged"):
        tissue(open_slide(path, limits=Limits(seconds=120, memory_mb=1024)))


def test_a_slide_of_ten_thousand_million_pixels_takes_little_memory(tmp_path):
    psutil = pytest.importorskip("psutil")
    side, downs = 512, (8, 32)
    pink, glass = tile(PINK, side), tile(GLASS, side)

    def chosen(level, column, row):
        return pink if column * side * (1, *downs)[level] < 50_000 else glass

    path = svs(tmp_path / "a.svs", 100_000, 100_000, "40", "0.25", chosen, downs, side=side)
    slide = open_slide(path, limits=Limits(seconds=600, memory_mb=2000))  # the process is ended at 2 GB
    before = psutil.Process().memory_info().rss
    assert slide.size == (100_000, 100_000) and len(shown(slide, 20)) == 126
    assert psutil.Process().memory_info().rss - before < 500 << 20


def jpeg(width, height, colour=PINK):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "JPEG", quality=95)
    return file.getvalue()


def generic_tiff(path):
    """A tiled TIFF with a pyramid and a resolution, of no known scanner."""
    pink = tile(PINK)
    return write_slide(path, sized(896, 896, 4), lambda *_: pink, resolution=(20000, 1))


def ndpi(path):
    """Hamamatsu's: a JPEG a level, a lens for each, a resolution in pixels per centimetre."""
    out, pages = bytearray(b"II*\0\0\0\0\0"), []

    def keep(data):
        out.extend(data + b"\0" * (len(data) % 2))
        return len(out) - len(data) - len(data) % 2

    for side, lens in ((896, 20.0), (224, 5.0)):
        data = jpeg(side, side)
        cm = (20000 * side // 896, 1)
        pages.append({256: side, 257: side, 259: 7, 262: 6, 273: keep(data), 278: side, 279: len(data), 282: cm})
        pages[-1] |= {283: cm, 296: 3, 305: b"NDP.scan 3\0", 65420: 1, 65421: lens, 65424: 0}
        pages[-1] |= {65427: NAME.encode() + b"\0"}
    write_pages(out, keep, pages)
    path.write_bytes(out)
    return path


def mirax(path):
    """MIRAX: a file that names the slide, a folder beside it with a description, an index and tiles as JPEG."""
    folder, levels = path.with_suffix(""), ((4, 224), (1, 224))  # tiles each way, their side
    folder.mkdir()
    path.write_bytes(b"")
    lines = ["[GENERAL]", "SLIDE_VERSION=01.02", "SLIDE_ID=ID", f"SLIDE_NAME={NAME}", "IMAGENUMBER_X=4"]
    lines += ["IMAGENUMBER_Y=4", "OBJECTIVE_MAGNIFICATION=20", "[HIERARCHICAL]", "HIER_COUNT=1", "NONHIER_COUNT=0"]
    lines += ["INDEXFILE=Index.dat", "HIER_0_NAME=Slide zoom level", "HIER_0_COUNT=2", "HIER_0_VAL_0_SECTION=L0"]
    lines += ["HIER_0_VAL_1_SECTION=L1", "[DATAFILE]", "FILE_COUNT=1", "FILE_0=Data.dat"]
    for number in range(2):
        lines += [f"[L{number}]", f"IMAGE_CONCAT_FACTOR={2 * number}", "OVERLAP_X=0", "OVERLAP_Y=0"]
        lines += [f"MICROMETER_PER_PIXEL_{axis}={0.5 * 4**number}" for axis in "XY"]
        lines += ["IMAGE_FILL_COLOR_BGR=16777215", "DIGITIZER_WIDTH=224", "DIGITIZER_HEIGHT=224", "IMAGE_FORMAT=JPEG"]
    (folder / "Slidedat.ini").write_text("\n".join(lines) + "\n")
    data = jpeg(TILE, TILE)
    (folder / "Data.dat").write_bytes(data)
    start = len(b"01.02ID") + 8
    records = [[(number, 0, len(data), 0) for number in range(across**2)] for across, _ in levels]
    pages, at = [], start + 8  # behind the pointers of both levels
    for own in records:
        pages.append(struct.pack("<4i", 0, at + 8, len(own), 0) + b"".join(struct.pack("<4i", *one) for one in own))
        at += len(pages[-1])
    pointers = struct.pack("<2i", start + 8, start + 8 + len(pages[0]))
    head = b"01.02ID" + struct.pack("<2i", start, 0)
    (folder / "Index.dat").write_bytes(head + pointers + b"".join(pages))
    return path


@pytest.mark.parametrize(
    ("name", "vendor", "write"),
    [("a.tif", "generic-tiff", generic_tiff), ("a.ndpi", "hamamatsu", ndpi), ("a.mrxs", "mirax", mirax)],
)
def test_other_scanners_slides_are_read(name, vendor, write, tmp_path):
    slide = open_slide(write(tmp_path / name))
    assert (slide.vendor, slide.size) == (vendor, (896, 896)) and (224, 224) in slide.levels
    assert slide.mpp == pytest.approx(0.5) and slide.magnification == pytest.approx(20)
    [file] = shown(slide, 20)
    assert np.abs(np.asarray(Image.open(file), float) - PINK).max() <= 3
    assert "Lovelace" not in repr(slide) + slide_page(slide, 20)


def test_a_dicom_slide_is_read(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = generate_uid(), generate_uid(), "SM"
    data.PatientName, data.ImageType = "Lovelace^Ada", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.Rows = data.Columns = TILE
    data.TotalPixelMatrixColumns = data.TotalPixelMatrixRows = 4 * TILE
    data.NumberOfFrames, data.DimensionOrganizationType = 16, "TILED_FULL"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    measures, groups, optics = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.0005, 0.0005]
    groups.PixelMeasuresSequence = [measures]
    optics.ObjectiveLensPower = "20"
    data.SharedFunctionalGroupsSequence, data.OpticalPathSequence = [groups], [optics]
    data.PixelData = np.full((16, TILE, TILE, 3), PINK, np.uint8).tobytes()
    pydicom.dcmwrite(tmp_path / "a.dcm", data, enforce_file_format=True)
    # A further level is a file of its own, of the same series.
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.ImageType, data.NumberOfFrames = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"], 1
    data.TotalPixelMatrixColumns = data.TotalPixelMatrixRows = TILE
    measures.PixelSpacing = [0.002, 0.002]
    data.PixelData = data.PixelData[: TILE * TILE * 3]
    pydicom.dcmwrite(tmp_path / "b.dcm", data, enforce_file_format=True)
    slide = open_slide(tmp_path / "a.dcm")
    assert (slide.vendor, slide.levels, slide.mpp) == ("dicom", ((896, 896), (224, 224)), 0.5)
    assert "Lovelace" not in repr(slide)
    assert Image.open(shown(slide, 20)[0]).getpixel((0, 0)) == PINK


def test_without_openslide_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run_command(lambda: open_slide(tmp_path / "a.svs"))
    assert "assay[imaging]" in capsys.readouterr().err
