"""Questions on a record: each answer stands in the record's lines, and the same seed asks the same."""

import json
import random
import re
from collections import Counter

import pytest

from recipes.ehr_qa.grade import grade
from recipes.ehr_qa.hierarchy import GROUPS, akin, groups_of
from recipes.ehr_qa.questions import ANSWER_SCHEMA, CATEGORIES, make_questions, split
from recipes.ehr_qa.records import read_record, read_records
from recipes.ehr_qa.task import CONTRACT, branch_of
from recipes.ehr_qa.vocabulary import CONDITIONS, HELD
from recipes.ehr_qa.wordings import WORDINGS, wordings
from tests.recipes.ehr_bundles import condition, drug, everything, measured, patient, write


def words(text):
    return len(text.split())


@pytest.fixture
def record(tmp_path):
    extra = [
        measured("o5", "Glucose", 97, "mg/dL", "1993-05-06"),
        measured("o6", "Body Weight", 80.5, "kg", "1993-05-06", "vital-signs"),
        condition("c3", "Streptococcal sore throat (disorder)", "43878008", "resolved", "1992-01-01", "1992-02-01"),
        drug("m3", "Ibuprofen 200 MG Oral Tablet", "stopped", "1980-01-01"),
        drug("m4", "Penicillin V Potassium 250 MG Oral Tablet", "stopped", "1992-01-01", reason="urn:uuid:c3"),
    ]
    return read_record(write(tmp_path / "a.json", [*everything(), *extra]))


def shown(question, record):
    """The texts that the answer must be found in, and the answer's parts as texts."""
    answer = question.answer
    if question.kind == "letter":
        answer = question.options["ABCDEFGH".index(answer)]
    parts = answer if isinstance(answer, tuple) else (answer,)
    return [record.lines[number - 1].text for number in question.evidence], parts


def check_grounded(questions, record):
    for question in questions:
        texts, parts = shown(question, record)
        assert [record.lines[number - 1].resource for number in question.evidence] == list(question.resources)
        if question.answer is None or parts == ("None of these",):
            continue
        by_group = question.category == "condition_hierarchy" and question.format == "choice"
        if question.kind == "yes_no" or by_group:
            if question.answer == "yes":
                assert question.evidence, question
            continue
        assert question.evidence, question
        for part in parts:
            assert any(part in text for text in texts), (question, texts)


def test_each_gold_answer_is_found_again_in_its_lines(record):
    questions = make_questions(record)
    assert {question.category for question in questions} == set(CATEGORIES)
    check_grounded(questions, record)


