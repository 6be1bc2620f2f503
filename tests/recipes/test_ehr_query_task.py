"""Questions to queries: what is invented is right by its schema, and what judges is never trained on."""

import json
import random
from pathlib import Path

import pytest

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate.grammar import Grammar, token_table
from extraction.parse import parse
from extraction.room import Room
from extraction.schema import validator
from finetune.task import DataRequest, evaluate, read_examples
from recipes.ehr_qa.query import Query, Step, Time
from recipes.ehr_qa.resolve import meaning
from recipes.ehr_qa.vocabulary import FORMS, sayings
from recipes.ehr_query.mend import mended, says, whole
from recipes.ehr_query.questions import FAMILIES, asked_questions, make_question, write_questions
from recipes.ehr_query.task import CONTRACT, TASK, asked_schema, gold
from tests.conftest import Scripted

LAY = Path(__file__).parents[2] / "recipes" / "ehr_query" / "lay"


def request(folder, split="validation"):
    return DataRequest(folder, split, CONTRACT, Room(len, CONTRACT))


def test_every_invented_question_has_a_query_that_can_be_written(tokenizer, tmp_path):
    write_questions(tmp_path / "questions.jsonl", 1000, 0, held_out=False)
    examples = read_examples(TASK, request(tmp_path, "train"))
    table = token_table(tokenizer, len(tokenizer), (1, 106))
    for number, example in enumerate(examples):
        [branch] = example.branches
        text = CONTRACT.target.encode(branch.gold)
        assert CONTRACT.target.decode(parse(text))[0] == branch.gold
        assert "{" not in branch.parts[0], "a slot is left"
        schema = asked_schema(branch.parts[0])  # what serving allows has it, name and all
        assert validator(schema).is_valid(branch.gold), branch
        if number < 60:
            grammar = Grammar(CONTRACT.target_for(schema).grammar_schema(), table)
            tokens = tokenizer.encode(text, add_special_tokens=False)
            assert grammar.matcher().validate_tokens(tokens) == len(tokens), text
    kinds = {(one.branches[0].gold["what"], one.branches[0].gold["operation"]) for one in examples}
    assert len(kinds) > 40


def test_the_same_seed_gives_the_same_questions_and_what_judges_is_not_trained():
    def made(held_out, seed):
        rng = random.Random(seed)
        return list(filter(None, (make_question(rng, held_out) for _ in range(300))))

    assert made(False, 1) == made(False, 1) != made(False, 2)
    trained = {question.lower().rstrip("? .") for question, _ in made(False, 1) + made(False, 2)}
    judged = [question.lower().rstrip("? .") for question, _ in made(True, 3)]
    assert not trained & set(judged)


def test_questions_as_people_ask_are_whole_and_some_are_kept_to_judge_by(tmp_path):
    def made(name, held_out, families):
        write_questions(tmp_path / name / "questions.jsonl", 120, 3, held_out, families)
        examples = read_examples(TASK, request(tmp_path / name, "validation" if held_out else "train"))
        return {example.branches[0].parts[0].casefold() for example in examples}

    trained, judged = made("a", False, ("patients",)), made("b", True, FAMILIES[:-1])
    assert len(trained) == len(judged) == 120 and not trained & judged
    assert len(trained & made("c", False, ("patients", "wordings"))) > 20 and not trained & made(
        "d", False, ("wordings",)
    )
    with pytest.raises(AssayError, match=r"patients, .*wordings"):
        made("e", False, ("shouted",))
    lay = {example.branches[0].parts[0].casefold() for example in read_examples(TASK, request(LAY))}
    assert not lay & {row["question"].casefold() for family in FAMILIES[:-1] for row in asked_questions(family)}


@pytest.mark.parametrize(("written", "mended_to"), [
    (("observation", "trop peak"), ("observation", "troponin")), (("immunization", "ssri"), ("medication", "ssri")),
    (("condition", "family history of diabetes"),) * 2, (("condition", "xyzzy"),) * 2,
    (("condition", "put an enlarged prostate"), ("condition", "benign prostatic hyperplasia")),
    (("medication", "to bring ibuprofen"), ("medication", "ibuprofen")),
    (("condition", "lupus cough gout"), ("condition", "lupus")),  # two as near: a part of the name
    (("observation", "average sugar three mths"), ("observation", "hemoglobin a1c")),  # nearly so in a table
    (("observation", "PA"),) * 2, (("medication", "his meds"),) * 2,
])  # fmt: skip
def test_a_name_with_a_word_too_many_or_of_another_section_is_mended(written, mended_to):
    query = mended(Query(what=written[0], which=written[1], operation="exists"))
    assert (query.what, query.which) == mended_to


