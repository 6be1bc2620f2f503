"""3D radiology as a source: the right numbers, shown by the protocols, nothing that names a patient."""

import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("pydicom")
import pydicom
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from extraction.errors import AssayError, DocumentError
from extraction.example import ImagePart
from extraction.volume import chosen, open_volumes, parts, protocol_of, shown, volume_page, window
from extraction.volume import volume as volume_module
from extraction.volume.volume import LIMITS
from extraction.volume.windows import images
from tests.extraction.test_evidence_page import in_browser
from tests.extraction.volumes import PATIENT, enhanced, head, nifti, save, series, values


def test_a_series_is_opened_by_a_process_sorted_by_place_and_told_without_names(tmp_path):
    (volume,) = open_volumes(series(tmp_path / "study"))
    assert (volume.modality, volume.shape, volume.plane, volume.said) == ("CT", (6, 12, 16), "axial", ())
    assert volume.spacing == pytest.approx((5.0, 0.5, 0.4))
    for number, slice_ in enumerate(volume.slices(), 1):
        assert slice_.dtype == np.float32 and np.array_equal(slice_, values(number) - 1024.0)
    assert np.allclose(volume.affine @ [2, 3, 4, 1], [-10 + 0.8, -20 + 1.5, 125, 1])
    page = volume_page(volume)
    assert not any(word in page + repr(volume) for word in (PATIENT, "Doe", "4711", "1950", "HEAD"))
    # Limits hold: a process that gets no time, and one whose files have gone.
    with pytest.raises(DocumentError, match=r"not read within 0\.01 s"):
        open_volumes(tmp_path, limits=volume_module.Limits(seconds=0.01))
    for file in (tmp_path / "study").iterdir():
        file.unlink()
    with pytest.raises(DocumentError, match=r"Slice 1 of .* its file is gone"):
        list(volume.slices())


def test_order_follows_numbers_downwards_too_and_disagreement_is_said(tmp_path, within):
    (volume,) = open_volumes(series(tmp_path / "down", step=-5.0))
    assert volume.positions[0][2] > volume.positions[-1][2] and not volume.said
    assert np.array_equal(next(volume.slices([0])), values(1) - 1024.0)
    for number, z in ((1, 0), (2, 10), (3, 5), (4, 15), (5, 20)):
        save(tmp_path / "odd" / f"{number}.dcm", head(number, (0, 0, z)))
    (volume,) = open_volumes(tmp_path / "odd")
    assert [int(z) for z in volume.positions[:, 2]] == [0, 5, 10, 15, 20]
    assert "Numbers and places disagree at 1 of 4 steps" in volume.said[0]


def test_gantry_tilt_is_said_and_in_the_affine(tmp_path, within):
    tilt = np.radians(15)
    for number in range(28):
        save(tmp_path / f"{number}.dcm", head(number, (0, 0, 5.0 * number), tilt=tilt))
    (volume,) = open_volumes(tmp_path)
    assert volume.shape[0] == 28 and volume.spacing[0] == pytest.approx(5.0) and volume.plane == "axial"
    (said,) = volume.said
    assert "15.0° off their normal" in said and "4.83 mm apart" in said
    assert np.allclose(volume.affine[:3, 2], [0, 0, 5]) and np.allclose(volume.affine @ [0, 0, 27, 1], [0, 0, 135, 1])


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless, "jls", "j2k"])
def test_transfer_syntaxes_give_the_same_numbers(tmp_path, within, syntax):
    stored = values(2, 64, 64)  # of less, encoders of JPEG 2000 make nothing
    made = head(2, (0, 0, 0), Rows=64, Columns=64, PixelData=stored.tobytes())
    if syntax == ExplicitVRBigEndian:
        made.PixelData = stored.astype(">i2").tobytes()
    elif syntax != ImplicitVRLittleEndian:
        pytest.importorskip({"jls": "jpeg_ls", "j2k": "openjpeg"}.get(syntax, "pydicom"))
        uid = {"jls": JPEGLSLossless, "j2k": JPEG2000Lossless}.get(syntax, syntax)
        plain = pydicom.dcmread(save(tmp_path / "plain", made))
        plain.compress(uid)
        plain.save_as(tmp_path / "one")
    if not (tmp_path / "one").exists():
        save(tmp_path / "one", made, syntax)
    (volume,) = open_volumes(tmp_path / "one")
    assert np.array_equal(next(volume.slices()), stored - 1024.0)