def test_real_bundles_have_all_categories_and_their_answers(shared_data):
    seen = Counter()
    for record in read_records(shared_data / "fhir_synthea"):
        questions = make_questions(record)
        check_grounded(questions, record)
        seen.update(question.category for question in questions)
        fitted = record.fit(words(record.text) * 2 // 3, words)
        check_grounded(make_questions(fitted), fitted)
    assert set(seen) == set(CATEGORIES)


def answers(record, part):
    return {question.answer for question in make_questions(record) if part in question.question}


def test_known_answers(record):
    by_text = {question.question: question for question in make_questions(record)}

    def of(category, format="free", **wanted):
        return [
            question
            for question in by_text.values()
            if question.category == category
            and question.format == format
            and all(text in question.question for text in wanted.values())
        ]

    assert {q.answer for q in of("condition_existence")} == {("Viral sinusitis",)}
    assert {q.answer for q in of("current_medication")} == {("Ibuprofen 200 MG Oral Tablet",)}
    assert {q.answer for q in of("medication_prescriber", name="Ibuprofen")} == {"Dr. Noé Dibbert"}
    assert not of("medication_prescriber", name="Captopril")  # its prescriber is not in the bundle
    assert {q.answer for q in of("medication_date", name="Ibuprofen")} == {"1990-05-06", "1980-01-01"}
    latest = [q for q in of("observation_value", name="Glucose") if " on " not in q.question]
    assert [q.answer for q in latest] == ["97 mg/dL"] and latest[0].resources == ("Observation/o5",)
    group = [q for q in of("condition_hierarchy") if q.question.count("upper respiratory disorder")]
    assert group[0].answer == ("Streptococcal sore throat", "Viral sinusitis")
    assert any(q.answer == "Viral sinusitis" for q in of("medication_for_condition", name="Ibuprofen"))


def test_every_format_has_questions_without_an_answer_in_the_record(record):
    questions = make_questions(record)
    assert any(question.format == "free" and question.answer is None for question in questions)
    assert any(
        question.options and question.options[-1] == "None of these" and question.answer == "D"
        for question in questions
    )
    yes_no = Counter(question.answer for question in questions if question.format == "yes_no")
    assert min(yes_no["yes"], yes_no["no"]) * 3 > sum(yes_no.values())


def test_a_few_questions_are_spread_over_the_categories(record):
    counts = Counter(question.category for question in make_questions(record, 20))
    assert set(counts.values()) == {2} and len(counts) == 10


def test_the_seed_decides_and_the_order_of_entries_does_not(record, tmp_path):
    entries = everything()
    first = read_record(write(tmp_path / "b.json", entries))
    random.Random(1).shuffle(entries)
    second = read_record(write(tmp_path / "c.json", entries))
    assert make_questions(first, 30, seed=4) == make_questions(second, 30, seed=4)
    assert make_questions(first, 30, seed=4) != make_questions(first, 30, seed=5)


def test_nothing_is_called_absent_that_a_budget_left_out(record):
    fitted = record.fit(115, words)
    assert fitted.omitted["observation"] and fitted.omitted["medication"] and fitted.omitted["immunization"]
    for question in make_questions(fitted):
        if question.category.startswith(("immunization", "medication_for", "observation", "dependent")):
            assert question.answer is not None
        assert question.category != "medication_existence" or question.answer not in ("no", None)


def test_absurd_and_mistaken_entries_are_not_asked_for(tmp_path):
    rows = [
        drug("m1", "Aspirin 81 MG Oral Tablet", day="1940-01-01"),
        condition("c1", "Gout", "90560007", onset="1990-02-31"),
        {**measured("o1", "Glucose", 90, "mg/dL", "1990-01-01"), "status": "entered-in-error"},
    ]
    record = read_record(write(tmp_path / "a.json", [patient(), *rows]))
    for question in make_questions(record):
        assert "1940" not in str(question.answer) and "1990-02-31" not in question.question
        assert "Glucose" not in question.question and "Observation/o1" not in question.resources


def test_gold_answers_are_valid_and_graded_right(record):
    import jsonschema

    for question in make_questions(record):
        jsonschema.validate(question.gold, ANSWER_SCHEMA)
        assert grade(question, question.gold["answer"])


def test_what_was_found_stands_in_the_lines_and_decides_the_answer(record):
    questions = make_questions(record)
    for question in questions:
        texts = " ".join(record.lines[number - 1].text for number in question.evidence)
        assert not question.found or question.format != "free"
        if question.found and question.found != "no reason" and question.category != "condition_hierarchy":
            assert all(part in texts for part in question.found.split("; ")), question
        if question.format == "choice" and question.found:
            among = question.options.index(question.found) if question.found in question.options else 3
            assert "ABCD".index(question.answer) == among
    # A choice without the right option, and a no about a line that is there, say what the line has instead.
    assert any(question.answer == "D" and question.found for question in questions)
    assert any(question.answer == "no" and question.found for question in questions)
    free, decided = (
        next(branch_of(q).gold for q in questions if bool(q.found) is found and q.answer) for found in (False, True)
    )
    assert "found" not in CONTRACT.target.encode(free)
    assert list(json.loads(CONTRACT.target.encode(decided))) == ["evidence", "found", "answer"]


def test_patients_are_split_never_questions():
    names = [f"p{number}" for number in range(20)]
    parts = split(names, seed=1)
    assert sorted(name for part in parts.values() for name in part) == sorted(names) and [
        len(part) for part in parts.values()
    ] == [10, 5, 5]
    assert split(names[::-1], seed=1) == parts != split(names, seed=2)
    assert all(split(names[:3]).values())


def test_the_hierarchy_is_closed_and_no_group_both_certain_and_doubtful():
    for known in CONDITIONS:
        certain, perhaps = groups_of([known.code], known.name), akin([known.code], known.name)
        assert certain is not None and certain | perhaps <= set(GROUPS) and not certain & perhaps
    upper = {"sinusitis", "upper respiratory disorder", "respiratory disorder", "viral infection", "infection"}
    assert groups_of(["444814009"]) == groups_of([], "Viral sinusitis") == upper
    assert groups_of(["0"]) is None
    assert "respiratory disorder" in groups_of(["254637007"])  # cancer of the lung is a disorder of the lung


def test_each_kind_of_question_has_wordings_that_training_never_uses(record):
    for kind in WORDINGS:
        trained, held_out = wordings(kind, "train"), wordings(kind, "held_out")
        assert len(trained) >= 4 and held_out and not set(trained) & set(held_out)
        assert len({*trained, *held_out}) == len(WORDINGS[kind]) >= 6
        slots = {frozenset(re.findall(r"{(\w+)}", wording)) for wording in WORDINGS[kind]}
        assert len(slots) == 1  # each asks the same
    trained, held_out = (make_questions(record, words=words) for words in ("train", "held_out"))
    assert not {question.question for question in trained} & {question.question for question in held_out}
    check_grounded(held_out, record)


def test_training_questions_never_speak_of_held_out_names(record):
    held = HELD - {name for fact in record.facts for name in (fact.name,)}
    for question in make_questions(record, words="train"):
        assert not any(name in question.question for name in held)
    assert any(name in question.question for question in make_questions(record) for name in held)
