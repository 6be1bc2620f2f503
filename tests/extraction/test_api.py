"""From a file to a record: what is read, what is missing, what is said about it."""

import gc
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from reportlab.pdfgen.canvas import Canvas

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.evidence import PageEvidence
from extraction.example import Branch
from extraction.export.frames import to_dataframe
from extraction.generate import Generation
from extraction.reading import document_example
from extraction.record.aside import set_aside_rows
from extraction.record.record import Issue, Record
from extraction.record.reply import Value, confidence
from extraction.tally import in_a_line
from finetune.data import divide
from recipes.lab_report.task import CONTRACT
from tests.conftest import Scripted, document_of, record_of

PRINTED = "Glucose      5,0      mmol/L"
ROW = '["Glucose","5,0","mmol/L"]'


NOTHING = Generation('{"tests":[]}', "stop")


def pdf(path, *pages):
    canvas = Canvas(str(path))
    for page in pages:
        for number, line in enumerate(page):
            canvas.drawString(72, 760 - 20 * number, line)
        canvas.showPage()
    canvas.save()
    return path


def test_a_good_answer_is_a_record(tmp_path):
    backend = Scripted(f'{{"tests":[{{"panel":"Blood"}},{ROW}]}}')
    record = Extractor(backend, CONTRACT).extract(pdf(tmp_path / "a.pdf", ["Blood", PRINTED]))
    assert record.status == "ok" and record.issues == []
    result = record["tests"][0]["result"]
    assert result.page == 1 and result.text == "5,0" and 90 < result.box[1] < 102
    assert str(result.typed.value) == "5.0"
    assert record.to_dict()["source"] == "a.pdf"
    assert record["tests"][0]["result"].value == "5,0"
    assert record["tests"][0]["panel"].value == "Blood" and record["tests"][0]["range"].value is None
    assert "Glucose" in backend.asked[0]
    out = io.StringIO()
    from rich.console import Console

    Console(file=out, width=100).print(record.table())
    assert "Glucose" in out.getvalue() and "range" not in out.getvalue()


@pytest.mark.parametrize(
    ("answer", "finish", "rows", "status"),
    [
        (f'{{"tests":[{ROW},["Natri', "length", 1, "partial"),
        ('{"tests":[', "length", 1, "partial"),
        ("I cannot read this.", "stop", None, "failed"),
        (f'Sure!\n```json\n{{"tests":[{ROW}]}}\n```', "stop", 1, "ok"),
        ('{"tests":[],"extra":1}', "stop", 1, "partial"),
    ],
)
def test_no_loss_is_reported_as_success(tmp_path, answer, finish, rows, status):
    """Code reads the row that the model did not, and says so."""
    record = Extractor(Scripted(answer, finish=finish), CONTRACT).extract(pdf(tmp_path / "a.pdf", [PRINTED]))
    assert record.status == status
    assert bool(record.issues) == (status != "ok")
    assert (record.data and len(record.data.get("tests", []))) == rows


def test_what_is_not_on_the_page_and_what_is_left_out_are_said():
    page = "Glucose      5,0      mmol/L     3,9 - 5,6\nNatrium      140      mmol/L     136 - 145"
    answer = '{"tests":[["Glucose","5,1","mmol/L"]]}'
    record = record_of(document_of(page), Generation(answer, "stop"))
    assert record.status == "partial"
    assert [(i.code, i.path, i.page) for i in record.issues] == [("added", "/tests/0", 1), ("added", "/tests/1", 1)]
    assert "Natrium" in record.issues[1].message
    [aside] = record.set_aside
    assert [row["result"] for row in record.data["tests"]] == ["5,0", "140"]
    assert aside.data["result"] == "5,1" and aside.evidence.page == 1
    assert "“5,1” does not stand" in aside.reason


