"""What someone who means harm, or does not know better, may hand over: schemas and files. Each ends, in words."""

import json
import os
import re
import shutil
import socket
import tempfile
import time
from pathlib import Path

import jsonschema
import pytest
from reportlab.pdfgen.canvas import Canvas

from extraction import validation
from extraction.api import Extractor
from extraction.batch import MANIFEST, Batch, run_batch
from extraction.contract import Contract
from extraction.document import Limits, open_document, render_page
from extraction.errors import AssayError, DocumentError
from extraction.folder import find_files
from extraction.generate import Generation
from extraction.readers import Readers
from extraction.schema import allows_null, load_schema, pointer, validator
from extraction.target import Target
from tests.conftest import SHARED, document_of, record_of


def obj(**properties):
    return {"type": "object", "properties": properties}


# Patterns

ENDLESS = "^(a|a)*$"
LONG = "a" * 4000 + "!"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(validation, "_SECONDS", 0.2)


@pytest.mark.parametrize("pattern", ["^(a|a)*$", "^(a|aa)+$", "^((a{1,100}){1,100}){1,100}$", "^(a+)+$"])
def test_a_pattern_that_blows_up_is_an_issue_at_the_value(impatient, pattern):
    schema = obj(code={"type": "string", "pattern": pattern}, kind={"enum": ["a"]})
    answer = Generation(json.dumps({"code": LONG, "kind": "b"}), "stop")
    record = record_of(document_of(LONG), answer, contract=Contract(instruction="", record_schema=schema))
    assert record.status == "partial"
    messages = {issue.path: issue.message for issue in record.issues if issue.code == "invalid"}
    assert set(messages) == {"/code", "/kind"}
    assert "pattern" in messages["/code"] or "does not match" in messages["/code"]


@pytest.mark.parametrize(
    "schema",
    [
        obj(a={"not": {"pattern": ENDLESS}}),
        obj(a={"if": {"pattern": ENDLESS}, "then": True}),
        obj(a={"oneOf": [{"pattern": ENDLESS}, {"type": "string"}]}),
        {"type": "object", "properties": {}, "patternProperties": {ENDLESS: {}}},
        {"type": "object", "properties": {}, "patternProperties": {ENDLESS: {}}, "additionalProperties": False},
        {"type": "object", "properties": {}, "propertyNames": {"not": {"pattern": ENDLESS}}},
        {**obj(a={"$ref": "#/$defs/x"}), "$defs": {"x": {"not": {"pattern": ENDLESS}}},
         "$schema": "https://json-schema.org/draft/2020-12/schema"},
        {**obj(a={"not": {"pattern": ENDLESS}}), "$schema": "http://json-schema.org/draft-04/schema#"},
        {**obj(a={"not": {"pattern": ENDLESS}, "$schema": "http://json-schema.org/draft-07/schema#"}),
         "$schema": "http://json-schema.org/draft-04/schema#"},
    ],
)  # fmt: skip
def test_what_could_not_be_checked_is_never_valid(impatient, schema):
    load_schema(schema)
    data = {"a": LONG} if "a" in schema["properties"] else {LONG: 1}
    errors = [error.message for error in validator(schema).iter_errors(data)]
    assert any("could not be checked" in message for message in errors), errors
    assert validator(schema).is_valid({})


def test_patterns_mean_what_they_mean_in_python():
    cases = {
        "^a{2}$": ["aa", "a", "a{2}"],
        "^a{e}$": ["a{e}", "a", "b"],
        r"^\{[{}]\}$": ["{{}", "{}", "{}}"],
        "(?=A)A1": ["xA1", "a1"],
        r"^\d+[.,]\d{1,2}$": ["1,5", "1.555", "x"],
        "^[^{]x{i}": ["yx{i}", "{x{i}", "yx"],
    }
    for pattern, texts in cases.items():
        schema = obj(a={"pattern": pattern})
        load_schema(schema)
        for text in texts:
            assert validator(schema).is_valid({"a": text}) == bool(re.search(pattern, text)), (pattern, text)
    assert validator(obj(a={"pattern": r"^\p{Lu}"})).is_valid({"a": "Ä"})


def test_what_is_no_regular_expression_is_said_with_its_place():
    for bad in ("(", "a{9999999999999}", "(" * 3000 + ")" * 3000):
        with pytest.raises(AssayError, match="/properties/a/pattern"):
            load_schema(obj(a={"type": "string", "pattern": bad}))
        with pytest.raises(AssayError, match="/patternProperties"):
            load_schema({"type": "object", "properties": {}, "patternProperties": {bad: {}}})


