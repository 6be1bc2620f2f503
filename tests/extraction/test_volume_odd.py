"""Series, archives and files that are odd or broken: each a volume with a sentence, or a sentence."""

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pydicom")
import pydicom
from pydicom.uid import RLELossless

from extraction.errors import DocumentError
from extraction.volume import open_volumes
from tests.extraction.volumes import PATIENT, head, nifti, save, series

# In the process that reads volumes pydicom warns of nothing: its warnings quote the file.
quiet = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def noise(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ("MONOCHROME1", {"PhotometricInterpretation": "MONOCHROME1"}),
        ("Rescale slope or intercept is missing", {"RescaleSlope": None}),
        ("call the values US", {"RescaleType": "US"}),
        ("not above 0", {"PixelSpacing": [0, 0]}),
        ("no pixel spacing", {"PixelSpacing": None}),
        ("sorted by their numbers", {"ImagePositionPatient": None}),
        ("no pair of perpendicular unit vectors", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
        ("All slices state one place", {"ImagePositionPatient": [0, 0, 0]}),
        ("burnt into the pictures", {"BurnedInAnnotation": "YES"}),
        ("state no modality", {"Modality": None}),
        ("1 slice seems to be missing, between slices 2 and 3", {"skip": (3,)}),
        ("1 slice seems to be missing, between slices 1 and 2", {"count": 4, "skip": (2,)}),
        ("makes all values of a slice the same", {"RescaleSlope": 0}),
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        ("The slices are sagittal", {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}),
    ],
)
def test_what_is_odd_is_said(tmp_path, within, said, changed):
    if said.startswith("The slices are sagittal"):
        for number in range(3):
            save(tmp_path / f"{number}", head(number, (3.0 * number, 0, 0), **changed))
    else:
        series(tmp_path, **changed)
    volumes = open_volumes(tmp_path)
    assert len(volumes) == 1 and any(said in one for one in volumes[0].said), volumes[0].said
    assert len(list(volumes[0].slices())) == volumes[0].shape[0]