def test_a_value_that_is_not_printed_gives_way_to_one_that_is_and_is_kept():
    page = f"{PRINTED}     3,9 - 5,6\nNatrium      140      mmol/L     136 - 145"
    answer = '{"tests":[["Glucose","5,0","mmol/L","4,0 - 5,6"],["Natrium","140","mg/L","136 - 145"]]}'
    record = record_of(document_of(page), Generation(answer, "stop"))
    assert record.data["tests"][0]["range"] == "3,9 - 5,6" and record.data["tests"][1]["unit"] == "mmol/L"
    assert [(one.path, one.data) for one in record.set_aside] == [
        ("/tests/0/range", "4,0 - 5,6"), ("/tests/1/unit", "mg/L")]  # fmt: skip
    assert record.status == "ok" and "“mmol/L” does" in record.set_aside[1].reason


def test_a_value_that_may_not_be_null_stays_and_is_an_issue():
    row = {"type": "object", "properties": {"name": {"type": "string"}, "amount": {"type": "string"},
           "unit": {"type": "string"}}, "required": ["name", "amount", "unit"]}  # fmt: skip
    for items in (row, {"anyOf": [row, {"type": "null"}]}):
        schema = {"type": "object", "properties": {"rows": {"type": "array", "items": items}}}
        roles = {"name": "name", "amount": "value", "unit": "unit"}
        contract = Contract.for_schema(schema).model_copy(update={"roles": roles})
        answer = '{"rows":[{"name":"Glucose","amount":"5,0","unit":"grams"}]}'
        record = record_of(document_of(PRINTED), Generation(answer, "stop"), contract=contract)
        assert record.data["rows"][0]["unit"] == "grams" and record.set_aside == []
        assert [issue.code for issue in record.issues] == ["not_found"]


def test_a_row_that_the_model_doubts_is_set_aside_and_the_others_keep_their_issues():
    page = f"{PRINTED.replace('mmol/L', '')}\nNatrium      140      roughly"
    text = '{"tests":[["Glucose","5,0"],["Natrium","140","mmol"]]}'
    sure = [-3.0 if "5" in char else -0.01 for char in text]
    record = record_of(document_of(page), Generation(text, "stop", list(range(len(text))), sure))
    [row, value] = record.set_aside
    assert row.data["name"] == "Glucose" and "doubts" in row.reason
    assert record.data["tests"][0]["name"] == "Natrium" and value.path == "/tests/0/unit"
    assert {issue.path for issue in record.issues if issue.code == "not_found"} == {"/tests/0/unit"}


def test_pages_without_text_are_an_issue_where_there_is_no_ocr(tmp_path, monkeypatch):
    monkeypatch.setattr("extraction.document.ocr.ocr_available", lambda: False)
    record = Extractor(Scripted('{"tests":[]}'), CONTRACT).extract(pdf(tmp_path / "a.pdf", ["x"], []))
    assert record.status == "partial" and record.issues[0].page == 2


def test_a_line_that_was_left_out_is_shown_once_more(tmp_path):
    """Of the second look only what stands on that line is taken: no row twice, nothing of what surrounds it."""
    page = [PRINTED, "Natrium      140      mmol/L     136 - 145", "Kalium      4,1      mmol/L     3,5 - 5,0"]
    page = [*("A line of the letter's head" for _ in range(8)), *page]
    again = f'{{"tests":[{ROW},["Natrium","140","mmol/L","136 - 145"],["Page","1"]]}}'
    backend = Scripted(f'{{"tests":[{ROW},["Kalium","4,1","mmol/L","3,5 - 5,0"]]}}', again)
    record = Extractor(backend, CONTRACT).extract(pdf(tmp_path / "a.pdf", page))
    assert [row["name"] for row in record.data["tests"]] == ["Glucose", "Natrium", "Kalium"]
    assert record.status == "ok" and len(backend.asked) == 2
    assert record["tests"][1]["result"].value == "140" and record["tests"][0]["panel"].value is None
    backend = Scripted(f'{{"tests":[{ROW}]}}', NOTHING.text)
    record = Extractor(backend, CONTRACT).extract(pdf(tmp_path / "b.pdf", page))
    assert {issue.code for issue in record.issues} <= {"added", "row_left_out"} and len(record.issues) == 2