@pytest.mark.parametrize(("question", "written", "meant"), [
    ("When was her ct scan with contrast?", ("procedure", "ct scan"), ("procedure", "ct scan with contrast")),
    ("last LDL cholesterol please", ("observation", "cholesterol"), ("observation", "LDL cholesterol")),
    ("cholesterol, LDL too", ("observation", "cholesterol"), ("observation", "cholesterol")),  # over a comma
    ("is she on the pill", ("medication", "pill"), ("medication", "pill")),
    ("any trouble since the stem cell transplant", ("condition", "stem cell"), ("procedure", "stem cell transplant")),
    ("any xyzzy since then", ("condition", "xyzzy"), ("condition", "xyzzy")),
    ("has he had the covid vaccine", ("immunization", "covid vaccine"), ("immunization", "covid vaccine")),
])  # fmt: skip
def test_a_name_is_as_long_as_the_question_has_it(question, written, meant):
    query = whole(Query(what=written[0], which=written[1], operation="latest"), question)
    assert (query.what, query.which) == meant
    step = Time(relation="since", step=Step(what=written[0], which=written[1]))
    [time] = whole(Query(what="observation", operation="list", times=(step,)), question).times
    assert (time.step.what, time.step.which) == meant


@pytest.mark.parametrize(("question", "written", "meant"), [
    ("fattest he got, weight", ("observation", "weight", "minimum"), ("observation", "maximum")),
    ("lowest peak flow", ("observation", "peak flow", "maximum"), ("observation", "minimum")),
    ("worst peak flow", ("observation", "peak flow", "minimum"), ("observation", "minimum")),
    ("did she have a jab against tetanus", ("condition", "tetanus", "exists"), ("immunization", "exists")),
    ("penicillin, allergic?", ("medication", "penicillin", "exists"), ("allergy", "exists")),
    ("is she on allergy tablets", ("medication", "allergy tablets", "active"), ("medication", "active")),
])  # fmt: skip
def test_other_words_of_the_question_speak_against_a_query(question, written, meant):
    what, which, operation = written
    query = whole(Query(what=what, which=which, operation=operation), question)
    assert (query.what, query.operation) == meant


@pytest.mark.parametrize(
    ("question", "what", "which", "written", "meant"),
    [
        ("whats the worst his sugar has been", "observation", "sugar", "minimum", "maximum"),
        ("worst oxygen level on record", "observation", "oxygen level", "maximum", "minimum"),
        ("Ihr schlechtester Blutdruck?", "observation", "Blutdruck", "minimum", "maximum"),
        ("the best and the worst sugar", "observation", "sugar", "minimum", "minimum"),
        ("why is he taking omeprazole", "medication", "omeprazole", "prescriber", "reason"),
        ("Wer hat Metformin verschrieben?", "medication", "Metformin", "reason", "prescriber"),
        ("why and by whose order does he take it", "medication", "it", "prescriber", "prescriber"),
        ("Ist sie gegen Penicillin allergisch?", "allergy", "Penicillin", "active", "exists"),
        ("is she still allergic to eggs", "allergy", "eggs", "active", "active"),
        ("is he on metformin", "medication", "metformin", "active", "active"),
        ("gamma GT trop hautes ?", "observation", "gamma GT", "maximum", "latest"),
        ("is the highest sugar too high", "observation", "sugar", "maximum", "maximum"),
    ],
)
def test_an_operation_that_the_questions_words_speak_against_is_mended(question, what, which, written, meant):
    assert whole(Query(what=what, which=which, operation=written), question).operation == meant


def test_a_longer_name_of_one_other_section_goes_before_a_part_of_it():
    question = "how many blood pressure pills does he take"
    found = whole(Query(what="observation", which="blood pressure", operation="count"), question)
    assert (found.what, found.which) == ("medication", "blood pressure pills")
    question = "highest blood pressure since the blood pressure pills"  # no drug has a maximum
    assert whole(Query(what="observation", which="blood pressure", operation="maximum"), question).what == "observation"


def test_two_days_are_the_first_and_the_last():
    query = Query.model_validate({"what": "observation", "operation": "list", "times": [
        {"relation": "on", "date": "2012"}, {"relation": "on", "date": "2010"}]})  # fmt: skip
    times = whole(query, "bp between 2010 and 2012").times
    assert [(time.relation, time.date) for time in times] == [("since", "2010"), ("until", "2012")]


@pytest.mark.parametrize(
    ("section", "said", "meant"),
    [
        ("condition", "a broken hip", "hip fracture"),
        ("procedure", "the womb was removed", "hysterectomy"),
        ("procedure", "removal of the gallbladder", "cholecystectomy"),
        ("condition", "hart attack in the night", "heart attack"),
    ],
)
def test_words_that_are_made_of_the_same_mean_the_same(section, said, meant):
    assert meaning(mended(Query(what=section, which=said, operation="exists")).which, section) & meaning(meant, section)