def test_series_thicknesses_and_stacks_are_told_apart(tmp_path, within):
    series(tmp_path / "a", series="1.2.1")
    series(tmp_path / "b", series="1.2.2", modality="MR")
    for number in range(8):  # two thicknesses under one UID
        z, thick = (number * 5.0, 5.0) if number < 4 else (number * 1.0 + 40, 1.0)
        save(tmp_path / "c" / f"{number}", head(number, (0, 0, z), series="1.2.3", SliceThickness=thick))
    for number in range(8):  # two echoes at the same places
        made = head(number, (0, 0, number // 2 * 3.0), series="1.2.4", modality="MR", EchoTime=10.0 * (number % 2 + 1))
        save(tmp_path / "d" / f"{number}", made)
    found = open_volumes(tmp_path)
    assert [(one.modality, one.shape[0]) for one in found] == [
        *(("CT", 6), ("MR", 6), ("CT", 4), ("CT", 4), ("MR", 4), ("MR", 4))
    ]
    assert not found[0].said and "They differ in slice thickness (1 mm, 5 mm)" in found[2].said[0]
    assert found[3].spacing[0] == pytest.approx(1.0) and "stacks of one shape" in found[4].said[0]


def test_files_without_a_series_are_volumes_of_their_own_and_say_so(tmp_path, within):
    series(tmp_path, count=2, SeriesInstanceUID=None)
    found = open_volumes(tmp_path)
    assert [one.shape[0] for one in found] == [1, 1]
    assert all("states no series (SeriesInstanceUID)" in one.said[0] for one in found)


def test_duplicates_and_bad_files_are_left_out_by_reason(tmp_path, within):
    made = head(3, (-10, -20, 115))
    for name in ("IM3", "copy"):
        save(tmp_path / name, made)
    series(tmp_path, skip=(3,))
    save(tmp_path / "again", head(4, (-10, -20, 120)))  # the same values under another UID
    save(tmp_path / "other", head(9, (-10, -20, 125)))
    cut = save(tmp_path / "cut", head(7, (-10, -20, 135)))
    cut.write_bytes(cut.read_bytes()[:-40])
    (tmp_path / "notes.txt").write_text("x")
    Image.new("L", (4, 4)).save(tmp_path / "key.png")
    (volume,) = open_volumes(tmp_path)
    assert volume.shape[0] == 6 and not volume.said
    reasons = {names: reason for reason, names in volume.left_out.items()}
    for name, reason in (
        (("copy",), "the same object a second time"),
        (("again",), "the same slice a second time"),
        (("other",), "another slice at the place"),
        (("cut",), "cut off"),
        (("notes.txt",), "no DICOM"),
        (("key.png",), "picture beside"),
    ):
        assert any(reason in said for names, said in reasons.items() if names == name or name == ("again",)), reasons


def test_what_cannot_be_decoded_names_a_free_remedy(tmp_path, within, monkeypatch):
    from extraction.volume import headers

    plain = pydicom.dcmread(save(tmp_path / "one.dcm", head(1, (0, 0, 0))))
    plain.compress(RLELossless)
    plain.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"  # which it is not
    plain.save_as(tmp_path / "one.dcm")
    with pytest.raises(DocumentError, match=r"can't be decoded as JPEG Lossless|pip install python-gdcm"):
        open_volumes(tmp_path / "one.dcm")
    monkeypatch.setattr(headers, "get_decoder", lambda uid: type("None", (), {"is_available": False}))
    with pytest.raises(DocumentError, match=r"JPEG Lossless.*: pip install python-gdcm\."):
        open_volumes(tmp_path / "one.dcm")
    assert "-libjpeg" not in json.dumps(headers._DECODERS)


@quiet
def test_pydicoms_own_odd_files_end_in_a_volume_or_a_sentence(within):
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    ends = []
    for path in files:
        try:
            ends.append(sum(len(list(volume.slices())) for volume in open_volumes(path)))
        except DocumentError as error:
            ends.append(str(error).replace(str(path), "X"))
            assert ends[-1].endswith(".") and "\n" not in ends[-1] and "internal" not in ends[-1]
    assert len(files) > 90 and sum(isinstance(end, int) for end in ends) > len(files) / 2


@quiet
def test_broken_files_end_in_a_sentence(tmp_path, within):
    whole = save(tmp_path / "whole", head(1, (0, 0, 0))).read_bytes()
    rng = np.random.default_rng(0)
    for size in (0, 1, 100, 131, 140, 200, 400, 700, len(whole) - 1):
        with pytest.raises(DocumentError, match=r"^\S+ can't be read as a volume: .*\.$"):
            open_volumes(noise(tmp_path / "cut", whole[:size]))
    for _ in range(40):
        torn = bytearray(whole)
        for at in rng.integers(132, len(whole) - 400, 6):
            torn[at] = rng.integers(256)
        try:
            assert all(len(list(one.slices())) for one in open_volumes(noise(tmp_path / "torn", bytes(torn))))
        except DocumentError as error:
            assert PATIENT not in str(error)
    for name, message in (("nothing", "does not exist"), ("empty", "holds no files")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DocumentError, match=message):
            open_volumes(tmp_path / name)


def test_a_header_that_ends_early_is_no_file_without_a_picture(tmp_path, within):
    whole = save(tmp_path / "whole", head(1, (0, 0, 0))).read_bytes()
    report = head(1, (0, 0, 0), PixelData=None, Rows=None, Columns=None, SOPClassUID=pydicom.uid.BasicTextSRStorage)
    cut = "it is without a picture, or cut off before it: copy it again"
    for data, said in (
        (whole[: whole.index(b"Doe^Jane")], cut),
        (whole[:150], cut),
        (save(tmp_path / "report", report).read_bytes(), r"it is without a picture \(a report, a plan, a curve\)"),
    ):
        with pytest.raises(DocumentError, match=f"can't be read as a volume: {said}.$"):
            open_volumes(noise(tmp_path / "a.dcm", data))


def test_values_beyond_all_numbers_and_links_to_nothing_are_said(tmp_path, within):
    with pytest.raises(DocumentError, match="some of its values are no numbers"):
        open_volumes(series(tmp_path / "large", count=1, RescaleIntercept="1e300"))
    series(tmp_path / "links", count=2)
    (tmp_path / "links" / "IM.dcm").symlink_to(tmp_path / "nothing")
    (volume,) = open_volumes(tmp_path / "links")
    assert volume.left_out == {"it is a link that leads to nothing: fetch the file": ("IM.dcm",)}


def test_what_is_no_volume_is_named_as_what_it_is(tmp_path, within):
    dicom = save(tmp_path / "one.dcm", head(1, (0, 0, 0))).read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.dcm", dicom)
    packed = (tmp_path / "a.zip").read_bytes()
    for name, data, why in (
        ("cut.zip", packed[:-60], "it is a ZIP archive that is cut off or damaged: copy it again"),
        ("empty.dcm", b"", "it is empty (0 bytes): copy it again"),
        ("packed.dcm.gz", gzip.compress(dicom), "it is DICOM packed with gzip: unpack it (gunzip) first"),
        (
            "text.gz",
            gzip.compress(b"text"),
            "it is no NIfTI but something else packed with gzip: unpack it (gunzip) first",
        ),
        ("cut.gz", gzip.compress(dicom)[:12], "it is a gzip archive that is cut off or damaged: copy it again"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), "it is a 7-Zip archive: unpack it and read the files in it"),
    ):
        file = noise(tmp_path / name, data)
        with pytest.raises(DocumentError) as told:
            open_volumes(file)
        assert str(told.value) == f"{file} can't be read as a volume: {why}."
    (volume,) = open_volumes(tmp_path)  # a whole archive beside others is named, too
    assert volume.left_out["it is a ZIP archive: unpack it and read the files in it"] == ("a.zip", "cut.zip")


def test_a_slide_is_told_with_the_command_that_reads_it(tmp_path, within):
    pytest.importorskip("openslide")
    from extraction.slide.tiff import is_slide
    from tests.extraction.test_slide import PINK, generic_tiff, ndpi, svs, tile, write_slide

    for write, name in ((svs, "a.svs"), (generic_tiff, "a.tif"), (ndpi, "a.ndpi")):
        with pytest.raises(DocumentError, match=r"it is a whole slide and no volume: read it with assay slide\.$"):
            open_volumes(write(tmp_path / name))
    data = (tmp_path / "a.svs").read_bytes()
    with pytest.raises(DocumentError, match="cut off or shorter than it says"):
        open_volumes(noise(tmp_path / "cut.svs", data[:-400]))
    pages = [Image.new("L", (32, 32), number) for number in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    (volume,) = open_volumes(tmp_path / "stack.tif")
    assert volume.shape == (3, 32, 32)
    write_slide(tmp_path / "tiles.tif", [(448, 448)] * 3, lambda *_: tile(PINK))  # a stack in tiles is no slide
    with (tmp_path / "tiles.tif").open("rb") as file:
        assert not is_slide(file)


def test_odd_nifti_files_are_said_or_refused(tmp_path, within):
    one = np.zeros((4, 5, 3, 2), np.float32)
    one[..., 1] = 7
    (volume,) = open_volumes(nifti(tmp_path / "time.nii", one, np.eye(4)))
    assert "2 volumes in time" in " ".join(volume.said) and next(volume.slices()).max() == 0
    data = (tmp_path / "time.nii").read_bytes()
    bare = bytearray(data)
    bare[252:256] = b"\0\0\0\0"  # qform_code, sform_code
    (volume,) = open_volumes(noise(tmp_path / "bare.nii", bytes(bare)))
    assert volume.affine is None and "no usable orientation" in " ".join(volume.said)
    for name, torn, message in (
        ("cut.nii", data[:-8], "cut off"),
        ("magic.nii", data[:344] + b"xxxx" + data[348:], "no DICOM, NIfTI or picture file.* assay extract"),
        ("flat.nii", data[:40] + b"\x02\0\x04\0\x05\0\x01\0" + data[48:], "no volume"),
        ("type.nii", data[:70] + b"\x20\0\x40\0" + data[74:], "complex"),
    ):
        with pytest.raises(DocumentError, match=message):
            open_volumes(noise(tmp_path / name, torn))


def test_a_cut_packed_nifti_is_noticed_when_it_is_opened(tmp_path, within, monkeypatch):
    from extraction.volume import nifti as module

    array = np.random.default_rng(0).integers(0, 999, (16, 16, 40)).astype(np.int16)
    whole = gzip.compress(nifti(tmp_path / "a.nii", array, np.eye(4)).read_bytes())
    # What follows the image does not matter, nor into how many members it is packed.
    for name, packed in (("more", whole + gzip.compress(b"more")), ("padded", whole + bytes(300)), ("whole", whole)):
        (volume,) = open_volumes(noise(tmp_path / f"{name}.nii.gz", packed))
        assert len(list(volume.slices())) == 40
    for packed in (whole[:-20], whole[: len(whole) // 2], gzip.compress(gzip.decompress(whole)[:-2])):
        with pytest.raises(DocumentError, match="its data are cut off or shorter than it says: copy it again"):
            open_volumes(noise(tmp_path / "cut.nii.gz", packed))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("whole.nii.gz", whole)
        archive.writestr("cut.nii.gz", whole[:-20])
    (volume,) = open_volumes(tmp_path / "a.zip")
    assert list(volume.left_out.values()) == [("cut.nii.gz",)] and len(list(volume.slices())) == 40
    monkeypatch.setattr(module, "_CHUNK", None)  # a whole one is not unpacked to find out
    assert open_volumes(tmp_path / "whole.nii.gz")


@quiet
@pytest.mark.parametrize("place", [["nan", "0", "5"], ["0", "5"], ["0", "0", "inf"]])
def test_a_slice_whose_place_is_no_number_is_parted_with_the_reason(tmp_path, within, place):
    series(tmp_path, skip=(3,))
    odd = save(tmp_path / "odd", head(3, (0, 0, 7), ImagePositionPatient=place))
    if "inf" in place:
        odd.write_bytes(odd.read_bytes().replace(b"inf", b"o.k"))  # no more can be made of it at all
    placed, odd = sorted(open_volumes(tmp_path), key=lambda one: -one.shape[0])
    assert (placed.shape[0], odd.shape[0]) == (5, 1) and not placed.left_out
    assert all("They differ in whether they state a place that can be used." in one.said[0] for one in (placed, odd))
    assert "ImagePositionPatient) is not three numbers" in odd.said[1] and "three numbers" not in " ".join(placed.said)
