"""Batches: nothing is done twice, nothing is half done, and what kills a process takes only its own file along."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from extraction import reader_process
from extraction.api import Extractor
from extraction.batch import MANIFEST, Batch, Job, run_batch, task_id
from extraction.contract import FILE, Contract
from extraction.errors import AssayError
from extraction.folder import find_files
from extraction.generate import Generation
from extraction.readers import Readers, answered
from extraction.record.record import Record
from tests.extraction.text_reader import serve

CONTRACT = Contract.for_schema({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})


@pytest.fixture(autouse=True)
def texts(monkeypatch):
    monkeypatch.setattr(reader_process, "_serve", serve)


class Echo:
    """A backend that answers with what it is shown, `together` documents at a time, the last first."""

    sees = False

    def __init__(self, together=3):
        self.together, self.shown, self.most = together, [], 0

    def count_tokens(self, messages):
        return 1

    def generate(self, examples, contract):
        held = []
        for example in examples:
            if example is None:
                yield None
                time.sleep(0.001)
            else:
                held.append(example)
                self.most = max(self.most, len(held))
            if held and (example is None or len(held) == self.together):
                example = held.pop()
                [text] = example.context.parts
                self.shown.append(text)
                yield example, 0, self.answer(text)

    def answer(self, text):
        if "wicked" in text:
            raise KeyError("a fault of ours")
        if "gone" in text:
            raise AssayError("the server is gone")
        if "refused" in text:
            return Generation("", "refused", message="It is too long.")
        return Generation(json.dumps({"text": text}), "stop")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/a", "crash", "dies", "slow", "bad", "odd", "z"):
        (folder / f"{name}.pdf").write_text(name)
    return folder


def run(files, out, workers=1, seconds=2.0, model="m", backend=None, **options):
    return list(running(files, out, workers, seconds, model, backend, **options))


def running(files, out, workers=1, seconds=2.0, model="m", backend=None, **options):
    batch = Batch(out, model)
    missing = batch.missing(batch.jobs(find_files([files])))
    with Readers(workers, seconds=seconds) as opened:
        opened.add((job, job.path) for job in missing if batch.claim(job))
        done = run_batch(lambda: Extractor(backend or Echo(), CONTRACT), opened, batch, **options)
        yield from (record for _, record in done)


def jobs_in(*paths, out=Path("no such folder")):
    return Batch(out, "m").jobs(find_files(paths))


def records_in(out):
    return {
        p.relative_to(out).as_posix(): json.loads(p.read_text()) for p in sorted(out.rglob("*.json")) if p != out / FILE
    }


def messages(out):
    return {
        name: record["issues"][0]["message"] for name, record in records_in(out).items() if record["status"] == "failed"
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_poisonous_files_fail_alone(files, tmp_path, workers):
    for name in ("wicked", "refused"):
        (files / f"{name}.pdf").write_text(name)
    records = run(files, tmp_path / "out", workers)
    assert sorted(r.source for r in records) == sorted(p.name for p in files.rglob("*.pdf"))
    status = records_in(tmp_path / "out")
    whole = {name for name, r in status.items() if r["status"] == "ok"}
    assert whole == {"a.json", "b.json", "sub/a.json", "z.json"}
    assert status["sub/a.json"]["data"] == {"text": "sub/a"}
    said = messages(tmp_path / "out")
    assert "memory, or a crash" in said["crash.json"] and "memory, or a crash" in said["dies.json"]
    assert "longer than 2 s" in said["slow.json"] and said["bad.json"] == "bad.pdf is bad."
    for name, file in (("odd", "text_reader.py"), ("wicked", "test_batch.py")):
        assert f"fault in the code that reads it (KeyError, {file} line" in said[f"{name}.json"]
    assert "too long" in said["refused.json"]
    codes = {name: r["issues"][0]["code"] for name, r in status.items() if r["status"] == "failed"}
    assert codes.pop("bad.json") == "unreadable" and codes.pop("refused.json") == "refused"
    assert set(codes.values()) == {"aborted"}
    # What was refused is refused again, unless its remedy was taken; nothing else is read twice.
    assert [record.source for record in run(files, tmp_path / "out")] == ["bad.pdf"]


def test_a_fault_takes_none_of_those_along_that_are_answered_beside_it(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(30):
        (tmp_path / "in" / f"{number:02}.pdf").write_text("wicked" if number % 10 == 5 else f"text {number}")
    records = run(tmp_path / "in", tmp_path / "out", 2, backend=Echo(together=8))
    assert len(records) == 30
    assert sorted(messages(tmp_path / "out")) == ["05.json", "15.json", "25.json"]
    texts = {name: r["data"]["text"] for name, r in records_in(tmp_path / "out").items() if r["data"]}
    assert texts == {f"{n:02}.json": f"text {n}" for n in range(30) if n % 10 != 5}


def test_a_process_that_dies_between_files_costs_none(files):
    with Readers() as opened:
        for name in ("a", "z"):
            opened.add([(name, files / f"{name}.pdf")])
            while not (found := next(opened.opened())):
                time.sleep(0.01)
            assert not isinstance(found[1], Record)
            os.kill(opened._processes[0]._process.pid, signal.SIGKILL)
            opened._processes[0]._process.join()


def test_a_file_that_vanishes_meanwhile_fails_alone(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(30):
        (tmp_path / "in" / f"{number:02}.pdf").write_text("text")
    records = running(tmp_path / "in", tmp_path / "out", backend=Echo(1))
    first = next(records)
    (tmp_path / "in" / "29.pdf").unlink()
    statuses = {record.source: record.status for record in (first, *records)}
    assert statuses.pop("29.pdf") == "failed" and set(statuses.values()) == {"ok"}


def test_what_cannot_go_on_ends_the_batch_and_the_next_start_goes_on(files, tmp_path):
    for name in ("crash", "dies", "slow"):
        (files / f"{name}.pdf").unlink()
    (files / "b.pdf").write_text("gone")
    with pytest.raises(AssayError, match="server is gone"):
        run(files, tmp_path / "out", backend=Echo(1))
    done = set(records_in(tmp_path / "out"))
    assert "b.json" not in done
    (files / "b.pdf").write_text("back")
    echo = Echo()
    run(files, tmp_path / "out", backend=echo)
    assert set(records_in(tmp_path / "out")) == {f"{job.name}.json" for job in jobs_in(files)}
    assert len(echo.shown) + len(done) == len(jobs_in(files)) - len({"bad.json", "odd.json"} - done)


def test_files_are_opened_only_some_ahead(tmp_path):
    taken = []
    names = (tmp_path / f"{number}.pdf" for number in range(1000))
    for number in range(1000):
        (tmp_path / f"{number}.pdf").write_text("text")

    def counted():
        for path in names:
            taken.append(path)
            yield path.stem, path

    with Readers(1) as opened:
        opened.add(counted())
        echo = Echo(4)
        for number, _ in enumerate(answered(Extractor(echo, CONTRACT), opened), 1):
            assert len(taken) <= number + 2 + 8 + 4
            if number == 50:
                break
    assert echo.most == 4


def test_started_again_only_what_is_missing_is_read(files, tmp_path):
    out = tmp_path / "out"
    for name in ("crash", "dies", "slow", "bad", "odd"):
        (files / f"{name}.pdf").unlink()
    records = running(files, out, seconds=9, backend=Echo(1))
    next(records)
    next(records)
    records.close()  # as a kill would: the processes end where they are
    [manifest] = (out / MANIFEST).glob("*.jsonl")
    with manifest.open("a") as file:
        file.write('{"name": "z", "sta')  # the line a kill cut short
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.json")}
    (files / "a.pdf").write_text("changed")
    jobs = jobs_in(files)
    missing = Batch(out, "m").missing(jobs)
    done = {"a", "b", "sub/a", "z"} - {job.name for job in missing}
    assert "a" not in done and len(done) >= 1
    run(files, out)
    assert json.loads((out / "a.json").read_text())["data"] == {"text": "changed"}
    assert all((out / f"{name}.json").stat().st_mtime_ns == before[out / f"{name}.json"] for name in done)
    assert Batch(out, "m").missing(jobs) == []
    assert not list(out.rglob("*.tmp"))


def test_a_folder_of_one_manifest_is_gone_on_with(files, tmp_path):
    """As Assay wrote it when only one writer could be at a folder."""
    out = tmp_path / "out"
    out.mkdir()
    Record("a.pdf", "ok", {"text": "old"}).save(out / "a.json")
    info = (files / "a.pdf").stat()
    line = {"name": "a", "source": "a.pdf", "status": "ok", "stamp": [info.st_size, info.st_mtime_ns]}
    lines = [{"task": "m"}, line]
    (out / "_manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "a.pdf" not in [record.source for record in run(files / "a.pdf", out)]
    assert len(run(files, out)) == 8 and records_in(out)["a.json"]["data"] == {"text": "old"}
    with pytest.raises(AssayError, match="another model or schema"):
        Batch(out, "other")


def test_records_of_two_models_are_never_mixed(files, tmp_path):
    run(files / "a.pdf", tmp_path / "out")
    assert Contract.load(tmp_path / "out") == CONTRACT
    with pytest.raises(AssayError, match="another model or schema"):
        Batch(tmp_path / "out", "other")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(AssayError, match="not empty"):
        Batch(tmp_path / "mine", "m")


def test_a_model_that_cannot_be_loaded_is_said_once_and_leaves_nothing(files, tmp_path):
    def load():
        raise AssayError("no such model")

    batch, job = Batch(tmp_path / "out", "m"), Job(files / "a.pdf", "a")
    assert batch.claim(job) and not Batch(tmp_path / "out", "m").claim(job)
    with Readers() as opened, pytest.raises(AssayError, match="no such model"):
        opened.add([(job, job.path)])
        list(run_batch(load, opened, batch))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_ends_the_batch_and_leaves_nothing_half_written(files, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def full(file):
        if not next(left, False):
            raise OSError(errno.ENOSPC, "No space left on device")

    for room in (0, 1):  # for the contract, and then for a record
        left = iter([True] * room)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                run(files / "a.pdf", out)
        assert {p.name for p in out.iterdir()} - {MANIFEST} == ({FILE} if room else set())
    assert [record.status for record in run(files / "a.pdf", out)] == ["ok"]


def started(files, out):
    """A batch in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from tests.extraction import test_batch as t\n"
        "t.reader_process._serve = t.serve\n"
        "assert all(r.status == 'ok' for r in t.run(Path(sys.argv[1]), Path(sys.argv[2]), seconds=60))"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(files), str(out)], stderr=subprocess.PIPE)