def test_enhanced_zip_dicomdir_and_float_pixels(tmp_path, within):
    (volume,) = open_volumes(enhanced(tmp_path / "enhanced"))
    assert volume.shape == (5, 12, 16) and volume.spacing == pytest.approx((2.0, 0.5, 0.4)) and not volume.said
    assert all(np.array_equal(one, values(at) * 2.0 - 1024) for at, one in enumerate(volume.slices()))

    series(tmp_path / "study")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in (tmp_path / "study").iterdir():
            packed.write(file, f"S1/{file.name}")
        packed.writestr("__MACOSX/._x", b"1")
    (volume,) = open_volumes(tmp_path / "study.zip")
    assert volume.shape[0] == 6 and not volume.left_out
    assert np.array_equal(next(volume.slices([5])), values(6) - 1024.0)

    from pydicom.fileset import FileSet

    made = FileSet()
    for number in range(3):
        one = head(number, (0, 0, 5.0 * number), StudyInstanceUID="1.2", StudyDate="20200101", StudyTime="1200")
        one.StudyID, one.SeriesNumber = "1", 1
        file = save(tmp_path / "single" / f"{number}", one)
        made.add(file)
    made.write(tmp_path / "disk")
    gone = next(path for path in (tmp_path / "disk").rglob("*") if path.is_file() and path.name != "DICOMDIR")
    (volume,) = open_volumes(tmp_path / "disk" / "DICOMDIR")
    assert volume.shape[0] == 3
    gone.unlink()
    (volume,) = open_volumes(tmp_path / "disk" / "DICOMDIR")
    assert volume.shape[0] == 2 and "a DICOMDIR names it" in next(iter(volume.left_out))
    # The same of a folder or an archive that it lies in; a disk's copy in small letters lacks nothing.
    name = gone.relative_to(tmp_path).as_posix()
    with zipfile.ZipFile(tmp_path / "disk.zip", "w") as packed:
        for file in (tmp_path / "disk").rglob("*"):
            packed.write(file, file.relative_to(tmp_path).as_posix().lower())
    for path, lost in ((tmp_path / "disk", gone.relative_to(tmp_path / "disk").as_posix()), (packed.filename, name)):
        (volume,) = open_volumes(path)
        told = {reason: [one.lower() for one in names] for reason, names in volume.left_out.items()}
        assert volume.shape[0] == 2 and told == {"a DICOMDIR names it, and it is not there": [lost.lower()]}
    for file in (tmp_path / "disk").rglob("IM*"):
        file.unlink()
    with pytest.raises(DocumentError, match=r"3 files: a DICOMDIR names it, and it is not there"):
        open_volumes(tmp_path / "disk")

    made = head(1, (0, 0, 0), BitsAllocated=32, PixelData=None, modality="MR")
    del made.BitsStored, made.HighBit, made.PixelRepresentation
    made.FloatPixelData = np.full((12, 16), 1.5, np.float32).tobytes()
    (volume,) = open_volumes(save(tmp_path / "float", made))
    assert next(volume.slices()).max() == 1.5


def test_ct_windows_and_chosen_slices_are_the_protocols():
    units = np.array([-2000, -1024, -135, -100, 0, 40, 80, 215, 1024, 3000], np.float32)
    rgb = window(units)
    assert rgb[:, 0].tolist() == [0, 0, 111, 115, 128, 132, 137, 154, 255, 255]
    assert rgb[:, 1].tolist() == [0, 0, 0, 26, 98, 128, 157, 255, 255, 255]
    assert rgb[:, 2].tolist() == [0, 0, 0, 0, 0, 128, 255, 255, 255, 255]
    assert window(np.float32([-1225, -100, 1025]), "ct-r1")[:, 1].tolist() == [0, 128, 255]
    assert chosen(5) == [0, 1, 2, 3, 4] and chosen(85) == list(range(85))
    many = chosen(200)
    assert len(many) == 85 and many[:2] == [2, 5] and many[-1] == 199 and many[41] == round(42 / 85 * 199)


