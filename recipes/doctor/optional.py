"""What is not needed by everyone: poppler, OCR, the extras, models of the hub."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec

from extraction.errors import AssayError, reason
from recipes.doctor.base import GB, Line, check, misfits, system_package, unmet

# The extras of pyproject.toml but OCR's and those of developers: what needs them, and the modules they bring.
EXTRAS = {
    "export": ("tables as Excel and Parquet", ("xlsxwriter", "pyarrow")),
    "heif": ("HEIC photos", ("pillow_heif",)),
    "server": ("asking a model server", ("openai",)),
    "card": ("X-rays as DICOM, PCam", ("pydicom", "h5py")),
    "imaging": ("CT, MRI, whole slides", ("pydicom", "nibabel", "openslide")),
    "search": ("searching many images", ("faiss",)),
    "onnx": ("dual encoders as ONNX", ("onnx", "onnxruntime")),
    "ray": ("folders on many machines", ("ray",)),
    "synthetic": (
        "synthetic reports in more languages",
        ("arabic_reshaper", "fontpkg_arimo", "fontpkg_jetbrains_mono", "fontpkg_noto_sans_arabic"),
    ),
}
_SLOW = {"ray", "openai"}  # not imported to see whether they work: that takes seconds
_OCR = "pip install 'assay[ocr]'"
_DRAWN = "Report 140"
_FEW = 4  # names that are listed
_SECONDS = 10  # for an answer of the hub


@check("poppler")
def poppler() -> Line:
    """The two programs that draw the pages which PDFium cannot."""
    remedy = system_package("poppler-utils", "poppler")
    if absent := [name for name in ("pdftoppm", "pdfinfo") if not shutil.which(name)]:
        told = f"{absent[0]} is not installed (needed for the few pages that PDFium cannot draw)"
        return Line("poppler", "missing", told, remedy)
    done = subprocess.run(["pdftoppm", "-v"], capture_output=True, text=True, timeout=20)
    version = re.search(r"version (\S+)", done.stdout + done.stderr)
    if not version:
        return Line("poppler", "error", "pdftoppm does not start", remedy.replace("install", "reinstall"))
    return Line("poppler", "ok", version[1])


@check("OCR", "ocr", "pip install --force-reinstall rapidocr onnxruntime")
def ocr() -> Line:
    """A drawn word, read."""
    if not all(map(find_spec, ("rapidocr", "onnxruntime"))):
        return Line("OCR", "missing", "not installed (needed for scans and photos)", _OCR)
    if wrong := unmet("ocr")[1]:
        return Line("OCR", "error", misfits(wrong), _OCR)
    try:
        from rapidocr import RapidOCR  # noqa: F401
    except ImportError as error:
        if ".so" not in str(error) or "lib" not in str(error):
            raise
        told = f"OpenCV lacks a library of the system ({reason(error)})"  # in containers: libGL.so.1
        return Line("OCR", "error", told, system_package("libgl1 libglib2.0-0", "glib"))
    from PIL import Image, ImageDraw, ImageFont

    from extraction.document.engine import read_lines

    picture = Image.new("RGB", (480, 120), "white")
    ImageDraw.Draw(picture).text((40, 30), _DRAWN, "black", ImageFont.load_default(48))
    read = " ".join(line.text for line in read_lines(picture, 72 / 200))
    if read != _DRAWN:
        return Line("OCR", "error", f"reads {read!r} where {_DRAWN!r} is drawn", f"{_OCR} --force-reinstall")
    version = metadata.version("rapidocr")
    return Line("OCR", "ok", f"RapidOCR {version} reads Latin, Greek, Chinese, Japanese letters")


@check("OCR scripts", "ocr", "pip install --force-reinstall tesserocr")
def ocr_scripts() -> Line:
    """Tesseract, for other letters, and the languages whose data are here."""
    from extraction.document.letters import LANGUAGES, data_folder

    try:
        import tesserocr
    except ModuleNotFoundError:
        told = "not installed (needed for scans in Cyrillic, Arabic and other letters)"
        return Line("OCR scripts", "missing", told, "pip install 'assay[ocr-scripts]'")
    if wrong := unmet("ocr-scripts")[1]:
        return Line("OCR scripts", "error", misfits(wrong), "pip install 'assay[ocr-scripts]'")
    folder, version = data_folder(), metadata.version("tesserocr")
    known = {name for names in LANGUAGES.values() for name in names}
    data = {path.stem for path in folder.glob("*.traineddata")} if folder else set()
    data |= {f"script/{path.stem}" for path in folder.glob("script/*.traineddata")} if folder else set()
    read = sorted(data & (known | {f"script/{name}" for name in LANGUAGES}))
    lacking = [name for name, here in (("osd", "osd" in data), ("rus", bool(read))) if not here]
    if folder and "osd" in data:
        tesserocr.PyTessBaseAPI(path=str(folder), lang="osd", psm=tesserocr.PSM.OSD_ONLY).End()
    if lacking:
        told = f"tesserocr {version} lacks data" + ("" if read else " of languages (rus: Russian, and so on)")
        remedy = " ".join(f"tesseract-ocr-{name}" for name in lacking)
        return Line("OCR scripts", "missing", told, system_package(remedy, "tesseract-lang"))
    return Line("OCR scripts", "ok", f"tesserocr {version} reads {_named(read)}")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _extra(name: str) -> Line:
    """An extra: its modules are here, in versions that Assay knows, and those with native code can be loaded."""
    purpose, modules = EXTRAS[name]
    remedy = f"pip install 'assay[{name}]'"
    if not all(map(find_spec, modules)):
        return Line(name, "missing", f"not installed (needed for {purpose})", remedy)
    if wrong := unmet(name)[1]:
        return Line(name, "error", misfits(wrong), remedy)
    for module in modules:
        if module not in _SLOW:
            import_module(module)
    return Line(name, "ok", purpose)


for _name in EXTRAS:
    check(_name, "extras", f"pip install --force-reinstall 'assay[{_name}]'")(partial(_extra, _name))


@check("hub cache")
def hub_cache() -> Line:
    """The hub's models that are on this machine."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir()
    except CacheNotFound:
        return Line("hub cache", "ok", f"no models in {HF_HUB_CACHE}")
    names = sorted(repo.repo_id for repo in found.repos if repo.repo_type == "model")
    told = f"{len(names)} models in {HF_HUB_CACHE}, {found.size_on_disk / GB:.1f} GB" + (
        f": {_named(names)}" if names else ""
    )
    if found.warnings:
        return Line("hub cache", "warning", f"{told}; {len(found.warnings)} not whole", "hf cache verify MODEL")
    return Line("hub cache", "ok", told)


