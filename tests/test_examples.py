"""What a newcomer tries first: the examples, and an installation from the wheel alone."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, **options):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_first_record():
    lines = run(ROOT / "examples" / "first_record.py").splitlines()
    assert lines[0].startswith("report.pdf ") and "Red Blood Cells: 4.85 (page 1" in lines[1] and len(lines) == 7


def test_typed_questions():
    said = run(ROOT / "examples" / "typed_question.py")
    assert "list condition" in said and "Systolic" in said and len(said.splitlines()) == 4


def test_a_schema_of_ones_own(tmp_path):
    run("-m", "recipes.cli", "init", "invoices", "--schema", ROOT / "examples" / "invoice.schema.json", cwd=tmp_path)
    assert json.loads((tmp_path / "invoices" / "schema.json").read_text())["title"] == "Invoice"


def test_the_wheel_has_all_it_needs(tmp_path):
    """Built and unpacked by itself, it finds its tasks, adapters and tables, far from the source."""
    source = tmp_path / "source"
    source.mkdir()
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    tracked = [name for name in names if name.partition("/")[0] in ("extraction", "finetune", "recipes")]
    for name in (*tracked, "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    data = [name for name in tracked if (ROOT / name).is_file() and "/lay/" not in name]
    assert not [name for name in data if name not in held]
    site = tmp_path / "site"
    run("-m", "pip", "install", "--no-deps", "--quiet", "--target", site, wheel)
    code = (
        "import extraction, json; from extraction.plugins import adapters; from extraction import Contract; "
        "from extraction.generate.hub import shipped; from recipes.ehr_qa.resolve import meaning; "
        "print(json.dumps([extraction.__file__, [str(shipped(n)) for n in adapters()], "
        "Contract.load(shipped('lab-report-270m')).style, len(meaning('bp', 'observation'))]))"
    )
    where, folders, style, _ = json.loads(run("-P", "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site)}))
    assert where.startswith(str(site)) and folders and all(folder.startswith(str(site)) for folder in folders)
    assert style == "rows"