def test_a_row_that_is_printed_once_is_in_the_record_once():
    page = f"{PRINTED}\nNatrium      140      mmol/L\nNatrium      140      mmol/L"
    rows = [["Glucose", "5,0", "mmol/L"], ["Natrium", "140", "mmol/L"], ["Natrium", "140", "mmol/L"]]
    read = [*rows, ["Glucose", "5,0", "mmol"], ["Natrium", "140", "mmol/L"], ["Kalium", "5,0", "mmol/L"]]
    record = record_of(document_of(page), Generation(json.dumps({"tests": read}), "stop"))
    assert [row["name"] for row in record.data["tests"]] == ["Glucose", "Natrium", "Natrium"]
    assert "repeated" not in {issue.code for issue in record.issues}  # nothing is lost, so nobody is alarmed
    assert [row.data["name"] for row in record.set_aside] == ["Kalium"]


def test_what_another_row_is_called_is_no_result():
    """As where two windows show a heading above a row, and one of them reads both lines as one row."""

    def row(name, result, *places):
        boxes = [(10.0, 10.0 * place, 60.0, 10.0 * place + 8) for place in places]
        own = [Value(v, 0.9, PageEvidence(v, page=1, box=box)) for v, box in zip((name, result), boxes, strict=True)]
        return dict(zip(("name", "result"), own, strict=True))

    tree = {"tests": [row("Ionen", "Natrium", 1, 2), row("Natrium", "140", 2, 3)]}
    pruned = set_aside_rows(tree, CONTRACT, [], grounded=True)
    assert [one["name"].value for one in pruned.tree["tests"]] == ["Natrium"]
    [aside] = pruned.aside
    assert aside.data["name"] == "Ionen" and aside.reason == "“Natrium” is what another row is called"


def test_of_equal_rows_that_are_nowhere_on_the_page_one_is_kept_and_named():
    rows = [["Glucose", "5,0", "mmol/L"], *[["Kalium", "3,9", "mmol"]] * 3]
    record = record_of(document_of(PRINTED), Generation(json.dumps({"tests": rows}), "stop"))
    assert [row["name"] for row in record.data["tests"]] == ["Glucose"]
    assert [row.data["name"] for row in record.set_aside] == ["Kalium"]
    assert "set_aside" in {issue.code for issue in record.issues}


@pytest.mark.parametrize(
    "beside, told", [("", []), ("      folgt", ["repeated", "added"])], ids=["alone", "with more beside"]
)
def test_a_heading_read_as_a_row_with_the_values_of_the_row_below_it_is_no_row(beside, told):
    """Where more than itself stands on its line, it may be a row whose own values are lost."""
    page = f"{PRINTED}\nIonen{beside}\nNatrium      140      mmol/L\nKalium      4,1      mmol/L"
    rows = [["Glucose", "5,0", "mmol/L"], ["Ionen", "140", "mmol/L"], ["Natrium", "140", "mmol/L"]]
    answer = json.dumps({"tests": [*rows, ["Kalium", "4,1", "mmol/L"]]})
    record = record_of(document_of(page), Generation(answer, "stop"))
    names = ["Glucose", *(["Ionen"] if beside else []), "Natrium", "Kalium"]
    assert [row["name"] for row in record.data["tests"]] == names
    assert [issue.code for issue in record.issues] == told and all("Ionen" in issue.message for issue in record.issues)


def test_a_heading_that_is_not_printed_is_one_issue():
    page = f"{PRINTED}\nNatrium      140      mmol/L"
    answer = '{"tests":[{"panel":"Blood"},["Glucose","5,0","mmol/L"],["Natrium","140","mmol/L"]]}'
    record = record_of(document_of(page), Generation(answer, "stop"))
    assert [(issue.code, issue.path) for issue in record.issues] == [("not_found", "/tests/0/panel")]
    assert "in 2 rows" in record.issues[0].message