@check("hub", "hub", "hf auth login")
def hub(asked: str | None = None) -> Line:
    """Whether the hub may be asked; where it is to be, whether it answers, knows us, and gives a model.

    Args:
        asked: the model, empty for none; None where no request may be made.
    """
    from huggingface_hub import constants, get_session, get_token, whoami

    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if _is_set(name)]
    if asked is None:
        told = f"never asked, by {' and '.join(offline)}" if offline else "asked only for models that you name"
        return Line("hub", "ok", f"{told} (assay doctor --hub [MODEL] tries it)")
    if offline:
        return Line("hub", "error", f"not asked, by {' and '.join(offline)}", f"unset {' '.join(offline)}")
    try:
        get_session().head(constants.ENDPOINT, timeout=_SECONDS)
    except Exception as error:
        told = f"{constants.ENDPOINT} cannot be reached ({type(error).__name__})"
        return Line("hub", "error", told, "export HTTPS_PROXY=URL   # or copy models to a folder, and name that")
    user = "not logged in (needed for gated models: hf auth login)"
    if get_token():
        try:
            whoami()
        except Exception as error:
            return Line("hub", "error", f"reached, but it refuses the token: {reason(error)}", "hf auth login")
        user = "logged in"
    if asked:
        from extraction.generate.hub import check_hub

        try:
            check_hub(asked)
        except AssayError as error:
            remedy = f"hf auth login   # after the terms are accepted: {constants.ENDPOINT}/{asked}"
            return Line("hub", "error", str(error), remedy if "gated" in str(error) else "")
        user += f", {asked} can be fetched"
    return Line("hub", "ok", f"reached, {user}")


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