def test_shown_files_are_parts_of_a_context(tmp_path, within):
    (volume,) = open_volumes(series(tmp_path / "study"))
    files = shown(volume, folder=tmp_path / "kept")
    assert len(files) == 6 and files == shown(volume, folder=tmp_path / "kept")
    with Image.open(files[2]) as image:
        assert image.mode == "RGB" and np.array_equal(np.asarray(image), window(values(3) - np.float32(1024)))
    found = parts(files)
    assert [one for one in found if isinstance(one, str)] == [f"SLICE {n}" for n in range(1, 7)]
    assert isinstance(found[0], ImagePart) and parts(files[:1]) == found[:1]
    assert shown(volume)[0].parent != tmp_path / "kept"
    for protocol, message in (("plain", "values, not pictures"), ("pet", "no protocol pet")):
        with pytest.raises(AssayError, match=message):
            protocol_of(volume, protocol)


def test_mri_is_shown_from_lowest_to_highest_of_the_volume(tmp_path, within):
    (volume,) = open_volumes(series(tmp_path, modality="MR", count=90))
    stored = np.stack([values(n) for n in range(1, 91)]).astype(float)
    low, high = stored.min(), stored.max()
    got = list(images(volume))
    assert len(got) == 85
    for number, image in zip(chosen(90), got, strict=True):
        assert np.array_equal(image[..., 1], np.round((stored[number] - low) / (high - low) * 255))
    with pytest.raises(AssayError, match="no Hounsfield units"):
        protocol_of(volume, "ct")


def test_plain_pictures_are_slices_in_the_order_of_their_names(tmp_path, within):
    for number in (1, 2, 10):
        Image.new("L", (8, 6), number).save(tmp_path / f"slice{number}.png")
    (volume,) = open_volumes(tmp_path)
    assert volume.shape == (3, 6, 8) and [int(one.max()) for one in images(volume)] == [1, 2, 10]
    with pytest.raises(AssayError, match="pictures, not values"):
        protocol_of(volume, "ct")


@pytest.mark.parametrize("qform", [False, True])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_is_turned_as_dicom_shows_it(tmp_path, within, suffix, qform):
    array = np.arange(4 * 5 * 3, dtype=np.int16).reshape(4, 5, 3)
    affine = np.array([[0.8, 0, 0, -10], [0, 0.9, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1.0]])
    path = nifti(tmp_path / f"a{suffix}", array, affine, qform, slope=(2.0, -1024.0))
    (volume,) = open_volumes(path)
    assert volume.shape == (3, 5, 4) and volume.spacing == pytest.approx((3.0, 0.9, 0.8)) and volume.plane == "axial"
    # nibabel writes scaled values as they are stored: what is read is what was given.
    import nibabel

    real = np.asarray(nibabel.load(path).dataobj)
    for k, slice_ in enumerate(volume.slices()):
        assert np.allclose(slice_, real[::-1, ::-1, k].T)
    for column, row, k in ((0, 0, 0), (3, 4, 2)):
        ras = affine @ [3 - column, 4 - row, k, 1]
        assert np.allclose(volume.affine @ [column, row, k, 1], ras * [-1, -1, 1, 1], atol=1e-4)
    with pytest.raises(AssayError, match="name the protocol"):
        protocol_of(volume)


