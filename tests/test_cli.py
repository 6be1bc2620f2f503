"""The command line: instant help, one sentence for a mistake, exit code 2, nothing half-written."""

import json
import logging
import subprocess
import sys
import time
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas
from rich.console import Console

from extraction.batch import Batch, Job, task_id
from extraction.cli import _log_to, _shower, _told
from extraction.errors import AssayError
from extraction.evidence.evidence import PageEvidence
from extraction.folder import find_files
from extraction.record.record import Field, Issue, Record, SetAside
from recipes.cli import app
from recipes.lab_report.task import CONTRACT
from tests.conftest import command

ASSAY = str(Path(sys.executable).with_name("assay"))
ROW = {"name": "Na", "result": "140", "unit": "mmol/L", "range": None, "panel": None, "method": None,
       "specimen": None, "sample_collection_time": None}  # fmt: skip


def mistake(result, words):
    assert result.returncode == 2, result.stderr
    assert words in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from recipes.cli import app; heavy = {'torch', 'transformers', 'numpy', 'pydantic', 'scipy'}; "
        "print(heavy & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
    done = subprocess.run([ASSAY, "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("assay 0.") and done.returncode == 0
    text = command("--help").stdout
    assert all(command in text for command in ("extract", "score", "train", "merge"))


def test_mistakes_before_any_model_is_loaded(tmp_path):
    out = tmp_path / "out"
    mistake(command("extract", tmp_path / "none.pdf", "--model", "x", "--out", out), "does not exist")
    mistake(command("extract", tmp_path, "--model", "x", "--out", out), "holds no PDF")
    (tmp_path / "a.pdf").write_bytes(b"x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.pdf").write_bytes(b"x")
    two = (tmp_path / "a.pdf", tmp_path / "b" / "a.pdf")
    mistake(command("extract", *two, "--out", out), "would both become a.pdf.json")
    mistake(command("extract", tmp_path / "a.pdf", "--model", "nomodel", "--out", out), "no folder nomodel")
    mistake(command("extract", tmp_path / "a.pdf", "--out", tmp_path / "a.pdf"), "is a file")
    mistake(command("extract", tmp_path / "a.pdf", "--model", tmp_path, "--out", out), "--schema")
    (tmp_path / "s.json").write_text('{"type": 5}')
    mistake(
        command("extract", tmp_path / "a.pdf", "--model", "x", "--out", out, "--schema", tmp_path / "s.json"),
        "not a valid JSON Schema",
    )
    assert not out.exists()
    (tmp_path / "s.json").write_text('{"type":"object","properties":{"a":{"type":"string"}}}')
    named = ("--model", "no/such", "--schema", tmp_path / "s.json")
    mistake(command("extract", tmp_path / "a.pdf", *named, "--out", tmp_path / "b"), "not empty")
    mistake(command("extract", tmp_path / "a.pdf", "--schema", tmp_path / "s.json"), "knows its own schema only")
    mistake(command("extract", tmp_path / "a.pdf", "--model", "ehr-qa-270m"), "not to read documents")
    mistake(command("train", tmp_path / "none.yaml"), "cannot be read")
    mistake(command("answer", tmp_path / "bundle.json", "nofile.txt"), "There is no file nofile.txt")
    mistake(command("answer", tmp_path / "bundle.json", "asked/today"), "There is no file asked/today")
    mistake(command("merge", tmp_path, "--out", tmp_path / "m"), "no finished adapter")
    mistake(command("score", tmp_path / "none", tmp_path), "none")
    formats = "--to is one of csv, xlsx, parquet, sqlite, dicom-sr, fhir, not foo."
    mistake(command("export", tmp_path, "--to", "foo"), formats)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory, tiny_model, tokenizer):
    """A tiny random model with the lab report's contract: nonsense, but nonsense that follows the schema."""
    from recipes.lab_report.task import CONTRACT

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tiny_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CONTRACT.model_copy(update={"max_answer_tokens": 24}).save(folder)
    return folder


def test_in_a_batch_bad_files_fail_alone(tmp_path, tiny_folder):
    files = tmp_path / "in"
    files.mkdir()
    for name, encrypt in (("good", None), ("locked", pdfencrypt.StandardEncryption("pass-phrase"))):
        canvas = Canvas(str(files / f"{name}.pdf"), encrypt=encrypt)
        canvas.drawString(72, 700, "Natrium   140   mmol/L")
        canvas.save()
    good = (files / "good.pdf").read_bytes()
    (files / "truncated.pdf").write_bytes(good[:200])
    (files / "empty.pdf").write_bytes(b"")
    (files / "picture.pdf").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    canvas = Canvas(str(files / "scan.pdf"))
    canvas.showPage()
    canvas.save()
    huge = Canvas(str(files / "huge.pdf"), pagesize=(1e6, 1e6))
    huge.drawString(72, 700, "x")
    huge.save()
    with zipfile.ZipFile(files / "archive.pdf", "w") as archive:
        archive.writestr("report.pdf", good)
    with zipfile.ZipFile(files / "letter.docx", "w") as archive:
        archive.writestr("word/document.xml", "<document/>")
    (files / "mail.eml").write_text("From: a@example.com\nMIME-Version: 1.0\n\nSee attachment")
    (files / "suffixless").write_bytes(good)
    (files / ".DS_Store").write_bytes(b"x")
    (files / "good.labels.json").write_text("{}")
    result = command("extract", files, "--model", tiny_folder, "--out", tmp_path / "out")
    assert result.returncode == 2 and "Traceback" not in result.stderr and "Warning" not in result.stderr
    assert "Skipped: JSON files (1), hidden files (1).\n" in result.stderr
    last = result.stderr.splitlines()[-1].strip()
    assert last.startswith("11 files: 2 ") and last.endswith(
        f", 9 not read (reason in the record); records in {tmp_path / 'out'}"
    )
    records = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in (tmp_path / "out").glob("*.json")}
    assert records.pop("contract")["record_schema"]
    assert records.pop("good")["data"] is not None and records.pop("suffixless")["data"] is not None
    words = {
        "locked": "password",
        "empty": "empty",
        "picture": "PNG",
        "scan": "text layer",
        "huge": "points",
        "archive": "no PDF but a ZIP archive",
        "letter.docx": "a Word file",
        "mail.eml": "an e-mail",
        "truncated": "",
    }
    assert set(records) == set(words)
    for name, record in records.items():
        assert record["status"] == "failed" and record["data"] is None and len(record["issues"]) == 1
        assert words[name] in record["issues"][0]["message"], record
        assert record["issues"][0]["message"] in result.stderr
    # The remedy is taken: what was read stays as it is, what was refused is tried again.
    before = (tmp_path / "out" / "good.json").stat().st_mtime_ns
    again = ("extract", files, "--model", tiny_folder, "--out", tmp_path / "out", "--html")
    result = command(*again, "--password", "pass-phrase")
    assert result.returncode == 2 and "2 of 11 are done already" in result.stderr
    assert json.loads((tmp_path / "out" / "locked.json").read_text(encoding="utf-8"))["data"] is not None
    assert (tmp_path / "out" / "locked.html").exists()
    assert (tmp_path / "out" / "good.json").stat().st_mtime_ns == before
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path.name for path in written if b"pass-phrase" in path.read_bytes()]
    assert "pass-phrase" not in result.stderr + result.stdout


