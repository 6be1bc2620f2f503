"""Questions in words: written as a query by a model, answered by code; read where there is no query."""

import json
import math

import pytest
from typer.testing import CliRunner

from extraction.api import Extractor
from extraction.errors import AssayError
from extraction.generate import Generation
from recipes.cli import app
from recipes.ehr_qa.answer import Answerer
from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record
from recipes.ehr_qa.search import ranked
from recipes.ehr_qa.task import CONTRACT as READING
from recipes.ehr_query.ask import Asker
from recipes.ehr_query.said import Said
from recipes.ehr_query.show import cohort, page, sparkline, told
from recipes.ehr_query.task import CONTRACT
from tests.conftest import Reader
from tests.recipes.ehr_bundles import condition, everything, measured, patient, write

QUERIES = {
    "last sugar?": {"what": "observation", "which": "blood sugar", "operation": "latest"},
    "sugar over time": {"what": "observation", "which": "glucose", "operation": "trend"},
    "her heart?": {"what": "condition", "which": "heart attack", "operation": "exists"},
    "sugar tablet?": {"what": "observation", "which": "ibuprofen tablet", "operation": "latest"},
    "why the pain killer?": {"what": "text", "which": None, "operation": "list"},
    "on the 40th?": {"what": "condition", "which": None, "operation": "list",
                     "times": [{"relation": "on", "date": "2010-13-40"}]},
}  # fmt: skip


class Writer(Reader):
    """Writes the query of a question, as sure of it as is said; or what it read."""

    def __init__(self, reads=None, sure=1.0):
        self.reads, self.sure, self.asked = reads, sure, []

    def answer(self, text):
        self.asked.append(text)
        found = self.reads or next(query for question, query in QUERIES.items() if question in text)
        written = json.dumps(found, separators=(",", ":"))
        return Generation(written, "stop", [*range(len(written))], [math.log(self.sure) / 10] * len(written))


@pytest.fixture
def record(tmp_path):
    return read_record(write(tmp_path / "a.json", everything()))


def asker(sure=1.0, reads=None):
    reading = Writer(reads or {"evidence": [9], "answer": "Viral sinusitis"})
    return Asker(Extractor(Writer(sure=sure), CONTRACT), lambda: Answerer(Extractor(reading, READING)))


def test_a_question_is_answered_by_code_with_its_day_and_its_line(record):
    one = asker()
    [sugar, heart] = one.ask(record, ["last sugar?", "her heart?"])
    assert (sugar.answer, sugar.said, sugar.issue) == ("91.5 mg/dL", "Glucose: 91.5 mg/dL (1991-05-06).", None)
    assert sugar.lines == {n: record.lines[n - 1].text for n in sugar.evidence} and len(sugar.evidence) == 1
    assert heart.answer is None and "lines of conditions searched" in heart.said  # never a plain no
    assert not any(line.text in text for line in record.lines for text in one.extractor.backend.asked)
    assert sugar.to_json()["query"] == QUERIES["last sugar?"]
    assert told(sugar).splitlines()[:2] == ["last sugar?", "  Glucose: 91.5 mg/dL (1991-05-06)."]


def test_a_name_of_another_section_is_looked_up_there_and_that_is_told(record):
    [found] = asker().ask(record, ["sugar tablet?"])
    assert "Ibuprofen" in found.said and found.query.what == "medication" and "not sure" in found.issue
    assert (
        found.notes[0] == "Looked up in the place of latest observation “ibuprofen tablet”, of which nothing is known."
    )


def test_what_has_no_query_is_read_and_what_is_not_understood_is_said(record):
    [why, never] = asker().ask(record, ["why the pain killer?", "on the 40th?"])
    assert why.answer == "Viral sinusitis" and why.query is None and why.lines == {9: record.lines[8].text}
    assert never.answer is None and never.said.startswith("Not understood")


def test_an_answer_that_is_not_on_its_lines_is_withheld(record):
    [why] = asker(reads={"evidence": [1], "answer": "Gout"}).ask(record, ["why the pain killer?"])
    assert why.answer is None and why.said == "Withheld." and why.issue