@pytest.mark.parametrize(("question", "written", "meant"), [
    ("diazepam in 2017 or after", "after", "since"), ("labs after 2015 and before 2018", "after", "after"),
    ("bilans après 2015 et avant 2018", "after", "after"), ("any flu shots before 2017 or in 2018", "before", "before"),
    ("Diazepam 2017 oder früher?", "before", "until"), ("diazepam after 2017", "after", "after"),
])  # fmt: skip
def test_a_limit_of_time_counts_with_its_day_where_the_question_says_so(question, written, meant):
    query = Query(what="medication", operation="exists", times=[{"relation": written, "date": "2017"}])
    assert whole(query, question).times[0].relation == meant


def test_the_last_year_is_not_the_last_value():
    assert says("last_is", "Was his last A1c above 8?") and not says("last_is", "Was his A1c above 8 last year?")
    assert not says("last_is", "Lag ihr A1c letztes Jahr über 8?")


def test_the_questions_of_laymen_are_whole():
    examples = read_examples(TASK, request(LAY))
    assert len(examples) == 240
    for example in examples:
        source = example.branches[0].source
        for query in (source["query"], *source.get("also", ())):
            assert gold(query) and Query.model_validate(query)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ({"what": "observation", "which": "Hemoglobin A1c", "operation": "latest"}, True),
        ({"what": "observation", "which": "a1c", "operation": "trend"}, True),
        ({"what": "observation", "which": "a1c", "operation": "first"}, False),
        ({"what": "observation", "which": None, "operation": "latest"}, False),
    ],
)
def test_a_query_is_right_by_its_parts(tmp_path, said, right):
    asked = {"what": "observation", "which": "hemoglobin A1c", "operation": "latest"}
    also = [{"what": "observation", "which": "A1C", "operation": "trend"}]
    (tmp_path / "questions.jsonl").write_text(
        json.dumps({"question": "His sugar?", "query": asked, "also": also}) + "\n"
    )
    examples = read_examples(TASK, request(tmp_path))
    figures = evaluate(Extractor(Scripted(json.dumps(said)), CONTRACT), TASK, examples).figures
    assert figures["accuracy"] == float(right) and figures["what"] == 1.0


@pytest.mark.parametrize(("question", "asked", "said"), [
    ("any letters?", {"what": "report", "which": "letters", "operation": "exists"}, {}),  # as it is looked up first
    ("is he dead?", {"what": "patient", "which": "death", "operation": "exists"}, {"operation": "latest"}),
])  # fmt: skip
def test_a_query_is_right_that_is_looked_up_as_what_is_asked(tmp_path, question, asked, said):
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": question, "query": asked}) + "\n")
    examples = read_examples(TASK, request(tmp_path))
    figures = evaluate(Extractor(Scripted(json.dumps({**asked, **said})), CONTRACT), TASK, examples).figures
    assert set(figures.values()) == {1.0}


def test_a_file_that_is_none_is_said(tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"question": "What?"}\n')
    with pytest.raises(AssayError, match="give a question with its query a line, or, to judge by"):
        read_examples(TASK, request(tmp_path))
    assert isinstance(CONTRACT, Contract)


def test_a_name_is_a_piece_of_the_question():
    schema = asked_schema("When did Mum's a-fib start, and is it l'asthme?")
    names = schema["properties"]["which"]["enum"]
    assert {"a-fib", "Mum", "asthme", "Mum's a-fib", "birth date", None} <= set(names) and "-fib" not in names
    assert schema["$defs"]["Step"]["properties"]["which"]["enum"] == names


def test_a_name_that_its_question_lacks_is_never_trained(tmp_path):
    row = {"question": "His sugar?", "query": {"what": "observation", "which": "a1c", "operation": "latest"}}
    (tmp_path / "questions.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(AssayError, match='"a1c" does not stand in "His sugar\\?"'):
        read_examples(TASK, request(tmp_path, "train"))


@pytest.mark.parametrize(
    ("section", "said", "meant"),
    [
        ("condition", "diabetic", "diabetes"),
        ("condition", "afib", "atrial fibrillation"),
        ("condition", "Zuckerkrankheit", "diabetes"),
        ("medication", "water pill", "diuretic"),
        ("medication", "Tylenol", "acetaminophen"),
        ("observation", "how tall", "body height"),
        ("observation", "sugar", "glucose"),
        ("immunization", "Grippe", "influenza"),
    ],
)
def test_what_people_say_means_what_records_print(section, said, meant):
    assert meaning(said, section) & meaning(meant, section)


def test_the_table_of_names_is_whole():
    for section in ("condition", "medication", "observation", "immunization", "procedure", "allergy", "encounter"):
        rows = sayings(section)
        assert len(rows) == len({row["which"] for row in rows}) > 15
        for row in rows:
            assert row["en"] and all(isinstance(said, str) and said for said in row["en"]), row
            assert set(row) <= {"which", "en", "de", "fr", "es", "nl", "it", "pt", "said", *FORMS}