def test_two_writers_share_a_folder(tmp_path):
    """Each its own files, then both the same ones, each once: records are whole, a third start finds nothing to do."""
    for half in ("one", "two"):
        (tmp_path / half).mkdir()
        for number in range(20):
            (tmp_path / half / f"{half}-{number}.pdf").write_text(f"{half} {number}")
    out = tmp_path / "out"
    (tmp_path / "both").mkdir()
    for number in range(20):
        (tmp_path / "both" / f"both-{number}.pdf").write_text(f"both {number}")
    for names in (("one", "two"), ("both", "both")):
        writers = [started(tmp_path / name, out) for name in names]
        for writer in writers:
            _, said = writer.communicate()
            assert writer.returncode == 0, said.decode()
    manifests = list((out / MANIFEST).glob("*.jsonl"))
    assert len(manifests) == 4 and not list((out / MANIFEST / "claims").glob("*"))
    lines = [json.loads(line) for file in manifests for line in file.read_text().splitlines()[1:]]
    assert len(lines) == 60 == len({line["name"] for line in lines})
    for name in ("one", "two", "both"):
        assert Batch(out, "m").missing(jobs_in(tmp_path / name)) == []
    found = records_in(out)
    assert len(found) == 60 and all(r["data"]["text"] == name[:-5].replace("-", " ") for name, r in found.items())
    assert not list(out.rglob("*.tmp"))


