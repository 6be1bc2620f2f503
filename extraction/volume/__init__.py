"""3D radiology as a source: volumes found in a path, and their slices as a model is shown them.

`open_volumes` finds DICOM series (a folder, a ZIP archive, a DICOMDIR, one file, enhanced multi-frame objects), NIfTI
files and plain pictures; `shown` keeps the chosen slices as PNG files, `parts` makes parts of a context of these,
`volume_page` a page to look at. Files are opened in a process with limits of time and memory, slices are read when they
are asked for, and nothing that names a patient is taken from a header.
"""

from extraction.volume.page import volume_page
from extraction.volume.volume import Volume, open_volumes
from extraction.volume.windows import PROTOCOLS, chosen, fitting, images, parts, protocol_of, shown, window

__all__ = [
    "PROTOCOLS",
    "Volume",
    "chosen",
    "fitting",
    "images",
    "open_volumes",
    "parts",
    "protocol_of",
    "shown",
    "volume_page",
    "window",
]
