"""What packages bring by entry points: what is wrong with one is said in a sentence that names it."""

import importlib
import sys

import pytest

from extraction.errors import AssayError
from extraction.generate.hub import shipped
from extraction.plugins import adapter_folder
from finetune.task import load_task

ROLES = """from extraction.contract import Contract
from finetune.task import DocumentTask
class Own(DocumentTask):
    name = "own"
    contract = Contract(instruction="", record_schema={"type": "object", "properties": {"a": {}}}, roles={"a": "nme"})
TASK = Own()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package: its files, and its entry points as lines of `group: name = value`."""

    def install(files=(), **entries):
        for name, text in dict(files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        about = tmp_path / "own-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
        lines = (f"[assay.{group}]\n{entry}\n" for group, entry in entries.items())
        (about / "entry_points.txt").write_text("".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.startswith("own_")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        return tmp_path

    return install


def said(work, name):
    with pytest.raises(AssayError) as caught:
        work(name)
    assert "\n" not in str(caught.value) and "http" not in str(caught.value)
    return str(caught.value)


def test_an_adapter_whose_package_cannot_be_imported(package):
    package({"own_pkg/__init__.py": "import nothere"}, adapters="own = own_pkg\ngone = own_gone")
    assert "own_pkg cannot be imported" in said(shipped, "own") and "line 1" in said(shipped, "own")
    assert "stands for own_gone, and there is no such module" in said(shipped, "gone")


def test_an_adapter_is_that_of_its_package_and_of_no_other_folder(package, tmp_path, monkeypatch):
    folder = package(
        {"own_spaced/adapter/a": "", "own_bare/b.py": "", "own_module.py": "", "adapter/a": ""},
        adapters="own = own_spaced\nbare = own_bare\nmodule = own_module",
    )
    monkeypatch.chdir(folder)
    assert adapter_folder("own") == folder / "own_spaced" / "adapter"
    for name in ("bare", "module"):
        assert "no package with a folder `adapter`" in said(adapter_folder, name)
    assert adapter_folder("nobody") is None


def test_entry_points_that_name_nothing(package):
    package({"own_task.py": "TASK = 1"}, tasks="brk = own_gone:TASK\nalone = own_task\nless = own_task:OTHER")
    assert "The name brk among assay.tasks stands for own_gone, and there is no such module" in said(load_task, "brk")
    assert "must name the object, own_task:TASK" in said(load_task, "alone")
    assert "own_task has no OTHER" in said(load_task, "less")


def test_a_role_that_does_not_exist_is_one_sentence(package):
    folder = package({"own_task.py": ROLES})
    words = said(load_task, "own_task")
    assert f"({folder / 'own_task.py'}, line 5)" in words
    assert "`roles.a`: input should be 'name', 'value'" in words and words.endswith("not 'nme'")


@pytest.mark.parametrize("lacks", ["name", "contract"])
def test_a_task_that_is_not_whole(package, lacks):
    package({"own_task.py": ROLES.replace('"nme"', '"name"').replace(f"    {lacks} = ", "    other = ")})
    assert said(load_task, "own_task").startswith(f"The TASK of own_task has no {lacks}")