def test_any_schema_can_stand_in_the_lab_reports_place(tmp_path, tiny_folder):
    schema = {"type": "object", "properties": {
        "colour": {"enum": ["red", "green"]}, "list": {"type": "array", "maxItems": 2, "uniqueItems": True,
        "items": {"type": "integer", "minimum": 0, "maximum": 9}}}, "required": ["colour", "list"]}  # fmt: skip
    (tmp_path / "s.json").write_text(json.dumps(schema))
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.drawString(72, 700, "red 1 2 3")
    canvas.save()
    result = command(
        "extract",
        tmp_path / "a.pdf",
        "--model",
        tiny_folder,
        "--out",
        tmp_path / "out",
        "--schema",
        tmp_path / "s.json",
    )
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["data"]["colour"] in ("red", "green") and len(record["data"]["list"]) <= 2
    assert '"uniqueItems" at /properties/list/uniqueItems is checked after decoding' in result.stderr
    assert list(record)[:4] == ["source", "status", "issues", "data"]


def test_score_reads_records_and_prints_both_field_sets(tmp_path):
    for name, data in (("pred", {"tests": [ROW]}), ("gold", {"tests": [ROW, {**ROW, "name": "K", "result": "4,1"}]})):
        (tmp_path / name).mkdir()
        content = {"source": "a.pdf", "status": "ok", "issues": [], "data": data} if name == "pred" else data
        (tmp_path / name / "a.json").write_text(json.dumps(content))
    plain = json.loads(command("score", tmp_path / "pred", tmp_path / "gold", "--json").stdout)
    assert "core" not in plain and set(plain["fields"]["fields"]) == {f"tests[].{name}" for name, v in ROW.items() if v}
    CONTRACT.save(tmp_path / "pred")
    values = json.loads(command("score", tmp_path / "pred", tmp_path / "gold", "--json").stdout)
    assert values["core"]["micro_f1"] == pytest.approx(2 / 3)
    assert values["fields"]["omissions"] == 1
    text = command("score", tmp_path / "pred", tmp_path / "gold").stdout
    assert "name + result + unit" in text


