"""Small synthetic series as scanners write them, for the tests of volumes."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

PATIENT = "Doe^Jane^Hidden"


def values(number, rows=12, columns=16):
    """Stored values of a slice, each slice's own; -1024 makes Hounsfield units of them."""
    return ((np.arange(rows * columns).reshape(rows, columns) * 17 + 40 * number) % 2900).astype(np.int16)


def head(number, position, series="1.2.3", modality="CT", tilt=0.0, **changed):
    """A slice; of `changed`, None takes an element away."""
    stored = values(number)
    made = Dataset()
    made.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    made.SOPInstanceUID, made.SeriesInstanceUID = generate_uid(), series
    made.PatientName, made.PatientID, made.PatientBirthDate = PATIENT, "MRN-4711", "19500101"
    made.SeriesDescription = f"HEAD {PATIENT}"
    made.Modality, made.InstanceNumber = modality, number
    made.ImagePositionPatient = [float(one) for one in position]
    made.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(tilt)), float(-np.sin(tilt))]
    made.PixelSpacing, made.SliceThickness = [0.5, 0.4], 5.0
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.PixelData = stored.tobytes()
    if modality == "CT":
        made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.add_new((0x0009, 0x0010), "LO", "MAKER")
    made.add_new((0x0009, 0x1001), "LO", PATIENT)
    for key, value in changed.items():
        if value is None:
            delattr(made, key)
        else:
            setattr(made, key, value)
    return made


def save(path, made, syntax=ExplicitVRLittleEndian):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    file = FileDataset(str(path), made, file_meta=meta, preamble=b"\0" * 128)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


def series(folder, count=6, step=5.0, skip=(), **changed):
    """A stack of axial slices in files whose names say nothing of their order."""
    for number in range(1, count + 1):
        if number not in skip:
            save(folder / f"IM{number * 7919 % 1000:04}", head(number, (-10, -20, 100 + step * number), **changed))
    return folder


def enhanced(path, count=5):
    """A multi-frame CT whose frames are stored in no order, with the geometry in functional groups."""
    made = head(1, (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    del made.RescaleSlope, made.RescaleIntercept, made.SliceThickness
    made.SOPClassUID, made.NumberOfFrames = EnhancedCTImageStorage, count
    order = [(3 * at) % count for at in range(count)]
    made.PixelData = b"".join(values(at).tobytes() for at in order)

    def item(**elements):
        one = Dataset()
        for key, value in elements.items():
            setattr(one, key, value)
        return Sequence([one])

    shared = Dataset()
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.5, 0.4], SliceThickness=2.0)
    shared.PixelValueTransformationSequence = item(RescaleSlope=2, RescaleIntercept=-1024, RescaleType="HU")
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for at in order:
        frames.append(Dataset())
        frames[-1].PlanePositionSequence = item(ImagePositionPatient=[0.0, 0.0, 2.0 * at])
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return save(path, made)


def nifti(path, array, affine, qform=False, slope=None):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, 0 if qform else 1)
    image.set_qform(affine, 1 if qform else 0)
    if slope:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path