def test_the_validator_says_what_jsonschema_says():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/n"}, "d": {"format": "date"}, "p": {"pattern": "^x"}, "s": {"$ref": "#"}},
        "patternProperties": {"^x-": {"type": "integer"}},
        "additionalProperties": False,
        "$defs": {"n": {"type": ["number", "null"], "minimum": 1}},
    }
    plain = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for data in (
        {}, {"a": 1}, {"a": 0}, {"a": None}, {"d": "2020-13-01"}, {"p": "yx"}, {"x-1": 1}, {"x-1": "1"}, {"y": 1},
        {"s": {"a": 0}}, {"s": {"s": {"y": 0}}},
    ):  # fmt: skip
        own = {(tuple(error.absolute_path), error.validator) for error in validator(schema).iter_errors(data)}
        assert own == {(tuple(error.absolute_path), error.validator) for error in plain.iter_errors(data)}, data


def test_numbers_and_nesting_beyond_python_are_issues_and_not_crashes():
    schema = {
        **obj(n={"multipleOf": 0.1}, tree={"$ref": "#/$defs/t"}),
        "$defs": {"t": {"items": {"$ref": "#/$defs/t"}}},
    }
    assert [e.message for e in validator(schema).iter_errors({"n": 10**400})]
    deep = []
    for _ in range(900):
        deep = [deep]
    assert "RecursionError" in next(validator(schema).iter_errors({"tree": deep})).message
    expression = next(validator(obj(a={"format": "regex"})).iter_errors({"a": "(" * 3000}))
    assert expression.validator == "format"


# References


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("something asked the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (obj(a={"$ref": "http://127.0.0.1:9/x.json"}), "not followed"),
        (obj(a={"$ref": "file:///etc/passwd"}), "not followed"),
        (obj(a={"$ref": "other.json#/x"}), "not followed"),
        (obj(a={"$dynamicRef": "https://example.com/x"}), "not followed"),
        (obj(a={"items": {"not": {"$ref": "https://example.com/x"}}}), "not followed"),
        ({**obj(a={"$ref": "#/x/y"}), "x": {"y": {"if": {"$ref": "https://example.com/x"}}}}, "not followed"),
        ({**obj(a={"$ref": "item.json"}), "$id": "https://example.com/schema.json"}, "not followed"),
        (obj(a={"$id": "https://example.com/a", "properties": {"b": {"$ref": "#/x"}}}), "not followed"),
        (obj(a={"$ref": "#name"}, b={"$anchor": "name"}), "not followed"),
        (obj(a={"$ref": 5}), "not a valid JSON Schema"),
        (obj(a={"$ref": "#/$defs/none"}), "leads nowhere"),
        (obj(a={"$ref": "#/properties/a/enum"}, b={"enum": []}), "circle|lead"),
        (obj(a={"$schema": "http://json-schema.org/draft-07/schema#"}), "only stand at the root"),
        ({**obj(), "$schema": "http://["}, "cannot be checked"),
    ],
)
def test_no_reference_is_ever_fetched(no_network, schema, words):
    with pytest.raises(AssayError, match=words):
        load_schema(schema)


def test_an_unknown_dialect_is_not_fetched_either(no_network):
    schema = {**obj(a={"type": "integer"}), "$schema": "https://example.com/dialect", "$id": "https://example.com/s"}
    load_schema(schema)
    assert not validator(schema).is_valid({"a": "x"})


def test_references_into_any_part_of_the_schema_are_followed():
    schema = obj(
        a={"type": ["string", "null"]}, b={"$ref": "#/properties/a"}, c={"type": "array", "items": {"$ref": "#"}}
    )
    load_schema(schema)
    assert allows_null(schema["properties"]["b"], schema)
    assert Target(schema).grammar_schema()["required"] == ["a", "b"]
    assert not validator(schema).is_valid({"c": [{"b": 1}]})
    assert allows_null(True, schema)


# Shapes

A = {"$ref": "#/$defs/a"}


