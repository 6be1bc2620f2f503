"""`assay doctor`: each check fails by what it looks at, crashes and hangs are lines, no network unless asked."""

import importlib.metadata
import json
import shutil
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest

from extraction.errors import AssayError
from recipes.doctor import command, machine, optional
from recipes.doctor.__main__ import line
from recipes.doctor.base import CHECKS, Line
from tests.conftest import command as assay


def modules(folder, monkeypatch, **sources):
    """Modules that are found before all others, in this process's children too."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_every_check_has_its_place_in_the_table():
    assert set(command.ORDER) == set(CHECKS)
    assert {check.group for check in CHECKS.values()} == set(command.GROUPS)


def test_what_crashes_or_cannot_be_imported_is_a_line(tmp_path, monkeypatch):
    modules(
        tmp_path,
        monkeypatch,
        pydicom="import os; print('noise', flush=True); os.abort()",
        pillow_heif=f"raise ImportError('libheif.so is missing in {tmp_path}/x')",
        xlsxwriter="",
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(command.GROUPS, "extras", 600)
    card, heif, synthetic = command.run(["card", "heif", "synthetic"])
    assert card == Line("card", "error", "what it loads crashes Python (SIGABRT)", CHECKS["card"].broken)
    assert heif.found == "ImportError: libheif.so is missing in ~/x" and "assay[heif]" in heif.remedy
    assert synthetic.state == "ok"


def test_what_hangs_is_a_line(tmp_path, monkeypatch):
    modules(tmp_path, monkeypatch, pydicom="import time; time.sleep(600)")
    monkeypatch.setitem(command.GROUPS, "extras", 3)
    (card,) = command.run(["card"])
    assert "no answer within 3 s" in card.found and card.remedy == "python -m recipes.doctor card"


def test_packages_are_missing_or_too_old(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError(name)
        return {"transformers": "4.40.0", "faiss-cpu": "1.0"}.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = line("packages")
    assert (found.state, found.found) == ("error", "peft is missing; transformers 4.40.0 is not >=5.18")
    assert found.remedy == "pip install 'peft>=0.18' 'transformers>=5.18'"
    assert line("search") == Line("search", "error", "faiss-cpu 1.0 is not >=1.12", "pip install 'assay[search]'")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("OCR", "assay[ocr]"), ("poppler", "poppler"), ("export", "assay[export]"), ("allocator", "libtcmalloc-minimal4")],
)
def test_what_is_optional_is_missing_and_no_error(name, remedy, monkeypatch):
    monkeypatch.setattr(optional, "find_spec", lambda module: None)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda library: None)
    monkeypatch.setattr(sys, "platform", "linux")
    found = line(name)
    assert found.state == "missing" and remedy in found.remedy and "(needed for " in found.found


def test_ocr_misses_a_library_of_the_system(monkeypatch):
    monkeypatch.setattr(optional, "find_spec", lambda module: module)
    monkeypatch.setattr(optional, "unmet", lambda extra: ([], []))

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "rapidocr":
                raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "rapidocr", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    found = line("OCR")
    assert found.state == "error" and "libGL.so.1" in found.found and "libgl1" in found.remedy


def test_disks_are_too_small_or_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: namedtuple("Usage", "free")(5e7))
    states = [line(f"disk: {name}").state for name in ("cache", "here", "tmp")]
    assert states == ["error", "warning", "error"]
    assert line("disk: cache").found == "0.1 GB free, 1 needed" and "ASSAY_CACHE" in line("disk: cache").remedy
    monkeypatch.setattr(machine.os, "access", lambda *asked: False)
    assert "no files can be made" in line("disk: tmp").found


def test_the_embedded_model_is_cut_short_or_yet_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    assert "will be made" in line("model").found
    folder = tmp_path / "gemma-3-270m"
    folder.mkdir()
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    head = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    assert line("model").state == "ok"
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    found = line("model")
    assert found.state == "error" and found.remedy == f"rm -r {folder}"


def test_little_memory_is_a_warning(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=int(8e9), available=int(1e9)))
    assert line("memory").state == "warning"


def graphics(free=60e9, bf16=True, seen=True, cuda="12.8"):
    """A torch with two GPUs, or with none."""
    own = SimpleNamespace(name="NVIDIA H200", major=9, minor=0)
    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: seen,
            device_count=lambda: 2,
            get_device_properties=lambda number: own,
            mem_get_info=lambda number: (free, 80e9),
            is_bf16_supported=lambda including_emulation: bf16,
        ),
    )


@pytest.mark.parametrize(
    ("torch", "driver", "state", "words"),
    [
        (graphics(), "", "ok", "2 x NVIDIA H200 (compute 9.0), 60.0 of 80.0 GB free, bfloat16"),
        (graphics(free=2e9), "", "warning", "2.0 of 80.0 GB free"),
        (graphics(bf16=False), "", "warning", "no bfloat16"),
        (graphics(seen=False), "", "missing", "none"),
        (graphics(seen=False, cuda=None), "NVIDIA H200, 535.1", "warning", "for processors alone"),
        (graphics(seen=False), "NVIDIA H200, 470.1", "error", "cannot be used by torch for CUDA 12.8"),
    ],
)
def test_gpus(torch, driver, state, words, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr("recipes.doctor.device._driver", lambda: driver)
    found = line("GPU")
    assert found.state == state and words in found.found


def test_a_hidden_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", graphics(seen=False))
    monkeypatch.setattr("recipes.doctor.device._driver", lambda: "NVIDIA H200, 535.1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert line("GPU").remedy == "unset CUDA_VISIBLE_DEVICES"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert line("GPU").state == "error"


def test_a_torch_that_cannot_multiply_and_a_bitsandbytes_without_library(monkeypatch):
    import torch

    def broken(*given):
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    monkeypatch.setattr(torch.Tensor, "__matmul__", broken)
    found = line("torch")
    assert found.state == "error" and found.found.endswith("no kernel image is available") and "pip" in found.remedy

    def refuse():
        raise AssayError("bitsandbytes has no library for this GPU; pip install -U bitsandbytes, or leave it out.")

    monkeypatch.setattr("extraction.generate.checks.check_bitsandbytes", refuse)
    wanted = ("error", "bitsandbytes has no library for this GPU", "pip install -U bitsandbytes")
    found = line("bitsandbytes")
    assert (found.state, found.found, found.remedy) == wanted


def test_the_hub_when_asked(monkeypatch):
    import huggingface_hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "never asked, by HF_HUB_OFFLINE" in line("hub").found
    assert line("hub=").remedy == "unset HF_HUB_OFFLINE"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: SimpleNamespace(head=lambda url, timeout: None))
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert "reached, not logged in" in line("hub=").found

    def gated(model):
        raise AssayError(f"{model} is gated: accept its terms on its hub page.")

    monkeypatch.setattr("extraction.generate.hub.check_hub", gated)
    found = line("hub=google/medgemma-1.5-4b-it")
    assert found.state == "error" and "hf auth login" in found.remedy and "google/medgemma" in found.remedy


SPY = """
import pathlib, socket
def told(*given, **more):
    pathlib.Path({file!r}).touch()
    raise OSError("no network in this test")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = told