def test_names_of_records(files, tmp_path):
    names = ["a", "b", "bad", "crash", "dies", "odd", "slow", "sub/a", "z"]
    assert [job.name for job in jobs_in(files)] == names
    assert jobs_in(files / "a.pdf") == [Job(files / "a.pdf", "a")]
    with pytest.raises(AssayError, match=r"both become a\.pdf\.json"):
        jobs_in(files, files / "a.pdf")
    for name in ("contract.pdf", "contract"):
        (tmp_path / name).write_text("")
    assert jobs_in(tmp_path / "contract.pdf") == [Job(tmp_path / "contract.pdf", "contract.pdf")]
    with pytest.raises(AssayError, match="rename the file"):
        jobs_in(tmp_path / "contract")


def folder_of(path, *names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    return path


def test_files_of_one_stem_have_a_record_each(tmp_path):
    names = ["a.pdf", "a.png", "a.pdf.png", "b.pdf", "b.docx", "c", "c.tif", "sub/a.pdf"]
    files = folder_of(tmp_path / "in", *names)
    run(files, tmp_path / "out")
    found = {name: record["data"]["text"] for name, record in records_in(tmp_path / "out").items()}
    assert found == {
        "a.pdf.json": "a.pdf",
        "a.png.json": "a.png",
        "a.pdf.png.json": "a.pdf.png",
        "b.json": "b.pdf",
        "b.docx.json": "b.docx",
        "c.json": "c",
        "c.tif.json": "c.tif",
        "sub/a.json": "sub/a.pdf",
    }
    assert run(files, tmp_path / "out") == []


def test_a_record_keeps_its_name_whatever_comes_and_goes_beside_its_file(tmp_path):
    files, out = folder_of(tmp_path / "in", "a.pdf", "b.png"), tmp_path / "out"
    run(files, out)
    folder_of(files, "a.png", "b.pdf")
    assert {record.source for record in run(files, out)} == {"a.png", "b.pdf"}
    kept = {"a.json": "a.pdf", "b.json": "b.png", "a.png.json": "a.png", "b.pdf.json": "b.pdf"}
    assert {name: record["source"] for name, record in records_in(out).items()} == kept
    for name in ("a.pdf", "b.png"):
        (files / name).unlink()
    files = files.rename(tmp_path / "moved")
    assert run(files, out) == []
    (files / "a.png").write_text("changed")
    run(files, out)
    assert {name: record["source"] for name, record in records_in(out).items()} == kept
    assert records_in(out)["a.png.json"]["data"] == {"text": "changed"}


def test_every_file_of_a_folder_ends_in_the_manifest(tmp_path):
    names = ["a.pdf", "bad.tiff", "odd name", "c.docx", "sub/d.HEIC"]
    labels = ["a.json", "a.labels.json", "schema.json", "sub/records.jsonl"]
    hidden = [".DS_Store", "sub/Thumbs.db", ".git/config", "~$c.docx", "out/_manifest/lock"]
    files = folder_of(tmp_path / "in", *names, *labels, *hidden, "a.html", "out/index.html")
    (files / "gone.pdf").symlink_to(files / "nowhere")
    assert run(files, files / "out2") and not run(files, files / "out2", seconds=9)[1:]
    [first, _] = sorted((files / "out2" / MANIFEST).glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    assert lines[0]["skipped"] == {"JSON files": 4, "evidence pages": 2, "hidden files": 5}
    said = {Path(line["source"]).name: line for line in lines[1:]}
    assert set(said) == {Path(name).name for name in names} | {"gone.pdf"}
    assert said["bad.tiff"]["status"] == "failed" and said["bad.tiff"]["reason"] == "bad.pdf is bad."
    assert said["a.pdf"]["status"] == "ok" and "reason" not in said["a.pdf"]


def test_a_name_that_is_no_unicode_costs_nothing(tmp_path):
    files = tmp_path / "in"
    files.mkdir()
    path = files / os.fsdecode(b"r\xe9sultat.pdf")
    try:
        path.write_text("text")
    except OSError:
        pytest.skip("names are Unicode here")
    (files / "plain.pdf").write_text("text")
    done = run(files, tmp_path / "out")
    assert [record.status for record in done] == ["ok", "ok"]
    assert run(files, tmp_path / "out") == []
    (tmp_path / "out" / os.fsdecode(b"r\xe9sultat.html")).write_text("a page")
    assert 'href="r%E9sultat.html"' in Batch(tmp_path / "out", "m").write_index(0.9).read_text()
    for record in done:
        Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8")).print(record.table())


def test_killed_at_any_moment_it_loses_nothing(tmp_path):
    """SIGKILL again and again: what was finished stays, the rest is read, nothing is there by half."""
    (tmp_path / "in").mkdir()
    count = 120
    for number in range(count):
        (tmp_path / "in" / f"{number}.pdf").write_text(f"text {number}")
    out, kept = tmp_path / "out", {}
    for goal in (1, 30, 60, 90):
        process = started(tmp_path / "in", out)
        while process.poll() is None and len(list(out.glob("*.json"))) < goal:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())
        assert all(record["data"] == {"text": f"text {name[:-5]}"} for name, record in records_in(out).items())
        missing = {job.name for job in Batch(out, "m").missing(jobs_in(tmp_path / "in"))}
        assert len(missing) <= count - len(records_in(out)) + 1  # the one that was written, and not noted yet
        kept = {path: path.stat().st_mtime_ns for path in out.glob("*.json") if path.stem not in {*missing, "contract"}}
    process = started(tmp_path / "in", out)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())
    assert len(records_in(out)) == count
    assert not list(out.rglob("*.tmp"))


