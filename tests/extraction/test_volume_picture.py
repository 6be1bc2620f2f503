"""One picture of a DICOM file, as a viewer would show it first."""

import numpy as np
import pytest

pytest.importorskip("pydicom")
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from extraction.errors import DocumentError
from extraction.volume import headers
from extraction.volume import picture as module
from extraction.volume.files import UnreadError
from extraction.volume.picture import as_png, picture
from tests.extraction.volumes import enhanced, head, save, values


@pytest.mark.parametrize(
    ("changed", "low", "high"),
    [
        ({"WindowCenter": [40, 600], "WindowWidth": [400, 1600]}, 40 - 200, 39 + 200),  # PS3.3, C.11.2.1.2.1
        ({"WindowCenter": 40, "WindowWidth": 0}, values(3).min() - 1024, values(3).max() - 1024),
        ({}, values(3).min() - 1024, values(3).max() - 1024),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_picture_is_shown_in_the_first_window_that_its_file_names(tmp_path, changed, low, high, photometric):
    file = save(tmp_path / "a.dcm", head(3, (0, 0, 0), PhotometricInterpretation=photometric, **changed))
    share = np.clip((values(3).astype(float) - 1024 - low) / (high - low), 0, 1)
    expected = np.round(255 * (share if photometric == "MONOCHROME2" else 1 - share))
    made, more, _ = picture(file.read_bytes(), 10_000)
    assert made.shape == (12, 16, 3) and made.dtype == np.uint8 and more == 0
    assert all(np.array_equal(made[..., channel], expected) for channel in range(3))
    with pytest.raises(UnreadError, match="12 x 16 pixels, more than the 100 allowed"):
        picture(file.read_bytes(), 100)
    with pytest.raises(UnreadError, match="copy it again"):
        picture(file.read_bytes()[:-20], 10_000)


def test_of_several_frames_the_middle_one_is_the_picture(tmp_path):
    made, more, _ = picture(enhanced(tmp_path / "loop.dcm").read_bytes(), 10_000)
    units = values(3 * 2 % 5).astype(float)  # the third of those that are stored
    assert more == 4 and np.array_equal(made[..., 0], np.round(255 * (units - units.min()) / np.ptp(units)))


def test_real_pictures_are_seen_as_on_a_viewer(shared_data):
    folder = shared_data / "card" / "dicom"
    if not folder.is_dir():
        pytest.skip("the DICOM files are not here")
    chest, *_ = picture((folder / "RG1_J2KI.dcm").read_bytes(), 10_000_000)
    rows, columns, _ = chest.shape
    middle = chest[rows // 4 : rows // 2]  # MONOCHROME1: the spine is bright, lungs beside it are dark
    spine, lung = (middle[:, int(at * columns)].mean() for at in (0.5, 0.3))
    assert spine > lung + 20
    ultrasound, more, _ = picture((folder / "OBXXXX1A_2frame.dcm").read_bytes(), 10_000_000)
    assert ultrasound.shape == (600, 800, 3) and more == 1 and np.ptp(ultrasound, axis=2).max() > 50  # in colours


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("bits", [8, 12])
def test_a_table_of_greys_goes_before_a_window(tmp_path, syntax, bits):
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    stored = values(3).astype(">i2" if order == "big" else "<i2")
    entries = np.minimum(np.arange(2000) // 4, 2**bits - 1)  # units from -1024 on, to the highest there is
    table = Dataset()
    signed = syntax == ImplicitVRLittleEndian  # there a reader has to know of the sign
    table.add_new("LUTDescriptor", "US" if signed else "SS", [2000, 65536 - 1024 if signed else -1024, bits])
    table.add_new("LUTData", "OW", entries.astype(">u2" if order == "big" else "<u2").tobytes())
    made = head(3, (0, 0, 0), WindowCenter=40, WindowWidth=400, VOILUTSequence=Sequence([table]), PixelRepresentation=0)
    made.PixelData = stored.tobytes()
    shown, *_ = picture(save(tmp_path / "a.dcm", made, syntax).read_bytes(), 10_000)
    expected = np.round(255 * entries[np.minimum(values(3), 1999)] / (2**bits - 1))
    assert np.ptp(expected) > 20 and np.array_equal(shown[..., 0], expected)


@pytest.mark.parametrize(("curve", "middle"), [("SIGMOID", 1 / (1 + np.exp(-1))), ("LINEAR_EXACT", 0.75)])
def test_windows_have_the_curve_that_their_file_names(tmp_path, curve, middle):
    made = head(0, (0, 0, 0), WindowCenter=0, WindowWidth=400, VOILUTFunction=curve, PixelRepresentation=0)
    made.PixelData = np.full((12, 16), 1124, np.uint16).tobytes()  # 100 units, a quarter of the window above its centre
    shown, *_ = picture(save(tmp_path / "a.dcm", made).read_bytes(), 10_000)
    assert (shown == round(255 * middle)).all()


def compressed(path):
    """A slice as JPEG 2000, and its values as they are shown."""
    pytest.importorskip("openjpeg")
    stored = values(2, 64, 64)
    plain = save(path, head(2, (0, 0, 0), Rows=64, Columns=64, PixelData=stored.tobytes()))
    made = pydicom.dcmread(plain)
    made.compress(JPEG2000Lossless)
    made.save_as(path)
    units = stored.astype(float)
    return path, np.round(255 * (units - units.min()) / np.ptp(units))


def broken(data):
    """Such a file whose codestream says nothing of its size."""
    at = data.index(b"\xff\x4f\xff\x51") + 4
    return data[:at] + bytes(60) + data[at + 60 :]


def test_decoders_are_tried_in_order_and_gdcm_not_where_another_is(tmp_path, monkeypatch, capfd):
    file, expected = compressed(tmp_path / "a.dcm")
    assert headers.GDCM not in headers.decoders(JPEG2000Lossless) and headers.decoders(ImplicitVRLittleEndian) == []
    monkeypatch.setattr("extraction.volume.dicom.decoders", lambda syntax: ["none such", "pylibjpeg"])
    assert np.array_equal(picture(file.read_bytes(), 10_000)[0][..., 0], expected)
    monkeypatch.undo()
    with pytest.raises(UnreadError, match="can't be decoded as JPEG 2000"):
        picture(broken(file.read_bytes()), 10_000)
    assert capfd.readouterr() == ("", "")


def test_what_gdcm_alone_reads_is_read_by_a_process_of_its_own(tmp_path, monkeypatch):
    file, expected = compressed(tmp_path / "a.dcm")
    jobs, run_job = [], module.run_job
    monkeypatch.setattr(module, "decoders", lambda syntax: [headers.GDCM])
    monkeypatch.setattr(module, "run_job", lambda *job: jobs.append(job) or run_job(*job))
    assert np.array_equal(picture(file.read_bytes(), 10_000)[0][..., 0], expected) and len(jobs) == 1
    with pytest.raises(UnreadError, match="can't be decoded as JPEG 2000"):
        picture(broken(file.read_bytes()), 10_000)
    monkeypatch.setattr(module, "__name__", "extraction.none_such")  # ends as a decoder that crashes does
    with pytest.raises(UnreadError, match=r"its decoder ends, .* copy it again"):
        picture(file.read_bytes(), 10_000)


def test_what_is_deflated_is_read_by_a_process_with_limits(tmp_path, monkeypatch):
    burnt = head(3, (0, 0, 0), BurnedInAnnotation="YES")
    plain = picture(save(tmp_path / "plain.dcm", burnt).read_bytes(), 10_000)
    packed = save(tmp_path / "packed.dcm", burnt, DeflatedExplicitVRLittleEndian).read_bytes()
    made = picture(packed, 10_000)
    assert np.array_equal(made.values, plain.values) and made[1:] == plain[1:] and made.warning
    monkeypatch.setattr(module, "read_slices", None)  # nothing of it is unpacked in this process
    assert np.array_equal(picture(packed, 10_000).values, plain.values)


def test_a_file_s_only_picture_is_kept_as_png(tmp_path):
    from PIL import Image

    file = save(tmp_path / "a.dcm", head(3, (0, 0, 0)))
    made, warning = as_png(file)
    assert np.array_equal(np.asarray(Image.open(made)), picture(file.read_bytes(), 10_000).values) and not warning
    burnt = save(tmp_path / "b.dcm", head(3, (0, 0, 0), BurnedInAnnotation="YES"))
    assert "text is burnt into" in as_png(burnt)[1] == picture(burnt.read_bytes(), 10_000).warning
    with pytest.raises(DocumentError, match=r"loop\.dcm holds 5 pictures, and one is wanted"):
        as_png(enhanced(tmp_path / "loop.dcm"))
    kind = pydicom.uid.BasicTextSRStorage
    report = save(tmp_path / "report.dcm", head(3, (0, 0, 0), PixelData=None, Rows=None, SOPClassUID=kind))
    with pytest.raises(DocumentError, match=r"report\.dcm is DICOM, and can't be shown: it is without a picture"):
        as_png(report)