"""


def test_the_command_asks_no_network_and_prints_json_alone(tmp_path, monkeypatch):
    modules(tmp_path, monkeypatch, sitecustomize=SPY.format(file=str(tmp_path / "asked")))
    monkeypatch.setattr(command, "GROUPS", dict.fromkeys(command.GROUPS, 600))  # other tests may run beside it
    done = assay("doctor", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert [check["name"] for check in told["checks"]] == list(command.ORDER)
    assert all(list(check) == ["name", "state", "found", "remedy"] for check in told["checks"])
    assert told["ok"] and done.returncode == 0, told
    assert not (tmp_path / "asked").exists()
    (hub,) = command.run(["hub="])
    assert (tmp_path / "asked").exists() and hub.state == "error" and "cannot be reached" in hub.found


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warning", 0), ("missing", 0), ("error", 2)])
def test_exit_codes_and_the_width_of_the_table(state, code, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [Line("OCR", state, "is not here (needed for scans)", "pip install 'assay[ocr]'")] * 2
    monkeypatch.setattr(command, "run", lambda jobs: lines)
    done = assay("doctor")
    assert done.returncode == code and "pip install 'assay[ocr]'" in done.stdout.replace("\n", " ")
    assert max(map(len, done.stdout.split("\n"))) <= 80
    assert json.loads(assay("doctor", "--json").stdout)["ok"] is (code == 0)
    refused = assay("doctor", "google/medgemma-1.5-4b-it")
    assert refused.returncode == 2 and "--hub" in refused.stderr