def laughs(keyword, levels):
    """Each definition refers to the next one twice: 2 to the power of `levels`."""
    steps = {f"a{i}": {keyword: [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(levels)}
    return {**obj(x={"$ref": "#/$defs/a0"}), "$defs": {**steps, f"a{levels}": {"type": "string"}}}


def chain(length):
    steps = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(length)}
    return {**obj(x={"$ref": "#/$defs/a0"}), "$defs": {**steps, f"a{length}": {"type": "string"}}}


def nested(levels, wrap):
    schema = {"type": "string"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (laughs("anyOf", 40), "more than 10,000 alternatives"),
        (laughs("allOf", 40), "more than 10,000 alternatives"),
        (chain(500), "lead to one another"),
        ({**obj(x=A), "$defs": {"a": A}}, "circle"),
        ({**obj(x=A), "$defs": {"a": {"anyOf": [A, {"type": "null"}]}}}, "circle"),
        ({"allOf": [{"$ref": "#"}], "properties": {}}, "circle"),
        (nested(60, lambda inner: obj(a=inner)), "deeper than 100 levels"),
        (nested(5000, lambda inner: obj(a=inner)), "deeper than 100 levels"),
        (obj(a={"enum": [float("nan")]}), "not JSON"),
        (obj(a={"default": {1, 2}}), "not JSON"),
        (obj(a={"title": "\ud800"}), "not JSON"),
        ({"type": "object", "properties": {1: {}}}, "not JSON"),
        ({**obj(a={"unevaluatedProperties": False}), "patternProperties": {"a": {}}}, "not supported"),
    ],
)  # fmt: skip
def test_schemas_without_end_are_refused_in_one_sentence(schema, words):
    with pytest.raises(AssayError, match=words) as caught:
        load_schema(schema)
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_files_that_nest_without_end(tmp_path):
    for text in ("[" * 200_000, '{"a":' * 200_000, "[" * 5000 + "]" * 5000):
        (tmp_path / "deep.json").write_text(text)
        with pytest.raises(AssayError, match=r"deeper than|not valid JSON|must be a JSON"):
            load_schema(tmp_path / "deep.json")


def test_large_and_recursive_schemas_that_have_an_end_are_fine():
    wide = obj(**{f"k{i}": {"type": ["string", "null"]} for i in range(3000)})
    tree = {**obj(t={"$ref": "#/$defs/n"}), "$defs": {"n": obj(kids={"type": "array", "items": {"$ref": "#/$defs/n"}})}}
    for schema in (wide, tree, nested(45, lambda inner: obj(a=inner)), laughs("anyOf", 10)):
        Contract.for_schema(load_schema(schema)).target.grammar_schema()
        assert validator(schema).is_valid({})


def test_what_only_the_data_multiply_ends_too(impatient):
    node = {"anyOf": [{"properties": {"x": {"$ref": "#/$defs/n"}}}, {"properties": {"x": {"$ref": "#/$defs/n"}}}]}
    schema = {**obj(x={"$ref": "#/$defs/n"}), "$defs": {"n": {**node, "type": "object"}}}
    load_schema(schema)
    data = 5
    for _ in range(60):
        data = {"x": data}
    assert "could not be checked" in next(validator(schema).iter_errors(data)).message
    many = obj(x={"items": {"allOf": [{"not": {"type": "string"}}] * 2000}})
    load_schema(many)
    assert "could not be checked" in next(validator(many).iter_errors({"x": [5] * 2000})).message


# Files


def test_a_page_that_is_lost_does_not_take_the_others_along(tmp_path):
    path = tmp_path / "a.pdf"
    canvas = Canvas(str(path), pageCompression=0)
    for number in range(3):
        canvas.drawString(72, 700, f"page{number}")
        canvas.showPage()
    canvas.save()
    data = path.read_bytes()
    kids = re.search(rb"/Kids \[ (\d+) 0 R (\d+) 0 R", data)
    path.write_bytes(data[: kids.start(2)] + b"0".rjust(len(kids[2])) + data[kids.end(2) :])
    pages = open_document(path).pages
    assert [[word.text for word in page.words] for page in pages] == [["page0"], [], ["page2"]]
    assert "damaged" in pages[1].issue


def endless(path, levels=12):
    """A page of a few lines that draws a form ten times, which draws another ten times, and so on."""
    draw = b"/X Do " * 10
    box = b"/Subtype /Form /BBox [0 0 300 300]"
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R /Resources 5 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(draw), draw),
    ]
    for level in range(levels):
        bodies.append(b"<< /XObject << /X %d 0 R >> >>" % (6 + 2 * level))
        bodies.append(
            b"<< %s /Resources %d 0 R /Length %d >>\nstream\n%s\nendstream" % (box, 7 + 2 * level, len(draw), draw)
        )
    bodies.append(b"<< >>")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start, size = len(out), len(bodies) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\n" % (size, table, size)
    path.write_bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)
    return path


def test_a_page_that_is_drawn_without_end_is_one_error(tmp_path):
    path = endless(tmp_path / "a.pdf")
    for read in (open_document, lambda path, limits: render_page(path, 1, limits=limits)):
        with pytest.raises(DocumentError, match="not read within 1 s"):
            read(path, Limits(seconds=1))


CONTRACT = Contract.for_schema(obj(found={"enum": ["yes", "no"]}))