def test_a_task_is_known_by_weights_schema_and_server_and_not_by_where_they_lie(tmp_path):
    def model(parent, change=0, size=2_000_000):
        folder = tmp_path / parent / "adapter"
        folder.mkdir(parents=True)
        CONTRACT.save(folder)
        (folder / "adapter_config.json").write_text("{}")
        weights = bytearray(size)
        weights[size // 2 : size // 2 + 40_000] = bytes([change]) * 40_000
        (folder / "adapter_model.safetensors").write_bytes(weights)
        return str(folder)

    one, schema = model("one"), tmp_path / "schema.json"
    schema.write_text("{}")
    again = model("again")
    os.utime(f"{again}/adapter_model.safetensors", (1, 1))
    assert task_id(one, None) == task_id(again, None)
    others = [
        *(task_id(model("trained", 1), None), task_id(model("longer", 0, 2_000_001), None), task_id(one, schema)),
        *(task_id("a/adapter", schema), task_id("b/adapter", schema)),
        *(task_id(name, schema, f"http://{host}:8000/v1") for name in ("m", None, one) for host in ("here", "there")),
    ]
    assert len({task_id(one, None), *others}) == 1 + len(others)
    assert task_id("m", schema, "http://here:8000") == task_id("m", schema, "http://here:8000/v1/")


def test_a_file_of_another_folder_never_takes_a_records_place(tmp_path):
    one, two = (folder_of(tmp_path / name, "report.pdf") for name in ("p1", "p2"))
    (two / "report.pdf").write_text("of somebody else")
    out = tmp_path / "out"
    run(one, out)
    run(two, out)
    assert {name: record["data"]["text"] for name, record in records_in(out).items()} == {
        "report.json": "report.pdf", "report.pdf.json": "of somebody else"}  # fmt: skip
    three = folder_of(tmp_path / "p3", "report.pdf")
    with pytest.raises(AssayError, match=r"which is the record of .*p2/report\.pdf; read it into another folder"):
        run(three, out)
    assert run(one, out) == run(two, out) == []


def test_two_writers_give_no_name_twice(tmp_path):
    files, out = folder_of(tmp_path / "in", "a.pdf", "a.png"), tmp_path / "out"
    writers = [Batch(out, "m") for _ in range(2)]
    for writer, name in zip(writers, ("a.pdf", "a.png"), strict=True):
        [job] = writer.jobs(find_files([files / name]))
        writer.start(CONTRACT)
        writer.save(job, Record(name, "ok", {"text": name}))
    assert {name: record["source"] for name, record in records_in(out).items()} == {
        "a.json": "a.pdf",
        "a.png.json": "a.png",
    }


def test_a_name_with_another_kind_of_line_break_locks_no_folder(tmp_path):
    files, out = folder_of(tmp_path / "in", "Befund\u2028neu.pdf", "b\x85.pdf"), tmp_path / "out"
    assert len(run(files, out)) == 2 and run(files, out) == []
