"""Batches: nothing is done twice, nothing is half done, and what kills a worker takes only its own file along."""

import json
import os
import time
from pathlib import Path

import pytest

from extraction.batch import MANIFEST, Batch, Engine, Job, find_jobs, run_batch
from extraction.errors import AssayError
from extraction.record.record import Record


class Reader:
    """Reads text files in the way their names say."""

    def extract(self, path: Path) -> Record:
        if path.stem == "crash":
            os._exit(9)
        if path.stem == "slow":
            time.sleep(60)
        return Record(path.name, "ok", {"text": path.read_text()})


class FakeEngine(Engine):
    def extractor(self):
        if self.model == "broken":
            raise AssayError("no such model")
        return Reader()


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/a", "crash", "slow", "z"):
        (folder / f"{name}.pdf").write_text(name)
    return folder


def run(files, out, workers=1, seconds=2.0, model="m"):
    jobs = find_jobs([files])
    batch = Batch(out, model)
    return list(run_batch(FakeEngine(model), batch, batch.missing(jobs), workers, seconds))


@pytest.mark.parametrize("workers", [1, 2])
def test_poisonous_files_fail_alone(files, tmp_path, workers):
    records = run(files, tmp_path / "out", workers)
    assert sorted(r.source for r in records) == sorted(p.name for p in files.rglob("*.pdf"))
    status = {
        p.relative_to(tmp_path / "out").as_posix(): json.loads(p.read_text())
        for p in (tmp_path / "out").rglob("*.json")
    }
    assert {name for name, r in status.items() if r["status"] == "ok"} == {"a.json", "b.json", "sub/a.json", "z.json"}
    assert status["sub/a.json"]["data"] == {"text": "sub/a"}
    assert "memory, or a crash" in status["crash.json"]["issues"][0]["message"]
    assert "longer than 2 s" in status["slow.json"]["issues"][0]["message"]
    assert run(files, tmp_path / "out") == []


def test_started_again_only_what_is_missing_is_read(files, tmp_path):
    out = tmp_path / "out"
    jobs = [job for job in find_jobs([files]) if job.name not in ("crash", "slow")]
    batch = Batch(out, "m")
    reading = run_batch(FakeEngine("m"), batch, jobs, 1, 9)
    next(reading)
    next(reading)
    reading.close()  # as a kill would: the worker ends where it is
    with (out / MANIFEST).open("a") as file:
        file.write('{"name": "z", "sta')  # the line a kill cut short
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.json")}
    (files / "a.pdf").write_text("changed")
    again = Batch(out, "m")
    missing = again.missing(jobs)
    done = {"a", "b", "sub/a", "z"} - {job.name for job in missing}
    assert "a" not in done and len(done) >= 1
    list(run_batch(FakeEngine("m"), again, missing, 1, 9))
    assert json.loads((out / "a.json").read_text())["data"] == {"text": "changed"}
    assert all((out / f"{name}.json").stat().st_mtime_ns == before[out / f"{name}.json"] for name in done)
    assert Batch(out, "m").missing(jobs) == []
    assert not list(out.rglob("*.tmp"))


def test_records_of_two_models_are_never_mixed(files, tmp_path):
    (files / "crash.pdf").unlink()
    (files / "slow.pdf").unlink()
    run(files, tmp_path / "out")
    with pytest.raises(AssayError, match="another model or schema"):
        Batch(tmp_path / "out", "other")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(AssayError, match="not empty"):
        Batch(tmp_path / "mine", "m")


def test_a_model_that_cannot_be_loaded_is_said_once_and_leaves_nothing(files, tmp_path):
    with pytest.raises(AssayError, match="no such model"):
        run(files, tmp_path / "out", model="broken")
    assert not (tmp_path / "out").exists()


def test_jobs(files):
    assert [job.name for job in find_jobs([files])] == ["a", "b", "crash", "slow", "sub/a", "z"]
    assert find_jobs([files / "a.pdf"]) == [Job(files / "a.pdf", "a")]
    with pytest.raises(AssayError, match=r"both become a\.json"):
        find_jobs([files, files / "a.pdf"])