def test_a_bad_file_fails_alone(tmp_path):
    good = pdf(tmp_path / "good.pdf", [PRINTED])
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 no")
    scan = pdf(tmp_path / "scan.pdf", [])
    extractor = Extractor(Scripted(f'{{"tests":[{ROW}]}}'), CONTRACT)
    paths = [tmp_path / "none.pdf", good, tmp_path / "bad.pdf", scan]
    records = dict(extractor.extract_all(paths))
    assert [records[number].status for number in range(4)] == ["failed", "ok", "failed", "failed"]
    assert "text layer" in records[3].issues[0].message


def test_a_column_taken_for_the_next_is_said():
    page = "Leukocytes      7,1      %      18,9 - 47,2"
    for row, at in (
        (["Leukocytes", "%", "18,9 - 47,2"], "/tests/0"),
        (["Leukocytes", "18,9 - 47,2", "%", "7,1"], "/tests/0"),
        (["Leukocytes", "10^9/L"], "/tests/0"),
        (["Leukocytes", "7,1", "18,9 - 47,2"], "/tests/0/unit"),
        (["Leukocytes", "7,1", None, "%"], "/tests/0/range"),
    ):
        record = record_of(document_of(page), Generation(json.dumps({"tests": [row]}), "stop"))
        [aside] = record.set_aside
        assert at.startswith(aside.path) and at in {issue.path for issue in record.issues}
        if at == "/tests/0":  # the row is read from its line
            assert [list(row.values())[:4] for row in record.data["tests"]] == [
                ["Leukocytes", "7,1", "%", "18,9 - 47,2"]
            ]
    for row in (
        ["Leukocytes", "7,1", "%", "18,9 - 47,2"],
        ["Leukocytes", "18,9 - 47,2", "10^9/L"],
        ["Leukocytes", "7,1", "mg/24h", "7,1"],
        ["E. coli", "10^5/mL"],
        ["Leukocytes", "few (3)"],
    ):
        record = record_of(document_of(page), Generation(json.dumps({"tests": [row]}), "stop"))
        assert not any(" no " in one.reason for one in record.set_aside)


def test_an_earlier_result_taken_for_the_result_is_said():
    titles = "Analyse      Vorwert 01.02.24      Resultat      Einheit"
    page = f"{titles}\nKalium       4,1                   4,8           mmol/L"
    for result, wanted in (("4,1", ["“4,1” stands under “Vorwert 01.02.24”"]), ("4,8", [])):
        answer = json.dumps({"tests": [["Kalium", result, "mmol/L"]]})
        record = record_of(document_of(page), Generation(answer, "stop"))
        earlier = "earlier results, under “Vorwert 01.02.24”"  # the column, left out of what the model is shown
        assert [one.reason for one in record.set_aside] == [*wanted, earlier]


def test_a_row_without_a_result_is_said():
    page = f"{PRINTED}\nPlease send a second tube"
    answer = json.dumps({"tests": [["Glucose", "5,0", "mmol/L"], ["Please send a second tube"]]})
    record = record_of(document_of(page), Generation(answer, "stop"))
    assert [(issue.code, issue.path) for issue in record.issues] == [("no_result", "/tests/1")]


def test_confidence_is_the_probability_of_the_values_own_tokens():
    text = '{"tests":[["Na","140"]]}'
    offsets = [0, 10, 12, 14, 17, 20, 21]
    generation = Generation(text, "stop", offsets, [0.0, 0.0, -0.1, 0.0, -0.2, -0.4, -0.8])
    record = record_of(document_of("Na  140"), generation)
    assert math.isclose(record["tests"][0]["name"].confidence, math.exp(-0.1))
    # A result is right only in the right row.
    assert math.isclose(record["tests"][0]["result"].confidence, math.exp(-0.6) * math.exp(-0.1))
    assert confidence(Generation(text, "stop"), 0, 5) is None