def test_a_doubt_is_said(record):
    [sugar] = asker(sure=0.2).ask(record, ["last sugar?"])
    assert sugar.answer == "91.5 mg/dL" and "not sure" in sugar.issue and sugar.issue in told(sugar)


def test_what_was_read_without_being_sure_or_a_line_is_doubted(record):
    wrote = {"evidence": [9], "answer": "Viral sinusitis"}
    for sure, reads, said in [(0.3, wrote, "not sure"), (1.0, {"evidence": [], "answer": "yes"}, "no line"),
                              (1.0, wrote, None), (0.3, {"evidence": [], "answer": None}, None)]:  # fmt: skip
        [given] = Answerer(Extractor(Writer(reads, sure), READING)).answer_record(record, ["why the pain killer?"])
        assert given.answer == reads["answer"] and not given.withheld
        assert (given.issue is None) if said is None else (said in given.issue and given.issue in told(given))
        assert given.to_json().get("issue") == given.issue
        assert given.to_json()["confidence"] == (round(given.confidence, 4) if reads["answer"] else None)
    assert given.said.startswith("Not found by reading")


def test_a_trend_is_drawn_and_a_page_marks_its_lines(record):
    [sugar] = asker().ask(record, ["sugar over time"])
    assert sparkline([1, 2, 3]) == "▁▅█" and sparkline([1]) == "" and len(sparkline([2, 2])) == 2
    assert "▁█" in told(sugar)
    made = page(record, [sugar])
    assert all(f'<li id=L{n} class="cited">' in made for n in sugar.evidence) and made.count('"cited"') == 2


def test_what_is_not_read_for_want_of_room_is_said_and_lines_with_the_words_stay(tmp_path):
    many = [measured(f"w{n}", "Body Weight", 60 + n / 10, "kg", f"2001-{n % 12 + 1:02}-05", "vital-signs")
            for n in range(300)]  # fmt: skip
    smoke = measured("s", "Smoking cessation advice", 1, "", "1999-01-01", "survey")
    whole = read_record(write(tmp_path / "a.json", [*everything(), *many, smoke]))
    reader = Answerer(Extractor(Writer({"evidence": [1], "answer": None}), READING))
    shown = reader.shown(whole, ["any advice on smoking?"])
    assert len(shown.facts) < len(whole.facts) and any("Smoking" in fact.name for fact in shown.facts)
    [given] = reader.answer_record(whole, ["any advice on smoking?"])
    gone = len(whole.facts) - len(shown.facts)
    assert given.notes == (f"Not read for want of room: {gone} of {len(whole.facts)} lines.",)
    assert f"({len(shown.facts)} of {len(whole.facts)} lines)" in given.said


def test_lines_are_found_by_their_words(record):
    assert ranked(["ibuprofen for what?"], record.facts)[0].name.startswith("Ibuprofen")
    assert ranked(["xyz"], record.facts) == [] and ranked(["x"], []) == []


@pytest.mark.parametrize(("question", "shown", "units"), [
    ("Was the glucose ever above 7 mmol/L?", "Was the glucose ever above 7?", {7: "mmol/L"}),
    ("a1c over 8%?", "a1c over 8?", {8: "%"}), ("any temperature > 38.5 °C", "any temperature > 38.5", {38.5: "°C"}),
    ("eGFR below 60 mL/min/1.73 m2", "eGFR below 60", {60: "mL/min/1.73 m2"}),
    ("platelets below 150 10^3/uL", "platelets below 150", {150: "10^3/uL"}),
    ("on 20 MG/ML of Epogen, 3/5/2015, 5 C-sections?", "on 20 MG/ML of Epogen, 3/5/2015, 5 C-sections?", {}),
])  # fmt: skip
def test_the_unit_of_a_number_is_put_into_the_query(question, shown, units):
    said = Said.of(question, ())
    assert (said.question, said.units) == (shown, units)
    for number, unit in units.items():
        query = Query(what="observation", operation="exists", value={"relation": "above", "number": number})
        assert said.named(query).value.unit == unit