class Quick:
    """A backend that knows what it says."""

    sees = False

    def count_tokens(self, messages):
        return sum(len(part["text"]) for part in messages[0]["content"]) // 4

    def generate(self, examples, contract):
        for example in examples:
            yield example and (example, 0, Generation('{"found":"yes"}', "stop"))


def left_behind(mark):
    """Processes that carry this run's mark, this one and those that multiprocessing keeps for itself apart."""
    psutil = pytest.importorskip("psutil")
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.environ().get("ASSAY_MARK") != mark:
                continue
            if "resource_tracker" not in " ".join(process.cmdline()) and process.status() != "zombie":
                found.append(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """Everything started from here on carries a mark, and keeps its temporary files in a folder of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("ASSAY_MARK", str(tmp_path))
    # Libraries that would keep an identifier, or what they mean to report, do so at home.
    monkeypatch.setenv("HOME", str(tmp_path / "tmp"))
    yield str(tmp_path)
    for _ in range(40):
        if not left_behind(str(tmp_path)):
            break
        time.sleep(0.1)
    assert not left_behind(str(tmp_path))
    assert not list((tmp_path / "tmp").iterdir())


def run(files, out, limit, seconds, workers=2):
    batch = Batch(out, "m")
    jobs = batch.jobs(find_files([files]))
    with Readers(workers, limits=Limits(seconds=limit), seconds=seconds) as readers:
        readers.add((job, job.path) for job in jobs)
        records = [record for _, record in run_batch(lambda: Extractor(Quick(), CONTRACT), readers, batch)]
    assert len(records) == len(jobs)
    for job in jobs:
        record = json.loads((out / f"{job.name}.json").read_text(encoding="utf-8"))
        assert record["status"] in ("ok", "partial", "failed")
        if record["status"] != "ok":
            message = record["issues"][0]["message"]
            assert message.endswith(".") and "\n" not in message and "Traceback" not in message, message
        if record["status"] == "failed":
            assert len(record["issues"]) == 1 and record["data"] is None
    assert not list(out.rglob("*.tmp"))
    return {Path(record.source).stem: record for record in records}


def test_a_batch_that_gives_up_on_a_file_leaves_no_process(tmp_path, mark):
    folder = tmp_path / "in"
    folder.mkdir()
    endless(folder / "endless.pdf")
    canvas = Canvas(str(folder / "fine.pdf"))
    canvas.drawString(72, 700, "Glucose 95 mg/dL")
    canvas.save()
    # The batch's limit is the shorter one: its worker is killed while the process that reads the file hangs.
    records = run(folder, tmp_path / "out", limit=300, seconds=3, workers=1)
    assert records["fine"].status == "ok"
    assert "longer than 3 s" in records["endless"].issues[0].message


@pytest.mark.skipif(not (SHARED / "pdfs").is_dir(), reason="no files to try")
def test_odd_files_of_every_kind_in_one_batch_end_in_records(tmp_path, mark):
    """The smallest file of each kind; test_document.py opens them all."""
    files, out = tmp_path / "in", tmp_path / "out"
    for kind in sorted(path for path in (SHARED / "pdfs").iterdir() if path.is_dir()):
        one = min((path for path in kind.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, path))
        (files / kind.name).mkdir(parents=True)
        shutil.copy(one, files / kind.name / one.name)
    run(files, out, limit=8, seconds=40)
    [manifest] = (out / MANIFEST).glob("*.jsonl")
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()[1:]]
    category = {line["name"]: line["name"].split("/")[0] for line in lines}
    status = {line["name"]: line["status"] for line in lines}
    assert len(status) == len(list(files.iterdir())) > 20
    assert all(status[name] == "ok" for name in status if category[name] == "plain_ok")
    assert all(status[name] == "failed" for name in status if category[name] == "needs_password")


def test_what_a_schema_refuses_is_said_in_plain_words():
    row = {"type": "object", "properties": {"name": {"type": ["number", "null"]}}, "required": ["unit"]}
    own = {"date": {"type": "string"}, "kind": {"enum": ["a", "b"]}, "code": {"pattern": "^[0-9]$"}, "row": row}
    schema = {"type": "object", "properties": own, "required": ["date"], "additionalProperties": False}
    data = {"kind": "c", "code": "x", "row": {"name": "y"}, "more": None}
    said = {(pointer(e.absolute_path), e.message) for e in validator(schema).iter_errors(data)}
    assert said == {
        ("", "The record has no date."),
        ("/row", "There is no unit."),
        ("/row/name", "“y” stands where a number or nothing is wanted."),
        ("/kind", "“c” is none of the choices: “a”, “b”."),
        ("/code", "“x” does not have the form that is asked for (pattern ^[0-9]$)."),
        ("", "“more”: there is no such field in the schema."),
    }
