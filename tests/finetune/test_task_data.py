"""What a task of somebody else reads: wrong answers, answers too long, pictures in both splits are said at start."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from extraction import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.evidence import LineIndex
from extraction.example import Branch, Context, Example, ImagePart
from extraction.families import family_of
from extraction.record.record import Record
from extraction.room import Room
from finetune.answers import Kept
from finetune.data import check_split, read_record
from finetune.encode import encode
from finetune.task import DataRequest, DocumentTask, Task, check_grading, evaluate, read_examples
from tests.conftest import Scripted, tiny_gemma

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
CONTRACT = Contract(instruction="Answer.", record_schema=SCHEMA, max_prompt_tokens=200, max_answer_tokens=16)


def example(gold=None, shown="A page.", questions=1):
    branches = tuple(Branch((f"What {n}?",), gold=gold) for n in range(questions))
    return Example(Context("page 1", (shown,)), branches)


class Fixed(Task):
    name = "fixed"
    contract = CONTRACT

    def __init__(self, *examples):
        self.examples = examples

    def read(self, wanted):
        return list(self.examples)

    def right(self, branch, record):
        return branch.gold["answer"].casefold() == record.data["answer"].casefold()


def read(*examples):
    return read_examples(Fixed(*examples), DataRequest(Path("data"), "train", CONTRACT, Room(len, CONTRACT)))


@pytest.mark.parametrize("gold", [{"answer": 3}, {"answer": None}, {}, None])
def test_an_answer_that_its_schema_does_not_allow_is_said_at_start(gold):
    assert read(example({"answer": "red"}))
    with pytest.raises(AssayError, match="page 1 does not fit the schema"):
        read(example({"answer": "red"}), example(gold))


def test_an_answer_that_could_never_be_given_is_not_trained(tokenizer):
    family = family_of(tiny_gemma().config, tokenizer, "tiny")
    assert encode(example({"answer": "red"}), CONTRACT, family, 2048)
    with pytest.raises(AssayError, match="max_answer_tokens=16"):
        encode(example({"answer": "red " * 40}), CONTRACT, family, 2048)


def test_an_error_in_a_grader_names_its_line():
    extractor = Extractor(Scripted('{"answer":"red"}'), CONTRACT)
    with pytest.raises(AssayError, match=r"fixed cannot grade .*test_task_data.py.*AttributeError"):
        evaluate(extractor, Fixed(), [example({"answer": 3})])


def test_a_picture_in_both_splits_is_noticed_wherever_its_file_lies(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "b.png")
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "a.png", tmp_path / "other" / "c.png")

    def of(path):
        return Example(Context(path.name, (ImagePart.of(path),)))

    check_split([of(tmp_path / "a.png")], [of(tmp_path / "b.png")])
    with pytest.raises(AssayError, match=r"c\.png .* also among the training data"):
        check_split([of(tmp_path / "a.png")], [of(tmp_path / "other" / "c.png")])


def test_questions_without_a_context_are_told_apart():
    def of(question):
        return Example(Context("questions", ()), (Branch((question,)),))

    check_split([of("What?")], [of("When?")])
    with pytest.raises(AssayError, match="also among the training data"):
        check_split([of("What?")], [of("What?")])


def test_a_context_that_is_longer_than_a_prompt_is_refused_and_one_without_questions_is_empty():
    extractor = Extractor(Scripted('{"answer":"red"}'), CONTRACT)
    assert extractor.answer(example())[0].data == {"answer": "red"}
    records = extractor.answer(example(shown="x" * 400, questions=2))
    assert [record.status for record in records] == ["failed"] * 2
    assert "max_prompt_tokens=200" in records[0].issues[0].message
    assert extractor.answer(example(questions=0)) == []


def test_one_example_that_is_too_long_stops_no_other():
    extractor = Extractor(Scripted('{"answer":"red"}', '{"answer":"blue"}'), CONTRACT)
    asked = [example(), example(shown="x" * 400), example(shown="Another.")]
    found = {id(done[0]): done[1][0].status for done in extractor.answers(asked) if done}
    assert [found[id(one)] for one in asked] == ["ok", "failed", "ok"]


def test_the_same_example_may_be_asked_more_than_once():
    extractor, one = (
        Extractor(Scripted('{"answer":"red"}', '{"answer":"blue"}', '{"answer":"red"}'), CONTRACT),
        example(),
    )
    answers = [done[1][0].data["answer"] for done in extractor.answers([one, one, one]) if done]
    assert sorted(answers) == ["blue", "red", "red"]


def test_a_grader_is_tried_on_the_true_answers_before_training():
    class Odd(Fixed):
        metric = "exact"

    check_grading(Fixed(), CONTRACT, [example({"answer": "red"})])
    with pytest.raises(AssayError, match="`exact`, which its grades do not have; they have accuracy, questions"):
        check_grading(Odd(), CONTRACT, [example({"answer": "red"})])

    class Bare(Fixed):
        def grade(self, contract, examples, records):
            return {"accuracy": 1.0}

    with pytest.raises(AssayError, match="let `grade` return a Grade"):
        check_grading(Bare(), CONTRACT, [example({"answer": "red"})])


@pytest.mark.parametrize(
    ("schema", "said"), [(Path, "give a JSON Schema"), ({"type": "string"}, "must describe an object")]
)
def test_the_schema_of_a_question_is_checked(schema, said):
    branch = Branch(("What?",), schema=schema, gold={"answer": "red"})
    with pytest.raises(AssayError, match=said):
        read(Example(Context("page 1", ("A page.",)), (branch,)))


def test_labels_say_what_the_schema_names_and_nothing_else(tmp_path):
    schema = {"type": "object", "properties": {"seller": {"type": ["string", "null"]}}}
    contract = Contract.for_schema(schema)
    label = tmp_path / "a.json"
    label.write_text('{"seler": "Ann"}')
    with pytest.raises(AssayError, match="“seler”: there is no such field"):
        read_record(label, contract)
    Record("a.pdf", "ok", {"seller": "Ann"}).save(label)  # as `assay extract` writes it
    assert read_record(label, contract) == {"seller": "Ann"}


def test_an_answer_on_lines_is_found_by_its_meaning_and_not_by_its_letters():
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in ("dose", "day")}
              | {"lines": {"type": "array", "items": {"type": "integer"}}}}  # fmt: skip
    contract = Contract.for_schema(schema).model_copy(update={"roles": {"lines": "line"}})
    index = LineIndex(("Aspirin 15 mg daily since 12 mai 2021", "Weight 1,200 g", " ", "Height 180 cm"))

    def issues(**answer):
        asked = Example(Context("record", ("...",), index), (Branch(("What?",)),))
        [record] = Extractor(Scripted(json.dumps(answer)), contract).answer(asked)
        return [issue.message for issue in record.issues]

    assert issues(dose="15", day="12-05-2021", lines=[1]) == []
    assert issues(dose="5", day="12-05-2021", lines=[1]) == ["“5” does not stand in the lines that it cites."]
    assert issues(dose="15", day="2021", lines=[2]) != []
    assert issues(dose="180", day="180", lines=[3, 4]) == []  # an empty line before the one that says it


def test_answers_are_kept_and_a_stopped_evaluation_goes_on(tmp_path):
    examples = [example({"answer": "b"}, shown=f"Page {n}.") for n in range(3)]
    backend, file = Scripted(*['{"answer":"b"}'] * 3), tmp_path / "new" / "kept.jsonl"
    extractor, task = Extractor(backend, CONTRACT), Fixed(*examples)
    whole = evaluate(extractor, task, examples, kept=Kept(file, CONTRACT))
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:40])  # a kill
    backend.answers, backend.asked = ['{"answer":"b"}'], []
    assert evaluate(extractor, task, examples, kept=Kept(file, CONTRACT)) == whole and len(backend.asked) == 1
    told = CONTRACT.model_copy(update={"instruction": "Say it."})
    assert Kept(file, CONTRACT).records(examples[2]) and not Kept(file, told).records(examples[2])
    file.write_text("{}\n")
    with pytest.raises(AssayError, match=r"kept\.jsonl, line 1, is no answer"):
        Kept(file, CONTRACT)


def test_fields_of_the_head_count_for_a_schema_of_ones_own():
    text = {"type": ["string", "null"]}
    row = {"type": "object", "properties": {"item": text, "price": text}}
    schema = {"type": "object", "properties": {"number": text, "items": {"type": "array", "items": row}}}
    contract = Contract(instruction="Read.", record_schema=schema, roles={"item": "name", "price": "value"})
    gold = {"number": "7", "items": [{"item": "nail", "price": "3"}]}
    invoice = Example(Context("a.pdf", ("A page.",)), (Branch(gold=gold),))
    wrong = Record("a.pdf", "ok", {**gold, "number": "8"})
    grade = DocumentTask().grade(contract, [invoice], [[wrong]])
    assert grade.figures["micro_f1"] == pytest.approx(2 / 3) and "all labelled fields" in grade.meaning["micro_f1"]
    scored = DocumentTask().grade(contract.model_copy(update={"scored": ("item", "price")}), [invoice], [[wrong]])
    assert scored.figures["micro_f1"] == 1.0 and "item, price" in scored.meaning["micro_f1"]
