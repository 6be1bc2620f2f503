"""Questions of a user's own, judged by their answers."""

import json

import pytest

from extraction.errors import AssayError
from extraction.record.record import Record
from extraction.room import Room
from finetune.task import DataRequest
from recipes.ehr_qa.grade import grade
from recipes.ehr_qa.own import kind_of
from recipes.ehr_qa.task import CONTRACT, TASK
from tests.recipes.ehr_bundles import everything, write

ROWS = [
    {"question": "sugar?", "answer": "91.5 mg/dL", "evidence": [17]},
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
    replies = ["91.5 mg/dl", "May 6, 1990", ["captopril 25 mg oral tablet", "Ibuprofen 200 MG Oral Tablet"], None]
    answers = [{"answer": reply, "evidence": [17]} for reply in replies]
    figures = TASK.grade(CONTRACT, [example], [[Record("a", "ok", one) for one in answers]]).figures
    assert figures["accuracy"] == figures["own"] == 1.0 and figures["evidence_cited"] == 1.0
    assert not grade(example.branches[0].source, "91.5")


@pytest.mark.parametrize(
    ("row", "said"),
    [({"question": "x"}, "line 1"), ({"question": "x", "answer": "y", "patient": "z"}, "a patient of the folder"),
     ({"question": "x", "answer": "y", "evidence": [99]}, "line 1")],
)  # fmt: skip
def test_what_is_no_question_is_named(tmp_path, row, said):
    with pytest.raises(AssayError, match=said):
        read(tmp_path, [row])


def test_an_answer_tells_how_it_is_compared():
    found = {kind_of(answer) for answer in ("7,1 %", "<5 mg/L")}
    assert found == {"number"} and kind_of("yes") == "yes_no" and kind_of("2010-01-05") == "date"
    assert kind_of(("a", "b")) == "set" and kind_of("Dr. Dibbert") == kind_of(None) == "name"