def test_a_command_that_is_stopped_says_that_it_goes_on(monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("finetune.config.config_schema", stopped)
    done = command("config-schema")
    assert done.returncode == 130 and "goes on where it was" in done.stderr


def test_config_schema_is_json():
    assert json.loads(command("config-schema").stdout)["properties"]["train"]


def test_extraction_through_a_server(tmp_path):
    """One document is refused, the others are read; a server that goes away ends the batch, which then goes on."""
    from tests.extraction.test_server import completion, serving

    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    for name in ("Ann", "Bob", "Eve"):
        canvas = Canvas(str(tmp_path / f"{name}.pdf"))
        canvas.drawString(72, 700, f"The patient is {name}")
        canvas.save()

    def reply(body):
        text = body["messages"][0]["content"]
        if "Bob" in text:
            return 400, {}, {"error": {"message": "longer than the context length"}}
        if "Eve" in text and gone:
            time.sleep(3)  # the others, asked at the same time, are finished first
            return 401, {}, {}
        return completion('{"name":"Ann"}' if "Ann" in text else '{"name":"Eve"}')

    gone = True
    with serving(reply) as (url, asked):
        start = ["extract", str(tmp_path), "--server", url, "--schema", str(tmp_path / "schema.json")]
        start += ["--out", str(tmp_path / "out")]
        result = command(*start)
        assert result.returncode == 2 and "does not accept the key" in result.stderr.splitlines()[-1]
        gone = False
        result = command(*start)
        assert result.returncode == 2 and "2 of 3 are done already, 1 of them failed" in result.stderr
        assert sum("Ann" in str(body) for _, _, body in asked) == 1
    records = {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("Ann", "Bob", "Eve")}
    assert records["Ann"]["status"] == records["Eve"]["status"] == "ok" and records["Eve"]["data"] == {"name": "Eve"}
    assert records["Bob"]["status"] == "failed" and records["Bob"]["issues"][0]["code"] == "refused"


def test_records_for_pipes_and_for_those_that_are_done(tmp_path, tiny_folder, capsys):
    """JSON lines and nothing else on standard output; pages and lines of records that are done; codes of the end."""
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        canvas = Canvas(str(tmp_path / "in" / f"{name}.pdf"))
        canvas.drawString(72, 700, "Natrium   140   mmol/L")
        canvas.save()
    (tmp_path / "in" / "c.pdf").write_bytes(b"no document")
    command = ["extract", str(tmp_path / "in"), "--model", str(tiny_folder)]

    def run(*more):
        try:
            code = app([*command, *more], standalone_mode=False)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    code, lines, _ = run("--out", "-")
    assert {line["path"] for line in lines} == {str(tmp_path / "in" / name) for name in ("a.pdf", "b.pdf", "c.pdf")}
    assert code == 2 and {line["source"] for line in lines} == {"a.pdf", "b.pdf", "c.pdf"}
    assert not (tmp_path / "records").exists()
    out = tmp_path / "out"
    code, first, told = run("--out", str(out), "--json", "--log", str(tmp_path / "log"))
    log = (tmp_path / "log").read_text().splitlines()
    assert len(log) == 3 and any(
        line.endswith(f"INFO {tmp_path / 'in' / 'c.pdf'}: failed, file unreadable (1)") for line in log
    )
    assert not any("Natrium" in line for line in log)
    assert code == 2 and "file unreadable 1" in told and "\r" not in told
    summary = json.loads((out / "_manifest" / "summary.json").read_text())
    assert summary["files"] == 3 and summary["statuses"]["failed"] == 1 and summary["issues"]["unreadable"] == 1
    assert not list(out.glob("*.html"))
    (tmp_path / "in" / "c.pdf").unlink()
    code, again, _ = run("--out", str(out), "--json", "--html", "--strict")
    kept = sorted((line for line in first if line["source"] != "c.pdf"), key=lambda line: line["source"])
    assert sorted(again, key=lambda line: line["source"]) == kept
    summary = json.loads((out / "_manifest" / "summary.json").read_text())
    codes = Counter(code for line in again for code in {issue["code"] for issue in line["issues"]})
    assert codes and summary["issues"] == codes  # of records that were done before, too
    assert code == (3 if any(line["status"] == "partial" for line in again) else 0 if all(
        line["status"] == "ok" for line in again) else 2)  # fmt: skip
    pages = {path.stem for path in out.glob("*.html")} - {"index"}
    assert pages == {Path(line["source"]).stem for line in again if line["data"] is not None}
    index = (out / "index.html").read_text()
    assert all(f'<a href="{name}.html">{name}.pdf</a>' in index for name in pages) and "c.pdf" in index
    app([*command, "--out", str(out)], standalone_mode=False)
    assert "a.pdf" in capsys.readouterr().out  # few records that are done are shown, too
    (tmp_path / "in" / "d.pdf").write_bytes(b"no document")
    code, _, _ = run("--out", str(out), "--json")
    assert code == 2 and "d.pdf" in (out / "index.html").read_text()  # else the page would go stale


def test_records_that_another_start_reads_are_printed_or_named(tmp_path, tiny_folder, capsys, monkeypatch):
    """Two runs on one folder, each with --json: what the other read is printed, and what it still reads is told."""
    for name in ("a", "b", "c"):
        canvas = Canvas(str(tmp_path / f"{name}.pdf"))
        canvas.drawString(72, 700, "Natrium   140   mmol/L")
        canvas.save()
    files, out = [tmp_path / f"{name}.pdf" for name in ("a", "b", "c")], tmp_path / "out"
    other = Batch(out, task_id(str(tiny_folder), None))
    one, two, _ = other.jobs(find_files(files))
    assert other.claim(one) and other.claim(two)
    other.start(CONTRACT)
    left = Batch.left

    def finished_meanwhile(self):
        other.save(one, Record("a.pdf", "partial", {"tests": []}, [Issue("cut", "It was cut.")]))
        return left(self)

    monkeypatch.setattr(Batch, "left", finished_meanwhile)
    command = ["extract", *map(str, files), "--model", str(tiny_folder), "--out", str(out), "--json"]
    with suppress(SystemExit):
        app(command, standalone_mode=False)
    said = capsys.readouterr()
    assert {json.loads(line)["source"] for line in said.out.splitlines()} == {"a.pdf", "c.pdf"}
    assert "1 of 3 are with another start" in said.err and "answer cut" in said.err


def test_a_record_comes_back_from_its_file(tmp_path):
    place = PageEvidence("14.80", page=1, box=(1.0, 2.0, 3.0, 4.0))
    fields = {
        "/tests/0/result": Field("14.80", "/tests/0/result", 0.5, place, "value"),
        "/tests/0/range": Field("13 - 16", "/tests/0/range", 0.9, None, "range"),
    }
    fields["/tests/0/unit"] = Field("g/dL", "/tests/0/unit", 0.9, None, "unit")
    data = {"tests": [{"result": "14.80", "range": "13 - 16", "unit": "g/dL"}]}
    aside = [SetAside("/tests", {"result": "1"}, "it is doubted", place)]
    issues = [Issue("cut", "It was cut.", page=1), Issue("invalid", "It is none.", "/tests/0/range")]
    record = Record("a.pdf", "partial", data, issues, fields, aside, views=["text"])
    record.save(tmp_path / "a.json")
    assert Record.load(tmp_path / "a.json") == record
    saved = json.loads((tmp_path / "a.json").read_text())
    assert [issue.get("place") for issue in saved["issues"]] == [None, "row 1 (14.80), range"]
    saved = saved["evidence"]
    assert saved["/tests/0/result"]["typed"] == {"kind": "number", "value": 14.8, "unit": "g/dL"}
    assert "unit" not in saved["/tests/0/range"]["typed"]
    assert saved["/tests/0/range"]["typed"]["high"] == 16
    (tmp_path / "b.json").write_text('{"data": 1}')
    with pytest.raises(AssayError, match=r"is no record of assay extract .*; assay extract DOCUMENT .* makes one"):
        Record.load(tmp_path / "b.json")


def test_the_table_shows_all_that_was_set_aside():
    rows = [{"name": name, "result": "1", "date": None} for name in ("Na", "K")]
    aside = [SetAside(f"/tests/{n}/date", "2020", "it is not printed") for n in (0, 1)]
    aside += [
        SetAside("/tests/0/range", "1 - 2", "it is doubted"),
        SetAside("/tests", {"name": "Mg"}, "it is no result"),
    ]
    record = Record("a.pdf", "partial", {"tests": rows}, set_aside=aside)
    shown = "\n".join(str(part) for part in record.table().renderables)
    assert "set aside (4)" in shown and "Mg: it is no result" in shown
    assert "date of 2 rows, “2020”: it is not printed" in shown and "row 1 (Na), range, “1 - 2”: it is doubted" in shown


def test_a_record_is_told_once_on_a_terminal(capsys):
    one = Record.failed("a.pdf", "unreadable", "It is locked.")
    for tables, times in ((True, 1), (False, 2)):
        show = _shower(False, 0.9, few=True)
        assert list(_told([(Job(Path("a.pdf"), "a"), one)], 1, show, tables))
        said = capsys.readouterr()
        assert (said.out + said.err).count("It is locked.") == times
    Console(width=80).print(Record("a.pdf", "ok", {"items": [{"a": "1"}]}).table())
    assert "items (1)" in capsys.readouterr().out  # no title is broken to its table's width


def test_a_log_has_no_traceback_whose_error_may_hold_a_document_s_text(tmp_path):
    log = logging.getLogger("extraction")
    _log_to(tmp_path / "log")
    try:
        raise ValueError("Ann Example, born 1950")
    except ValueError as error:
        log.warning("a.pdf met a fault.", exc_info=error)
    handler = log.handlers[-1]
    log.warning("a\nb.pdf met a fault.")
    log.removeHandler(handler)
    handler.close()
    line, broken = (tmp_path / "log").read_text().splitlines()
    assert line.endswith("WARNING a.pdf met a fault.") and broken.endswith(r"WARNING a\nb.pdf met a fault.")


def test_a_count_among_figures_is_a_whole_number():
    from finetune.compare import told_figure

    assert (told_figure(6), told_figure(1.0)) == ("6", "1.000")