def test_numbers_are_simpleitks(tmp_path, within):
    sitk = pytest.importorskip("SimpleITK")
    series(tmp_path / "study", count=9, step=2.5, PixelSpacing=[0.7, 0.6])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "study")))
    image = reader.Execute()
    (volume,) = open_volumes(tmp_path / "study")
    assert np.array_equal(np.stack(list(volume.slices())), sitk.GetArrayFromImage(image))
    assert np.allclose(volume.spacing[::-1], image.GetSpacing(), atol=1e-3)
    for index in ((0, 0, 0), (5, 7, 8)):
        assert np.allclose((volume.affine @ [*index, 1])[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-3)
    affine = np.array([[0.0, 0.8, 0, -10], [0.9, 0, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1.0]])
    path = nifti(tmp_path / "a.nii", np.arange(60, dtype=np.int16).reshape(4, 5, 3), affine)
    (volume,) = open_volumes(path)
    image = sitk.ReadImage(str(path))
    stack = np.stack(list(volume.slices()))
    for index in ((0, 0, 0), (3, 4, 2), (1, 2, 1)):
        here = np.linalg.inv(volume.affine) @ [*image.TransformIndexToPhysicalPoint(index), 1]
        column, row, k = np.round(here[:3]).astype(int)
        assert np.allclose(here[:3], [column, row, k], atol=1e-3) and stack[k, row, column] == image[index]


def test_command_prints_and_writes_a_page(tmp_path, within):
    from recipes.cli import app

    series(tmp_path / "study", PatientAge="070Y")
    series(tmp_path / "study" / "b", series="9.9", modality="MR")
    for number in range(5):
        (tmp_path / "study" / f"note{number}").write_text("x")
    page = tmp_path / "page.html"
    run = CliRunner().invoke(app, ["volume", str(tmp_path / "study"), "--number", "1", "--html", str(page)])
    assert run.exit_code == 0 and "CT, 6 slices of 16 x 12, 5 x 0.5 x 0.4 mm" in run.output, run.output
    text = page.read_text()
    left = "Left out: 5 files: no DICOM, NIfTI or picture file"
    assert f"{left} (note0, note1, note2 and 2 more)." in run.output and f"{left}." in text
    assert "SLICE 6" in text and PATIENT not in text + run.output and "study" not in text
    said = {"study": [str(tmp_path / "study")], "question": "Is <b> there?", "said": "yes", "evidence": ["SLICE 9"]}
    (tmp_path / "m.answers.jsonl").write_text(json.dumps(said))
    second = ("--number", "2", "--html", str(page), "--answers", str(tmp_path / "m.answers.jsonl"))
    run = CliRunner().invoke(app, ["volume", str(tmp_path / "study"), *second])
    told = json.loads(re.search(r'"application/json">(.*?)</script>', page.read_text(), re.DOTALL).group(1))
    # Numbers go on from the first volume of the study, which has six slices.
    assert told["answers"][0]["evidence"] == ["SLICE 9"] and told["slices"][2]["label"] == "SLICE 9", run.output
    run = CliRunner().invoke(app, ["volume", str(tmp_path / "study"), "--html", str(page)])
    assert isinstance(run.exception, AssayError) and "--number" in str(run.exception)
    assert LIMITS.seconds < 600


def test_the_slider_the_buttons_and_the_windows_of_a_page_work(tmp_path, within):
    (volume,) = open_volumes(series(tmp_path / "study"))
    said = {"question": "Air", "said": "yes", "evidence": ["SLICE 2"]}
    (tmp_path / "page.html").write_text(volume_page(volume, answers=[said]), encoding="utf-8")
    steps = """(() => {
        const seen = [], told = () => seen.push(byId("label").textContent);
        const windows = () => seen.push([...document.querySelectorAll(".window")].every((one) => one.hidden));
        told(); windows();
        byId("at").value = 4; byId("at").oninput(); told();
        document.querySelector("#answers button").click(); told();
        byId("view").value = "window"; byId("view").oninput(); windows();
        byId("level").value = 300; byId("level").oninput(); seen.push(byId("levelled").textContent);
        return seen;
    })()"""
    places = [f"SLICE {number} (slice {number} of 6)" for number in (4, 5, 2)]
    assert in_browser(tmp_path / "page.html", steps) == [places[0], True, *places[1:], False, "300"]


def test_a_real_head_ct_with_a_tilted_gantry_and_two_thicknesses(shared_data):
    folder = shared_data / "card" / "ct_head_ge"
    if not folder.is_dir():
        pytest.skip("the CT is not here")
    thin, thick = open_volumes(folder)
    assert (thin.shape, thick.shape) == ((14, 512, 512), (14, 512, 512)) and thin.modality == "CT"
    assert any("4 mm, 7 mm" in told for told in thin.said) and any("gantry tilt" in told for told in thick.said)
    assert thin.spacing[1:] == pytest.approx((0.488281, 0.488281), abs=1e-3)
    [middle] = thin.slices([7])
    assert middle.min() >= -3024 and middle.max() < 4096 and -20 < np.median(middle[200:300, 200:300]) < 80  # brain
