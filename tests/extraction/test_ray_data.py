"""The pipeline for many machines, on a cluster of this one: two actors, and what is killed meanwhile."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

pytest.importorskip("ray")

from extraction.batch import task_id
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.ray_data import ROW, extract, read_paths
from scripts.bench_batch import SCHEMA
from tests.conftest import tiny_gemma

COUNT = 10


def rows(out):
    """The rows of all files that are whole."""
    from pyarrow import ArrowInvalid, parquet

    found = []
    for file in sorted(Path(out).glob("*.parquet")):
        with contextlib.suppress(ArrowInvalid):
            found += parquet.read_table(file).to_pylist()
    return found


def started(*arguments):
    command = [sys.executable, "-m", "extraction.ray_data", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def running(mark, name=""):
    """The processes of this test whose command line has this name."""
    psutil = pytest.importorskip("psutil")
    found = []
    for process in psutil.process_iter():
        try:
            own = process.pid != os.getpid() and process.environ().get("ASSAY_MARK") == mark
            if own and name in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path, monkeypatch, tokenizer):
    """A start was killed halfway and left rows and a file without its end; of two actors in the second start one is."""
    from pyarrow import parquet, table

    monkeypatch.setenv("ASSAY_MARK", str(tmp_path))
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for number in range(COUNT):
        canvas = Canvas(str(tmp_path / "in" / "sub" / f"{number}.pdf"))
        canvas.drawString(72, 700, f"Glucose {number} mg/dL")
        canvas.save()
    (tmp_path / "in" / "bad.pdf").write_bytes(b"no document")
    model, out = tmp_path / "model", tmp_path / "out"
    tiny_gemma().save_pretrained(model)
    tokenizer.save_pretrained(model)
    Contract(instruction="What kind of report is this?", record_schema=SCHEMA).save(model)
    out.mkdir()
    before = [f"file://{tmp_path}/in/sub/{number}.pdf" for number in (0, 1)]
    earlier = [(path, task_id(str(model), None), "ok", '{"data": {"kind": "b"}}', None) for path in before]
    whole, cut = out / "1a_000000_000000.parquet", out / "1a_000001_000000.parquet"
    parquet.write_table(table(dict(zip(ROW, map(list, zip(*earlier, strict=True)), strict=True))), whole)
    cut.write_bytes(whole.read_bytes()[:-20])

    run = started(f"file://{tmp_path}/in", out, "--model", model, "--batch", 2)
    while run.poll() is None and not (actors := running(str(tmp_path), "MapWorker")):
        time.sleep(0.05)
    actors[0].kill()
    _, said = run.communicate()
    assert run.returncode == 0, said
    found = rows(out)
    paths = [row["path"] for row in found]
    assert len(paths) == len(set(paths)) == COUNT + 1 and set(before) < set(paths)
    told = {Path(row["path"]).stem: row for row in found}
    bad = told.pop("bad")
    assert bad["status"] == "failed" and "PDF" in bad["error"] and json.loads(bad["record"])["data"] is None
    assert all(row["error"] is None and json.loads(row["record"])["data"]["kind"] for row in told.values())

    assert extract(f"file://{tmp_path}/in", str(out), model=str(model)) == 0


def test_a_file_that_was_cut_short_is_read_again_and_models_are_not_mixed(tmp_path):
    from pyarrow import parquet, table

    whole, cut = tmp_path / "1a_000000_000000.parquet", tmp_path / "1a_000001_000000.parquet"
    row = {"path": ["file:///a.pdf"], "model": ["m"], "status": ["ok"], "record": ["{}"], "error": [""]}
    parquet.write_table(table(row), whole)
    cut.write_bytes(whole.read_bytes()[:-20])
    assert read_paths(str(tmp_path), "m") == {"file:///a.pdf"}
    assert not cut.exists()
    with pytest.raises(AssayError, match="another model"):
        read_paths(f"file://{tmp_path}", "other")


@pytest.mark.parametrize("columns", [{"x": [1]}, {"path": ["a"], "model": ["m"]}, None])
def test_files_of_others_stay_where_they_are(tmp_path, columns):
    """A folder that holds Parquet files of somebody else is refused, whole ones and broken ones."""
    from pyarrow import parquet, table

    own = tmp_path / "mine.parquet"
    if columns:
        parquet.write_table(table(columns), own)
    else:
        own.write_bytes(b"PAR1 and no end")
    with pytest.raises(AssayError, match="not of this pipeline"):
        read_paths(str(tmp_path), "m")
    assert own.exists()