def test_a_value_in_another_unit_is_not_compared(tmp_path):
    values = [
        measured("a", "Glucose", 180, "mg/dL", "2001-01-01"),
        measured("b", "Glucose", 9.1, "mmol/L", "2002-01-01"),
    ]
    record = read_record(write(tmp_path / "a.json", [patient(), *values]))
    limit = {"relation": "above", "number": 7, "unit": "mmol/l"}
    found = run(Query(what="observation", which="glucose", operation="count", value=limit), record)
    assert found.answer == 1 and "Not compared with 7 mmol/l: 1 value in mg/dL." in " ".join(found.notes)


def test_several_patients_are_a_line_each(tmp_path, record):
    other = read_record(write(tmp_path / "b.json", [patient("p2")]))
    [answers] = asker().ask_of_all([other, record], ["last sugar?"])
    lines = cohort([other, record], answers).splitlines()
    assert (
        lines[0] == "last sugar?"
        and lines[-2] == "  p1  Glucose: 91.5 mg/dL (1991-05-06)."
        and "p2  Not found" in lines[-1]
    )


def test_a_model_of_another_task_is_refused_and_the_command_reads_questions_from_a_pipe(tmp_path, monkeypatch, record):
    with pytest.raises(AssayError, match="not taught to write queries"):
        Asker(Extractor(Writer(), READING))
    monkeypatch.setattr(Asker, "from_pretrained", classmethod(lambda cls, *_: asker()))
    bundle = str(tmp_path / "a.json")
    made = CliRunner().invoke(app, ["answer", bundle], input="last sugar?\nsugar over time\n\n")
    assert made.exit_code == 0 and "Glucose: 91.5 mg/dL (1991-05-06)." in made.stdout and "▁█" in made.stdout
    both = CliRunner().invoke(app, ["answer", bundle, "last sugar?", "--json", "--html", str(tmp_path / "a.html")])
    assert json.loads(both.stdout)[0]["said"] == "Glucose: 91.5 mg/dL (1991-05-06)." and (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.json", "last sugar?"), "none.json"),
        (("a.json", " "), "There is no question"),
        (("a.json", "questions.txt"), "There is no file questions.txt"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(tmp_path, monkeypatch, record, arguments, said):
    monkeypatch.chdir(tmp_path)
    wrong = CliRunner().invoke(app, ["answer", *arguments])
    assert said in str(wrong.exception) and isinstance(wrong.exception, AssayError)


def test_questions_of_a_file_are_asked_in_order(tmp_path, monkeypatch, record):
    monkeypatch.setattr(Asker, "from_pretrained", classmethod(lambda cls, *_: asker()))
    (tmp_path / "questions.txt").write_text("her heart?\n\nlast sugar?\n", encoding="utf-8")
    made = CliRunner().invoke(app, ["answer", str(tmp_path / "a.json"), str(tmp_path / "questions.txt"), "--json"])
    assert [one["question"] for one in json.loads(made.stdout)] == ["her heart?", "last sugar?"]


def test_a_name_as_the_record_prints_it_is_short_for_the_model_and_whole_in_the_query(tmp_path):
    long = "Erythrocytes [#/volume] in Blood by Automated count"
    facts = [
        measured("y1", long, 4.4, "10*6/uL", "2010-01-05"),
        condition("y2", "History of appendectomy", "428251008"),
        condition("y3", "Body mass index 30+ - obesity (finding)", "162864005"),
    ]
    record = read_record(write(tmp_path / "a.json", [*everything(), *facts]))
    said = Said.of(f"newest {long.upper()} before History of appendectomy?", [record])
    assert said.question == "newest Erythrocytes before History of appendectomy?"
    step = {"what": "procedure", "which": "appendectomy", "operation": "first"}
    query = Query(
        what="observation", which="erythrocyte", operation="latest", times=[{"relation": "before", "step": step}]
    )
    whole = said.named(query)
    assert (whole.which, whole.times[0].step.which, whole.times[0].step.what) == (
        long, "History of appendectomy", "condition",
    )  # fmt: skip
    assert said.named(Query(what="medication", which="statin", operation="latest")).which == "statin"
    assert Said.of("body mass index 30+ - obesity, since when", [record]).question.startswith("Body mass index 30+")
