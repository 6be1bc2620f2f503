"""Questions of a user's own, judged by their answers."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from extraction.api import Extractor
from extraction.errors import AssayError
from extraction.evidence import LineEvidence
from extraction.record.record import Field, Record
from extraction.room import Room
from finetune.answers import by_kind
from finetune.task import DataRequest
from recipes.cli import app
from recipes.ehr_qa.answer import Answer
from recipes.ehr_qa.grade import grade
from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.own import kind_of, own_questions, state_of
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record
from recipes.ehr_qa.task import CONTRACT, TASK
from recipes.ehr_query import task as ehr_query
from tests.conftest import Scripted
from tests.recipes.ehr_bundles import coded, everything, measured, patient, write

ROWS = [
    {"question": "sugar?", "answer": "91.5 mg/dL", "evidence": [18]},
    {"question": "when did the sinuses begin?", "answer": "1990-05-06"},
    {"question": "drugs?", "answer": ["Ibuprofen 200 MG Oral Tablet", "Captopril 25 MG Oral Tablet"]},
    {"question": "gout?", "answer": None},
]


def read(folder, rows):
    write(folder / "a.json", everything())
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return TASK.read(DataRequest(folder, "validation", CONTRACT, Room(lambda messages: 100, CONTRACT)))


def test_they_are_asked_in_order_and_judged_by_their_kind(tmp_path):
    [example] = read(tmp_path, ROWS)
    assert [branch.parts[0] for branch in example.branches] == [row["question"] for row in ROWS]
    replies = ["91.5 mg/dl", "1990-05-06", ["captopril 25 mg oral tablet", "Ibuprofen 200 MG Oral Tablet"], None]
    found = [said(reply, lines) for reply, lines in zip(replies, ([18], [6], [8, 9], []), strict=True)]
    judged = TASK.grade(CONTRACT, [example], [found])
    assert judged.figures == {"accuracy": 1.0, "questions": 4, "evidence_cited": 1.0}, judged.answers
    assert [row["kind"] for row in judged.answers] == ["number", "date", "list", "not found"]
    assert not grade(example.branches[0].source, "91.5")
    other = [said("gout", [18]), said(None, []), said("Ibuprofen 200 MG Oral Tablet", [9], 0.2), said("yes", [6])]
    states = [row["state"] for row in TASK.grade(CONTRACT, [example], [other]).answers]
    assert states == ["withheld", "not found", "doubted", "wrong"]


def said(reply, lines, sure=1.0):
    """What a model read, from which lines of the record it is."""
    fields = {f"/evidence/{n}": Field(n, "", sure, LineEvidence("", line=n)) for n in lines}
    return Record("a", "ok", {"answer": reply, "evidence": lines}, fields=fields)


QUERIES = {
    "sugar?": {"what": "observation", "which": "sugar", "operation": "latest"},
    "since when the sinuses, viral sinusitis?": {"what": "condition", "which": "sinusitis", "operation": "first"},
    "how many sugar values": {"what": "observation", "which": "sugar", "operation": "count"},
    "drugs?": {"what": "medication", "which": None, "operation": "list"},
    "ibuprofen still?": {"what": "medication", "which": "ibuprofen", "operation": "active"},
    "gout?": {"what": "condition", "which": "gout", "operation": "exists"},
    "asthma, ever?": {"what": "condition", "which": "asthma", "operation": "exists"},
    "why?": {"what": "text", "which": None, "operation": "list"},
}
TABLE = """record,question,answer,evidence
a.json,sugar?,91.5,18
a,"since when the sinuses, viral sinusitis?","May 6, 1990",
p1,how many sugar values,2,
p1,drugs?,Ibuprofen 200 MG Oral Tablet; Captopril 25 MG Oral Tablet,"8; 9"
p1,ibuprofen still?,yes,
p1,gout?,not in the record,
p1,"asthma, ever?",yes,
p1,why?,Viral sinusitis,
"""


def test_a_table_of_questions_is_looked_up_judged_by_kind_and_kept(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "a.json", everything())
    (tmp_path / "data" / "questions.csv").write_text(TABLE, encoding="utf-8")
    backend = Scripted(*(json.dumps(query) for query in QUERIES.values()))
    monkeypatch.setattr(Extractor, "from_pretrained", classmethod(lambda *_: Extractor(backend, ehr_query.CONTRACT)))
    command = ["evaluate", "ehr-query-270m", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--json"]
    first = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    rows = [json.loads(line) for line in next(tmp_path.glob("out/*answers.jsonl")).read_text("utf-8").splitlines()]
    states = {row["question"]: row["state"] for row in rows}
    assert states.pop("why?") == "withheld" and states.pop("asthma, ever?") == "not found"
    assert set(states.values()) == {"right"}, rows
    assert first["accuracy"] == 0.75 and first["kinds"]["number"]["n"] == 2 and first["evidence_cited"] == 1.0
    again = TABLE.replace("gout?,not in", "gout at all?,not in")
    (tmp_path / "data" / "questions.csv").write_text(again, encoding="utf-8")
    backend.answers = [json.dumps(QUERIES["gout?"])]
    assert json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout) == first
    assert len(backend.asked) == len(QUERIES) + 1  # the changed question alone


@pytest.mark.parametrize(("value", "truth"), [("Never smoker", "no"), ("Current smoker", "yes")])
def test_yes_and_no_are_read_from_a_value_in_words(tmp_path, value, truth):
    one = measured("o1", "Tobacco smoking status", 0, "", "2010-01-05")
    del one["valueQuantity"]
    file = write(tmp_path / "a.json", [patient(), one | {"valueCodeableConcept": coded(value)}])
    (tmp_path / "questions.csv").write_text(f"question,answer\nsmoker?,{truth}\n", encoding="utf-8")
    record = read_record(file)
    [question] = own_questions(tmp_path, [record])[record.patient]
    found = run(Query(what="observation", which="smoking", operation="exists"), record)
    assert state_of(question, Answer.looked_up("smoker?", found, said(None, []))) == "right"
    other = replace(question, answer="yes" if truth == "no" else "no")
    assert state_of(other, Answer.looked_up("smoker?", found, said(None, []))) == "wrong"


def test_answers_are_counted_by_kind():
    rows = by_kind([{"kind": "date", "state": state} for state in ("right", "right", "doubted")])
    assert rows["date"] == rows["all"] and (rows["all"]["n"], rows["all"]["right"], rows["all"]["doubted"]) == (3, 2, 1)
    assert rows["all"]["right_low"] == pytest.approx(0.208, abs=1e-3)


@pytest.mark.parametrize(
    ("row", "said"),
    [({"question": "x"}, "questions.jsonl, line 1, has no `answer`"),
     ({"question": "x", "answer": "y", "patient": "z"}, "line 1, is of “z”, which is no patient of the folder"),
     ({"question": "x", "answer": "y", "evidence": [99]}, r"line 1, cites \[99\]"),
     ({"question": "x", "answer": {"a": 1}}, "line 1, has an answer that is no text"),
     ({"question": " ", "answer": "y"}, "line 1, has no `question`")],
)  # fmt: skip
def test_what_is_no_question_is_named(tmp_path, row, said):
    with pytest.raises(AssayError, match=said):
        read(tmp_path, [row])


def test_an_answer_tells_how_it_is_compared():
    found = {kind_of(answer) for answer in ("7,1 %", "<5 mg/L")}
    assert found == {"number"} and kind_of("yes") == "yes_no" and kind_of("2010-01-05") == "date"
    assert kind_of(("a", "b")) == "set" and kind_of("Dr. Dibbert") == kind_of(None) == "name"