def test_a_record_is_written_whole(tmp_path):
    record = record_of(document_of("x", name="ä.pdf"), Generation(f'{{"tests":[{ROW}]}}', "stop"))
    record.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == record.to_dict()
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_questions_without_a_text_of_their_own_are_all_answered_by_their_schemas():
    """Branches of a document that differ in their schemas alone."""
    depot = {"type": "object", "properties": {"depot": {"type": "string", "enum": ["Ghent"]}}, "required": ["depot"]}
    asked = Branch(schema=depot), Branch(schema=CONTRACT.record_schema)
    example = replace(document_example(document_of(PRINTED), CONTRACT), branches=asked)
    backend = Scripted('{"depot":"Ghent"}', f'{{"tests":[{ROW}]}}')
    one, two = Extractor(backend, CONTRACT).answer(example)
    assert one.data == {"depot": "Ghent"} and two.data["tests"][0]["result"] == "5,0"
    assert divide(example, CONTRACT, lambda parts: True) == [example]


def test_a_document_without_a_path_is_read_like_its_file(tmp_path):
    path = pdf(tmp_path / "a.pdf", ["Blood", PRINTED])
    extractor = Extractor(Scripted(*[f'{{"tests":[{{"panel":"Blood"}},{ROW}]}}'] * 4), CONTRACT)
    of_path = extractor.extract(path)
    of_bytes = extractor.extract(path.read_bytes(), name="a.pdf")
    with path.open("rb") as file:
        of_file = extractor.extract(file)
    with TemporaryFile() as nameless:  # whose name is a number
        nameless.write(path.read_bytes())
        nameless.seek(0)
        of_nameless = extractor.extract(nameless, name="../a.pdf")
    assert of_path.to_dict() == of_bytes.to_dict() == of_file.to_dict() == of_nameless.to_dict() and of_path.data
    of_bytes.save_html(tmp_path / "a.html")  # its pages can still be drawn
    copy = of_bytes.document.path
    del of_bytes
    gc.collect()
    assert not copy.parent.exists()
    with pytest.raises(AssayError, match="open it as bytes"):
        extractor.extract(io.StringIO("x"))
    with pytest.raises(AssayError, match="not NoneType"):
        extractor.extract(None)
    [empty] = extractor.extract(b"", name="b.pdf").issues
    assert empty.message.startswith("b.pdf is empty")


def test_records_are_a_data_frame():
    contract = Contract.for_schema({"type": "object", "properties": {"lab": {"type": "string"}, "tests": {
        "type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string"}, "result": {"type": "string"}}}}}}, )  # fmt: skip
    one = Record("a.pdf", "ok", {"lab": "X", "tests": [{"name": "Na", "result": "1"}, {"name": "K", "result": "2"}]})
    failed = Record.failed("b.pdf", "empty", "Nothing.")
    frame = to_dataframe([one, failed], contract)
    assert list(frame["name"])[:2] == ["Na", "K"] and list(frame["lab"])[:2] == ["X", "X"]
    assert list(frame["document"]) == ["a.pdf", "a.pdf", "b.pdf"]
    assert list(frame["status"])[2] == "failed" and list(frame["issues"])[2] == "Nothing."
    assert list(to_dataframe([one, failed])["issues"])[2] == "Nothing."
    assert list(to_dataframe(one)["result"]) == ["1", "2"]
    with pytest.raises(AssayError, match=r"takes records .* not str"):
        to_dataframe(one.data)


def test_a_value_of_a_failed_record_is_refused_with_its_reason():
    with pytest.raises(AssayError, match=r"b\.pdf has no data: It is locked\."):
        Record.failed("b.pdf", "unreadable", "It is locked.")["tests"]


def test_a_heading_that_is_a_name_is_not_summed_as_another_column():
    line = in_a_line(Path("in/a.pdf"), Record("a.pdf", "partial", {}, [Issue("misplaced", "x")]))
    assert line == "in/a.pdf: partial, values out of place (1)"
